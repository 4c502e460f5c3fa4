//! Images to tensors: finding files, decoding, resizing, and the readers of data sets.
//!
//! An image is an [`RgbImage`] (8 bits per channel, rows from top to bottom) until [`Preprocess`] turns
//! it into the normalised NHWC floats that a network reads. Results depend on bytes and seeds only. Anything
//! wrong with a file is an [`Error`] that names it.
//!
//! For training, [`open()`] finds out what a folder holds and makes a [`Dataset`] of it, a [`Sampler`]
//! says which images each step reads, and [`Batches`] turns them into a tensor.

mod dataset;
mod decode;
mod error;
mod hash;
mod inputs;
mod rgb;
mod sampler;
mod scan;
mod sets;
mod stamp;
mod subset;

pub use dataset::Dataset;
pub use decode::{
    JpegDecoder, Limits, NoDecoder, decode, decode_part, is_plain_jpeg, read_image, read_image_from,
};
pub use error::{Error, SettingError};
pub(crate) use hash::Hash;
pub(crate) use inputs::WholeImages;
pub use inputs::{
    Augmentation, Batches, ColourShift, Colours, Crop, CropMode, Crops, Interpolation, Jitter,
    Mean, Mixing, Normalizer, Preprocess, Region, Square, Statistics, Sums, View, Window, resize,
    resize_window,
};
pub use rgb::{RgbImage, RgbView};
pub use sampler::{Picked, Sampler, epoch_order};
pub use scan::{BadImages, Scan};
pub use sets::{
    CifarRecords, CifarSplit, ImageFolder, ImageList, Kind, Labelled, MemoryDataset, Split, Splits,
    ValidationOrigin, Wanted, cifar, collect_images, demo, open, open_as, open_cached, open_split,
    open_with, shards,
};
pub use subset::Subset;
