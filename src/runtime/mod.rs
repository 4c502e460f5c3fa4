//! The machine as the rest of the program sees it: threads, memory, random numbers, durable files.

mod buffer;
mod rng;
mod storage;

pub use buffer::AlignedBuf;
pub use rng::Rng;
pub use storage::{Disk, Storage, StorageFile, write_durably};
