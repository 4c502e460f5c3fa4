//! The picture that `infer --explain` draws: the image with the most likely classes under it, and beside it, for one
//! class or several, the image in grey with the class-activation map in colour.
//!
//! Colours are those of each map alone: from 0, where a place says nothing for the class (or something against it),
//! to the map's largest value. What the network did not see is darker.

use resnet_cpu::data::{Interpolation, RgbImage, resize};
use resnet_cpu::infer::{ClassMap, Prediction};

use super::canvas::{Canvas, Colour, LETTER, LINE};

/// The longest side of an image in the picture is between these, in pixels.
const SIDES: [usize; 2] = [320, 640];

/// The least width of a column: it has text.
const COLUMN: usize = 320;

/// Pixels between all things.
const GAP: usize = 12;

/// Lines of the list of classes, at most.
const LINES: usize = 10;

const INK: Colour = [24, 24, 27];
const SOFT: Colour = [110, 110, 118];

/// Height of the bar that shows the colours.
const BAR: usize = 10;

/// matplotlib's "inferno" (Smith, van der Walt, 2015; public domain) at equal steps. Its lightness rises evenly, so
/// that it is read rightly without colour, too.
const INFERNO: [Colour; 10] = [
    [0x00, 0x00, 0x04],
    [0x1b, 0x0c, 0x41],
    [0x4a, 0x0c, 0x6b],
    [0x78, 0x1c, 0x6d],
    [0xa5, 0x2c, 0x60],
    [0xcf, 0x44, 0x46],
    [0xed, 0x69, 0x25],
    [0xfb, 0x9b, 0x06],
    [0xf7, 0xd1, 0x3d],
    [0xfc, 0xff, 0xa4],
];

/// The colour of `t`, 0..1.
fn inferno(t: f32) -> Colour {
    let place = t.clamp(0.0, 1.0) * (INFERNO.len() - 1) as f32;
    let first = (place as usize).min(INFERNO.len() - 2);
    mixed(INFERNO[first], INFERNO[first + 1], place - first as f32)
}

/// The colour at `t`, 0..1, of the way from `a` to `b`.
fn mixed(a: Colour, b: Colour, t: f32) -> Colour {
    std::array::from_fn(|i| (f32::from(a[i]) * (1.0 - t) + f32::from(b[i]) * t).round() as u8)
}

/// An image in the size that a picture has it.
pub(super) struct Copy {
    image: RgbImage,
    /// Width and height of the original.
    size: [usize; 2],
}

impl Copy {
    /// A copy of `image`: smaller, or with each pixel repeated.
    pub(super) fn of(image: &RgbImage) -> Self {
        let size = [image.width(), image.height()];
        let longest = size[0].max(size[1]);
        let copy = if longest > SIDES[1] {
            let [width, height] = size.map(|side| (side * SIDES[1] / longest).max(1));
            resize(image, width, height)
        } else {
            let [width, height] = size.map(|side| side * SIDES[0].div_ceil(longest));
            Interpolation::Nearest.resize(image, width, height)
        };
        Self { image: copy, size }
    }

    /// The image in grey, with `map` over it.
    fn with(&self, map: &ClassMap) -> RgbImage {
        let [width, height] = [self.image.width(), self.image.height()];
        let largest = largest(map);
        let mut image = self.image.clone();
        for (i, pixel) in image.pixels_mut().as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let along =
                |at: usize, len: usize, of: usize| (at as f64 + 0.5) * of as f64 / len as f64;
            let x = along(i % width, width, self.size[0]);
            let y = along(i / width, height, self.size[1]);
            let [r, g, b] = pixel.map(u32::from);
            let grey = [((r * 299 + g * 587 + b * 114) / 1000) as u8; 3];
            *pixel = match map.at(x, y) {
                Some(value) if largest > 0.0 => {
                    let t = (value / largest).clamp(0.0, 1.0);
                    // Nothing is drawn where there is nothing to say; colours come up quickly, then stay.
                    mixed(grey, inferno(t), 0.75 * t.sqrt())
                }
                Some(_) => grey,
                None => mixed(grey, [0; 3], 0.6),
            };
        }
        image
    }
}

