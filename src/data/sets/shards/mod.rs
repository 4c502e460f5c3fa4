//! Shards: WebDataset tars, each with an index beside it, that are mapped into memory. So a set of any size
//! is read at random, takes no memory, and anyone's tools read it, too.
//!
//! `docs/data.md` has the formats. Sets that `resnet-data` has packed come with a description
//! ([`Manifest`]) and are held to it; those of others are read in place, and their index is made by
//! scanning.

mod find;
mod hexadecimal;
mod index;
mod manifest;
mod map;
mod measured;
mod open;
mod raw;
mod sample;
mod scan;
mod set;
mod splits;
mod verify;
mod watched;
mod write;

pub use find::ShardSet;
pub use index::{Index, Record};
pub use manifest::{Manifest, ShardInfo, Skipped, Split, Within};
pub use measured::{MeanFile, Measured};
pub use open::{check_shard, scan_shard};
pub use raw::RawImage;
pub use set::Shards;
pub(super) use splits::open_splits;
pub use verify::{Verified, verify};
pub use write::{ShardWriter, write_index, write_shard};

/// The name of the description in the folder of packed shards.
pub const MANIFEST: &str = "dataset.json";

/// Classes that a set may have: a damaged label must not make memory for names run out.
const MOST_CLASSES: usize = 1 << 20;
