//! Which file stands at a path, as far as its size, times and number tell: whether it is still the one that
//! was opened.

use std::fs::Metadata;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Error;
use super::decode::regular;
use super::hash::Hash;

/// Size and time of modification of a file, and its number on its disk.
#[derive(Clone, Copy, Debug)]
pub(in crate::data) struct Stamp {
    /// Bytes.
    pub(in crate::data) bytes: u64,
    modified: Option<SystemTime>,
    /// Device and number, where the system has them.
    file: (u64, u64),
    /// Seconds and nanoseconds of the last change of anything, where the system has them.
    changed: (i64, i64),
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
        #[cfg(unix)]
        let changed = {
            use std::os::unix::fs::MetadataExt;
            (metadata.ctime(), metadata.ctime_nsec())
        };
        #[cfg(not(unix))]
        let (file, changed) = ((0, 0), (0, 0));
        Self { bytes: metadata.len(), modified: metadata.modified().ok(), file, changed }
    }

    /// Refuses `path` unless the file there is still this one.
    pub(in crate::data) fn check(&self, path: &Path) -> Result<(), Error> {
        let now = Self::at(path)?;
        let same = |stamp: &Self| (stamp.bytes, stamp.modified, stamp.file);
        if same(&now) == same(self) {
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

    /// Whether a file of this stamp, which was made of `other`, is not older. Neither its content nor, where the system
    /// says so, its name and its place may have changed since: a file that is put in another's place may keep an old
    /// time of modification.
    pub(in crate::data) fn is_newer_than(&self, other: &Self) -> bool {
        self.nanoseconds() >= other.nanoseconds() && self.changed >= other.changed
    }

    /// Nanoseconds from 1970 to its modification, negative before; 0 where the system has no such time.
    pub(in crate::data) fn nanoseconds(&self) -> i128 {
        self.modified.map_or(0, |time| match time.duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_nanos() as i128,
            Err(before) => -(before.duration().as_nanos() as i128),
        })
    }
}
