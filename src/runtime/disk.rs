//! The machine's file system as durable writing sees it: links are followed, only regular files are
//! replaced, and a file that a living process writes is never taken for a leftover.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::storage::{Storage, StorageFile};

/// Links that are followed from one to the next, as Linux does.
const LINKS: usize = 40;

/// Age of a file beside another at which its writer is surely gone, on file systems without locks.
const OLD: Duration = Duration::from_secs(24 * 3600);

/// The file system of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

/// The file system of the machine for a file that must not be there yet: whatever appears under its
/// name in the meantime is left alone, and writing fails.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewFiles;

impl StorageFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

impl Storage for Disk {
    fn target(&self, path: &Path) -> io::Result<PathBuf> {
        match fs::metadata(path) {
            Ok(found) if found.is_file() => fs::canonicalize(path),
            Ok(found) => Err(not_a_file(&found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => end_of_links(path),
            Err(error) => Err(error),
        }
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile + '_>> {
        let file = File::options().write(true).create_new(true).open(path)?;
        // Held until it is dropped, so that nobody takes the file for a leftover. Another process may
        // have done so in the moment before.
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::ResourceBusy.into()),
            Ok(()) if !is_at(&file, path) => Err(io::ErrorKind::ResourceBusy.into()),
            // Where there are no locks, files are leftovers only when they are old.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Box::new(file)),
        }
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn StorageFile + '_>> {
        Ok(Box::new(File::options().create(true).append(true).open(path)?))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        // Asked before opening, which would wait for ever on a pipe.
        let found = fs::metadata(path)?;
        if found.is_file() { fs::read(path) } else { Err(not_a_file(&found)) }
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

    fn remove_abandoned(&self, path: &Path) {
        let Ok(found) = fs::symlink_metadata(path) else { return };
        if !found.is_file() {
            return;
        }
        let Ok(file) = File::options().append(true).open(path) else { return };
        let abandoned = match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Error(_)) => {
                let changed = found.modified().ok();
                let age =
                    changed.and_then(|changed| SystemTime::now().duration_since(changed).ok());
                age.is_some_and(|age| age > OLD)
            }
        };
        if abandoned && is_at(&file, path) {
            let _ = fs::remove_file(path);
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
    }
}

impl Storage for NewFiles {
    fn target(&self, path: &Path) -> io::Result<PathBuf> {
        match fs::symlink_metadata(path) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
            Err(error) => Err(error),
        }
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile + '_>> {
        Disk.create(path)
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn StorageFile + '_>> {
        Disk.append(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        Disk.read(path)
    }

    /// A second name for the file, which the system refuses if there is something of that name, and
    /// then its first name is removed.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match fs::hard_link(from, to) {
            Ok(()) => fs::remove_file(from),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
            // Not every file system has links. An empty file holds the name then.
            Err(_) => {
                File::options().write(true).create_new(true).open(to)?;
                fs::rename(from, to)
            }
        }
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        Disk.sync_dir(folder)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk.remove(path)
    }

    fn remove_abandoned(&self, path: &Path) {
        Disk.remove_abandoned(path);
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        Disk.list(folder)
    }
}

/// Where a chain of links ends, at a name that does not exist.
fn end_of_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        match fs::read_link(&path) {
            Ok(next) => path = path.parent().unwrap_or(Path::new("")).join(next),
            // Not a link: the name of a file to come.
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

fn not_a_file(found: &Metadata) -> io::Error {
    let kind = found.file_type();
    #[cfg(unix)]
    let special = {
        use std::os::unix::fs::FileTypeExt;
        let device = kind.is_char_device() || kind.is_block_device();
        let named =
            [(device, "a device"), (kind.is_fifo(), "a FIFO"), (kind.is_socket(), "a socket")];
        named.into_iter().find(|named| named.0).map(|named| named.1)
    };
    #[cfg(not(unix))]
    let special: Option<&str> = None;
    let what = special.unwrap_or(if kind.is_dir() { "a folder" } else { "something else" });
    io::Error::other(format!("expected a regular file, found {what}"))
}

/// Whether `path` still names the open `file`.
#[cfg(unix)]
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |found: Metadata| (found.dev(), found.ino());
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(named)) => id(open) == id(named),
        _ => false,
    }
}

