//! The built-in demo set: images of ten shapes, drawn from a seed, 32 x 32 like CIFAR's.
//!
//! It lets anyone train a network without a download. Only the shape tells the class: place, size,
//! rotation, proportions and all colours are drawn at random, the background has a gradient, clutter
//! and noise, so no single pixel says much and a linear classifier is of little use. The shape is
//! always brighter than the background: where its sign was random, too, networks spent most of a
//! minute's training before they saw an edge (55 % after six epochs instead of 96 % after five).
//!
//! An image is a pure function of (seed, index). The arithmetic is plain IEEE f32 with sine and
//! cosine from `libm`: the same bytes on every platform.

use crate::data::RgbImage;
use crate::runtime::Rng;

/// Width and height of every image.
pub const SIDE: usize = 32;

/// Class names, in label order.
pub const CLASSES: [&str; 10] = [
    "circle",
    "ring",
    "square",
    "triangle",
    "star",
    "cross",
    "heart",
    "crescent",
    "arrow",
    "hourglass",
];

/// Image `index` of the set of `seed` and its label. Labels go round: any ten images in a row
/// show the ten classes. Sets for training and validation are different ranges of `index`.
pub fn image(seed: u64, index: u64) -> (RgbImage, usize) {
    let label = (index % CLASSES.len() as u64) as usize;
    let mut rng = Rng::new(seed, &[PURPOSE, index]);
    (draw(&mut rng, label), label)
}

/// Keys the random streams of this set ("demo" in ASCII).
const PURPOSE: u64 = 0x6465_6D6F;

type Color = [f32; 3];
type Point = [f32; 2];

fn draw(rng: &mut Rng, label: usize) -> RgbImage {
    let background = Gradient::draw(rng);
    let mut canvas = Canvas::new(&background);
    for _ in 0..2 + rng.below(4) {
        canvas.clutter(rng);
    }
    let scale = rng.uniform_in(7.5, 12.5);
    let room = SIDE as f32 / 2.0 - scale;
    let center = [0, 1].map(|_| SIDE as f32 / 2.0 + rng.uniform_in(-room, room));
    let stretch = rng.uniform_in(0.85, 1.0 / 0.85);
    let place = Place::new(center, [scale * stretch.min(1.0), scale / stretch.max(1.0)], rng);
    canvas.fill(&place, background.brighter(rng), |p| inside(label, p));
    for _ in 0..rng.below(3) {
        canvas.clutter(rng);
    }
    let noise = rng.uniform_in(2.0, 14.0);
    canvas.finish(noise, rng)
}

/// Whether `p` belongs to the shape of class `label`, which lies within the unit circle and points
/// up (y grows downwards).
fn inside(label: usize, p: Point) -> bool {
    let [x, y] = p;
    let radius2 = x * x + y * y;
    match CLASSES[label] {
        "circle" => radius2 < 0.8 * 0.8,
        "ring" => (0.55 * 0.55..0.9 * 0.9).contains(&radius2),
        "square" => x.abs().max(y.abs()) < 0.7,
        "triangle" => in_polygon(&TRIANGLE, p),
        "star" => in_polygon(&STAR, p),
        "cross" => x.abs().min(y.abs()) < 0.28 && x.abs().max(y.abs()) < 0.92,
        "heart" => {
            let (x, y) = (x * 1.35, 0.1 - y * 1.35);
            let r = x * x + y * y - 1.0;
            r * r * r < x * x * y * y * y
        }
        "crescent" => radius2 < 0.9 && (x - 0.45) * (x - 0.45) + y * y > 0.68 * 0.68,
        "arrow" => in_polygon(&ARROW, p),
        _ => in_polygon(&HOURGLASS, p),
    }
}

const TRIANGLE: [Point; 3] = [[0.0, -1.0], [0.866, 0.5], [-0.866, 0.5]];

/// Tips on the unit circle, notches on one of radius 0.42.
const STAR: [Point; 10] = [
    [0.0, -1.0],
    [0.247, -0.34],
    [0.951, -0.309],
    [0.399, 0.13],
    [0.588, 0.809],
    [0.0, 0.42],
    [-0.588, 0.809],
    [-0.399, 0.13],
    [-0.951, -0.309],
    [-0.247, -0.34],
];

const ARROW: [Point; 7] = [
    [0.0, -1.0],
    [0.72, -0.15],
    [0.24, -0.15],
    [0.24, 0.95],
    [-0.24, 0.95],
    [-0.24, -0.15],
    [-0.72, -0.15],
];

/// Two sides cross in the middle.
const HOURGLASS: [Point; 4] = [[-0.68, -0.73], [0.68, -0.73], [-0.68, 0.73], [0.68, 0.73]];

/// The even-odd rule.
fn in_polygon(corners: &[Point], [x, y]: Point) -> bool {
    let mut from = corners[corners.len() - 1];
    let mut inside = false;
    for &to in corners {
        if (from[1] > y) != (to[1] > y) {
            let crossing = from[0] + (y - from[1]) / (to[1] - from[1]) * (to[0] - from[0]);
            inside ^= x < crossing;
        }
        from = to;
    }
    inside
}

/// Position, half axes (in pixels) and rotation of a shape.
struct Place {
    center: Point,
    axes: Point,
    sine: f32,
    cosine: f32,
}

impl Place {
    fn new(center: Point, axes: Point, rng: &mut Rng) -> Self {
        let angle = rng.uniform_in(0.0, 2.0 * std::f32::consts::PI);
        Self { center, axes, sine: libm::sinf(angle), cosine: libm::cosf(angle) }
    }

