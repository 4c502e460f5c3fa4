//! From pixels to tiles in the transformed domain and back, a row of tiles at a time.

use super::scheme::Scheme;
use crate::conv::ConvShape;
use crate::gemm::{Epilogue, panel_stride};
use crate::simd::{Simd, SimdOp};
use std::array::from_fn;
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

    /// Floats from tile to tile of one frequency of the input.
    pub(super) fn input_stride(&self) -> usize {
        panel_stride(self.shape.in_channels)
    }

    /// Floats from tile to tile of one frequency of the output.
    pub(super) fn output_stride(&self) -> usize {
        panel_stride(self.shape.out_channels)
    }

    /// The first row of output pixels, all images one below the other, of row `row` of tiles.
    pub(super) fn first_pixel_row(&self, row: usize) -> usize {
        row / self.down * self.shape.out_height() + row % self.down * M
    }

    /// Pixels from side to side of the strip of input that a row of tiles covers.
    fn strip_width(&self) -> usize {
        self.across * M + T - M
    }

    /// Floats of that strip.
    pub(super) fn strip_len(&self) -> usize {
        T * self.strip_width() * self.shape.in_channels
    }

    /// Copies to `strip` the input that row `row` of tiles covers, with zeros around the image.
    fn cut_strip<S: Simd>(&self, s: S, row: usize, input: &[f32], strip: &mut [f32]) {
        let ConvShape { height, width, in_channels, padding, .. } = self.shape;
        let (image, top) = (row / self.down, row % self.down * M);
        let line_len = width * in_channels;
        let left = padding * in_channels;
        for (y, line) in strip.chunks_exact_mut(self.strip_width() * in_channels).enumerate() {
            let y = (top + y).wrapping_sub(padding);
            if y >= height {
                line.fill(0.0);
                continue;
            }
            let inside = line_len.min(line.len() - left);
            line[..left].fill(0.0);
            line[left + inside..].fill(0.0);
            let from = &input[(image * height + y) * line_len..];
            s.copy(&from[..inside], &mut line[left..left + inside]);
        }
    }
}

/// Transforms rows of tiles of the input: `values` is `[frequency][tile][input_stride]`.
pub(super) struct ToTiles<'a, const M: usize, const T: usize, P> {
    pub(super) grid: &'a Grid<M, T>,
    pub(super) rows: Range<usize>,
    pub(super) input: &'a [f32],
    pub(super) strip: &'a mut [f32],
    pub(super) values: &'a mut [f32],
    pub(super) scheme: PhantomData<P>,
}

impl<const M: usize, const T: usize, P: Scheme<M, T>> SimdOp for ToTiles<'_, M, T, P> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let Self { grid, rows, input, strip, values, .. } = self;
        let channels = grid.shape.in_channels;
        let line = grid.strip_width() * channels;
        let stride = grid.input_stride();
        let frequency = rows.len() * grid.across * stride;
        let mut to = 0;
        for row in rows {
            grid.cut_strip(s, row, input, strip);
            for tile in 0..grid.across {
                for channel in (0..channels).step_by(S::LANES) {
                    let from = tile * M * channels + channel;
                    let columns: [[S::V; T]; T] = from_fn(|x| {
                        let at = x * channels + from;
                        P::input(s, from_fn(|y| s.load(&strip[y * line + at..][..S::LANES])))
                    });
                    let row = |y: usize| from_fn(|x| columns[x][y]);
                    for y in 0..T {
                        let row = P::input(s, row(y));
                        for (x, &v) in row.iter().enumerate() {
                            let at = (y * T + x) * frequency + to + channel;
                            s.store(v, &mut values[at..][..S::LANES]);
                        }
                    }
                }
                to += stride;
            }
        }
    }
}

/// Transforms rows of tiles back: `values` is `[frequency][tile][output_stride]`, `output` the pixels
/// of these rows alone, `epilogue` that of the whole output.
pub(super) struct FromTiles<'a, const M: usize, const T: usize, P> {
    pub(super) grid: &'a Grid<M, T>,
    pub(super) rows: Range<usize>,
    pub(super) values: &'a [f32],
    pub(super) epilogue: &'a Epilogue<'a>,
    pub(super) output: &'a mut [f32],
    pub(super) scheme: PhantomData<P>,
}

impl<const M: usize, const T: usize, P: Scheme<M, T>> SimdOp for FromTiles<'_, M, T, P> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let Self { grid, rows, values, epilogue, output, .. } = self;
        let (channels, stride) = (grid.shape.out_channels, grid.output_stride());
        let (height, width) = (grid.shape.out_height(), grid.shape.out_width());
        let frequency = rows.len() * grid.across * stride;
        let first = grid.first_pixel_row(rows.start);
        let zero = s.splat(0.0);
        let mut from = 0;
        for row in rows {
            let pixel_row = grid.first_pixel_row(row);
            let lines = M.min(height - row % grid.down * M);
            for tile in 0..grid.across {
                let pixels = M.min(width - tile * M);
                for channel in (0..channels).step_by(S::LANES) {
                    let columns: [[S::V; M]; T] = from_fn(|x| {
                        let at = x * frequency + from + channel;
                        P::output(
                            s,
                            from_fn(|y| s.load(&values[y * T * frequency + at..][..S::LANES])),
                        )
                    });
                    let bias =
                        epilogue.bias.map_or(zero, |bias| s.load(&bias[channel..][..S::LANES]));
                    let row = |y: usize| from_fn(|x| columns[x][y]);
                    for y in 0..lines {
                        let row = P::output(s, row(y));
                        let at = ((pixel_row + y) * width + tile * M) * channels + channel;
                        for (x, &v) in row[..pixels].iter().enumerate() {
                            let at = at + x * channels;
                            let mut v = s.add(v, bias);
                            if let Some(residual) = epilogue.residual {
                                v = s.add(v, s.load(&residual[at..][..S::LANES]));
                            }
                            if epilogue.relu {
                                v = s.max(zero, v);
                            }
                            let at = at - first * width * channels;
                            s.store(v, &mut output[at..][..S::LANES]);
                        }
                    }
                }
                from += stride;
            }
        }
    }
}
