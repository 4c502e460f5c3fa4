//! An image to the floats a network reads: pad, resize the shorter side, crop the centre, normalise.
//!
//! The one complete description of that. Training makes it of its data ([`View`], [`Mean`]), stores it
//! with the weights as a [`StatedPreprocess`], and validation and inference read the same numbers back;
//! what a file does not state is the standard of its family.
//!
//! The semantics are torchvision's `Resize`, `CenterCrop`, `ToTensor`, `Normalize`, to the bit: the
//! integers truncate and round as Python does, and normalisation is (value / 255 - mean) / std in
//! f32. The layout is NHWC.

use super::augment::to_grey;
use super::{CropMode, Crops, Mean, Normalizer, View};
use crate::data::RgbImage;
use crate::model::Family;
use crate::weights::StatedPreprocess;

/// How images become inputs of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocess {
    /// Which square of an image is used.
    pub view: View,
    /// What is subtracted from it, and what it is divided by.
    pub mean: Mean,
}

impl Preprocess {
    /// The standard of ImageNet networks: shorter side 256, centre 224.
    pub const fn imagenet() -> Self {
        Self { view: View::imagenet(), mean: Mean::IMAGENET }
    }

    /// The standard of CIFAR networks: 32 x 32 as it is, anything else to shorter side 32 and its
    /// centre.
    pub const fn cifar() -> Self {
        Self { view: View::cifar(), mean: Mean::IMAGENET }
    }

    /// The standard of the networks of `family`.
    pub const fn standard(family: Family) -> Self {
        match family {
            Family::ImageNet => Self::imagenet(),
            Family::Cifar => Self::cifar(),
        }
    }

    /// What is `stated`, and for the rest the standard of `family`. If only a crop larger than the standard's
    /// resize is stated, images are resized to that. If there is a `pixel_mean`, `[crop, crop, 3]`, it is the
    /// mean, whatever is stated about the channels.
    pub fn complete(
        family: Family,
        stated: &StatedPreprocess,
        pixel_mean: Option<Vec<f32>>,
    ) -> Self {
        let standard = Self::standard(family);
        let crop = stated.crop.unwrap_or(standard.view.crop);
        let resize = stated.resize.or(standard.view.resize.map(|side| side.max(crop)));
        let mean = match (pixel_mean, standard.mean) {
            (Some(mean), _) => Mean::Pixel(mean),
            (None, Mean::Channel { mean, std }) => {
                Mean::Channel { mean: stated.mean.unwrap_or(mean), std: stated.std.unwrap_or(std) }
            }
            (None, other) => other,
        };
        let mode = stated.crop_mode.unwrap_or_default();
        let fill = match &mean {
            Mean::Channel { mean, .. } if mode == CropMode::Border => mean.map(colour),
            _ => [0; 3],
        };
        let interpolation = stated.interpolation.unwrap_or_default();
        Self { view: View { pad: stated.pad, resize, crop, interpolation, mode, fill }, mean }
    }

    /// What a file has to state so that [`complete`](Self::complete) returns this. A per-pixel mean is a tensor
    /// of its own; the channels then have the mean 0 and the deviation 1.
    pub fn stated(&self) -> StatedPreprocess {
        let (mean, std) = match &self.mean {
            Mean::Channel { mean, std } => (*mean, *std),
            Mean::Grey { mean, std } => ([*mean; 3], [*std; 3]),
            Mean::Pixel(_) => ([0.0; 3], [1.0; 3]),
        };
        let View { pad, resize, crop, interpolation, mode, fill: _ } = self.view;
        StatedPreprocess {
            mean: Some(mean),
            std: Some(std),
            pad,
            resize,
            crop: Some(crop),
            interpolation: Some(interpolation),
            crop_mode: Some(mode),
        }
    }

    /// The mean of each pixel, `[crop, crop, 3]`, if that is what is subtracted.
    pub fn pixel_mean(&self) -> Option<&[f32]> {
        match &self.mean {
            Mean::Pixel(mean) => Some(mean),
            Mean::Channel { .. } | Mean::Grey { .. } => None,
        }
    }

    /// The same for inputs of one channel; see [`Mean::grey`].
    #[must_use]
    pub fn grey(self) -> Self {
        Self { mean: self.mean.grey(), ..self }
    }

    /// Floats of one input: `crop * crop`, times its channels.
    pub const fn input_len(&self) -> usize {
        self.view.crop * self.view.crop * self.mean.channels()
    }

    /// Writes the input of `image` to `out`, `[crop, crop, channels]`.
    ///
    /// # Panics
    /// If `out` is not [`input_len`](Self::input_len) long, `resize` or `crop` is zero, or a per-pixel
    /// mean is not of the crop's size.
    pub fn apply(&self, image: &RgbImage, out: &mut [f32]) {
        self.write(&Normalizer::new(&self.mean), image, Crops::Center, out);
    }

