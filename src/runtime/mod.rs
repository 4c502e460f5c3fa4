//! The machine as the rest of the program sees it: threads, memory, random numbers.

mod buffer;
mod rng;
mod threads;

pub use buffer::AlignedBuf;
pub use rng::Rng;
pub use threads::{MAX_THREADS, ThreadsError, default_threads, pool};
