//! Antialiased resizing, bit for bit as Pillow does it for 8-bit RGB.
//!
//! Weights were trained on images resized by Pillow, so the reference is its arithmetic: each
//! output is a weighted mean of the inputs under a kernel ([`Interpolation`], [`Filter`]); columns are resized first, rows
//! second, each pass rounding to 8 bits; a pass that changes nothing is left out. Nearest only moves pixels, so
//! they are fetched one by one. (Pillow up to 12.1. Later
//! versions take the rows first where that is cheaper, which moves some pixels by one; published weights
//! are older than that.)
//!
//! Only what the wanted part needs is computed: its columns of those rows that it reads, then row by row
//! the result, which whoever wants it takes while it is in the cache. All of it are sums of integers, so
//! every instruction set gives the same.

mod filter;
mod passes;

use super::Interpolation;
use crate::data::{RgbImage, RgbView};
use crate::simd::Isa;
use filter::{Axis, Filter};
use passes::{Columns, Row};

/// Rows of the band between the passes begin at multiples of this many bytes, so that loops have no tail.
const STRIDE: usize = 64;

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

impl Window {
    /// All of an image.
    pub const fn all(width: usize, height: usize) -> Self {
        Self { left: 0, top: 0, width, height }
    }

    /// Whether it is not empty and lies in an image of this size.
    pub const fn is_inside(self, width: usize, height: usize) -> bool {
        let Self { left, top, .. } = self;
        self.width > 0
            && self.height > 0
            && left < width
            && top < height
            && self.width <= width - left
            && self.height <= height - top
    }
}

/// `image` resized to `width` x `height`, bilinearly.
///
/// # Panics
/// If `width` or `height` is zero.
pub fn resize(image: &RgbImage, width: usize, height: usize) -> RgbImage {
    Interpolation::Bilinear.resize(image, width, height)
}

/// The part of `resize(image, width, height)` that lies in `window`; only that part is computed.
///
/// # Panics
/// If `window` is empty or reaches beyond `width` x `height`.
pub fn resize_window(image: &RgbImage, width: usize, height: usize, window: Window) -> RgbImage {
    window_of(image, [width, height], window, Interpolation::Bilinear)
}

impl Interpolation {
    /// `image` resized to `width` x `height` with this.
    ///
    /// # Panics
    /// If `width` or `height` is zero.
    pub fn resize(self, image: &RgbImage, width: usize, height: usize) -> RgbImage {
        window_of(image, [width, height], Window::all(width, height), self)
    }
}

fn window_of(
    image: &RgbImage,
    size: [usize; 2],
    window: Window,
    interpolation: Interpolation,
) -> RgbImage {
    let area = Window::all(image.width(), image.height());
    let part = Part::new(area, size, window, interpolation);
    let mut pixels = vec![0; window.width * window.height * 3];
    let len = window.width * 3;
    part.rows(image.view(), &mut vec![0; part.room()], |y, row| {
        pixels[y * len..][..len].copy_from_slice(row);
    });
    RgbImage::new(window.width, window.height, pixels)
}

/// A part of a resized image, to be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// What is resized: a box of the image, whose pixels outside do not count.
    area: Window,
    /// Width and height that it gets.
    size: [usize; 2],
    /// Which part of that is wanted.
    window: Window,
    interpolation: Interpolation,
}

impl Part {
    /// The part `window` of `area` resized to `size` (width, height).
    ///
    /// # Panics
    /// If `window` is empty or reaches beyond `size`, or `area` is empty.
    pub(super) fn new(
        area: Window,
        size: [usize; 2],
        window: Window,
        interpolation: Interpolation,
    ) -> Self {
        assert!(window.is_inside(size[0], size[1]), "{window:?} of {size:?}");
        assert!(area.width > 0 && area.height > 0, "{area:?}");
        Self { area, size, window, interpolation }
    }

    fn is_resized(self) -> bool {
        self.size != [self.area.width, self.area.height]
    }

    /// Bytes of a row of the band.
    fn stride(self) -> usize {
        // A byte more: the last pixel is written with one that follows it.
        (self.window.width * 3 + 1).next_multiple_of(STRIDE)
    }

