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
