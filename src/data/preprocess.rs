//! A picture to the floats a network reads: resize the shorter side, crop the centre, normalise.
//!
//! The semantics are torchvision's `Resize`, `CenterCrop`, `ToTensor`, `Normalize`, to the bit: the
//! integers truncate and round as Python does, and normalisation is (value / 255 - mean) / std in
//! f32. The layout is NHWC.

use super::{Mean, Normalizer, RgbImage, View};

/// How pictures become inputs of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocessing {
    /// Length to which the shorter side is resized (the longer in proportion, rounded down); none:
    /// the picture is not resized.
    pub resize: Option<usize>,
    /// Side of the square that is cut from the centre. What lies outside the picture is black.
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
        self.normalizer().apply(&self.view().center(image), out);
    }

    /// Writes the ten crops of `image` to `out`, `[10, crop, crop, 3]`: top left, top right, bottom
    /// left, bottom right, centre, then the same five mirrored left to right.
    ///
    /// # Panics
    /// If `out` is not ten times [`input_len`](Self::input_len) long, `resize` or `crop` is zero, or a
    /// per-pixel mean is not of the crop's size.
    pub fn apply_ten(&self, image: &RgbImage, out: &mut [f32]) {
        let (view, normalizer) = (self.view(), self.normalizer());
        let (width, height) = view.resized_size(image);
        let (right, bottom) = (width.saturating_sub(self.crop), height.saturating_sub(self.crop));
        let corners = [[0, 0], [right, 0], [0, bottom], [right, bottom]];
        let crops = corners.map(|corner| view.cut(image, corner)).into_iter();
        assert_eq!(out.len(), 10 * self.input_len(), "floats of ten inputs");
        let (plain, mirrored) = out.split_at_mut(5 * self.input_len());
        let outs = plain.chunks_exact_mut(self.input_len());
        let mirrored = mirrored.chunks_exact_mut(self.input_len());
        for ((mut crop, out), mirrored) in crops.chain([view.center(image)]).zip(outs).zip(mirrored)
        {
            normalizer.apply(&crop, out);
            crop.mirror();
            normalizer.apply(&crop, mirrored);
        }
    }

    fn normalizer(&self) -> Normalizer {
        Normalizer::new(&self.mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::resize;

    fn gradient(width: usize, height: usize) -> RgbImage {
        let pixel = |i: usize| [(i % width * 7) as u8, (i / width * 5) as u8, (i % 251) as u8];
        RgbImage::new(width, height, (0..width * height).flat_map(pixel).collect())
    }

    #[test]
    fn black_surrounds_a_picture_smaller_than_the_crop() {
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
    fn ten_crops_are_corners_centre_and_mirrors() {
        let how = Preprocessing { resize: Some(20), crop: 13, ..Preprocessing::imagenet() };
        let image = gradient(31, 43);
        let n = how.input_len();
        let mut ten = vec![f32::NAN; 10 * n];
        how.apply_ten(&image, &mut ten);
        let mut center = vec![f32::NAN; n];
        how.apply(&image, &mut center);
        assert_eq!(ten[4 * n..5 * n], center);
        let resized = resize(&image, 20, 27);
        let red = |x: usize, y: usize| (f32::from(resized.row(y)[x * 3]) / 255.0 - 0.485) / 0.229;
        for (crop, (left, top)) in [(0, 0), (7, 0), (0, 14), (7, 14)].into_iter().enumerate() {
            for (x, y) in [(0, 0), (12, 0), (5, 12)] {
                assert_eq!(ten[crop * n + (y * 13 + x) * 3], red(left + x, top + y));
                assert_eq!(ten[(crop + 5) * n + (y * 13 + 12 - x) * 3], red(left + x, top + y));
            }
        }
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
