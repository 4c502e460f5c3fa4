//! From pixels to tiles in the transformed domain and back, a row of tiles at a time.

use super::scheme::Scheme;
use crate::conv::ConvShape;
use crate::gemm::Epilogue;
use crate::runtime::RectMut;
use crate::simd::{Simd, SimdOp};
use std::marker::PhantomData;
use std::ops::Range;

/// How the output of a convolution is cut into tiles of `M` by `M` pixels. A row of tiles is a strip of
/// one image; the rows of all images are numbered through.
#[derive(Clone, Copy)]
pub(super) struct Grid<const M: usize, const T: usize> {
    pub(super) shape: ConvShape,
    /// Rows of tiles in an image.
    pub(super) down: usize,
    /// Tiles in a row.
    pub(super) across: usize,
}

impl<const M: usize, const T: usize> Grid<M, T> {
    pub(super) fn new(shape: &ConvShape) -> Self {
        let (down, across) = (shape.out_height().div_ceil(M), shape.out_width().div_ceil(M));
        Self { shape: *shape, down, across }
    }

    /// Rows of tiles in the batch.
    pub(super) fn rows(&self) -> usize {
        self.shape.batch * self.down
    }

    /// The output pixels, all images one below the other, of some rows of tiles.
    pub(super) fn pixels(&self, rows: &Range<usize>) -> Range<usize> {
        let width = self.shape.out_width();
        self.first_line(rows.start) * width..self.first_line(rows.end) * width
    }

    /// The fewest rows of tiles, up to `most`, that are whole units of `unit` pixels wherever they begin at a multiple
    /// of themselves.
    pub(super) fn rows_of(&self, unit: usize, most: usize) -> Option<usize> {
        let whole = |rows: &usize| {
            // Rows of one height, or whole images.
            let even = self.shape.out_height().is_multiple_of(M) || rows.is_multiple_of(self.down);
            even && self.pixels(&(0..*rows)).len().is_multiple_of(unit)
        };
        (1..=most).find(whole)
    }

    /// The lines of the input, all images one below the other, under some rows of tiles of the output.
    pub(super) fn input_lines(&self, rows: &Range<usize>) -> Range<usize> {
        let ConvShape { height, padding, .. } = self.shape;
        let line = |row: usize, below: usize| {
            row / self.down * height
                + (row % self.down * M + below).saturating_sub(padding).min(height)
        };
        if rows.is_empty() { 0..0 } else { line(rows.start, 0)..line(rows.end - 1, T) }
    }

    /// The first line of output pixels, all images one below the other, of row `row` of tiles.
    fn first_line(&self, row: usize) -> usize {
        row / self.down * self.shape.out_height() + row % self.down * M
    }
}

/// A small matrix turned over: in registers, it costs nothing.
#[inline(always)]
fn transposed<V: Copy, const A: usize, const B: usize>(matrix: [[V; B]; A]) -> [[V; A]; B] {
    let mut turned = [[matrix[0][0]; A]; B];
    for (b, row) in turned.iter_mut().enumerate() {
        for (a, value) in row.iter_mut().enumerate() {
            *value = matrix[a][b];
        }
    }
    turned
}

/// Fetches the vectors of a square of `M` by `M` pixels: hardware follows none of the streams that tiles of some
/// channels are. Addresses beyond the activation do no harm.
#[inline(always)]
fn fetch<S: Simd, const M: usize>(s: S, corner: *const f32, line: usize, pixel: usize) {
    for y in 0..M {
        for x in 0..M {
            s.prefetch_read(corner.wrapping_add(y * line + x * pixel));
        }
    }
}

/// Transforms rows of tiles of the input.
pub(super) struct ToTiles<'a, const M: usize, const T: usize, P> {
    pub(super) grid: &'a Grid<M, T>,
    pub(super) rows: Range<usize>,
    /// All lines under these tiles.
    pub(super) input: &'a [f32],
    /// The number of the first of them, all images one below the other.
    pub(super) first_line: usize,
    /// Whether the next row of tiles lies below, and is to be fetched meanwhile.
    pub(super) fetch: bool,
    /// `[frequency][tile][channel]`, tiles `stride` apart.
    pub(super) values: &'a mut [f32],
    pub(super) stride: usize,
    pub(super) scheme: PhantomData<P>,
}

