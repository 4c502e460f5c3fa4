//! Opening files of data: regular files and nothing else. A FIFO, a device or a socket may give bytes
//! for ever, or none for ever, so it is named instead of opened.

use std::fs::{File, FileType, Metadata};
use std::io::Read;
use std::path::Path;

use crate::data::Error;

/// Opens the file at `path` for reading.
pub(in crate::data) fn open(path: &Path) -> Result<File, Error> {
    check(path, &std::fs::metadata(path).map_err(|e| Error::io(path, e))?)?;
    File::open(path).map_err(|e| Error::io(path, e))
}

/// All bytes of the file at `path`.
pub(in crate::data) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    check(path, &std::fs::metadata(path).map_err(|e| Error::io(path, e))?)?;
    std::fs::read(path).map_err(|e| Error::io(path, e))
}

/// All bytes of the file at `path`, unless it has more than `most`: then what `refuse` makes of their number, before any
/// is read.
pub(in crate::data) fn read_at_most(
    path: &Path,
    most: u64,
    refuse: impl Fn(u64) -> Error,
) -> Result<Vec<u8>, Error> {
    let metadata = std::fs::metadata(path).map_err(|e| Error::io(path, e))?;
    check(path, &metadata)?;
    if metadata.len() > most {
        return Err(refuse(metadata.len()));
    }
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    // It may be longer by now.
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| Error::io(path, e))?;
    if bytes.len() as u64 > most { Err(refuse(bytes.len() as u64)) } else { Ok(bytes) }
}

/// Refuses everything but a regular file.
pub(in crate::data) fn check(path: &Path, metadata: &Metadata) -> Result<(), Error> {
    let path = || path.to_path_buf();
    match special(metadata.file_type()) {
        _ if metadata.is_file() => Ok(()),
        _ if metadata.is_dir() => Err(Error::IsFolder { path: path() }),
        found => Err(Error::Special { path: path(), found }),
    }
}

/// What a file that is neither a regular one nor a folder is.
pub(in crate::data) fn special(kind: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return "a FIFO (named pipe)";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
        if kind.is_socket() {
            return "a socket";
        }
    }
    let _ = kind;
    "something else"
}
