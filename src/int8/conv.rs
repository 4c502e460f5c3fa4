//! The forward pass of a convolution: how its product is cut into tasks, blocks and tiles.
//!
//! Nothing here changes a result: the sums are exact.

use super::Filter;
use super::finish::{Finish, Output};
use super::gather::{Padding, gather, patch_len, run_len, strip, strip_line};
use super::kernels::{GROUP, Target, Tile};
use crate::conv::ConvShape;
use crate::runtime::{Scratch, Team};
use std::ops::Range;
use std::ptr;

/// Bytes of the left operand that stay in a second-level cache while the panels of filters pass by.
const A_BLOCK: usize = 192 * 1024;
/// Bytes of filters that stay in a first-level cache while the rows pass by.
const B_IN_FIRST_LEVEL: usize = 20 * 1024;
/// Pixels of a row of the output from which its patches are read where they lie in a strip. Narrower rows
/// would make flat tiles.
const WIDE: usize = 10;
/// Multiply-adds below which a second thread is not worth it.
const SMALL: usize = 256 * 1024;

/// output = finish(convolution of `input` with `filter`).
///
/// `input` is `[batch, height, width, in_channels]`; `padding` has a value a channel, or none for zeros.
///
/// # Panics
/// If a size is not what `shape` says.
pub fn forward(
    team: &mut Team,
    shape: &ConvShape,
    input: &[u8],
    padding: &[u8],
    filter: &Filter,
    finish: &Finish,
    output: Output,
) {
    filter.check(shape);
    assert_eq!(input.len(), shape.input_len(), "input of {shape:?}");
    assert!(padding.is_empty() || padding.len() == shape.in_channels, "a padding a channel");
    assert_eq!(output.len(), shape.output_len(), "output of {shape:?}");
    assert_eq!(finish.columns(), shape.out_channels, "a factor a channel");
    if shape.output_len() == 0 {
        return;
    }
    let place = Place::of(shape);
    let images = Images { shape, place, input, padding: Padding(padding) };
    let target = match output {
        Output::F32(values) => Target::F32(values.as_mut_ptr()),
        Output::U8 { values, residual } => Target::U8 {
            values: values.as_mut_ptr(),
            residual: residual.map_or(ptr::null(), |(residual, _)| residual.as_ptr()),
            residual_factor: residual.map_or(0.0, |(_, factor)| factor),
        },
    };
    let product = Product { filter, finish, target };
    let threads = if shape.macs() < SMALL { 1 } else { team.threads() };
    // Lines of the output, or pixels.
    let (units, unit) = match place {
        Place::Strip | Place::Line => (shape.batch * shape.out_height(), shape.out_width()),
        Place::Matrix | Place::Gathered => (shape.rows(), 1),
    };
    let panels = filter.count();
    let [down, across] = tasks(shape, filter, units * unit, threads).map(|n| n.max(1));
    let down = down.min(units);
    let task = |t: usize, scratch: Scratch| {
        let cut = |total: usize, parts: usize, i: usize| total * i / parts..total * (i + 1) / parts;
        let (units, panels) = (cut(units, down, t / across), cut(panels, across, t % across));
        // SAFETY: tasks have different units or panels, so they share no value of the output.
        unsafe { product.units(&images, units, panels, scratch) }
    };
    if threads == 1 {
        let mut scratch = team.scratch();
        (0..down * across).for_each(|t| task(t, scratch.reborrow()));
    } else {
        team.for_each(down * across, task);
    }
}

/// Tasks down the rows of the output and across its columns, for `rows` pixels.
fn tasks(shape: &ConvShape, filter: &Filter, rows: usize, threads: usize) -> [usize; 2] {
    if threads == 1 {
        return [1, 1];
    }
    let most = (rows / (3 * filter.kernel.mr)).clamp(1, 4 * threads);
    // Whoever has all columns reads all filters; whoever has all rows, the whole input.
    let filters_are_larger = shape.weight_len() > shape.input_len();
    if filters_are_larger && filter.count() >= threads || most < threads {
        let across = threads.min(filter.count());
        return [threads.div_ceil(across).min(most), across];
    }
    [most / threads * threads, 1]
}

