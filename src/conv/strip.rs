//! Convolutions of few input channels, whose patches are read where they lie.
//!
//! A filter of 7x7 over 3 channels has its values under it in seven runs of 21, so gathering patches
//! would cost nearly as much as multiplying them. Here the lines of the image that a band of outputs
//! needs are copied once, with the zeros around them; in that strip the patches of a line are rows of
//! the product, a step of the filter apart and overlapping.

use super::ConvShape;
use super::im2col::copy_clipped;
use crate::gemm::{Epilogue, PackedB, Runs, gemm_runs};
use crate::numerics::KC;
use crate::runtime::{Scratch, Team};
use crate::simd::{Simd, SimdOp};
use std::ops::Range;

/// Floats of a strip: it shares the second-level cache with what is made of it.
const STRIP: usize = 16 * 1024;

/// Whether a convolution of `shape` can be computed from strips: its sum is one block.
pub(super) fn fits(shape: &ConvShape) -> bool {
    shape.kernel > 1 && (1..=KC).contains(&shape.k())
}

/// output = epilogue(convolution); sizes as in [`super::forward()`].
pub(super) fn forward(
    team: &mut Team,
    shape: &ConvShape,
    input: &[f32],
    filter: &PackedB,
    epilogue: &Epilogue,
    output: &mut [f32],
) {
    assert_eq!(output.len(), shape.output_len(), "output of {shape:?}");
    assert!(epilogue.residual.is_none_or(|r| r.len() == output.len()), "residual of {shape:?}");
    if output.is_empty() {
        return;
    }
    let (rows, line) = (shape.batch * shape.out_height(), output_line(shape));
    let tasks = rows.div_ceil(band(shape)).next_multiple_of(team.threads());
    let mut rows_a_task = rows.div_ceil(tasks);
    if let Some(after) = epilogue.after {
        // Twice as many rows are near enough.
        let whole = |&rows: &usize| (rows * shape.out_width()).is_multiple_of(after.unit());
        rows_a_task = (rows_a_task..2 * rows_a_task).find(whole).unwrap_or(rows_a_task);
    }
    team.for_each_chunk(output, rows_a_task * line, |task, output, scratch| {
        let first = task * rows_a_task;
        let rows = first..first + output.len() / line;
        let residual = epilogue.residual.map(|r| &r[rows.start * line..rows.end * line]);
        let of_rows = Epilogue { residual, after: None, ..*epilogue };
        forward_rows(shape, input, filter, rows, &of_rows, (&mut *output, &[]), scratch);
        if let Some(after) = epilogue.after {
            after.rows(first * shape.out_width(), output);
        }
    });
}

/// Rows of output that a strip is enough for.
fn band(shape: &ConvShape) -> usize {
    let lines = STRIP / strip_line(shape).max(1);
    (lines.saturating_sub(shape.kernel) / shape.stride + 1).min(shape.out_height())
}

/// Floats of a line of the strip: all patches of a row, side by side.
fn strip_line(shape: &ConvShape) -> usize {
    (shape.out_width().saturating_sub(1) * shape.stride + shape.kernel) * shape.in_channels
}

fn output_line(shape: &ConvShape) -> usize {
    shape.out_width() * shape.out_channels
}

/// The part of the forward pass that computes `rows` of the output, those of all images numbered
/// through, on the calling thread. `output` and the residual hold these rows only; `soon` is fetched meanwhile.
pub(super) fn forward_rows(
    shape: &ConvShape,
    input: &[f32],
    filter: &PackedB,
    rows: Range<usize>,
    epilogue: &Epilogue,
    (output, soon): (&mut [f32], &[f32]),
    mut scratch: Scratch,
) {
    assert_eq!(input.len(), shape.input_len(), "input of {shape:?}");
    let isa = filter.panels().expect("filters packed for our kernels").kernel.isa();
    let &ConvShape { kernel, stride, in_channels, .. } = shape;
    let (height, line, strip_line) = (shape.out_height(), output_line(shape), strip_line(shape));
    assert_eq!(output.len(), rows.len() * line, "output of {shape:?}");
    let mut row = rows.start;
    while row < rows.end {
        let (image, y) = (row / height, row % height);
        let count = band(shape).min(rows.end - row).min(height - y);
        let lines = (count - 1) * stride + kernel;
        let (strip, _) = scratch.take(lines * strip_line);
        isa.dispatch(Cut { shape, input, image, y, strip: &mut *strip });
        let next = after(shape, input, image, y * stride + lines, count * stride);
        for i in 0..count {
            let part = |all: &[f32]| all.len() * i / count..all.len() * (i + 1) / count;
            let a = Runs {
                values: &strip[i * stride * strip_line..],
                rows: shape.out_width(),
                stride: stride * in_channels,
                runs: kernel,
                run: kernel * in_channels,
                run_stride: strip_line,
                soon: [&next[part(next)], &soon[part(soon)]],
            };
            let at = (row - rows.start + i) * line;
            let residual = epilogue.residual.map(|r| &r[at..at + line]);
            let epilogue = Epilogue { residual, ..*epilogue };
            gemm_runs(&a, filter, &mut output[at..at + line], &epilogue);
        }
        row += count;
    }
}

/// `lines` lines of the input from line `y` of an image on, counted with the padding; fewer at the
/// end. The next image follows without any.
fn after<'a>(
    shape: &ConvShape,
    input: &'a [f32],
    image: usize,
    y: usize,
    lines: usize,
) -> &'a [f32] {
    let line = shape.width * shape.in_channels;
    let start = (image * shape.height + y).saturating_sub(shape.padding) * line;
    &input[start.min(input.len())..(start + lines * line).min(input.len())]
}

/// Copies to `strip` the lines of the input from those under row `y` of the output on, with zeros
/// around the image.
struct Cut<'a> {
    shape: &'a ConvShape,
    input: &'a [f32],
    image: usize,
    y: usize,
    strip: &'a mut [f32],
}

impl SimdOp for Cut<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let ConvShape { height, width, in_channels, stride, padding, .. } = *self.shape;
        let line_len = width * in_channels;
        let left = -((padding * in_channels) as isize);
        let lines = self.strip.chunks_exact_mut(strip_line(self.shape));
        for (i, line) in lines.enumerate() {
            let in_y = (self.y * stride + i).wrapping_sub(padding);
            if in_y >= height {
                line.fill(0.0);
            } else {
                let at = (self.image * height + in_y) * line_len;
                copy_clipped(s, &self.input[at..at + line_len], left, line);
            }
        }
    }
}
