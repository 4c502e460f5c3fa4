//! A shard in memory: its tar is mapped, so a record is read where the system keeps it, and images that were
//! not read take no memory.
//!
//! Nobody may change a shard while it is read. Before each record the file's size, time of modification and
//! number are compared with those at opening, and afterwards the record's CRC32C with the index, so a change
//! is an error that names the file. Between check and use, two things can still happen, and only if somebody
//! writes into the file or cuts it in that moment (under a millisecond for a JPEG): a file that is cut ends
//! the program by the signal SIGBUS, as a failing disk does, and a file that is written into may give one
//! image of wrong pixels, which the next check reports. A file that is replaced by renaming, as copying tools
//! and `resnet-data` do it, stays whole in memory and is reported.

use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::index::{BLOCK, Record};
use crate::data::Error;
use crate::data::decode::regular;
use crate::data::sets::names::text_of;
use crate::data::stamp::Stamp;

/// Bytes of the name in a tar's header.
const NAME: usize = 100;

/// A mapped tar.
#[derive(Debug)]
pub(super) struct MappedTar {
    path: PathBuf,
    map: Mmap,
    stamp: Stamp,
}

impl MappedTar {
    /// Maps the file at `path`.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let file = regular::open(path)?;
        let metadata = file.metadata().map_err(|e| Error::io(path, e))?;
        let map = map(&file).map_err(|e| Error::io(path, e))?;
        let stamp = Stamp::of(&metadata);
        if map.len() as u64 != stamp.bytes {
            let detail = format!("it had {} bytes, and has {} now", stamp.bytes, map.len());
            return Err(Error::Changed { path: path.to_path_buf(), detail });
        }
        Ok(Self { path: path.to_path_buf(), map, stamp })
    }

    /// The path as given.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file's size and times at opening.
    pub(super) fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// The bytes of `record`, which is number `number` of the tar.
    ///
    /// # Errors
    /// The file is no longer the one that was opened, or these bytes are not those of the index.
    pub(super) fn bytes(&self, number: usize, record: &Record) -> Result<&[u8], Error> {
        self.stamp.check(&self.path)?;
        let bytes = self.range(record).and_then(|range| self.map.get(range));
        let bytes = bytes.ok_or_else(|| Error::Tar {
            path: self.path.clone(),
            detail: format!("record {number} lies beyond its end"),
        })?;
        let found = crc32c::crc32c(bytes);
        if found != record.crc {
            // What is in the page cache may be older than what made it differ.
            self.stamp.check(&self.path)?;
            let detail = format!("expected CRC32C {:08x}, found {found:08x}", record.crc);
            return Err(Error::Record { path: self.name(number, record), detail });
        }
        Ok(bytes)
    }

    /// Asks the system to read `record` from the disk, without waiting for it. Where the system does not
    /// take such advice, the record is read later.
    pub(super) fn read_ahead(&self, record: &Record) {
        #[cfg(unix)]
        if let Some(range) = self.range(record) {
            let advice = memmap2::Advice::WillNeed;
            let _ = self.map.advise_range(advice, range.start, range.len());
        }
        #[cfg(not(unix))]
        let _ = record;
    }

    /// What `record` is called in messages: the tar, its number and the name in the header before it.
    pub(super) fn name(&self, number: usize, record: &Record) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(", record {number}"));
        let header = record.offset.checked_sub(BLOCK).and_then(|at| usize::try_from(at).ok());
        let bytes = header.and_then(|at| self.map.get(at..at + NAME)).unwrap_or_default();
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        if end > 0 {
            name.push(format!(" ({})", text_of(&bytes[..end])));
        }
        name.into()
    }

    fn range(&self, record: &Record) -> Option<std::ops::Range<usize>> {
        let [start, end] = [record.offset, record.end()].map(usize::try_from);
        Some(start.ok()?..end.ok()?)
    }
}

fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the map is read-only, and this program never writes to a shard that it has opened. That others
    // leave the file alone is what the user is asked for, as the text above says: no system can promise it.
    // A change is noticed at the next check; memory beyond the map's length, which is fixed, is never read.
    unsafe { Mmap::map(file) }
}
