//! The images of a tar as a data set, read by position: ImageNet's tars, of which the one for training has a tar
//! for each class in it. Listing reads headers only; nothing is unpacked.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use resnet_cpu::RgbImage;
use resnet_cpu::data::{Dataset, Error, Limits, decode};
use resnet_cpu::runtime::Watch;

/// What a tar is made of.
const BLOCK: u64 = 512;

/// A file in a tar.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its name in the tar.
    pub(super) name: Box<str>,
    /// Where its bytes begin in the outermost tar.
    pub(super) offset: u64,
    /// How many they are.
    pub(super) length: u64,
}

/// The files of a tar, or of a tar within it: the bytes `from`..`to` of the file at `path`. `found` is how many
/// files were found before, for `watch`.
///
/// # Errors
/// [`Error::Tar`] if it is no whole tar; [`Error::Interrupted`].
pub(super) fn list(
    path: &Path,
    [from, to]: [u64; 2],
    found: u64,
    watch: &dyn Watch,
) -> Result<Vec<Entry>, Error> {
    let io = |source| Error::Io { path: path.to_path_buf(), source };
    let wrong = |detail: String| Error::Tar { path: path.to_path_buf(), detail };
    let file = File::open(path).map_err(io)?;
    let window = Window { file, from, to, at: from };
    let mut archive = tar::Archive::new(window);
    let (mut entries, mut end) = (Vec::new(), from);
    for entry in archive.entries_with_seek().map_err(io)? {
        if watch.stopped() {
            return Err(Error::Interrupted);
        }
        let entry = entry.map_err(|error| wrong(format!("{error}, after byte {end}")))?;
        let (offset, length) = (from + entry.raw_file_position(), entry.size());
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let data_end = offset.checked_add(length).filter(|&end| end <= to);
        let Some(data_end) = data_end else {
            return Err(wrong(format!(
                "{name}: expected {length} bytes at {offset}, found {}: it is truncated",
                to.saturating_sub(offset)
            )));
        };
        end = from + (data_end - from).div_ceil(BLOCK) * BLOCK;
        let hidden = name.rsplit('/').next().is_none_or(|base| base.starts_with('.'));
        if entry.header().entry_type().is_file() && !hidden {
            entries.push(Entry { name: name.into(), offset, length });
            watch.progress("files found", found + entries.len() as u64, None);
        }
    }
    // A tar that was cut between two files still lacks the zeros at its end.
    if end + BLOCK > to {
        return Err(wrong(format!("it is truncated: it ends after {end} bytes without zeros")));
    }
    Ok(entries)
}

/// A part of a file as a file of its own.
struct Window {
    file: File,
    from: u64,
    to: u64,
    at: u64,
}

impl Read for Window {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.to.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let most = left.min(buffer.len());
        self.file.seek(SeekFrom::Start(self.at))?;
        let read = self.file.read(&mut buffer[..most])?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Window {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (base, by) = match to {
            SeekFrom::Start(at) => (self.from.checked_add(at), 0),
            SeekFrom::Current(by) => (Some(self.at), by),
            SeekFrom::End(by) => (Some(self.to), by),
        };
        let at = base.and_then(|base| base.checked_add_signed(by)).filter(|&at| at >= self.from);
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at - self.from)
    }
}

/// Labelled images in a tar.
#[derive(Debug)]
pub(super) struct TarImages {
    pub(super) path: PathBuf,
    /// Bytes of the tar.
    pub(super) bytes: u64,
    pub(super) entries: Vec<Entry>,
    /// One for each entry.
    pub(super) labels: Vec<u32>,
    pub(super) classes: Vec<String>,
    pub(super) limits: Limits,
}

impl TarImages {
    fn read(&self, index: usize) -> Result<Vec<u8>, Error> {
        let Entry { offset, length, .. } = self.entries[index];
        let io = |source| Error::Io { path: self.path.clone(), source };
        if length > self.limits.bytes {
            let limit = format!("a file of at most {} bytes", self.limits.bytes);
            let path = PathBuf::from(self.name(index));
            return Err(Error::TooLarge { path, limit, found: length.to_string() });
        }
        let mut file = File::open(&self.path).map_err(io)?;
        let now = file.metadata().map_err(io)?.len();
        if now != self.bytes {
            let detail = format!("it had {} bytes, and has {now} now", self.bytes);
            return Err(Error::Changed { path: self.path.clone(), detail });
        }
        file.seek(SeekFrom::Start(offset)).map_err(io)?;
        let mut bytes = vec![0; length as usize];
        file.read_exact(&mut bytes).map_err(io)?;
        Ok(bytes)
    }
}

impl Dataset for TarImages {
    fn len(&self) -> usize {
        self.entries.len()
    }

    fn classes(&self) -> usize {
        self.classes.len()
    }

    fn class_names(&self) -> Option<&[String]> {
        Some(&self.classes)
    }

    fn label(&self, index: usize) -> usize {
        self.labels[index] as usize
    }

    fn image(&self, index: usize) -> Result<RgbImage, Error> {
        decode(&self.read(index)?, self.name(index), &self.limits)
    }

    fn name(&self, index: usize) -> String {
        format!("{}, {}", self.path.display(), self.entries[index].name)
    }

    /// The checksum is over names, places, sizes and labels.
    fn fingerprint(&self) -> String {
        let mut crc = 0;
        for (entry, label) in self.entries.iter().zip(&self.labels) {
            for bytes in [
                entry.name.as_bytes(),
                b"\0",
                &entry.offset.to_le_bytes(),
                &entry.length.to_le_bytes(),
                &label.to_le_bytes(),
            ] {
                crc = crc32c::crc32c_append(crc, bytes);
            }
        }
        let (images, classes) = (self.len(), self.classes.len());
        format!("tar, {} bytes, {images} images, {classes} classes, {crc:08x}", self.bytes)
    }

    fn stored(&self, index: usize) -> Result<Option<Cow<'_, [u8]>>, Error> {
        self.read(index).map(|bytes| Some(Cow::Owned(bytes)))
    }
}
