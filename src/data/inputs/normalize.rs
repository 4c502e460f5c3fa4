//! Bytes to the floats of a network's input: what is subtracted.
//!
//! Values are in units of pixel / 255, from 0 to 1. Either each channel has a mean and a standard
//! deviation, as is usual today, or each pixel has a mean and nothing is divided ("with the per-pixel
//! mean subtracted", as in the paper).

use super::{Statistics, View};
use crate::data::{Dataset, Error, RgbImage};
use crate::runtime::Unwatched;

/// What is subtracted from an image (and what it is divided by), in units of pixel / 255.
#[derive(Clone, Debug, PartialEq)]
pub enum Mean {
    /// (pixel / 255 - mean) / std, by channel (red, green, blue).
    Channel {
        /// Mean of each channel.
        mean: [f32; 3],
        /// Standard deviation of each channel.
        std: [f32; 3],
    },
    /// pixel / 255 - mean, by place and channel: `[crop, crop, 3]`.
    Pixel(Vec<f32>),
}

impl Mean {
    /// ImageNet's, which most published weights are trained with.
    pub const IMAGENET: Self =
        Self::Channel { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

    /// Mean and (population) standard deviation of each channel over the centre crops of all
    /// images of `data`. A channel that never varies gets the deviation 1.
    ///
    /// # Errors
    /// [`Error`] of the first image that cannot be read.
    ///
    /// # Panics
    /// If `data` is empty.
    pub fn channels_of(data: &dyn Dataset, view: View) -> Result<Self, Error> {
        Ok(Statistics::of(data, view, &Unwatched)?.channels())
    }

    /// Mean of each pixel over the centre crops of all images of `data`.
    ///
    /// # Errors
    /// [`Error`] of the first image that cannot be read.
    ///
    /// # Panics
    /// If `data` is empty.
    pub fn pixels_of(data: &dyn Dataset, view: View) -> Result<Self, Error> {
        Ok(Self::Pixel(Statistics::of(data, view, &Unwatched)?.pixel_mean))
    }
}

/// A [`Mean`] made ready to be applied: a table of what each byte becomes.
#[derive(Clone, Debug)]
pub struct Normalizer {
    /// The value of each byte in each channel, before the mean of its pixel is subtracted.
    table: Box<[[f32; 256]; 3]>,
    /// What each channel is divided by.
    std: [f32; 3],
    /// `[side, side, 3]`, if each pixel has a mean.
    pixel_mean: Option<Vec<f32>>,
}

impl Normalizer {
    /// Prepares `mean`.
    pub fn new(mean: &Mean) -> Self {
        let (mean, std, pixel_mean) = match mean {
            Mean::Channel { mean, std } => (*mean, *std, None),
            Mean::Pixel(mean) => ([0.0; 3], [1.0; 3], Some(mean.clone())),
        };
        let value = |c: usize, byte: usize| (byte as f32 / 255.0 - mean[c]) / std[c];
        let table = std::array::from_fn(|c| std::array::from_fn(|byte| value(c, byte)));
        Self { table: Box::new(table), std, pixel_mean }
    }

    /// Writes the floats of `image` to `out`, `[height, width, 3]`.
    ///
    /// # Panics
    /// If `out`, or the per-pixel mean, has not as many numbers as `image`.
    pub fn apply(&self, image: &RgbImage, out: &mut [f32]) {
        if let Some(mean) = &self.pixel_mean {
            assert_eq!(mean.len(), image.pixels().len(), "numbers of the mean and of an image");
        }
        assert_eq!(out.len(), image.pixels().len(), "floats of one input");
        self.apply_run(image.pixels(), 0, out);
    }

    /// A shift of red, green and blue, in units of pixel / 255, as it is after normalising.
    pub(super) fn scaled(&self, colour: [f32; 3]) -> [f32; 3] {
        std::array::from_fn(|c| colour[c] / self.std[c])
    }

    /// Writes the floats of the whole pixels `bytes`, which start at number `at` of the image.
    pub(super) fn apply_run(&self, bytes: &[u8], at: usize, out: &mut [f32]) {
        let [red, green, blue] = &*self.table;
        for (out, bytes) in out.as_chunks_mut::<3>().0.iter_mut().zip(bytes.as_chunks::<3>().0) {
            let [r, g, b] = bytes.map(usize::from);
            *out = [red[r], green[g], blue[b]];
        }
        if let Some(mean) = &self.pixel_mean {
            out.iter_mut().zip(&mean[at..]).for_each(|(out, mean)| *out -= mean);
        }
    }
}
