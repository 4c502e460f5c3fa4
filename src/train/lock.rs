//! One process at a time in a run's folder: two would write over each other's checkpoints.
//!
//! The lock is the operating system's on a file that stays in the folder, so it ends with its process,
//! however that ends, and is never stale.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use super::error::RunError;

/// The name of the file that is locked.
pub(super) const LOCK: &str = ".lock";

/// Holds a run's folder until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes `folder`, which must be there. On a file system without locks, nothing is held.
    ///
    /// # Errors
    /// [`RunError::InUse`] if another process has it, [`RunError::Folder`] if the file cannot be made.
    pub(super) fn take(folder: &Path) -> Result<Self, RunError> {
        let path = || folder.to_owned();
        let failed = |source| RunError::Folder { path: path(), action: "lock", source };
        let file = File::options().create(true).append(true).open(folder.join(LOCK));
        let file = file.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(RunError::InUse { path: path() }),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        Ok(Self { _file: file })
    }
}
