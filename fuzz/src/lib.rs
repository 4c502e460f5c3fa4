//! What the fuzz targets share: a folder in memory for the readers that take paths.

use std::path::PathBuf;

use tempfile::TempDir;

/// A folder that is emptied and removed at the end of the process.
pub struct Scratch(TempDir);

impl Default for Scratch {
    fn default() -> Self {
        let memory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self(memory.expect("a temporary folder"))
    }
}

impl Scratch {
    /// Writes a file and returns its path.
    pub fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("room for a temporary file");
        path
    }
}
