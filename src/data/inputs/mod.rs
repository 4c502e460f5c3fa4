//! An image to the floats of a network's input: resized, cropped, changed at random, normalised.

mod augment;
mod batches;
mod colours;
mod crop_mode;
mod interpolation;
mod mix;
mod normalize;
mod preprocess;
mod region;
mod resize;
mod statistics;
mod view;
mod whole;

pub use augment::{Augmentation, ColourShift, Crop, Jitter};
pub use batches::Batches;
pub use colours::Colours;
pub use crop_mode::CropMode;
pub use interpolation::Interpolation;
pub use mix::Mixing;
pub use normalize::{Mean, Normalizer};
pub use preprocess::Preprocess;
pub use region::Region;
pub use resize::{Window, resize, resize_window};
pub use statistics::{Statistics, Sums};
pub use view::{Crops, Square, View};
pub(crate) use whole::WholeImages;
