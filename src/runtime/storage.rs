//! Files that survive a crash: the one order of operations that never leaves neither the old content
//! nor the new.
//!
//! The operations are a trait so that tests can put a faulty disk underneath: one that is full,
//! read-only, or loses power at the k-th operation. The machine's own file system is [`Disk`].

use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

pub use super::disk::{Disk, NewFiles};

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
    /// The file that writing to `path` would replace or create: what a symbolic link points to.
    ///
    /// # Errors
    /// There is something else than a regular file.
    fn target(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }

    /// Creates an empty file, which belongs to its writer as long as that writes.
    ///
    /// # Errors
    /// The file cannot be created, or there is one.
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile + '_>>;

    /// Opens a file to write at its end; creates it if there is none.
    ///
    /// # Errors
    /// The file cannot be opened.
    fn append(&self, path: &Path) -> io::Result<Box<dyn StorageFile + '_>>;

    /// The content of a file.
    ///
    /// # Errors
    /// The file is not there or cannot be read.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

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

    /// Removes a file that [`create`](Self::create) made, unless its writer may still be alive.
    fn remove_abandoned(&self, path: &Path) {
        let _ = self.remove(path);
    }

    /// The names in a folder, in any order.
    ///
    /// # Errors
    /// The folder cannot be read.
    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>>;
}

/// Writes a file whole or not at all: `fill` writes beside the file; the new file is synced, renamed,
/// and the folder is synced. A symbolic link stays, and what it points to is replaced. What earlier
/// crashes left beside the file is removed first, but nothing that another process still writes.
///
/// # Errors
/// The file cannot be written, or what is there is not a regular file. A file of that name is then
/// whole: as it was, or (if only making the new name durable failed) the new one.
pub fn write_durably(
    storage: &dyn Storage,
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let path = &storage.target(path)?;
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    let folder = folder_of(path);
    // A folder that cannot be listed may still be writable, and leftovers are harmless.
    for entry in storage.list(folder).unwrap_or_default() {
        if is_partial(&entry, name) {
            storage.remove_abandoned(&folder.join(entry));
        }
    }
    let beside = folder.join(partial(name));
    let file = storage.create(&beside)?;
    let write = || {
        let mut out = BufWriter::new(file);
        fill(&mut out)?;
        // Open until it has its name: it is its writer's as long as that holds it.
        let mut file = out.into_inner()?;
        file.sync()?;
        storage.rename(&beside, path)
    };
    if let Err(error) = write() {
        // The error that matters is the first; a file left behind is harmless.
        let _ = storage.remove(&beside);
        return Err(error);
    }
    storage.sync_dir(folder)
}

/// Appends `bytes` to a file and returns when they are on disk, after a crash perhaps only some of
/// them. What was there before stays as it was.
///
/// # Errors
/// The file cannot be written, or is not a regular one.
pub fn append_durably(storage: &dyn Storage, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = &storage.target(path)?;
    let mut file = storage.append(path)?;
    file.write_all(bytes)?;
    file.sync()?;
    // The file may be new.
    storage.sync_dir(folder_of(path))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// `.name.0123456789abcdef.partial`: hidden, and of no other writer. The number is random, since a
/// process's own number is 1 in every container and a shared disk has many.
fn partial(name: &OsStr) -> OsString {
    let mut hidden = OsString::from(".");
    hidden.push(shown(name));
    hidden.push(format!(".{:016x}.partial", RandomState::new().build_hasher().finish()));
    hidden
}

/// What stands for `name` in that of a partial file: itself, unless that would be too long for a file system.
fn shown(name: &OsStr) -> OsString {
    const LONGEST: usize = 255 - ".".len() - ".0123456789abcdef.partial".len();
    if name.len() <= LONGEST {
        return name.to_owned();
    }
    format!("{:08x}", crc32c::crc32c(name.as_encoded_bytes())).into()
}

/// Whether `entry` is what [`partial`] makes of `name`, now or in an earlier version (the number of a
/// process).
pub(crate) fn is_partial(entry: &OsStr, name: &OsStr) -> bool {
    let middle = entry
        .as_encoded_bytes()
        .strip_prefix(b".")
        .and_then(|rest| rest.strip_prefix(shown(name).as_encoded_bytes()))
        .and_then(|rest| rest.strip_prefix(b"."))
        .and_then(|rest| rest.strip_suffix(b".partial"));
    middle.is_some_and(|id| {
        let random = id.len() == 16 && id.iter().all(u8::is_ascii_hexdigit);
        random || (!id.is_empty() && id.iter().all(u8::is_ascii_digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_partial_files_are_known_and_never_the_same() {
        let name = OsStr::new("a.bin");
        let names: std::collections::BTreeSet<_> = (0..1000).map(|_| partial(name)).collect();
        assert_eq!(names.len(), 1000);
        assert!(names.iter().all(|entry| is_partial(entry, name)));
        let long = OsString::from("a".repeat(255));
        assert!(partial(&long).len() <= 255 && is_partial(&partial(&long), &long));
        assert!(!is_partial(&partial(&long), name));
        for (entry, known) in [
            (".a.bin.17.partial", true),
            (".a.bin.0123456789abcdef.partial", true),
            (".a.bin.x.partial", false),
            (".a.bin..partial", false),
            (".b.bin.1.partial", false),
            ("a.bin", false),
        ] {
            assert_eq!(is_partial(OsStr::new(entry), name), known, "{entry}");
        }
    }
}
