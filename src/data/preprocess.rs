//! An image to the floats a network reads: resize the shorter side, crop the centre, normalise.
//!
//! The semantics are torchvision's `Resize`, `CenterCrop`, `ToTensor`, `Normalize`, to the bit: the
//! integers truncate and round as Python does, and normalisation is (value / 255 - mean) / std in
//! f32. The layout is NHWC.

use super::{Mean, Normalizer, RgbImage, View};

/// How images become inputs of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocessing {
    /// Length to which the shorter side is resized (the longer in proportion, rounded down); none:
    /// the image is not resized.
    pub resize: Option<usize>,
    /// Side of the square that is cut from the centre. What lies outside the image is black.
    pub crop: usize,
    /// What is subtracted, and what divides.
    pub mean: Mean,
}

impl Preprocessing {
    /// The standard of ImageNet networks: shorter side 256, centre 224.
    pub const fn imagenet() -> Self {
        Self { resize: Some(256), crop: 224, mean: Mean::IMAGENET }
    }

    /// The standard of CIFAR networks: 32 x 32 as it is, anything else to shorter side 32 and its
    /// centre.
    pub const fn cifar() -> Self {
        Self { resize: Some(32), crop: 32, mean: Mean::IMAGENET }
    }

    /// Floats of one input: `crop * crop * 3`.
    pub const fn input_len(&self) -> usize {
        self.crop * self.crop * 3
    }

    /// Its geometry.
    pub const fn view(&self) -> View {
        View { resize: self.resize, crop: self.crop }
    }

    /// Writes the input of `image` to `out`, `[crop, crop, 3]`.
    ///
    /// # Panics
    /// If `out` is not [`input_len`](Self::input_len) long, `resize` or `crop` is zero, or a per-pixel
    /// mean is not of the crop's size.
    pub fn apply(&self, image: &RgbImage, out: &mut [f32]) {
        Normalizer::new(&self.mean).apply(&self.view().center(image), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn black_surrounds_a_image_smaller_than_the_crop() {
        let mean = Mean::Channel { mean: [0.5; 3], std: [0.5; 3] };
        let how = Preprocessing { resize: None, crop: 6, mean };
        let mut out = vec![f32::NAN; how.input_len()];
        how.apply(&RgbImage::new(1, 2, vec![255; 6]), &mut out);
        let white: Vec<usize> = (0..36).filter(|i| out[i * 3..][..3] == [1.0; 3]).collect();
        // Five columns to add: two on the left. Four rows: two above.
        assert_eq!(white, [2 * 6 + 2, 3 * 6 + 2]);
        assert_eq!(out.iter().filter(|&&x| x == -1.0).count(), 34 * 3);
    }

    #[test]
    fn extreme_shapes_cost_no_more_than_the_crop() {
        // Resized it would be 256 x 4,194,304; only the 224 rows of the crop are computed.
        let how = Preprocessing::imagenet();
        let mut out = vec![f32::NAN; how.input_len()];
        how.apply(&RgbImage::new(1, 16_384, vec![9; 16_384 * 3]), &mut out);
        assert!(out.iter().all(|x| x.is_finite()));
    }
}