/// Where the rows of the left operand are.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// The pixels as they lie in memory are the rows.
    Matrix,
    /// Pixels of a line of the input, some steps apart.
    Line,
    /// In lines that are copied with their padding.
    Strip,
    /// In patches that are copied.
    Gathered,
}

impl Place {
    fn of(shape: &ConvShape) -> Self {
        let in_place = shape.in_channels.is_multiple_of(GROUP);
        match shape.out_width() >= WIDE {
            _ if in_place && shape.is_product() => Self::Matrix,
            true if in_place && (shape.kernel, shape.padding) == (1, 0) => Self::Line,
            true => Self::Strip,
            false => Self::Gathered,
        }
    }
}

/// What is convolved.
struct Images<'a> {
    shape: &'a ConvShape,
    place: Place,
    input: &'a [u8],
    padding: Padding<'a>,
}

/// A part of the left operand: some segments of rows.
struct Rows<'a> {
    values: &'a [u8],
    /// Bytes from row to row, from run to run, and from segment to segment.
    stride: usize,
    run: usize,
    segment: usize,
    segments: usize,
    /// Rows of a segment.
    rows: usize,
    /// The output's row that the first one belongs to; the others follow.
    first: usize,
}

struct Product<'a> {
    filter: &'a Filter,
    finish: &'a Finish,
    target: Target,
}

// SAFETY: tasks write through the target to different values only, see `forward`.
unsafe impl Sync for Product<'_> {}

