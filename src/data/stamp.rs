//! Which file stands at a path, as far as its size, times and number tell: whether it is still the one that
//! was opened.

use std::fs::Metadata;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Error;
use super::decode::regular;
use super::hash::Hash;

/// Size and time of modification of a file, and its number on its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::data) struct Stamp {
    /// Bytes.
    pub(in crate::data) bytes: u64,
    modified: Option<SystemTime>,
    /// Device and number, where the system has them.
    file: (u64, u64),
}

impl Stamp {
    /// That of the regular file at `path`.
    pub(in crate::data) fn at(path: &Path) -> Result<Self, Error> {
        let metadata = std::fs::metadata(path).map_err(|e| Error::io(path, e))?;
        regular::check(path, &metadata)?;
        Ok(Self::of(&metadata))
    }

    pub(in crate::data) fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let file = {
            use std::os::unix::fs::MetadataExt;
            (metadata.dev(), metadata.ino())
        };
        #[cfg(not(unix))]
        let file = (0, 0);
        Self { bytes: metadata.len(), modified: metadata.modified().ok(), file }
    }

    /// Refuses `path` unless the file there is still this one.
    pub(in crate::data) fn check(&self, path: &Path) -> Result<(), Error> {
        let now = Self::at(path)?;
        if now == *self {
            return Ok(());
        }
        let detail = if now.bytes != self.bytes {
            format!("it had {} bytes, and has {} now", self.bytes, now.bytes)
        } else if now.modified != self.modified {
            "its time of modification is another".to_owned()
        } else {
            "another file has its name".to_owned()
        };
        Err(Error::Changed { path: path.to_path_buf(), detail })
    }

    /// Appends it to `hash`, as far as it stays the same when a disk is mounted again.
    pub(in crate::data) fn hash(&self, hash: &mut Hash) {
        hash.number(self.bytes);
        hash.bytes(&self.nanoseconds().to_le_bytes());
    }

    /// Nanoseconds from 1970 to its modification, negative before; 0 where the system has no such time.
    pub(in crate::data) fn nanoseconds(&self) -> i128 {
        self.modified.map_or(0, |time| match time.duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_nanos() as i128,
            Err(before) => -(before.duration().as_nanos() as i128),
        })
    }
}
