//! The machine as the rest of the program sees it: threads, memory, files, random numbers.

mod awake;
mod buffer;
mod disk;
mod memory;
mod profile;
mod rect;
mod rng;
mod signals;
mod storage;
mod threads;
mod watch;

pub use awake::awake;
pub use buffer::AlignedBuf;
pub(crate) use disk::is_at;
pub use memory::available_memory;
pub use profile::Profile;
pub use rect::RectMut;
pub use rng::Rng;
pub use signals::{INTERRUPTED, Interrupt};
pub(crate) use storage::is_partial;
pub use storage::{Disk, NewFiles, Storage, StorageFile, append_durably, write_durably};
pub use threads::{MAX_THREADS, ThreadsError, default_threads, pool};
pub use watch::{Unwatched, Watch};