/// Whether `path` still names the open `file`; a file that is open keeps its name here.
#[cfg(not(unix))]
pub(crate) fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::super::storage::{append_durably, write_durably};
    use super::*;

    fn names(folder: &Path) -> Vec<OsString> {
        let mut names = Disk.list(folder).unwrap();
        names.sort();
        names
    }

    #[test]
    fn leftovers_of_this_file_only_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        for name in [
            ".a.bin.1.partial",
            ".a.bin.00000000000000ff.partial",
            ".a.bin.x.partial",
            ".b.bin.1.partial",
            "a.bin",
        ] {
            fs::write(folder.path().join(name), b"old").unwrap();
        }
        write_durably(&Disk, &path, |out| out.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), [".a.bin.x.partial", ".b.bin.1.partial", "a.bin"]);
        let failed = write_durably(&Disk, &path, |_| Err(io::ErrorKind::Other.into()));
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()).len(), 3);
    }

    #[test]
    fn two_writers_of_one_file_leave_each_other_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        // The second begins and ends while the first writes, as another container might.
        write_durably(&Disk, &path, |out| {
            out.write_all(b"first")?;
            write_durably(&Disk, &path, |out| out.write_all(b"second"))?;
            assert_eq!(fs::read(&path)?, b"second");
            out.write_all(b" is whole")
        })
        .unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"first is whole");
        assert_eq!(names(folder.path()), ["a.bin"]);
    }

    #[test]
    fn what_appears_meanwhile_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        let written = write_durably(&NewFiles, &path, |out| {
            out.write_all(b"ours")?;
            fs::write(&path, b"theirs")
        });
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
        assert_eq!(names(folder.path()), ["a.bin"]);
        fs::remove_file(&path).unwrap();
        write_durably(&NewFiles, &path, |out| out.write_all(b"ours")).unwrap();
        assert_eq!(names(folder.path()), ["a.bin"]);
        let again = write_durably(&NewFiles, &path, |_| panic!("nothing is written"));
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[cfg(unix)]
    #[test]
    fn links_stay_and_their_targets_are_replaced() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("real")).unwrap();
        fs::write(at("real/file"), b"old").unwrap();
        symlink("real/file", at("link")).unwrap();
        symlink("link", at("link-to-link")).unwrap();
        symlink("real/new", at("dangling")).unwrap();
        for (link, target) in [("link-to-link", "real/file"), ("dangling", "real/new")] {
            write_durably(&Disk, &at(link), |out| out.write_all(b"new")).unwrap();
            append_durably(&Disk, &at(link), b" line").unwrap();
            assert!(fs::symlink_metadata(at(link)).unwrap().is_symlink(), "{link}");
            assert_eq!(fs::read(at(target)).unwrap(), b"new line", "{link}");
            let new = write_durably(&NewFiles, &at(link), |out| out.write_all(b"new"));
            assert_eq!(new.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        }
        assert_eq!(names(&at("real")), ["file", "new"]);
        symlink("circle", at("circle")).unwrap();
        assert!(write_durably(&Disk, &at("circle"), |_| Ok(())).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn only_regular_files_are_written_and_read() {
        use std::os::unix::fs::{FileTypeExt, symlink};
        use std::os::unix::net::UnixListener;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("folder")).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        let made = std::process::Command::new("mkfifo").arg(at("fifo")).status();
        symlink("/dev/null", at("link")).unwrap();
        let mut cases = vec![
            (PathBuf::from("/dev/null"), "a device"),
            (at("link"), "a device"),
            (at("folder"), "a folder"),
            (at("socket"), "a socket"),
        ];
        if made.is_ok_and(|status| status.success()) {
            cases.push((at("fifo"), "a FIFO"));
        }
        for (path, what) in cases {
            let text = format!("expected a regular file, found {what}");
            let written = write_durably(&Disk, &path, |_| panic!("nothing is written"));
            assert_eq!(written.unwrap_err().to_string(), text);
            assert_eq!(append_durably(&Disk, &path, b"x").unwrap_err().to_string(), text);
            assert_eq!(Disk.read(&path).unwrap_err().to_string(), text);
            assert!(write_durably(&NewFiles, &path, |_| panic!("nothing is written")).is_err());
        }
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    }
}
