//! A folder that one process has for itself.
//!
//! The lock is the operating system's on a file that stays in the folder, so it ends with its process, however that
//! ends, and is never stale. On a file system without locks, nothing is held.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use super::is_at;

/// The name of the file that is locked.
pub(crate) const LOCK: &str = ".lock";

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
    made: bool,
}

/// A folder cannot be locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process has it.
    #[error("another process has it")]
    Held,
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl FolderLock {
    /// Locks `folder`, which exists.
    ///
    /// # Errors
    /// Another process has it, or the file cannot be made or locked.
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let path = folder.join(LOCK);
        let made = match fs::symlink_metadata(&path) {
            // Opening a pipe would wait for ever.
            Ok(found) if !found.is_file() => {
                return Err(io::Error::other(".lock is not a regular file").into());
            }
            found => found.is_err(),
        };
        let file = File::options().create(true).append(true).open(&path)?;
        match file.try_lock() {
            // Whoever had it may have removed it with the folder.
            Ok(()) if is_at(&file, &path) => {}
            Ok(()) | Err(TryLockError::WouldBlock) => return Err(LockError::Held),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        Ok(Self { _file: file, made })
    }

    /// Whether the file was not there before.
    pub(crate) fn made_its_file(&self) -> bool {
        self.made
    }
}
