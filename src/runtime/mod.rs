//! The machine as the rest of the program sees it: threads, memory, random numbers.

mod buffer;
mod rng;

pub use buffer::AlignedBuf;
pub use rng::Rng;
