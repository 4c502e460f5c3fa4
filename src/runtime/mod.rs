//! The machine as the rest of the program sees it: threads, memory, files, random numbers.

mod buffer;
mod cache;
mod crew;
mod disk;
mod interrupt;
mod lock;
mod memory;
mod parts;
mod profile;
mod rect;
mod rng;
mod scratch;
#[cfg(feature = "signals")]
mod signals;
mod storage;
mod tasks;
mod team;
mod threads;
mod watch;

pub use buffer::AlignedBuf;
#[cfg(all(test, not(miri)))]
pub(crate) use buffer::guarded;
pub use cache::Cache;
pub(crate) use disk::is_at;
pub use interrupt::{INTERRUPTED, Interrupt};
pub(crate) use lock::LOCK;
pub use lock::{FolderLock, LockError};
pub use memory::available_memory;
pub use parts::{ChunksMut, Parts, SlicesMut};
pub use profile::Profile;
pub use rect::RectMut;
pub use rng::Rng;
pub use scratch::{Buffers, Scratch};
pub(crate) use storage::is_partial;
pub use storage::{Disk, NewFiles, Storage, StorageFile, append_durably, write_durably};
pub use tasks::Tasks;
pub use team::{Crew, Team, alone, team};
pub use threads::{MAX_THREADS, ThreadsError, default_threads, pool};
pub use watch::{Unwatched, Watch};
