//! The machine as the rest of the program sees it: threads, memory, files, random numbers.

mod awake;
mod buffer;
mod profile;
mod rect;
mod rng;
mod storage;
mod threads;
mod watch;

pub use awake::awake;
pub use buffer::AlignedBuf;
#[cfg(test)]
pub(crate) use buffer::guarded;
pub use profile::Profile;
pub use rect::RectMut;
pub use rng::Rng;
pub use storage::{Disk, Storage, StorageFile, write_durably};
pub use threads::{MAX_THREADS, ThreadsError, default_threads, pool};
pub use watch::{Unwatched, Watch};
