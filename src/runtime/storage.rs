//! Files that survive a crash: the few operations on a file system that durable writing takes, and
//! the one order of them that never leaves neither the old content nor the new.
//!
//! The operations are a trait so that tests can put a faulty disk underneath: one that is full,
//! read-only, or loses power at the k-th operation.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// A file that is being written.
pub trait StorageFile: Write {
    /// Returns when all that was written is on disk.
    ///
    /// # Errors
    /// It cannot be written or synced.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file system, as far as durable writing needs it.
pub trait Storage {
    /// Creates an empty file, or empties the one there is.
    ///
    /// # Errors
    /// The file cannot be created.
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile + '_>>;

    /// Gives the file `from` the name `to`, which another file may have had: at any moment `to` is
    /// one of them.
    ///
    /// # Errors
    /// The file cannot be renamed.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Returns when names created, changed and removed in a folder are on disk.
    ///
    /// # Errors
    /// The folder cannot be opened or synced.
    fn sync_dir(&self, folder: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// The file is not there or cannot be removed.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// The names in a folder, in any order.
    ///
    /// # Errors
    /// The folder cannot be read.
    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>>;
}

/// The file system of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl StorageFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

impl Storage for Disk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile + '_>> {
        Ok(Box::new(File::create(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    #[cfg(unix)]
    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    #[cfg(not(unix))]
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
    }
}

/// Writes a file whole or not at all: `fill` writes beside `path`; the new file is synced, renamed to
/// `path`, and the folder is synced. What earlier crashes left beside it is removed first.
///
/// # Errors
/// The file cannot be written. A file of that name is then whole: as it was, or (if only making the
/// new name durable failed) the new one.
pub fn write_durably(
    storage: &dyn Storage,
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // A folder that cannot be listed may still be writable, and leftovers are harmless.
    for entry in storage.list(folder).unwrap_or_default() {
        if is_partial(&entry, name) {
            let _ = storage.remove(&folder.join(entry));
        }
    }
    let beside = folder.join(partial(name));
    let write = || {
        let mut out = BufWriter::new(storage.create(&beside)?);
        fill(&mut out)?;
        out.into_inner()?.sync()?;
        storage.rename(&beside, path)
    };
    if let Err(error) = write() {
        // The error that matters is the first; a file left behind is harmless.
        let _ = storage.remove(&beside);
        return Err(error);
    }
    storage.sync_dir(folder)
}

/// `.name.1234.partial`: hidden, and not that of another process, so that two writers of one file
/// never write into one another's: the one that is removed or comes later fails or wins as a whole.
fn partial(name: &OsStr) -> OsString {
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.partial", std::process::id()));
    hidden
}

/// Whether `entry` is what [`partial`] makes of `name` in some process.
fn is_partial(entry: &OsStr, name: &OsStr) -> bool {
    let process = entry
        .as_encoded_bytes()
        .strip_prefix(b".")
        .and_then(|rest| rest.strip_prefix(name.as_encoded_bytes()))
        .and_then(|rest| rest.strip_prefix(b"."))
        .and_then(|rest| rest.strip_suffix(b".partial"));
    process.is_some_and(|id| !id.is_empty() && id.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_of_this_file_only_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        for name in [".a.bin.1.partial", ".a.bin.x.partial", ".b.bin.1.partial", "a.bin"] {
            fs::write(folder.path().join(name), b"old").unwrap();
        }
        write_durably(&Disk, &path, |out| out.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        let mut names = Disk.list(folder.path()).unwrap();
        names.sort();
        assert_eq!(names, [".a.bin.x.partial", ".b.bin.1.partial", "a.bin"]);
        let failed = write_durably(&Disk, &path, |_| Err(io::ErrorKind::Other.into()));
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(Disk.list(folder.path()).unwrap().len(), 3);
    }
}
