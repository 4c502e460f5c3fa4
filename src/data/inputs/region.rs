//! Where in an image the square lies that a network sees of it.

use super::View;
use super::view::in_middle;

/// A rectangle of an image, in its pixels: pixel (x, y) covers x to x + 1 and y to y + 1. It may reach beyond the
/// image, where a crop does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// Its left edge.
    pub left: f64,
    /// Its top edge.
    pub top: f64,
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
}

impl View {
    /// Where the [centre](Self::center) of an image of `size` (width, height) lies in it.
    ///
    /// # Panics
    /// If `resize` or `crop` is zero.
    pub fn center_region(&self, size: [usize; 2]) -> Region {
        let (padded, resized) = (self.padded_size(size), self.resized_size(size));
        // Along one axis: where the crop begins, and how long it is.
        let along = |axis: usize| {
            let (side, crop) = (resized[axis], self.crop);
            let begin = if side < crop {
                -(self.mode.in_middle(side, crop) as f64)
            } else {
                self.mode.center(side, crop) as f64
            };
            let pixel = padded[axis] as f64 / side as f64;
            let border = in_middle(size[axis], padded[axis]) as f64;
            (begin * pixel - border, crop as f64 * pixel)
        };
        let ((left, width), (top, height)) = (along(0), along(1));
        Region { left, top, width, height }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CropMode, Interpolation};
    use super::*;
    use crate::data::RgbImage;

    #[test]
    fn the_usual_view_is_the_middle_of_an_image() {
        let region = |view: View, size| {
            let Region { left, top, width, height } = view.center_region(size);
            [left, top, width, height]
        };
        assert_eq!(region(View::imagenet(), [512, 768]), [32.0, 160.0, 448.0, 448.0]);
        assert_eq!(region(View::cifar(), [32, 32]), [0.0, 0.0, 32.0, 32.0]);
        let squash = View { mode: CropMode::Squash, ..View::of(64, 64) };
        assert_eq!(region(squash, [128, 32]), [0.0, 0.0, 128.0, 32.0]);
        let border = View { mode: CropMode::Border, ..View::of(64, 64) };
        assert_eq!(region(border, [128, 64]), [0.0, -32.0, 128.0, 128.0]);
        let padded = View { pad: Some(32), ..View::of(32, 32) };
        assert_eq!(region(padded, [28, 20]), [-2.0, -6.0, 32.0, 32.0]);
    }

    /// Each pixel of the crop has the colour of the place that the region says, which the image's pixels tell.
    #[test]
    fn the_region_is_what_the_crop_shows() {
        for (pad, resize, mode) in [
            (None, Some(40), CropMode::Center),
            (None, Some(40), CropMode::CenterFloor),
            (None, None, CropMode::Center),
            (None, Some(33), CropMode::Squash),
            (None, Some(33), CropMode::Border),
            (Some(90), Some(45), CropMode::Center),
        ] {
            let interpolation = Interpolation::Nearest;
            let view = View { pad, resize, mode, interpolation, ..View::of(33, 33) };
            let (width, height) = (83, 61);
            let pixel = |i: usize| [(i % width + 100) as u8, (i / width + 100) as u8, 255];
            let image = RgbImage::new(width, height, (0..width * height).flat_map(pixel).collect());
            let crop = view.center(&image);
            let region = view.center_region([width, height]);
            let mut inside = 0;
            for (i, pixel) in crop.pixels().as_chunks::<3>().0.iter().enumerate() {
                if pixel[2] == 0 {
                    continue;
                }
                inside += 1;
                let middle = |i: usize| (i as f64 + 0.5) / 33.0;
                let x = region.left + middle(i % 33) * region.width;
                let y = region.top + middle(i / 33) * region.height;
                let found = pixel.map(|value| f64::from(value) - 99.5);
                // Nearest takes the pixel that the middle falls into, however far off its own middle.
                assert!((found[0] - x).abs() <= 0.51 && (found[1] - y).abs() <= 0.51, "{view:?}");
            }
            assert!(inside > 300, "{inside}");
        }
    }
}
