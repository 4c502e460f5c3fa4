//! Pictures to tensors: finding files, decoding, resizing, and the readers of data sets.
//!
//! A picture is an [`RgbImage`] (8 bits a channel, rows top to bottom) until [`Preprocessing`] turns
//! it into the normalised NHWC floats that a network reads. Everything here depends on bytes and
//! seeds only, and whatever is wrong with a file is an [`Error`] that names it.

mod cifar;
mod decode;
pub mod demo;
mod error;
mod jpeg;
mod paths;
mod preprocess;
mod resize;
mod rgb;

pub use cifar::{CifarRecords, CifarSplit};
pub use decode::{Limits, decode, read_image};
pub use error::Error;
pub use paths::collect_images;
pub use preprocess::Preprocessing;
pub use resize::{Window, resize, resize_window};
pub use rgb::RgbImage;
