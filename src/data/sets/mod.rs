//! Labelled images in the forms that people have them: one format a file, and [`open()`], which finds out
//! what a folder holds.

pub mod cifar;
pub mod demo;
mod idx;
mod image_folder;
mod kinds;
mod memory;
mod names;
mod open;
mod parts;
mod passed;
mod paths;
pub mod shards;
mod split;
mod splits;

pub use cifar::{CifarRecords, CifarSplit};
pub use image_folder::ImageFolder;
pub use memory::MemoryDataset;
pub use open::{open, open_as, open_cached, open_with};
pub use parts::Wanted;
pub use paths::{ImageList, collect_images};
pub use split::{Labelled, Split, open_split};
pub use splits::{Kind, Splits, ValidationOrigin};
