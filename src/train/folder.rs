//! A run's folder: one process at a time, and nothing in it that is no run's.
//!
//! The folder is locked before anything in it is read: two processes would write over each other's
//! checkpoints. A folder in which no run was begun is left as it was found.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::RunError;
use crate::runtime::{FolderLock, LOCK, LockError, is_partial};

/// The name of a run's checkpoint in its folder.
pub const LAST: &str = "last.safetensors";
/// The name of the weights for inference: those that validated best, or the last ones.
pub const BEST: &str = "best.safetensors";
/// The name of the record of epochs.
pub const METRICS: &str = "metrics.jsonl";
/// The name of the page with the curves.
pub const REPORT: &str = "report.html";
/// The name of the result for scripts.
pub const RESULT: &str = "result.json";

/// A run's folder, held until it is dropped.
#[derive(Debug)]
pub(super) struct RunFolder {
    path: PathBuf,
    lock: FolderLock,
    /// Folders made for it, outermost first; removed, and its lock if that was made, unless a run begins.
    made: Vec<PathBuf>,
    begun: bool,
}

impl RunFolder {
    /// Takes the folder `path`, which is made if it is missing. On a file system without locks, nothing
    /// is held.
    ///
    /// # Errors
    /// [`RunError::InUse`] if another process has it, [`RunError::NotARun`] if there is something else in
    /// it, [`RunError::Folder`] if it cannot be made or locked.
    pub(super) fn take(path: &Path) -> Result<Self, RunError> {
        // Before a file is made in a folder of somebody else's.
        check_contents(path)?;
        let failed =
            |action| move |reason| RunError::Folder { path: path.to_owned(), action, reason };
        let missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let mut made: Vec<PathBuf> =
            path.ancestors().take_while(missing).map(Path::to_owned).collect();
        made.reverse();
        fs::create_dir_all(path).map_err(failed("create"))?;
        let lock = FolderLock::take(path).map_err(|error| match error {
            LockError::Held => RunError::InUse { path: path.to_owned() },
            LockError::Io(reason) => failed("lock")(reason),
        })?;
        let begun = path.join(LAST).is_file();
        let folder = Self { path: path.to_owned(), lock, made, begun };
        // What came into it meanwhile.
        check_contents(path)?;
        Ok(folder)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file called `name` in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether a run was begun in it.
    pub(super) fn holds_run(&self) -> bool {
        self.begun
    }

    /// A run has begun in it: from now on it stays.
    pub(super) fn begin(&mut self) {
        self.begun = true;
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if self.begun {
            return;
        }
        if self.lock.made_its_file() {
            let _ = fs::remove_file(self.file(LOCK));
        }
        // Only empty folders can be removed.
        self.made.iter().rev().all(|folder| fs::remove_dir(folder).is_ok());
    }
}

/// Whether there is a run in `folder`, or nothing, or no more than the beginnings of a first checkpoint.
fn check_contents(folder: &Path) -> Result<(), RunError> {
    if folder.join(LAST).is_file() {
        return Ok(());
    }
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(reason) => {
            return Err(RunError::Folder { path: folder.to_owned(), action: "read", reason });
        }
    };
    let names = entries.filter_map(Result::ok).map(|entry| entry.file_name());
    // The record of epochs is made just before the first checkpoint.
    let beginning = |name: &std::ffi::OsString| {
        let empty =
            || folder.join(name).metadata().is_ok_and(|file| file.is_file() && file.len() == 0);
        name == LOCK
            || [LAST, METRICS].iter().any(|file| is_partial(name, file.as_ref()))
            || (name == METRICS && empty())
    };
    match names.filter(|name| !beginning(name)).min() {
        None => Ok(()),
        Some(name) => {
            let found = name.to_string_lossy().into_owned();
            Err(RunError::NotARun { path: folder.to_owned(), found })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_a_run_is_left_as_it_was() {
        let root = tempfile::tempdir().unwrap();
        let new = root.path().join("a/b");
        let folder = RunFolder::take(&new).unwrap();
        assert!(matches!(RunFolder::take(&new), Err(RunError::InUse { .. })));
        drop(folder);
        assert!(!root.path().join("a").exists());
        // A file that came in meanwhile keeps its folders.
        let folder = RunFolder::take(&new).unwrap();
        fs::write(folder.file("notes"), b"mine").unwrap();
        drop(folder);
        assert_eq!(fs::read_dir(&new).unwrap().count(), 1);
        let taken = RunFolder::take(&new);
        assert!(matches!(taken, Err(RunError::NotARun { found, .. }) if found == "notes"));
        fs::remove_file(new.join("notes")).unwrap();
        // What a process leaves that is killed before its first checkpoint is whole.
        fs::write(new.join(METRICS), b"").unwrap();
        fs::write(new.join(".metrics.jsonl.0123456789abcdef.partial"), b"").unwrap();
        drop(RunFolder::take(&new).unwrap());
        fs::write(new.join(METRICS), b"{}\n").unwrap();
        assert!(RunFolder::take(&new).is_err(), "the record of a run without its checkpoint");
        fs::remove_file(new.join(METRICS)).unwrap();
        let mut folder = RunFolder::take(&new).unwrap();
        folder.begin();
        drop(folder);
        assert!(new.join(LOCK).is_file());
    }

    #[cfg(unix)]
    #[test]
    fn a_lock_that_is_no_file_is_named() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join(LOCK)).unwrap();
        let error = RunFolder::take(root.path()).unwrap_err().to_string();
        assert!(error.contains(".lock is not a regular file"), "{error}");
    }
}