    /// Writes the inputs of `crops` of `image`, one after another, by a `normalizer` of this mean.
    pub(crate) fn write(
        &self,
        normalizer: &Normalizer,
        image: &RgbImage,
        crops: Crops,
        out: &mut [f32],
    ) {
        let squares = match self.mean {
            Mean::Grey { .. } => self.view.crops(&to_grey(image), crops),
            _ => self.view.crops(image, crops),
        };
        let inputs = out.chunks_exact_mut(self.input_len());
        squares.iter().zip(inputs).for_each(|(square, to)| normalizer.apply(square, to));
    }
}

/// The byte of a mean, as timm's borders have it: halves go to the even neighbour, of the number as it is
/// written.
fn colour(mean: f32) -> u8 {
    let written: f64 = mean.to_string().parse().unwrap_or(mean.into());
    (written * 255.0).round_ties_even() as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Interpolation;

    #[test]
    fn a_border_has_the_mean_colour() {
        let stated = |mean| StatedPreprocess {
            mean: Some(mean),
            crop_mode: Some(CropMode::Border),
            ..Default::default()
        };
        let fill = |mean| Preprocess::complete(Family::ImageNet, &stated(mean), None).view.fill;
        assert_eq!(fill([0.485, 0.456, 0.406]), [124, 116, 104]);
        // 127.5, 76.5 and 25.5: to the even neighbour.
        assert_eq!(fill([0.5, 0.3, 0.1]), [128, 76, 26]);
    }

    #[test]
    fn black_surrounds_an_image_smaller_than_the_crop() {
        let mean = Mean::Channel { mean: [0.5; 3], std: [0.5; 3] };
        let how = Preprocess { view: View { resize: None, ..View::of(6, 6) }, mean };
        let mut out = vec![f32::NAN; how.input_len()];
        how.apply(&RgbImage::new(1, 2, vec![255; 6]), &mut out);
        let white: Vec<usize> = (0..36).filter(|i| out[i * 3..][..3] == [1.0; 3]).collect();
        // Five columns to add: two on the left. Four rows: two above.
        assert_eq!(white, [2 * 6 + 2, 3 * 6 + 2]);
        assert_eq!(out.iter().filter(|&&x| x == -1.0).count(), 34 * 3);
    }

    #[test]
    fn padding_comes_before_resizing_and_spares_larger_images() {
        let how = |pad, resize| Preprocess {
            view: View { pad, ..View::of(resize, 32) },
            mean: Mean::IMAGENET,
        };
        let input = |how: Preprocess, image: &RgbImage| {
            let mut out = vec![f32::NAN; how.input_len()];
            how.apply(image, &mut out);
            out
        };
        let image = |side: usize| {
            RgbImage::new(side, side, (0..side * side * 3).map(|i| (i * i / 7) as u8).collect())
        };
        // Of its own size, in the middle: what a crop of the unresized image does, too.
        assert_eq!(input(how(Some(32), 32), &image(28)), input(how(None, 28), &image(28)));
        assert_ne!(input(how(Some(32), 32), &image(28)), input(how(None, 32), &image(28)));
        for side in [32, 33, 50] {
            assert_eq!(input(how(Some(32), 32), &image(side)), input(how(None, 32), &image(side)));
        }
        let small = View { pad: Some(20), resize: None, ..View::of(20, 20) }.center(&image(9));
        assert_eq!(input(how(Some(20), 40), &image(9)), input(how(None, 40), &small));
    }

    #[test]
    fn extreme_shapes_cost_no_more_than_the_crop() {
        // Resized it would be 256 x 4,194,304; only the 224 rows of the crop are computed.
        let how = Preprocess::imagenet();
        let mut out = vec![f32::NAN; how.input_len()];
        how.apply(&RgbImage::new(1, 16_384, vec![9; 16_384 * 3]), &mut out);
        assert!(out.iter().all(|x| x.is_finite()));
    }

    #[test]
    fn what_is_stated_wins_over_the_standard() {
        let stated =
            StatedPreprocess { crop: Some(288), mean: Some([0.5; 3]), ..Default::default() };
        let expected = Preprocess {
            view: View::of(288, 288),
            mean: Mean::Channel { mean: [0.5; 3], std: [0.229, 0.224, 0.225] },
        };
        assert_eq!(Preprocess::complete(Family::ImageNet, &stated, None), expected);
        let silent = StatedPreprocess::default();
        assert_eq!(Preprocess::complete(Family::Cifar, &silent, None), Preprocess::cifar());
    }

    #[test]
    fn what_is_stated_of_it_gives_it_back() {
        for family in [Family::ImageNet, Family::Cifar] {
            for mean in [Mean::IMAGENET, Mean::Pixel(vec![0.5; 40 * 40 * 3])] {
                let view = View {
                    pad: Some(32),
                    interpolation: Interpolation::Lanczos,
                    ..View::of(48, 40)
                };
                let how = Preprocess { view, mean };
                let pixels = how.pixel_mean().map(<[f32]>::to_vec);
                assert_eq!(Preprocess::complete(family, &how.stated(), pixels), how);
            }
        }
    }
}