    /// Bytes of memory that [`rows`](Self::rows) needs.
    pub(super) fn room(self) -> usize {
        if !self.is_resized() {
            return 0;
        }
        if self.interpolation == Interpolation::Nearest {
            return self.window.width * 3;
        }
        // The band, whose filter may have taps of weight 0 beyond what is read: no more than there are
        // rows; sums and bytes of an output; a row of the image.
        let band = self.filter_of_rows().reach();
        (band.1 - band.0) * self.stride() + self.stride() * 5 + self.area.width * 3 + 1 + 3
    }

    /// The part of the image that is read.
    pub(super) fn reach(self) -> Window {
        let Self { area, window, .. } = self;
        if !self.is_resized() {
            return Window { left: area.left + window.left, top: area.top + window.top, ..window };
        }
        let columns = Filter::inputs(self.axes()[0], window.left, window.width);
        let rows = Filter::inputs(self.axes()[1], window.top, window.height);
        Window {
            left: area.left + columns.0,
            top: area.top + rows.0,
            width: columns.1 - columns.0,
            height: rows.1 - rows.0,
        }
    }

    /// The resizing of columns, and of rows.
    fn axes(self) -> [Axis; 2] {
        let Self { area, size, interpolation, .. } = self;
        [(area.width, size[0]), (area.height, size[1])].map(|(from, to)| Axis {
            from,
            to,
            interpolation,
        })
    }

    fn filter_of_rows(self) -> Filter {
        Filter::new(self.axes()[1], self.window.top, self.window.height)
    }

    /// Computes it: calls `see` with the number and the bytes, `[width, 3]`, of one row after another.
    /// `room` is memory of any content.
    ///
    /// # Panics
    /// If the area is not inside `image` or `room` is shorter than [`room`](Self::room).
    pub(super) fn rows(
        self,
        image: RgbView<'_>,
        room: &mut [u8],
        mut see: impl FnMut(usize, &[u8]),
    ) {
        let Self { area, window, .. } = self;
        assert!(area.is_inside(image.width(), image.height()), "{area:?} of {image:?}");
        let len = window.width * 3;
        if !self.is_resized() {
            let left = (area.left + window.left) * 3;
            for y in 0..window.height {
                see(y, &image.row(area.top + window.top + y)[left..left + len]);
            }
            return;
        }
        if self.interpolation == Interpolation::Nearest {
            return self.nearest(image, &mut room[..len], see);
        }
        let isa = Isa::best();
        let columns = Filter::new(self.axes()[0], window.left, window.width);
        let rows = self.filter_of_rows();
        let (first, last) = rows.reach();
        let stride = self.stride();
        let (band, room) = room.split_at_mut((last - first) * stride);
        isa.dispatch(Columns { image, area, columns: &columns, first, band, stride, spare: room });
        let (out, room) = room.split_at_mut(stride);
        let (_, sums, _) = bytemuck::pod_align_to_mut::<u8, i32>(room);
        for (y, (start, weights)) in rows.outputs().enumerate() {
            let lines = &band[(start - first) * stride..][..weights.len() * stride];
            isa.dispatch(Row { lines, weights, sums, out });
            see(y, &out[..len]);
        }
    }