impl<const M: usize, const T: usize, P: Scheme<M, T>> SimdOp for ToTiles<'_, M, T, P> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let Self { grid, rows, input, first_line, fetch, values, stride, .. } = self;
        let ConvShape { height, width, in_channels: channels, padding, .. } = grid.shape;
        let frequency = values.len() / (T * T);
        let line = width * channels;
        let mut to = 0;
        for row in rows {
            let top = row % grid.down * M;
            // Pixel (y, x) of a tile is pixel (top + y - padding, left + x - padding).
            let inside = padding.saturating_sub(top)..T.min((height + padding).saturating_sub(top));
            let y = (row / grid.down * height + top).wrapping_sub(padding);
            let corner = y.wrapping_sub(first_line).wrapping_mul(line);
            for left in (0..grid.across).map(|tile| tile * M) {
                for channel in (0..channels).step_by(S::LANES) {
                    if fetch {
                        let below = corner.wrapping_add(T * line + left * channels + channel);
                        self::fetch::<S, M>(s, input.as_ptr().wrapping_add(below), line, channels);
                    }
                    let mut columns = [[s.splat(0.0); T]; T];
                    for (x, column) in columns.iter_mut().enumerate() {
                        let x = (left + x).wrapping_sub(padding);
                        if x < width {
                            let first = corner.wrapping_add(x * channels + channel);
                            let pixels = if inside == (0..T) {
                                s.load_strided(&input[first..], line)
                            } else {
                                s.load_strided_inside(input, first, line, &inside)
                            };
                            *column = P::input(s, pixels);
                        }
                    }
                    for (y, row) in transposed(columns).into_iter().enumerate() {
                        let at = y * T * frequency + to + channel;
                        s.store_strided(P::input(s, row), &mut values[at..], frequency);
                    }
                }
                to += stride;
            }
        }
    }
}

/// Transforms rows of tiles of the output's gradient, for that of the filters.
pub(super) struct GradientToTiles<'a, const M: usize, const T: usize, P> {
    pub(super) grid: &'a Grid<M, T>,
    pub(super) rows: Range<usize>,
    pub(super) gradient: &'a [f32],
    /// `[frequency][panel][tile][channel]`
    pub(super) values: &'a mut [f32],
    /// Channels of a panel, whole vectors; the last may have fewer.
    pub(super) panel: usize,
    pub(super) scheme: PhantomData<P>,
}

impl<const M: usize, const T: usize, P: Scheme<M, T>> SimdOp for GradientToTiles<'_, M, T, P> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let Self { grid, rows, gradient, values, panel, .. } = self;
        let (height, width) = (grid.shape.out_height(), grid.shape.out_width());
        let channels = grid.shape.out_channels;
        let frequency = values.len() / (T * T);
        let line = width * channels;
        let tiles = rows.len() * grid.across;
        let mut tile = 0;
        for row in rows {
            let top = row % grid.down * M;
            let inside = 0..M.min(height - top);
            let first = grid.first_line(row) * line;
            for left in (0..grid.across).map(|tile| tile * M) {
                for first_channel in (0..channels).step_by(panel) {
                    let end = channels.min(first_channel + panel);
                    let to = first_channel * tiles + tile * (end - first_channel);
                    for channel in (first_channel..end).step_by(S::LANES) {
                        let below = first + M * line + left * channels + channel;
                        fetch::<S, M>(s, gradient.as_ptr().wrapping_add(below), line, channels);
                        let mut columns = [[s.splat(0.0); T]; M];
                        for (x, column) in columns.iter_mut().enumerate() {
                            if left + x < width {
                                let at = first + (left + x) * channels + channel;
                                let y = if inside == (0..M) {
                                    s.load_strided(&gradient[at..], line)
                                } else {
                                    s.load_strided_inside(gradient, at, line, &inside)
                                };
                                *column = P::gradient(s, y);
                            }
                        }
                        for (y, row) in transposed(columns).into_iter().enumerate() {
                            let at = y * T * frequency + to + channel - first_channel;
                            s.store_strided(P::gradient(s, row), &mut values[at..], frequency);
                        }
                    }
                }
                tile += 1;
            }
        }
    }
}

