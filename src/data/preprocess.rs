//! A picture to the floats a network reads: resize the shorter side, crop the centre, normalise.
//!
//! The semantics are torchvision's `Resize`, `CenterCrop`, `ToTensor`, `Normalize`, to the bit: the
//! integers truncate and round as Python does, and normalisation is (value / 255 - mean) / std in
//! f32. The layout is NHWC.

use super::RgbImage;
use super::resize::{Window, resize_window};

/// How pictures become inputs of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocessing {
    /// Length to which the shorter side is resized (the longer in proportion, rounded down); none:
    /// the picture is not resized.
    pub resize: Option<usize>,
    /// Side of the square that is cut from the centre. What lies outside the picture is black.
    pub crop: usize,
    /// Mean of each channel, in units of 0..1.
    pub mean: [f32; 3],
    /// Standard deviation of each channel, in units of 0..1.
    pub std: [f32; 3],
}

const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

impl Preprocessing {
    /// The standard of ImageNet networks: shorter side 256, centre 224.
    pub const fn imagenet() -> Self {
        Self { resize: Some(256), crop: 224, mean: MEAN, std: STD }
    }

    /// The standard of CIFAR networks: 32 x 32 as it is, anything else to shorter side 32 and its
    /// centre.
    pub const fn cifar() -> Self {
        Self { resize: Some(32), crop: 32, mean: MEAN, std: STD }
    }

    /// Floats of one input: `crop * crop * 3`.
    pub const fn input_len(&self) -> usize {
        self.crop * self.crop * 3
    }

    /// Writes the input of `image` to `out`, `[crop, crop, 3]`.
    ///
    /// # Panics
    /// If `out` is not [`input_len`](Self::input_len) long or `resize` or `crop` is zero.
    pub fn apply(&self, image: &RgbImage, out: &mut [f32]) {
        let (width, height) = self.resized_size(image.width(), image.height());
        let (left, x) = place(width, self.crop);
        let (top, y) = place(height, self.crop);
        self.write(image, (width, height), (left, top), (x, y), out);
    }

    /// Writes the ten crops of `image` to `out`, `[10, crop, crop, 3]`: top left, top right, bottom
    /// left, bottom right, centre, then the same five mirrored left to right.
    ///
    /// # Panics
    /// If `out` is not ten times [`input_len`](Self::input_len) long or `resize` or `crop` is zero.
    pub fn apply_ten(&self, image: &RgbImage, out: &mut [f32]) {
        let (width, height) = self.resized_size(image.width(), image.height());
        let (center_left, x) = place(width, self.crop);
        let (center_top, y) = place(height, self.crop);
        let (right, bottom) = (width.saturating_sub(self.crop), height.saturating_sub(self.crop));
        let corners = [(0, 0), (right, 0), (0, bottom), (right, bottom), (center_left, center_top)];
        assert_eq!(out.len(), 10 * self.input_len(), "floats of ten inputs");
        let (crops, mirrored) = out.split_at_mut(5 * self.input_len());
        for (crop, from) in crops.chunks_exact_mut(self.input_len()).zip(corners) {
            self.write(image, (width, height), from, (x, y), crop);
        }
        let row = self.crop * 3;
        for (to, from) in mirrored.chunks_exact_mut(row).zip(crops.chunks_exact(row)) {
            for (to, from) in to.chunks_exact_mut(3).zip(from.chunks_exact(3).rev()) {
                to.copy_from_slice(from);
            }
        }
    }

    /// Width and height after resizing.
    fn resized_size(&self, width: usize, height: usize) -> (usize, usize) {
        let Some(short) = self.resize else { return (width, height) };
        let long = |long: usize, short_side: usize| {
            // As Python's int(short * long / short_side): exact for any size a picture can have.
            short * long / short_side
        };
        if width <= height { (short, long(height, width)) } else { (long(width, height), short) }
    }

    /// Resizes to `size`, takes the part from `from` on that fits and writes it at `to` into a black
    /// `out`, normalised.
    fn write(
        &self,
        image: &RgbImage,
        size: (usize, usize),
        from: (usize, usize),
        to: (usize, usize),
        out: &mut [f32],
    ) {
        assert_eq!(out.len(), self.input_len(), "floats of one input");
        let table = self.table();
        let window = Window {
            left: from.0,
            top: from.1,
            width: (size.0 - from.0).min(self.crop),
            height: (size.1 - from.1).min(self.crop),
        };
        let part = resize_window(image, size.0, size.1, window);
        if window.width < self.crop || window.height < self.crop {
            for pixel in out.chunks_exact_mut(3) {
                pixel.copy_from_slice(&[table[0][0], table[1][0], table[2][0]]);
            }
        }
        for y in 0..window.height {
            let row = &mut out[((to.1 + y) * self.crop + to.0) * 3..][..window.width * 3];
            for (to, from) in row.chunks_exact_mut(3).zip(part.row(y).chunks_exact(3)) {
                for c in 0..3 {
                    to[c] = table[c][usize::from(from[c])];
                }
            }
        }
    }

    /// The normalised value of each byte in each channel.
    fn table(&self) -> [[f32; 256]; 3] {
        std::array::from_fn(|c| {
            std::array::from_fn(|byte| (byte as f32 / 255.0 - self.mean[c]) / self.std[c])
        })
    }
}

/// Where a crop starts in the picture, and where the picture starts in the crop, along one axis.
fn place(side: usize, crop: usize) -> (usize, usize) {
    if side >= crop {
        // Python's round() takes halves to the even neighbour.
        (((side - crop) as f64 / 2.0).round_ties_even() as usize, 0)
    } else {
        (0, (crop - side) / 2)
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
        let how = Preprocessing { resize: None, crop: 6, mean: [0.5; 3], std: [0.5; 3] };
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
        let table = how.table();
        let red = |x: usize, y: usize| table[0][usize::from(resized.row(y)[x * 3])];
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
