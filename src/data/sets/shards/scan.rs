//! Reading a tar through, once, to make its index: every image with its place, label and checksum.
//!
//! The parser is the `tar` crate's (ustar, pax, long names of GNU). What it lets pass is checked here: a tar
//! without its end, files cut short, and headers that claim more memory than headers need.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::index::{BLOCK, Index, Record};
use super::raw::RawImage;
use super::sample::{self, MOST_JSON, MOST_LABEL, Role};
use super::watched::Part;
use crate::data::Error;
use crate::data::decode::regular;
use crate::data::sets::names::text_of;
use crate::data::stamp::Stamp;
use crate::runtime::Watch;

/// Bytes read at a time; between two, whoever waits is told.
const TOGETHER: usize = 1 << 20;
/// Bytes that the headers of one file may have, long names included.
const MOST_HEADERS: u64 = 1 << 20;
/// Zero blocks that end a tar.
const END: u64 = 2;

/// Reads the tar `path`, which is `part` of all that is read, and makes its index.
///
/// # Errors
/// [`Error::Tar`] if it is cut short, no tar, or holds something that is no sample of an image and a
/// label; [`Error::Changed`] if it changed meanwhile; [`Error::Interrupted`].
pub(super) fn scan(path: &Path, part: &Part<'_>) -> Result<(Index, Stamp), Error> {
    let stamp = Stamp::at(path)?;
    let reader = Reader::new(regular::open(path)?, *part);
    let records = records(&reader, usize::MAX).map_err(|wrong| reader.error(path, stamp, wrong))?;
    reader.drain().map_err(|wrong| reader.error(path, stamp, wrong))?;
    stamp.check(path)?;
    let (bytes, crc) = (reader.read.get(), reader.crc.get());
    if bytes != stamp.bytes {
        let detail = format!("it had {} bytes, and {bytes} were read", stamp.bytes);
        return Err(Error::Changed { path: path.to_path_buf(), detail });
    }
    Ok((Index { records, bytes, crc }, stamp))
}

/// Whether the tar `path` begins with a sample of an image and a label.
///
/// # Errors
/// It cannot be opened.
pub(super) fn holds_samples(path: &Path, watch: &dyn Watch) -> Result<bool, Error> {
    let reader = Reader::new(regular::open(path)?, Part { watch, before: 0, total: 0 });
    Ok(records(&reader, 1).is_ok_and(|records| !records.is_empty()))
}

/// What is wrong with a tar.
enum Wrong {
    /// By the crate, or in reading.
    Io(io::Error),
    /// By the rules of samples.
    Sample(String),
}