impl Product<'_> {
    /// Computes some lines of the output, or some pixels, and of their columns those of `panels`.
    ///
    /// # Safety
    /// Nothing else may touch these values of the output, or change the residual's, meanwhile.
    unsafe fn units(
        &self,
        images: &Images,
        units: Range<usize>,
        panels: Range<usize>,
        mut scratch: Scratch,
    ) {
        let &Images { shape, place, input, padding } = images;
        let &ConvShape { height, width, in_channels, stride, kernel, .. } = shape;
        let (out_height, out_width) = (shape.out_height(), shape.out_width());
        let line = strip_line(shape);
        let mut unit = units.start;
        while unit < units.end {
            let left = units.end - unit;
            // Lines of one image.
            let lines = left.min(out_height - unit % out_height);
            let (image, y) = (unit / out_height, unit % out_height);
            let (rows, count) = match place {
                Place::Matrix => {
                    let count = (A_BLOCK / in_channels.max(1)).max(self.filter.kernel.mr).min(left);
                    let values = &input[unit * in_channels..][..count * in_channels];
                    let rows = Rows {
                        values,
                        stride: in_channels,
                        run: 0,
                        segment: 0,
                        segments: 1,
                        rows: count,
                        first: unit,
                    };
                    (rows, count)
                }
                Place::Gathered => {
                    let len = patch_len(shape);
                    let count = (A_BLOCK / len).max(self.filter.kernel.mr).min(left);
                    let (patches, _) = scratch.take((count * len).div_ceil(GROUP));
                    let patches: &mut [u8] = &mut bytemuck::cast_slice_mut(patches)[..count * len];
                    gather(shape, input, padding, unit, patches);
                    let rows = Rows {
                        values: patches,
                        stride: len,
                        run: run_len(shape),
                        segment: 0,
                        segments: 1,
                        rows: count,
                        first: unit,
                    };
                    (rows, count)
                }
                Place::Line => {
                    let line = width * in_channels;
                    let count = (A_BLOCK / (line * stride).max(1)).clamp(1, lines);
                    let rows = Rows {
                        values: &input[(image * height + y * stride) * line..],
                        stride: stride * in_channels,
                        run: 0,
                        segment: stride * line,
                        segments: count,
                        rows: out_width,
                        first: unit * out_width,
                    };
                    (rows, count)
                }
                Place::Strip => {
                    let count = (A_BLOCK / (line * stride).max(1)).clamp(1, lines);
                    let len = ((count - 1) * stride + kernel) * line;
                    // The last group of a row of the filter may end beyond the last line.
                    let (buffer, _) = scratch.take(len.div_ceil(GROUP) + 1);
                    let buffer: &mut [u8] = bytemuck::cast_slice_mut(buffer);
                    strip(shape, input, padding, [image, y], &mut buffer[..len]);
                    let rows = Rows {
                        values: buffer,
                        stride: stride * in_channels,
                        run: line,
                        segment: stride * line,
                        segments: count,
                        rows: out_width,
                        first: unit * out_width,
                    };
                    (rows, count)
                }
            };
            // SAFETY: the caller's promise.
            unsafe { self.multiply(&rows, panels.clone()) };
            unit += count;
        }
    }

    /// Multiplies `a` by the filters of `panels`.
    ///
    /// # Safety
    /// As [`units`](Self::units).
    unsafe fn multiply(&self, a: &Rows, panels: Range<usize>) {
        let filter = self.filter;
        let places = [
            (a.segments - 1, a.segment),
            (a.rows - 1, a.stride),
            (filter.runs() - 1, a.run),
            (filter.groups, GROUP),
        ];
        let end = places.into_iter().try_fold(0, |sum: usize, (steps, distance)| {
            steps.checked_mul(distance).and_then(|way| sum.checked_add(way))
        });
        assert!(end.is_some_and(|end| end <= a.values.len()), "size of A");
        // Tiles of even height.
        let tiles = a.rows.div_ceil(filter.kernel.mr);
        let cut = |t: usize| a.rows * t / tiles..a.rows * (t + 1) / tiles;
        let near = filter.panel(panels.start).0.as_ptr();
        if panels.len() * filter.panel_len() <= B_IN_FIRST_LEVEL {
            for segment in 0..a.segments {
                for t in 0..tiles {
                    for panel in panels.clone() {
                        // SAFETY: the caller's promise.
                        unsafe { self.tile(a, segment, cut(t), panel, (near, 0)) };
                    }
                }
            }
            return;
        }
        // The tiles of a panel together fetch the next one.
        let steps = filter.runs() * filter.groups;
        let share = filter.panel_len().div_ceil(a.segments * tiles);
        let fetch_step = share.div_ceil(steps).next_multiple_of(16);
        for panel in panels.clone() {
            let next = filter.panel(panel).0.as_ptr().wrapping_add(filter.panel_len());
            for segment in 0..a.segments {
                for t in 0..tiles {
                    let fetch = match panel + 1 < panels.end {
                        true => (next.wrapping_add((segment * tiles + t) * share), fetch_step),
                        false => (near, 0),
                    };
                    // SAFETY: the caller's promise.
                    unsafe { self.tile(a, segment, cut(t), panel, fetch) };
                }
            }
        }
    }

    /// Computes some rows of a segment times `panel`, and fetches something meanwhile.
    ///
    /// # Safety
    /// `a` must have been checked by [`multiply`](Self::multiply), and as there.
    unsafe fn tile(
        &self,
        a: &Rows,
        segment: usize,
        rows: Range<usize>,
        panel: usize,
        (fetch, fetch_step): (*const i8, usize),
    ) {
        let Self { filter, finish, target } = self;
        let (b, columns) = filter.panel(panel);
        let column = panel * filter.kernel.nr;
        let stride = filter.columns();
        let at = (a.first + segment * a.rows + rows.start) * stride + column;
        let (factor, shift) = finish.values();
        let target = match *target {
            Target::F32(values) => Target::F32(values.wrapping_add(at)),
            Target::U8 { values, residual, residual_factor } => Target::U8 {
                values: values.wrapping_add(at),
                residual: if residual.is_null() { residual } else { residual.wrapping_add(at) },
                residual_factor,
            },
        };
        // SAFETY: A was checked; B has the panel's vectors for all groups; factors, shifts and corrections
        // are filled up to whole vectors; the rows and columns are in the output, whose size was checked.
        unsafe {
            filter.kernel.run(
                rows.len(),
                &Tile {
                    a: a.values.as_ptr().add(segment * a.segment + rows.start * a.stride),
                    a_stride: a.stride,
                    runs: filter.runs(),
                    groups: filter.groups,
                    a_run: a.run,
                    b: b.as_ptr(),
                    columns,
                    correction: filter.corrections[column..].as_ptr(),
                    factor: factor[column..].as_ptr(),
                    shift: shift[column..].as_ptr(),
                    target,
                    stride,
                    fetch,
                    fetch_step,
                },
            );
        }
    }
}
