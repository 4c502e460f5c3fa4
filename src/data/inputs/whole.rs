//! Whole images as inputs, for the dense test of a network: no crop, shape kept, and each image's mirror beside it.
//!
//! Where the whole image is a square of the crop's size it is, bit for bit, the centre crop of that size.

use std::borrow::Cow;

use super::augment::to_grey;
use super::view::put_in_middle;
use super::{CropMode, Mean, Normalizer, Preprocess, View};
use crate::data::RgbImage;

impl View {
    /// Width and height of all of an image of `size` (width, height) after padding, with `side` as its shorter side;
    /// the longer is in proportion, rounded down. The crop, its mode and `resize` do not matter.
    pub fn whole_size(&self, size: [usize; 2], side: usize) -> [usize; 2] {
        CropMode::Center.resized(self.padded_size(size), side)
    }

    /// All of `image`, padded, its shorter side resized to `side`.
    ///
    /// # Panics
    /// If `side` is zero.
    pub fn whole(&self, image: &RgbImage, side: usize) -> RgbImage {
        let size = [image.width(), image.height()];
        let [width, height] = self.whole_size(size, side);
        let [padded, _] = self.padded_size(size);
        let image = if self.padded_size(size) == size {
            Cow::Borrowed(image)
        } else {
            let mut pixels = vec![0; padded * padded * 3];
            put_in_middle(image.view(), padded, &mut pixels);
            Cow::Owned(RgbImage::new(padded, padded, pixels))
        };
        self.interpolation.resize(&image, width, height)
    }
}

/// A [`Preprocess`] made ready for whole images of any size.
pub(crate) struct WholeImages<'a> {
    preprocess: &'a Preprocess,
    /// Of inputs of the crop's size.
    of_crop: Normalizer,
    /// Of all others: what belongs to a place of the crop belongs to none of theirs.
    by_channel: Normalizer,
}

impl<'a> WholeImages<'a> {
    /// Prepares `preprocess`. Of a per-pixel mean, inputs of another size than the crop's have the mean of each
    /// channel subtracted.
    pub(crate) fn new(preprocess: &'a Preprocess) -> Self {
        let by_channel = Normalizer::new(&preprocess.mean.clone().by_channel());
        Self { preprocess, of_crop: Normalizer::new(&preprocess.mean), by_channel }
    }

    /// Width and height of the input of an image of `size` (width, height) whose shorter side becomes `side`.
    pub(crate) fn size(&self, size: [usize; 2], side: usize) -> [usize; 2] {
        self.preprocess.view.whole_size(size, side)
    }

    /// Writes the inputs of `image`, its shorter side `side`, and of its mirror to `out`, `[2, height, width,
    /// channels]`.
    ///
    /// # Panics
    /// If `out` has another length.
    pub(crate) fn write(&self, image: &RgbImage, side: usize, out: &mut [f32]) {
        let Preprocess { view, mean } = self.preprocess;
        let mut whole = match mean {
            Mean::Grey { .. } => view.whole(&to_grey(image), side),
            Mean::Channel { .. } | Mean::Pixel(_) => view.whole(image, side),
        };
        let is_crop = [whole.width(), whole.height()] == [view.crop; 2];
        let normalizer = if is_crop { &self.of_crop } else { &self.by_channel };
        let (upright, mirrored) = out.split_at_mut(out.len() / 2);
        normalizer.apply(&whole, upright);
        whole.mirror();
        normalizer.apply(&whole, mirrored);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Crops;

    fn image(width: usize, height: usize) -> RgbImage {
        let pixels = (0..width * height * 3).map(|i| (i * i / 7 + i / 5) as u8).collect();
        RgbImage::new(width, height, pixels)
    }

    fn input(preprocess: &Preprocess, image: &RgbImage, side: usize) -> Vec<f32> {
        let whole = WholeImages::new(preprocess);
        let [width, height] = whole.size([image.width(), image.height()], side);
        let mut out = vec![f32::NAN; 2 * width * height * preprocess.mean.channels()];
        whole.write(image, side, &mut out);
        out
    }

    /// With the mean of each pixel, of grey inputs, and in a black square, too.
    #[test]
    fn a_square_of_the_crops_size_is_the_centre_crop() {
        let view = View::of(40, 40);
        let pixels = Mean::Pixel((0..40 * 40 * 3).map(|i| i as f32 / 4800.0).collect());
        for (mean, pad) in
            [(Mean::IMAGENET, None), (Mean::IMAGENET.grey(), None), (pixels, Some(60))]
        {
            let how = Preprocess { view: View { pad, ..view }, mean };
            let image = image(51, 51);
            let mut expected = vec![0.0; how.input_len()];
            how.apply(&image, &mut expected);
            let found = input(&how, &image, 40);
            assert_eq!(found[..expected.len()], expected, "{:?}", how.mean.channels());
            // The mirror is the one of ten crops.
            let mut ten = vec![0.0; 10 * how.input_len()];
            how.write(&Normalizer::new(&how.mean), &image, Crops::Ten, &mut ten);
            assert_eq!(found[expected.len()..], ten[9 * expected.len()..]);
        }
    }

    #[test]
    fn shapes_are_kept_whatever_the_mode() {
        for mode in [CropMode::Center, CropMode::Squash, CropMode::Border] {
            let view = View { mode, ..View::of(256, 224) };
            assert_eq!(view.whole_size([500, 375], 224), [298, 224]);
            assert_eq!(view.whole_size([375, 500], 640), [640, 853]);
        }
        let padded = View { pad: Some(32), ..View::of(32, 32) };
        assert_eq!(padded.whole_size([28, 20], 48), [48, 48]);
        assert_eq!(padded.whole(&image(28, 20), 32), padded.center(&image(28, 20)));
    }

    /// Other sizes have no place for the mean of each pixel: half of it everywhere here.
    #[test]
    fn inputs_of_other_sizes_have_the_mean_of_each_channel_subtracted() {
        let mean = Mean::Pixel([[0.25; 3], [0.75; 3]].concat().repeat(800));
        let how = Preprocess { view: View::of(40, 40), mean };
        let black = RgbImage::new(41, 40, vec![0; 41 * 40 * 3]);
        assert!(input(&how, &black, 40).iter().all(|&x| x == -0.5));
    }
}
