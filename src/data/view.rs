//! The square that a network sees of a picture: shorter side resized, then a crop.
//!
//! The arithmetic of sides is torchvision's `Resize` and `CenterCrop` to the pixel. Inference,
//! evaluation and the means of a training set share it, so they see the same pixels.

use super::RgbImage;
use super::resize::{Window, resize_window};

/// How a picture of any size becomes a square of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Length to which the shorter side is resized (the longer in proportion, rounded down); none:
    /// the picture is not resized.
    pub resize: Option<usize>,
    /// Side of the square that is cut. What lies outside the picture is black.
    pub crop: usize,
}

impl View {
    /// 32 x 32 pictures as they are, anything else to shorter side 32 and its centre.
    pub const fn cifar() -> Self {
        Self { resize: Some(32), crop: 32 }
    }

    /// Shorter side 256, centre 224.
    pub const fn imagenet() -> Self {
        Self { resize: Some(256), crop: 224 }
    }

    /// Numbers in one input: `crop * crop * 3`.
    pub const fn input_len(&self) -> usize {
        self.crop * self.crop * 3
    }

    /// The middle of `image`, `crop` x `crop`.
    ///
    /// # Panics
    /// If `resize` or `crop` is zero.
    pub fn center(&self, image: &RgbImage) -> RgbImage {
        let (width, height) = self.resized_size(image);
        self.cut(image, [center(width, self.crop), center(height, self.crop)])
    }

    /// Width and height of `image` after resizing.
    pub(super) fn resized_size(&self, image: &RgbImage) -> (usize, usize) {
        let (width, height) = (image.width(), image.height());
        // As Python's int(short * long / short_side): exact for any size a picture can have.
        match self.resize {
            None => (width, height),
            Some(short) if width <= height => (short, short * height / width),
            Some(short) => (short * width / height, short),
        }
    }

    /// The square whose corner is `[left, top]` of the resized `image`. Along an axis where the
    /// picture is smaller than the crop (the corner is then 0) it stands in the middle of black.
    pub(super) fn cut(&self, image: &RgbImage, [left, top]: [usize; 2]) -> RgbImage {
        let (width, height) = self.resized_size(image);
        let crop = self.crop;
        let window =
            Window { left, top, width: (width - left).min(crop), height: (height - top).min(crop) };
        let part = resize_window(image, width, height, window);
        if window.width == crop && window.height == crop {
            return part;
        }
        let (x, y) = ((crop - window.width) / 2, (crop - window.height) / 2);
        let mut pixels = vec![0; self.input_len()];
        for row in 0..window.height {
            let at = ((y + row) * crop + x) * 3;
            pixels[at..at + window.width * 3].copy_from_slice(part.row(row));
        }
        RgbImage::new(crop, crop, pixels)
    }
}

/// Where a centred crop starts along an axis of `side` pixels.
fn center(side: usize, crop: usize) -> usize {
    // Python's round() takes halves to the even neighbour.
    (side.saturating_sub(crop) as f64 / 2.0).round_ties_even() as usize
}