/// Transforms rows of tiles of the output back, in some of its channels.
pub(super) struct FromTiles<'a, 'b, const M: usize, const T: usize, P> {
    pub(super) grid: &'a Grid<M, T>,
    pub(super) rows: Range<usize>,
    /// `[frequency][tile][channel]` of these channels, tiles `stride` apart.
    pub(super) values: &'a [f32],
    pub(super) stride: usize,
    pub(super) channels: Range<usize>,
    /// That of the whole output.
    pub(super) epilogue: &'a Epilogue<'a>,
    /// The pixels of these rows in these channels.
    pub(super) output: &'a mut RectMut<'b>,
    pub(super) scheme: PhantomData<P>,
}

impl<const M: usize, const T: usize, P: Scheme<M, T>> SimdOp for FromTiles<'_, '_, M, T, P> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let Self { grid, rows, values, stride, channels, epilogue, output, .. } = self;
        let (height, width) = (grid.shape.out_height(), grid.shape.out_width());
        let frequency = values.len() / (T * T);
        let out_channels = grid.shape.out_channels;
        let first_pixel = grid.pixels(&rows).start;
        let zero = s.splat(0.0);
        let mut from = 0;
        for row in rows {
            let line = grid.first_line(row);
            let lines = M.min(height - row % grid.down * M);
            for tile in 0..grid.across {
                let pixels = M.min(width - tile * M);
                for column in (0..channels.len()).step_by(S::LANES) {
                    let mut by_x = [[zero; M]; T];
                    for (x, by_x) in by_x.iter_mut().enumerate() {
                        let values = &values[x * frequency + from + column..];
                        *by_x = P::output(s, s.load_strided(values, T * frequency));
                    }
                    let channel = channels.start + column;
                    if let Some(residual) = epilogue.residual {
                        let below = ((line + M) * width + tile * M) * out_channels + channel;
                        let below = residual.as_ptr().wrapping_add(below);
                        fetch::<S, M>(s, below, width * out_channels, out_channels);
                    }
                    let bias = match epilogue.bias {
                        Some(bias) => s.load(&bias[channel..][..S::LANES]),
                        None => zero,
                    };
                    for (y, row) in transposed(by_x).into_iter().take(lines).enumerate() {
                        let mut values = P::output(s, row);
                        for v in &mut values {
                            *v = s.add(*v, bias);
                        }
                        let pixel = (line + y) * width + tile * M;
                        let to = pixel - first_pixel;
                        output.fetch::<S, M>(s, to + M * width, column);
                        if pixels == M {
                            if let Some(residual) = epilogue.residual {
                                let at = pixel * out_channels + channel;
                                let before: [_; M] = s.load_strided(&residual[at..], out_channels);
                                for (v, &before) in values.iter_mut().zip(&before) {
                                    *v = s.add(*v, before);
                                }
                            }
                            if epilogue.relu {
                                for v in &mut values {
                                    *v = s.max(zero, *v);
                                }
                            }
                            output.store(s, values, to, column);
                        } else {
                            for (x, &v) in values[..pixels].iter().enumerate() {
                                let mut v = v;
                                if let Some(residual) = epilogue.residual {
                                    let at = (pixel + x) * out_channels + channel;
                                    v = s.add(v, s.load(&residual[at..][..S::LANES]));
                                }
                                if epilogue.relu {
                                    v = s.max(zero, v);
                                }
                                output.store(s, [v], to + x, column);
                            }
                        }
                    }
                }
                from += stride;
            }
        }
    }
}