impl From<io::Error> for Wrong {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The records of the tar, at most `most`, of which the last may lack files that come later.
fn records(reader: &Reader<'_>, most: usize) -> Result<Vec<Record>, Wrong> {
    let mut records = Vec::new();
    let mut keys = HashSet::new();
    let mut sample = Sample::default();
    let mut end = 0;
    let mut archive = tar::Archive::new(reader);
    let mut entries = archive.entries()?;
    loop {
        reader.allowed.set(MOST_HEADERS);
        let Some(entry) = entries.next() else {
            // The crate takes the end of the file for that of the tar.
            if reader.read.get() < end + BLOCK {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            break;
        };
        let mut entry = entry?;
        reader.allowed.set(u64::MAX);
        let name = entry.path_bytes().into_owned();
        let (kind, size) = (entry.header().entry_type(), entry.size());
        let offset = entry.raw_file_position();
        end = offset.saturating_add(size).saturating_add(BLOCK - 1) / BLOCK * BLOCK;
        let wrong = |detail: &str| Wrong::Sample(format!("{}: {detail}", text_of(&name)));
        if !(kind.is_file() || kind.is_contiguous()) {
            if !(kind.is_dir() || kind.is_pax_global_extensions()) {
                return Err(wrong("expected a file, found a link or something else without data"));
            }
        } else if let Some((key, role)) = sample::split(&name) {
            if key != sample.key {
                if keys.contains(key) {
                    return Err(wrong("there is another sample of this name before it"));
                }
                keys.insert(key.to_owned());
                records.extend(std::mem::take(&mut sample).record()?);
                sample.key = key.to_owned();
            }
            sample.take(role, offset, size, &mut entry).map_err(|error| match error {
                Wrong::Sample(detail) => wrong(&detail),
                error => error,
            })?;
            if records.len() + usize::from(sample.is_whole()) >= most {
                break;
            }
        }
        io::copy(&mut entry, &mut io::sink())?;
        if reader.read.get() < offset.saturating_add(size) {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
    records.extend(sample.record()?);
    Ok(records)
}

/// The files of a sample so far.
#[derive(Default)]
struct Sample {
    key: Vec<u8>,
    image: Option<Record>,
    label: Option<u32>,
    /// It matters only where there is no label of its own.
    json: Option<Result<u32, String>>,
}

impl Sample {
    /// Takes a file in, and as much of its content as it needs.
    fn take(
        &mut self,
        role: Role,
        offset: u64,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), Wrong> {
        let sample = |wrong| Wrong::Sample(wrong);
        match role {
            Role::Image if self.image.is_some() => {
                Err(sample("there is another image in its sample".to_owned()))
            }
            Role::Image => {
                let length = u32::try_from(size)
                    .map_err(|_| sample(format!("expected less than 4 GiB, found {size} bytes")))?;
                let (crc, raw) = sum(content)?;
                let flags = if raw { Record::RAW } else { 0 };
                self.image = Some(Record { offset, length, label: 0, crc, flags });
                Ok(())
            }
            Role::Label if self.label.is_none() => {
                self.label =
                    Some(sample::label(&text(content, size, MOST_LABEL)?).map_err(sample)?);
                Ok(())
            }
            Role::Json if self.json.is_none() => {
                self.json = Some(sample::json_label(&text(content, size, MOST_JSON)?));
                Ok(())
            }
            Role::Label | Role::Json => {
                Err(sample("there is another of this name in its sample".to_owned()))
            }
            Role::Other => Ok(()),
        }
    }

    fn is_whole(&self) -> bool {
        self.image.is_some() && (self.label.is_some() || matches!(self.json, Some(Ok(_))))
    }

    /// Its record; none before the first file.
    fn record(self) -> Result<Option<Record>, Wrong> {
        if self.key.is_empty() {
            return Ok(None);
        }
        let sample =
            |detail: String| Wrong::Sample(format!("sample {}: {detail}", text_of(&self.key)));
        let label = self.label.map(Ok).or(self.json);
        match (self.image, label.transpose().map_err(sample)?) {
            (Some(image), Some(label)) => Ok(Some(Record { label, ..image })),
            (image, _) => {
                let missing = if image.is_some() {
                    "its label (KEY.cls, or KEY.json with the key \"label\")"
                } else {
                    "its image (KEY.jpg, .jpeg, .png, .webp, .ppm, ...)"
                };
                Err(sample(format!(
                    "expected {missing} beside its other files, found none; the files of a sample stand \
                     one after another"
                )))
            }
        }
    }
}

/// The CRC32C of what `content` has, and whether it is a raw image.
fn sum(content: &mut dyn Read) -> io::Result<(u32, bool)> {
    let mut buffer = [0; 1 << 14];
    let (mut crc, mut raw, mut first) = (0, false, true);
    loop {
        let read = content.read(&mut buffer)?;
        if read == 0 {
            return Ok((crc, raw));
        }
        if std::mem::take(&mut first) {
            raw = RawImage::is_raw(&buffer[..read]);
        }
        crc = crc32c::crc32c_append(crc, &buffer[..read]);
    }
}

/// A short file whole.
fn text(content: &mut dyn Read, size: u64, most: u64) -> Result<Vec<u8>, Wrong> {
    if size > most {
        return Err(Wrong::Sample(format!("expected at most {most} bytes, found {size}")));
    }
    let mut bytes = Vec::new();
    content.read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < size {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(bytes)
}

/// A tar that is read from its beginning to its end, counted and summed.
struct Reader<'a> {
    file: RefCell<io::BufReader<File>>,
    part: Part<'a>,
    read: Cell<u64>,
    crc: Cell<u32>,
    /// Bytes that may be read before this is set again.
    allowed: Cell<u64>,
    told: Cell<u64>,
    stopped: Cell<bool>,
}

impl<'a> Reader<'a> {
    fn new(file: File, part: Part<'a>) -> Self {
        Self {
            file: io::BufReader::with_capacity(TOGETHER, file).into(),
            part,
            read: 0.into(),
            crc: 0.into(),
            allowed: u64::MAX.into(),
            told: 0.into(),
            stopped: false.into(),
        }
    }

    /// Reads what follows the first zero block: nothing but zeros.
    fn drain(&self) -> Result<(), Wrong> {
        self.allowed.set(u64::MAX);
        let (mut reader, mut buffer, mut zeros) = (self, [0; 1 << 14], BLOCK);
        loop {
            match reader.read(&mut buffer)? {
                0 if zeros >= END * BLOCK => return Ok(()),
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                read if buffer[..read].iter().all(|&byte| byte == 0) => zeros += read as u64,
                _ => {
                    return Err(Wrong::Sample(
                        "expected nothing after the zeros that end a tar, found more (two tars in one \
                         file are not read)"
                            .to_owned(),
                    ));
                }
            }
        }
    }

    /// The error for what went wrong at the place that was reached.
    fn error(&self, path: &Path, stamp: Stamp, wrong: Wrong) -> Error {
        let path = path.to_path_buf();
        let read = self.read.get();
        let detail = match wrong {
            _ if self.stopped.get() => return Error::Interrupted,
            Wrong::Sample(detail) => detail,
            Wrong::Io(error) if error.raw_os_error().is_some() => {
                return Error::Io { path, source: error };
            }
            Wrong::Io(_) if read >= stamp.bytes => {
                format!(
                    "it is truncated: it ends after {read} bytes without the zeros that end a tar"
                )
            }
            Wrong::Io(error) => format!("{error}, at byte {read}"),
        };
        Error::Tar { path, detail }
    }
}

impl Read for &Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.allowed.get() == 0 {
            return Err(io::Error::other(format!("headers of more than {MOST_HEADERS} bytes")));
        }
        let most = usize::try_from(self.allowed.get()).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.borrow_mut().read(&mut buffer[..most])?;
        self.allowed.set(self.allowed.get() - read as u64);
        self.crc.set(crc32c::crc32c_append(self.crc.get(), &buffer[..read]));
        self.read.set(self.read.get() + read as u64);
        if self.read.get() - self.told.get() >= TOGETHER as u64 {
            self.told.set(self.read.get());
            self.part.read(self.read.get());
            if self.part.stopped() {
                self.stopped.set(true);
                return Err(io::Error::other("stopped"));
            }
        }
        Ok(read)
    }
}
