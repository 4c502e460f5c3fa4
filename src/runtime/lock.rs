//! A folder that one process has for itself.
//!
//! The lock is the operating system's on a file that stays in the folder, so it ends with its process, however that
//! ends, and is never stale. On a file system without locks, nothing is held.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::is_at;

/// The name of the file that is locked.
pub(crate) const LOCK: &str = ".lock";

/// How often the lock is asked for, and the pause before it is asked for again: whoever looks whether it is held
/// has it for a moment.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(10);

/// Whether there are no locks where a file is: the file system has none, or the server that keeps them (of NFS) is not
/// there.
fn has_no_locks(error: &io::Error) -> bool {
    /// ENOLCK of Linux.
    const NO_LOCKS: i32 = 37;
    error.kind() == io::ErrorKind::Unsupported
        || (cfg!(target_os = "linux") && error.raw_os_error() == Some(NO_LOCKS))
}

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
        match lock(&file) {
            // Whoever had it may have removed it with the folder.
            Ok(()) if is_at(&file, &path) => {}
            Ok(()) | Err(TryLockError::WouldBlock) => return Err(LockError::Held),
            Err(TryLockError::Error(error)) if has_no_locks(&error) => {}
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        Ok(Self { _file: file, made })
    }

    /// Whether a process has `folder`. For a moment this takes a shared lock, which keeps nobody from looking; a
    /// process that takes the folder just then waits.
    pub fn is_held(folder: &Path) -> bool {
        let path = folder.join(LOCK);
        // Opening a pipe would wait for ever.
        let is_file = fs::symlink_metadata(&path).is_ok_and(|found| found.is_file());
        let file = is_file.then(|| File::open(&path).ok()).flatten();
        file.is_some_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Whether the file was not there before.
    pub(crate) fn made_its_file(&self) -> bool {
        self.made
    }
}

/// Takes the lock of the open `file`.
fn lock(file: &File) -> Result<(), TryLockError> {
    for _ in 1..TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => sleep(PAUSE),
            taken => return taken,
        }
    }
    file.try_lock()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_at_a_lock_keeps_nobody_from_taking_it() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert!(!FolderLock::is_held(folder));
        let held = FolderLock::take(folder).unwrap();
        assert!(held.made_its_file() && FolderLock::is_held(folder));
        assert!(matches!(FolderLock::take(folder), Err(LockError::Held)));
        drop(held);
        assert!(!FolderLock::is_held(folder));
        // As one that looks has it, but for longer.
        let looking = File::open(folder.join(LOCK)).unwrap();
        looking.lock_shared().unwrap();
        assert!(!FolderLock::is_held(folder), "two may look");
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| FolderLock::take(folder).is_ok());
            sleep(3 * PAUSE);
            drop(looking);
            assert!(taken.join().unwrap());
        });
    }
}