fn largest(map: &ClassMap) -> f32 {
    map.values.iter().copied().fold(0.0, f32::max)
}

/// The picture of `image`, whose most likely classes are `predictions`, called by `name`, and whose `maps` are those
/// of the first of them.
pub(super) fn picture(
    image: &Copy,
    predictions: &[Prediction],
    maps: &[ClassMap],
    name: impl Fn(usize) -> String,
) -> RgbImage {
    let [width, height] = [image.image.width(), image.image.height()];
    let column = width.max(COLUMN);
    let lines = predictions.len().clamp(3, LINES);
    let mut canvas = Canvas::new(
        GAP + (column + GAP) * (1 + maps.len()),
        GAP + height + GAP + lines * LINE + GAP,
    );
    let inset = (column - width) / 2;
    canvas.put([GAP + inset, GAP], &image.image);
    let below = GAP + height + GAP;
    for (rank, class) in predictions.iter().take(LINES).enumerate() {
        let percent = class.probability * 100.0;
        let line = format!("{:2} {percent:6.2} %  {}", rank + 1, name(class.index));
        let colour = if rank < maps.len() { INK } else { SOFT };
        canvas.text([GAP, below + rank * LINE], column, &line, colour);
    }
    for (rank, map) in maps.iter().enumerate() {
        let left = GAP + (column + GAP) * (rank + 1);
        canvas.put([left + inset, GAP], &image.with(map));
        let title = format!("{:2} {}", rank + 1, name(map.prediction.index));
        canvas.text([left, below], column, &title, INK);
        let colour = |x: usize| inferno(x as f32 / (column - 1) as f32);
        canvas.fill([left, below + LINE + 4], [column, BAR], colour);
        let scale = below + 2 * LINE;
        canvas.text([left, scale], column, "0", SOFT);
        // At most as long as the column, and its end is the bar's.
        let end = match largest(map) {
            value @ ..1e6 => format!("{value:.1}"),
            value => format!("{value:.1e}"),
        };
        let width = end.len() * LETTER;
        canvas.text([left + column - width, scale], width, &end, SOFT);
        let middle = "logit by place";
        let width = middle.len() * LETTER;
        canvas.text([left + (column - width) / 2, scale], width, middle, SOFT);
    }
    canvas.into_image()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go_from_dark_to_light() {
        assert_eq!((inferno(0.0), inferno(1.0)), (INFERNO[0], INFERNO[9]));
        assert_eq!((inferno(-1.0), inferno(7.0)), (INFERNO[0], INFERNO[9]));
        // Halfway, or a rounding beside it.
        let [r, g, b] = inferno(1.5 / 9.0);
        assert!((50..=51).contains(&r) && g == 12 && b == 86, "{r} {g} {b}");
        let light = |t: f32| {
            let [r, g, b] = inferno(t).map(f32::from);
            r * 0.2126 + g * 0.7152 + b * 0.0722
        };
        let lights: Vec<f32> = (0..=100).map(|i| light(i as f32 / 100.0)).collect();
        assert!(lights.is_sorted(), "{lights:?}");
    }

    #[test]
    fn copies_are_neither_small_nor_large() {
        let side = |width, height| {
            let Copy { image, size } =
                Copy::of(&RgbImage::new(width, height, vec![9; width * height * 3]));
            assert_eq!(size, [width, height]);
            [image.width(), image.height()]
        };
        assert_eq!(side(32, 32), [320, 320]);
        assert_eq!(side(500, 375), [500, 375]);
        assert_eq!(side(1280, 960), [640, 480]);
        assert_eq!(side(1, 1), [320, 320]);
        assert_eq!(side(9000, 1), [640, 1]);
    }
}
