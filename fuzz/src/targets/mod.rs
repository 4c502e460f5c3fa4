//! One function a fuzz target: it takes any bytes and panics if a reader does what it must not.

pub mod cifar;
pub mod dataset;
pub mod idx;
pub mod image;
pub mod index;
pub mod safetensors;
pub mod tar;
pub mod torch;
pub mod weights;

use std::path::PathBuf;

use tempfile::TempDir;

/// A folder for the readers that take paths, in memory where that can be had. It is removed when its
/// thread ends.
pub struct Scratch(TempDir);

impl Scratch {
    /// Writes a file and returns its path.
    pub fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("room for a temporary file");
        path
    }
}

/// Calls `f` with this thread's folder.
fn scratch<T>(f: impl FnOnce(&Scratch) -> T) -> T {
    thread_local!(static SCRATCH: Scratch = {
        let memory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Scratch(memory.expect("a temporary folder"))
    });
    SCRATCH.with(f)
}