    /// Each row made of single pixels; a row that is wanted again is made once.
    fn nearest(self, image: RgbView<'_>, out: &mut [u8], mut see: impl FnMut(usize, &[u8])) {
        let Self { area, window, .. } = self;
        let columns = self.axes()[0].inputs_one_to_one(window.left, window.width);
        let rows = self.axes()[1].inputs_one_to_one(window.top, window.height);
        let mut made = None;
        for (y, &row) in rows.iter().enumerate() {
            if made.replace(row) != Some(row) {
                let pixels = &image.row(area.top + row).as_chunks::<3>().0[area.left..];
                for (out, &column) in out.as_chunks_mut::<3>().0.iter_mut().zip(&columns) {
                    *out = pixels[column];
                }
            }
            see(y, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::filter::PRECISION;
    use super::passes::HALF;
    use super::*;
    use crate::runtime::Rng;

    pub(super) fn noise(width: usize, height: usize, rng: &mut Rng) -> RgbImage {
        RgbImage::new(
            width,
            height,
            (0..width * height * 3).map(|_| rng.below(256) as u8).collect(),
        )
    }

    pub(super) const KINDS: [Interpolation; 4] = [
        Interpolation::Nearest,
        Interpolation::Bilinear,
        Interpolation::Bicubic,
        Interpolation::Lanczos,
    ];

    /// The definition, in plain loops over all of the image.
    fn reference(image: &RgbImage, width: usize, height: usize, kind: Interpolation) -> Vec<u8> {
        let axis = |from, to| Axis { from, to, interpolation: kind };
        let columns = Filter::new(axis(image.width(), width), 0, width);
        let rows = Filter::new(axis(image.height(), height), 0, height);
        let weigh = |weights: &[i32], byte: &dyn Fn(usize) -> u8| {
            let terms = weights.iter().enumerate().map(|(t, w)| i64::from(byte(t)) * i64::from(*w));
            ((terms.sum::<i64>() + i64::from(HALF)) >> PRECISION).clamp(0, 255) as u8
        };
        let mut band = Vec::new();
        for y in 0..image.height() {
            for (start, weights) in columns.outputs() {
                band.extend((0..3).map(|c| weigh(weights, &|t| image.row(y)[(start + t) * 3 + c])));
            }
        }
        let mut out = Vec::new();
        for (start, weights) in rows.outputs() {
            let at = |t: usize, x: usize| band[(start + t) * width * 3 + x];
            out.extend((0..width * 3).map(|x| weigh(weights, &|t| at(t, x))));
        }
        out
    }

    #[test]
    fn any_scale_equals_the_definition() {
        let mut rng = Rng::named(3, "resize");
        let sides = [
            (1, 1),
            (1, 9),
            (2, 3),
            (7, 7),
            (8, 5),
            (40, 21),
            (41, 64),
            (64, 9),
            (63, 3),
            (33, 32),
        ];
        for (width, to_width) in sides {
            for (height, to_height) in sides {
                let image = noise(width, height, &mut rng);
                for kind in KINDS {
                    let expected = reference(&image, to_width, to_height, kind);
                    let found = kind.resize(&image, to_width, to_height);
                    let what = format!("{kind}, {width}x{height} to {to_width}x{to_height}");
                    assert_eq!(found.pixels(), expected, "{what}");
                }
            }
        }
    }

    #[test]
    fn an_area_is_resized_as_an_image_of_its_own() {
        let mut rng = Rng::named(5, "resize");
        for _ in 0..200 {
            let side = |rng: &mut Rng| 1 + rng.below(60);
            let (width, height) = (side(&mut rng), side(&mut rng));
            let inside = |width: usize, height: usize, rng: &mut Rng| {
                let (left, top) = (rng.below(width), rng.below(height));
                let (width, height) = (1 + rng.below(width - left), 1 + rng.below(height - top));
                Window { left, top, width, height }
            };
            let area = inside(width, height, &mut rng);
            let size = [side(&mut rng), side(&mut rng)];
            let kind = KINDS[rng.below(4)];
            let part = Part::new(area, size, inside(size[0], size[1], &mut rng), kind);
            let image = noise(width, height, &mut rng);
            let rows = |image: &RgbImage| {
                let mut all = Vec::new();
                part.rows(image.view(), &mut vec![7; part.room()], |_, row| {
                    all.extend(row.to_vec())
                });
                all
            };
            // The area as an image of its own.
            let cut = Part::new(Window::all(width, height), [width, height], area, kind);
            let mut pixels = Vec::new();
            cut.rows(image.view(), &mut [], |_, row| pixels.extend(row.to_vec()));
            let alone = RgbImage::new(area.width, area.height, pixels);
            let expected = window_of(&alone, size, part.window, kind);
            assert_eq!(rows(&image), expected.pixels(), "{part:?}");
        }
    }
}
