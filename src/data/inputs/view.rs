//! The squares that a network sees of an image: padded, shorter side resized, then one crop or ten.
//!
//! The arithmetic of sides is torchvision's `Resize` and `CenterCrop` to the pixel. Inference,
//! evaluation and the means of a training set share it, so they see the same pixels.

use std::borrow::Cow;

use super::resize::{Window, resize_window};
use crate::data::RgbImage;

/// Which crops of an image are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Crops {
    /// The centre.
    #[default]
    Center,
    /// The corners and the centre, then the same five mirrored: the "standard 10-crop testing" of the
    /// paper (Krizhevsky et al., 2012). Where the image has the crop's size all five coincide.
    Ten,
}

impl Crops {
    /// How many they are.
    pub const fn count(self) -> usize {
        match self {
            Self::Center => 1,
            Self::Ten => 10,
        }
    }
}

/// How an image of any size becomes a square of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Side of a black square. Before all else, an image that fits into it is put in its middle. With `None`,
    /// and for larger images, nothing happens. (So idx images of 28 x 28 become 32 x 32.)
    pub pad: Option<usize>,
    /// Length to which the shorter side is resized (the longer in proportion, rounded down). With `None`, the
    /// image is not resized.
    pub resize: Option<usize>,
    /// Side of the crop. What lies outside the image is black.
    pub crop: usize,
}

impl View {
    /// 32 x 32 images as they are, anything else to shorter side 32 and its centre.
    pub const fn cifar() -> Self {
        Self { pad: None, resize: Some(32), crop: 32 }
    }

    /// Shorter side 256, centre 224.
    pub const fn imagenet() -> Self {
        Self { pad: None, resize: Some(256), crop: 224 }
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
        self.center_of(&self.padded(image))
    }

    /// The squares of `image` that `crops` names, each `crop` x `crop`. Of ten: top left, top right,
    /// bottom left, bottom right, centre, and these mirrored left to right in the same order.
    ///
    /// # Panics
    /// If `resize` or `crop` is zero.
    pub fn crops(&self, image: &RgbImage, crops: Crops) -> Vec<RgbImage> {
        if crops == Crops::Center {
            return vec![self.center(image)];
        }
        let image = &self.padded(image);
        let (width, height) = self.resized_size(image);
        let (right, bottom) = (width.saturating_sub(self.crop), height.saturating_sub(self.crop));
        let corners = [[0, 0], [right, 0], [0, bottom], [right, bottom]];
        let mut squares = corners.map(|corner| self.cut(image, corner)).to_vec();
        squares.push(self.center_of(image));
        let mut mirrored = squares.clone();
        mirrored.iter_mut().for_each(RgbImage::mirror);
        squares.append(&mut mirrored);
        squares
    }

    /// `image` in the middle of its black square, if there is one and it fits.
    pub(super) fn padded<'a>(&self, image: &'a RgbImage) -> Cow<'a, RgbImage> {
        match self.pad {
            Some(side) if image.width().max(image.height()) <= side => {
                Cow::Owned(in_the_middle(image, side))
            }
            _ => Cow::Borrowed(image),
        }
    }

    /// The middle of an image that is padded already.
    fn center_of(&self, image: &RgbImage) -> RgbImage {
        let (width, height) = self.resized_size(image);
        self.cut(image, [center(width, self.crop), center(height, self.crop)])
    }

    /// Width and height of a padded `image` after resizing.
    pub(super) fn resized_size(&self, image: &RgbImage) -> (usize, usize) {
        let (width, height) = (image.width(), image.height());
        // As Python's int(short * long / short_side): exact for any size an image can have.
        match self.resize {
            None => (width, height),
            Some(short) if width <= height => (short, short * height / width),
            Some(short) => (short * width / height, short),
        }
    }

    /// The square whose corner is `[left, top]` of the padded and resized `image`. Along an axis where the
    /// image is smaller than the crop (the corner is then 0) it stands in the middle of black.
    pub(super) fn cut(&self, image: &RgbImage, [left, top]: [usize; 2]) -> RgbImage {
        let (width, height) = self.resized_size(image);
        let crop = self.crop;
        let window =
            Window { left, top, width: (width - left).min(crop), height: (height - top).min(crop) };
        let part = resize_window(image, width, height, window);
        if window.width == crop && window.height == crop {
            return part;
        }
        in_the_middle(&part, crop)
    }
}

/// A black square of `side` pixels with `image`, which fits into it, in its middle; of an odd
/// difference the smaller half is left and above.
fn in_the_middle(image: &RgbImage, side: usize) -> RgbImage {
    let (x, y) = ((side - image.width()) / 2, (side - image.height()) / 2);
    let mut pixels = vec![0; side * side * 3];
    for row in 0..image.height() {
        let at = ((y + row) * side + x) * 3;
        pixels[at..at + image.width() * 3].copy_from_slice(image.row(row));
    }
    RgbImage::new(side, side, pixels)
}

/// Where a centred crop starts along an axis of `side` pixels.
fn center(side: usize, crop: usize) -> usize {
    // Python's round() takes halves to the even neighbour.
    (side.saturating_sub(crop) as f64 / 2.0).round_ties_even() as usize
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
    fn ten_crops_are_corners_centre_and_mirrors() {
        let view = View { pad: None, resize: Some(20), crop: 13 };
        let image = gradient(31, 43);
        let ten = view.crops(&image, Crops::Ten);
        assert_eq!(ten.len(), Crops::Ten.count());
        assert_eq!(view.crops(&image, Crops::Center), [view.center(&image)]);
        assert_eq!(ten[4], view.center(&image));
        let resized = resize(&image, 20, 27);
        let pixel = |image: &RgbImage, x: usize, y: usize| image.row(y)[x * 3..][..3].to_vec();
        for (i, (left, top)) in [(0, 0), (7, 0), (0, 14), (7, 14)].into_iter().enumerate() {
            for (x, y) in [(0, 0), (12, 0), (5, 12)] {
                assert_eq!(pixel(&ten[i], x, y), pixel(&resized, left + x, top + y));
                assert_eq!(pixel(&ten[i + 5], 12 - x, y), pixel(&resized, left + x, top + y));
            }
        }
    }

    #[test]
    fn crops_of_a_image_of_their_size_or_smaller_coincide() {
        for side in [13, 9] {
            let view = View { pad: None, resize: None, crop: 13 };
            let ten = view.crops(&gradient(side, side), Crops::Ten);
            assert!(ten[..5].iter().all(|square| *square == ten[4]), "{side}");
            assert!(ten[5..].iter().all(|square| *square == ten[9] && *square != ten[4]), "{side}");
        }
    }
}
