//! Bytes to the floats of a network's input: what is subtracted.
//!
//! Values are in units of pixel / 255, from 0 to 1. Either each channel has a mean and a standard
//! deviation, as is usual today, or each pixel has a mean and nothing is divided ("with the per-pixel
//! mean subtracted", as in the paper).

use std::borrow::Cow;

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
    /// (grey / 255 - mean) / std: inputs of one channel, Pillow's "L" of the image before it is resized.
    Grey {
        /// Mean.
        mean: f32,
        /// Standard deviation.
        std: f32,
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

impl Mean {
    /// Channels of the inputs: 1 or 3.
    pub const fn channels(&self) -> usize {
        match self {
            Self::Grey { .. } => 1,
            Self::Channel { .. } | Self::Pixel(_) => 3,
        }
    }

    /// The same for inputs of one channel: the mean over the channels, and over their deviations (so does timm).
    pub fn grey(self) -> Self {
        let of =
            |values: [f32; 3]| (values.iter().map(|&x| f64::from(x)).sum::<f64>() / 3.0) as f32;
        match self.by_channel() {
            Self::Channel { mean, std } => Self::Grey { mean: of(mean), std: of(std) },
            other => other,
        }
    }

    /// One mean for each channel, for inputs of any size: of a per-pixel mean it is that over all pixels, summed in
    /// f64, and nothing is divided.
    pub fn by_channel(self) -> Self {
        let Self::Pixel(pixels) = self else { return self };
        let mut sums = [0.0; 3];
        for pixel in pixels.as_chunks::<3>().0 {
            sums.iter_mut().zip(pixel).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        let count = (pixels.len() / 3).max(1) as f64;
        Self::Channel { mean: sums.map(|sum| (sum / count) as f32), std: [1.0; 3] }
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
    /// Of the inputs.
    channels: usize,
}

impl Normalizer {
    /// Prepares `mean`.
    pub fn new(mean: &Mean) -> Self {
        let channels = mean.channels();
        let (mean, std, pixel_mean) = match mean {
            Mean::Channel { mean, std } => (*mean, *std, None),
            Mean::Grey { mean, std } => ([*mean; 3], [*std; 3], None),
            Mean::Pixel(mean) => ([0.0; 3], [1.0; 3], Some(mean.clone())),
        };
        let value = |c: usize, byte: usize| (byte as f32 / 255.0 - mean[c]) / std[c];
        let table = std::array::from_fn(|c| std::array::from_fn(|byte| value(c, byte)));
        Self { table: Box::new(table), std, pixel_mean, channels }
    }

    /// Writes the floats of `image` to `out`, `[height, width, 3]`; of one channel, `[height, width, 1]`, those
    /// of the first.
    ///
    /// # Panics
    /// If `out`, or the per-pixel mean, has not as many numbers as `image`.
    pub fn apply(&self, image: &RgbImage, out: &mut [f32]) {
        if self.channels == 1 {
            let pixels = image.pixels().as_chunks::<3>().0;
            assert_eq!(out.len(), pixels.len(), "floats of one input");
            let grey = out.iter_mut().zip(pixels);
            return grey.for_each(|(out, pixel)| *out = self.table[0][usize::from(pixel[0])]);
        }
        if let Some(mean) = &self.pixel_mean {
            assert_eq!(mean.len(), image.pixels().len(), "numbers of the mean and of an image");
        }
        assert_eq!(out.len(), image.pixels().len(), "floats of one input");
        self.shifted(None).row(image.pixels(), 0, false, out);
    }

    /// The same for images to which `colour`, in units of pixel / 255, is added.
    pub(super) fn shifted(&self, colour: Option<[f32; 3]>) -> Shifted<'_> {
        let colour = colour.map(|colour| std::array::from_fn(|c| colour[c] / self.std[c]));
        let mean = self.pixel_mean.as_deref();
        match (colour, mean) {
            (Some(colour), None) => {
                let mut table = self.table.clone();
                for (values, shift) in table.iter_mut().zip::<[f32; 3]>(colour) {
                    values.iter_mut().for_each(|value| *value += shift);
                }
                Shifted { table: Cow::Owned(*table), mean, colour: None }
            }
            _ => Shifted { table: Cow::Borrowed(&self.table), mean, colour },
        }
    }
}

/// A [`Normalizer`] for one image, and what is added to its colours.
pub(super) struct Shifted<'a> {
    /// As the normalizer's; the colour is in it unless something else comes before.
    table: Cow<'a, [[f32; 256]; 3]>,
    mean: Option<&'a [f32]>,
    /// What is added to each channel after the mean of its pixel is subtracted.
    colour: Option<[f32; 3]>,
}

impl Shifted<'_> {
    /// Writes the floats of the whole pixels `bytes`, mirrored if `flip`, to `out`, which starts at number
    /// `at` of the input.
    pub(super) fn row(&self, bytes: &[u8], at: usize, flip: bool, out: &mut [f32]) {
        let [red, green, blue] = &*self.table;
        let value = |bytes: &[u8; 3]| {
            let [r, g, b] = bytes.map(usize::from);
            [red[r], green[g], blue[b]]
        };
        let (pixels, to) = (bytes.as_chunks::<3>().0, out.as_chunks_mut::<3>().0);
        if flip {
            to.iter_mut().zip(pixels.iter().rev()).for_each(|(to, bytes)| *to = value(bytes));
        } else {
            to.iter_mut().zip(pixels).for_each(|(to, bytes)| *to = value(bytes));
        }
        if let Some(mean) = self.mean {
            out.iter_mut().zip(&mean[at..]).for_each(|(out, mean)| *out -= mean);
        }
        if let Some(colour) = self.colour {
            for pixel in out.as_chunks_mut::<3>().0 {
                pixel.iter_mut().zip(colour).for_each(|(value, shift)| *value += shift);
            }
        }
    }
}