    /// From pixels to the coordinates of the shape.
    fn to_shape(&self, [x, y]: Point) -> Point {
        let (x, y) = (x - self.center[0], y - self.center[1]);
        [
            (x * self.cosine + y * self.sine) / self.axes[0],
            (y * self.cosine - x * self.sine) / self.axes[1],
        ]
    }
}

/// A background that changes from one colour to another across the image.
struct Gradient {
    middle: Color,
    slope: [Color; 2],
}

impl Gradient {
    /// Most that a channel departs from the middle, at each border of each axis.
    const DEPARTURE: f32 = 22.0;
    /// Brightest value of a channel in the middle.
    const BRIGHTEST: f32 = 150.0;

    fn draw(rng: &mut Rng) -> Self {
        let middle = color(rng).map(|channel| Self::BRIGHTEST / 255.0 * channel);
        let half = SIDE as f32 / 2.0;
        let most = Self::DEPARTURE / half;
        let slope = [0, 1].map(|_| [0, 1, 2].map(|_| rng.uniform_in(-most, most)));
        Self { middle, slope }
    }

    fn at(&self, [x, y]: Point) -> Color {
        let half = SIDE as f32 / 2.0;
        std::array::from_fn(|c| {
            self.middle[c] + (x - half) * self.slope[0][c] + (y - half) * self.slope[1][c]
        })
    }

    /// A colour that is brighter than the whole background.
    fn brighter(&self, rng: &mut Rng) -> Color {
        /// Least difference, averaged over the channels.
        const LEAST: f32 = 60.0;
        loop {
            let color = color(rng);
            let more = |c: usize| color[c] - self.middle[c];
            if more(0) + more(1) + more(2) > 3.0 * LEAST {
                return color;
            }
        }
    }
}

fn color(rng: &mut Rng) -> Color {
    [0, 1, 2].map(|_| rng.uniform_in(0.0, 255.0))
}

struct Canvas {
    pixels: Vec<Color>,
}

impl Canvas {
    /// Sample points a pixel, along each axis.
    const SAMPLES: usize = 4;

    fn new(background: &Gradient) -> Self {
        let center = |i: usize| [(i % SIDE) as f32 + 0.5, (i / SIDE) as f32 + 0.5];
        Self { pixels: (0..SIDE * SIDE).map(|i| background.at(center(i))).collect() }
    }

    /// Paints what `inside` says is the shape at `place`; border pixels are mixed by coverage.
    fn fill(&mut self, place: &Place, color: Color, inside: impl Fn(Point) -> bool) {
        let n = Self::SAMPLES;
        let sample = |pixel: usize, i: usize| pixel as f32 + (i as f32 + 0.5) / n as f32;
        let reach = place.axes[0].max(place.axes[1]) + 1.0;
        let range = |center: f32| {
            (center - reach).max(0.0) as usize..((center + reach).max(0.0) as usize + 1).min(SIDE)
        };
        for y in range(place.center[1]) {
            for x in range(place.center[0]) {
                let points = (0..n * n).map(|i| [sample(x, i % n), sample(y, i / n)]);
                let hits = points.filter(|&point| inside(place.to_shape(point))).count();
                let coverage = hits as f32 / (n * n) as f32;
                for (pixel, color) in self.pixels[y * SIDE + x].iter_mut().zip(color) {
                    *pixel += (color - *pixel) * coverage;
                }
            }
        }
    }

    /// A small disc or bar anywhere, of any colour.
    fn clutter(&mut self, rng: &mut Rng) {
        let center = [0, 1].map(|_| rng.uniform_in(0.0, SIDE as f32));
        if rng.below(2) == 0 {
            let radius = rng.uniform_in(0.7, 2.2);
            let place = Place::new(center, [radius; 2], rng);
            self.fill(&place, color(rng), |[x, y]| x * x + y * y < 1.0);
        } else {
            let axes = [rng.uniform_in(2.0, 5.0), rng.uniform_in(0.4, 0.8)];
            let place = Place::new(center, axes, rng);
            self.fill(&place, color(rng), |[x, y]| x.abs().max(y.abs()) < 1.0);
        }
    }

    /// Adds normal noise of deviation `noise` and rounds to bytes.
    fn finish(self, noise: f32, rng: &mut Rng) -> RgbImage {
        let byte = |value: f32| (value + noise * rng.normal()).round().clamp(0.0, 255.0) as u8;
        RgbImage::new(SIDE, SIDE, self.pixels.into_iter().flatten().map(byte).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_never_change() {
        let mut hash = 0xCBF2_9CE4_8422_2325_u64;
        for index in 0..50 {
            let (image, label) = image(1, index);
            assert_eq!(label as u64, index % 10);
            for &byte in image.pixels() {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
            }
        }
        assert_eq!(hash, 0x7746_449E_4C27_06B8, "{hash:#x}");
    }

    #[test]
    fn every_shape_fills_a_good_part_of_the_unit_circle_and_stays_inside() {
        for (label, name) in CLASSES.iter().enumerate() {
            let n = 200;
            let coordinate = |i: usize| (i as f32 + 0.5) / n as f32 * 3.0 - 1.5;
            let points = (0..n * n).map(|i| [coordinate(i % n), coordinate(i / n)]);
            let shape: Vec<Point> = points.filter(|&p| inside(label, p)).collect();
            let area = shape.len() as f32 * 9.0 / (n * n) as f32;
            assert!((0.8..2.1).contains(&area), "{name}: area {area}");
            let reach = shape.iter().map(|[x, y]| x * x + y * y).fold(0.0, f32::max);
            assert!((0.6..=1.05).contains(&reach), "{name}: reaches {}", reach.sqrt());
        }
    }
}
