//! Antialiased bilinear resizing, bit for bit as Pillow does it for 8-bit RGB.
//!
//! Weights were trained on images resized by Pillow, so the reference is its arithmetic: each
//! output is a weighted mean of the inputs under a triangle that is as wide as the scale (never
//! narrower than one input pixel each side). Weights are computed in f64, normalised, and rounded to
//! 22 binary places; columns are resized first, rows second, each pass rounding to 8 bits; a pass
//! that changes nothing is left out. (Pillow up to 12.1. Later versions take the rows first where
//! that is cheaper, which moves some pixels by one; published weights are older than that.)

use crate::data::RgbImage;

/// Binary places of a weight: 32 bits less 8 of the pixel and 2 of headroom.
const PRECISION: u32 = 32 - 8 - 2;
const HALF: i32 = 1 << (PRECISION - 1);

/// A rectangle of pixels inside a (possibly resized) image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First column.
    pub left: usize,
    /// First row.
    pub top: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// `image` resized to `width` x `height`.
///
/// # Panics
/// If `width` or `height` is zero.
pub fn resize(image: &RgbImage, width: usize, height: usize) -> RgbImage {
    resize_window(image, width, height, Window { left: 0, top: 0, width, height })
}

/// The part of `resize(image, width, height)` that lies in `window`; only that part is computed.
///
/// # Panics
/// If `window` is empty or reaches beyond `width` x `height`.
pub fn resize_window(image: &RgbImage, width: usize, height: usize, window: Window) -> RgbImage {
    let Window { left, top, .. } = window;
    assert!(left + window.width <= width && top + window.height <= height, "{window:?}");
    if (width, height) == (image.width(), image.height()) {
        let rows =
            (top..top + window.height).map(|y| &image.row(y)[left * 3..][..window.width * 3]);
        return RgbImage::new(window.width, window.height, rows.collect::<Vec<_>>().concat());
    }
    let columns = Filter::new(image.width(), width, left, window.width);
    let rows = Filter::new(image.height(), height, top, window.height);
    let (first, last) = rows.reach();
    let band = columns.apply_to_columns(image, first, last);
    RgbImage::new(window.width, window.height, rows.apply_to_rows(&band, first, window.width * 3))
}

/// The taps of a run of outputs along one axis.
struct Filter {
    /// One entry an output: its first input and where its weights start.
    taps: Vec<(usize, usize)>,
    /// Weights in units of 2^-22, one output after another.
    weights: Vec<i32>,
}

impl Filter {
    /// Outputs `start..start + count` of an axis resized from `from` to `to` pixels.
    fn new(from: usize, to: usize, start: usize, count: usize) -> Self {
        let mut filter = Self { taps: Vec::with_capacity(count + 1), weights: Vec::new() };
        let scale = from as f64 / to as f64;
        let support = scale.max(1.0);
        let mut exact = Vec::new();
        for output in start..start + count {
            if from == to {
                filter.taps.push((output, filter.weights.len()));
                filter.weights.push(1 << PRECISION);
                continue;
            }
            let center = (output as f64 + 0.5) * scale;
            let first = (center - support + 0.5).max(0.0) as usize;
            let last = ((center + support + 0.5) as usize).min(from);
            exact.clear();
            exact.extend((first..last).map(|input| {
                let distance = (input as f64 - center + 0.5) * (1.0 / support);
                (1.0 - distance.abs()).max(0.0)
            }));
            let sum: f64 = exact.iter().sum();
            filter.taps.push((first, filter.weights.len()));
            filter.weights.extend(exact.iter().map(|weight| {
                let normalised = if sum == 0.0 { *weight } else { weight / sum };
                (0.5 + normalised * f64::from(1 << PRECISION)) as i32
            }));
        }
        filter.taps.push((0, filter.weights.len()));
        filter
    }

    /// First input and weights of each output.
    fn outputs(&self) -> impl Iterator<Item = (usize, &[i32])> {
        self.taps.windows(2).map(|pair| (pair[0].0, &self.weights[pair[0].1..pair[1].1]))
    }

    /// The range of inputs that some output reads.
    fn reach(&self) -> (usize, usize) {
        let first = self.taps[0].0;
        let last = self.outputs().map(|(first, weights)| first + weights.len()).max();
        (first, last.unwrap_or(first))
    }

    /// Resizes rows `first..last` of `image` horizontally: `[last - first, outputs, 3]`.
    fn apply_to_columns(&self, image: &RgbImage, first: usize, last: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity((last - first) * (self.taps.len() - 1) * 3);
        for y in first..last {
            let row = image.row(y);
            for (start, weights) in self.outputs() {
                let mut sum = [HALF; 3];
                for (pixel, &weight) in row[start * 3..].chunks_exact(3).zip(weights) {
                    for (sum, &value) in sum.iter_mut().zip(pixel) {
                        *sum += i32::from(value) * weight;
                    }
                }
                out.extend(sum.map(to_u8));
            }
        }
        out
    }

    /// Resizes `[.., row]` bytes, whose first row is input `offset`, vertically.
    fn apply_to_rows(&self, band: &[u8], offset: usize, row: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity((self.taps.len() - 1) * row);
        let mut sums = vec![0_i32; row];
        for (start, weights) in self.outputs() {
            sums.fill(HALF);
            for (line, &weight) in band[(start - offset) * row..].chunks_exact(row).zip(weights) {
                for (sum, &value) in sums.iter_mut().zip(line) {
                    *sum += i32::from(value) * weight;
                }
            }
            out.extend(sums.iter().map(|&sum| to_u8(sum)));
        }
        out
    }
}

fn to_u8(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}
