//! The folder of what can be computed again: indexes of other people's shards, scans of images, features.
//! Losing it costs time, nothing else, and nothing in it is trusted without a check.

use std::io;
use std::path::{Path, PathBuf};

use super::{Disk, Storage, write_durably};

/// The folder in the user's cache.
const NAME: &str = "resnet-cpu";

/// Where results are kept that another run may need again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache(Option<PathBuf>);

impl Cache {
    /// The folder `folder`, which is made when something is first kept there.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self(Some(folder.into()))
    }

    /// The user's: `$XDG_CACHE_HOME/resnet-cpu`, else `~/.cache/resnet-cpu`; none where neither is known.
    pub fn of_user() -> Self {
        // The specification: a path that is not absolute is to be ignored.
        let absolute = |name: &str| {
            std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
        };
        let caches = absolute("XDG_CACHE_HOME");
        let caches = caches.or_else(|| absolute("HOME").map(|home| home.join(".cache")));
        Self(caches.map(|caches| caches.join(NAME)))
    }

    /// One that keeps nothing.
    pub fn none() -> Self {
        Self(None)
    }

    /// The file called `name` in it; none if it keeps nothing. The file may not exist.
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        self.0.as_ref().map(|folder| folder.join(name))
    }

    /// What is kept under `name`, a plain file name; none if that is nothing, or cannot be read.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        Disk.read(&self.file(name)?).ok()
    }

    /// Keeps `bytes` under `name`, whole or not at all; nothing if it keeps nothing.
    ///
    /// # Errors
    /// The folder cannot be made or the file not be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let Some(folder) = &self.0 else { return Ok(()) };
        std::fs::create_dir_all(folder)?;
        write_durably(&Disk, &folder.join(name), |out| out.write_all(bytes))
    }

    /// The folder.
    pub fn folder(&self) -> Option<&Path> {
        self.0.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("a/b"));
        assert_eq!(cache.read("x"), None);
        cache.write("x", b"one").unwrap();
        cache.write("x", b"two").unwrap();
        assert_eq!(cache.read("x").unwrap(), b"two");
        assert_eq!(cache.file("x").unwrap(), folder.path().join("a/b/x"));
        // A file where the folder should be.
        assert!(Cache::at(folder.path().join("a/b/x")).write("y", b"").is_err());
        assert!(Cache::none().write("x", b"").is_ok());
        assert_eq!((Cache::none().read("x"), Cache::none().file("x")), (None, None));
    }
}
