//! The bytes of a file, read by position from a descriptor that stays open, or of memory.
//!
//! A file is not mapped: if it were cut or overwritten meanwhile, the process would die or compute with
//! other numbers. A file that is replaced by a rename stays readable as it was. Its size and time of
//! modification must be those of its opening after every read; what is overwritten without a change of
//! either (in the same tick of the file system's clock, or with the time set back) is not noticed.

use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::model::SourceError;

/// Why a file is not opened.
pub(crate) enum NotOpened {
    /// The operating system's reason.
    Io(io::Error),
    /// It is no regular file, but e.g. `a folder`.
    Kind(&'static str),
}

/// Opens a regular file. Anything else, which may never end or wait for somebody to write, is not
/// opened.
pub(crate) fn open_regular(path: &Path) -> Result<(File, Metadata), NotOpened> {
    let regular = |attributes: Metadata| match attributes.is_file() {
        true => Ok(attributes),
        false => Err(NotOpened::Kind(kind(&attributes))),
    };
    // Asked before opening, which would wait for ever on a pipe.
    regular(std::fs::metadata(path).map_err(NotOpened::Io)?)?;
    let file = File::open(path).map_err(NotOpened::Io)?;
    let attributes = regular(file.metadata().map_err(NotOpened::Io)?)?;
    Ok((file, attributes))
}

/// What a thing that is no regular file is.
fn kind(attributes: &Metadata) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kind = attributes.file_type();
        if kind.is_fifo() {
            return "a FIFO (named pipe)";
        }
        if kind.is_socket() {
            return "a socket";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    if attributes.is_dir() { "a folder" } else { "not a regular file" }
}

/// Bytes that can be read from any place.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    content: Content,
}

#[derive(Debug)]
enum Content {
    File { file: File, len: u64, modified: Option<SystemTime> },
    Memory(Vec<u8>),
}

impl Source {
    /// The file at `path`, opened by [`open_regular`].
    pub(super) fn of_file(path: &Path, file: File, attributes: &Metadata) -> Self {
        let (len, modified) = (attributes.len(), attributes.modified().ok());
        Self { path: path.to_owned(), content: Content::File { file, len, modified } }
    }

    /// Bytes that errors call `path`.
    pub(super) fn of_bytes(path: &Path, bytes: Vec<u8>) -> Self {
        Self { path: path.to_owned(), content: Content::Memory(bytes) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How many bytes there are; of a file, as many as can be addressed.
    pub(super) fn len(&self) -> usize {
        match &self.content {
            Content::File { len, .. } => usize::try_from(*len).unwrap_or(usize::MAX),
            Content::Memory(bytes) => bytes.len(),
        }
    }

    /// All bytes, if they are in memory.
    pub(super) fn memory(&self) -> Option<&[u8]> {
        match &self.content {
            Content::File { .. } => None,
            Content::Memory(bytes) => Some(bytes),
        }
    }

    /// Fills `to` with the bytes from `at` on.
    ///
    /// # Errors
    /// There are not as many, they cannot be read, or the file has changed.
    pub(super) fn read_at(&self, at: usize, to: &mut [u8]) -> Result<(), SourceError> {
        match &self.content {
            Content::File { file, .. } => {
                let read = read_exact_at(file, to, at as u64);
                // What was read counts only if nobody has written until now.
                self.check()?;
                read.map_err(|error| self.error(format!("cannot read: {error}")))
            }
            Content::Memory(bytes) => {
                let from = bytes.get(at..).and_then(|rest| rest.get(..to.len()));
                to.copy_from_slice(from.ok_or_else(|| self.error("it ends early".to_owned()))?);
                Ok(())
            }
        }
    }

    /// The bytes in `range`.
    ///
    /// # Errors
    /// As for [`read_at`](Self::read_at).
    pub(super) fn read(&self, range: Range<usize>) -> Result<Vec<u8>, SourceError> {
        // Not more memory than the file has bytes, whoever asks.
        if range.end > self.len() {
            return Err(self.error("it ends early".to_owned()));
        }
        let mut bytes = vec![0; range.len()];
        self.read_at(range.start, &mut bytes)?;
        Ok(bytes)
    }

    /// That the file is as it was when it was opened.
    fn check(&self) -> Result<(), SourceError> {
        let Content::File { file, len, modified } = &self.content else { return Ok(()) };
        let now = file.metadata().map_err(|error| self.error(format!("cannot read: {error}")))?;
        if now.len() != *len {
            let now = now.len();
            return Err(self.error(format!(
                "it has changed since it was opened: expected {len} bytes, found {now}"
            )));
        }
        if now.modified().ok() != *modified {
            let reason = "it has changed since it was opened: it was modified at another time";
            return Err(self.error(reason.to_owned()));
        }
        Ok(())
    }

    fn error(&self, reason: String) -> SourceError {
        SourceError::new(&self.path, reason)
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, to: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, to, at)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut to: &mut [u8], mut at: u64) -> io::Result<()> {
    while !to.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, to, at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                to = &mut to[read..];
                at += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
