//! Images to tensors: finding files, decoding, resizing, and the readers of data sets.
//!
//! An image is an [`RgbImage`] (8 bits per channel, rows from top to bottom) until [`Preprocess`] turns
//! it into the normalised NHWC floats that a network reads. Results depend on bytes and seeds only. Anything
//! wrong with a file is an [`Error`] that names it.
//!
//! For training, [`open()`] finds out what a folder holds and makes a [`Dataset`] of it, a [`Sampler`]
//! says which images each step reads, and [`Batches`] turns them into a tensor.

mod augment;
mod batches;
pub mod cifar;
mod dataset;
mod decode;
pub mod demo;
mod error;
mod foreign;
mod gif;
mod hash;
mod idx;
mod image_folder;
mod jpeg;
mod jpeg_pixels;
mod kinds;
mod library;
mod limits;
mod memory;
mod names;
mod normalize;
mod open;
mod parts;
mod passed;
mod paths;
mod preprocess;
mod regular;
mod resize;
mod rgb;
mod sampler;
mod splits;
mod view;
mod webp;

pub use augment::Augmentation;
pub use batches::Batches;
pub use cifar::{CifarRecords, CifarSplit};
pub use dataset::{Dataset, Subset};
pub use decode::{decode, read_image, read_image_from};
pub use error::{Error, SettingError};
pub use image_folder::ImageFolder;
pub use limits::Limits;
pub use memory::MemoryDataset;
pub use normalize::{Mean, Normalizer};
pub use open::{open, open_with};
pub use paths::{ImageList, collect_images};
pub use preprocess::Preprocess;
pub use resize::{Window, resize, resize_window};
pub use rgb::RgbImage;
pub use sampler::{Picked, Sampler, epoch_order};
pub use splits::{Kind, Splits, ValidationOrigin};
pub use view::{Crops, View};
