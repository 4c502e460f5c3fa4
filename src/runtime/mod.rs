//! The machine as the rest of the program sees it: threads, memory, files, random numbers.

mod buffer;
mod crew;
mod memory;
mod parts;
mod profile;
mod rect;
mod rng;
mod scratch;
mod storage;
mod tasks;
mod team;
mod threads;
mod watch;

pub use buffer::AlignedBuf;
pub use memory::available_memory;
pub use parts::{ChunksMut, Parts, SlicesMut};
pub use profile::Profile;
pub use rect::RectMut;
pub use rng::Rng;
pub use scratch::{Buffers, Scratch};
pub use storage::{Disk, Storage, StorageFile, write_durably};
pub use tasks::Tasks;
pub use team::{Crew, Team, alone, team};
pub use threads::{MAX_THREADS, ThreadsError, default_threads, pool};
pub use watch::{Unwatched, Watch};
