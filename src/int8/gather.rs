//! Patches of an image for the product: lines with their padding, or whole patches side by side.

use super::kernels::GROUP;
use crate::conv::ConvShape;

/// What pads an image: a value a channel; none are zeros.
#[derive(Clone, Copy)]
pub(super) struct Padding<'a>(pub(super) &'a [u8]);

impl Padding<'_> {
    /// Fills whole pixels.
    fn fill(self, pixels: &mut [u8]) {
        match self.0 {
            [] => pixels.fill(0),
            values => pixels.chunks_exact_mut(values.len()).for_each(|p| p.copy_from_slice(values)),
        }
    }

    /// Copies the pixels of `line` from pixel `at` on to `dst`, with padding for what lies outside of the line.
    fn copy(self, line: &[u8], at: isize, channels: usize, dst: &mut [u8]) {
        let [width, pixels] = [line.len(), dst.len()].map(|len| (len / channels) as isize);
        let before = (-at).clamp(0, pixels);
        let end = (width - at).clamp(before, pixels);
        let (left, rest) = dst.split_at_mut(before as usize * channels);
        let (inside, right) = rest.split_at_mut((end - before) as usize * channels);
        self.fill(left);
        self.fill(right);
        if !inside.is_empty() {
            inside.copy_from_slice(&line[(at + before) as usize * channels..][..inside.len()]);
        }
    }
}

/// Bytes of a line of a strip: all patches of a row of the output, side by side and overlapping.
pub(super) fn strip_line(shape: &ConvShape) -> usize {
    (shape.out_width().saturating_sub(1) * shape.stride + shape.kernel) * shape.in_channels
}

/// Copies to `strip` the lines of an image of `input` that the filter sees from row `y` of the output on, with the
/// padding around them.
pub(super) fn strip(
    shape: &ConvShape,
    input: &[u8],
    padding: Padding,
    [image, y]: [usize; 2],
    strip: &mut [u8],
) {
    let line_len = shape.width * shape.in_channels;
    for (i, to) in strip.chunks_exact_mut(strip_line(shape)).enumerate() {
        let in_y = (y * shape.stride + i).wrapping_sub(shape.padding);
        if in_y >= shape.height {
            padding.fill(to);
            continue;
        }
        let line = &input[(image * shape.height + in_y) * line_len..][..line_len];
        padding.copy(line, -(shape.padding as isize), shape.in_channels, to);
    }
}

/// Bytes of a gathered patch: the rows of the filter, each in whole groups.
pub(super) fn patch_len(shape: &ConvShape) -> usize {
    shape.kernel * run_len(shape)
}

/// Bytes of a row of the filter in whole groups.
pub(super) fn run_len(shape: &ConvShape) -> usize {
    (shape.kernel * shape.in_channels).next_multiple_of(GROUP)
}

/// Copies the patches of output pixels `first` and on, those of all images numbered through, to `patches`,
/// each [`patch_len`] long.
pub(super) fn gather(
    shape: &ConvShape,
    input: &[u8],
    padding: Padding,
    first: usize,
    patches: &mut [u8],
) {
    let (width, line_len) = (shape.out_width(), shape.width * shape.in_channels);
    let run = shape.kernel * shape.in_channels;
    let (mut x, row) = (first % width, first / width);
    let (mut y, mut image) = (row % shape.out_height(), row / shape.out_height());
    for patch in patches.chunks_exact_mut(patch_len(shape)) {
        let left = (x * shape.stride) as isize - shape.padding as isize;
        for (ky, to) in patch.chunks_exact_mut(run_len(shape)).enumerate() {
            let (to, rest) = to.split_at_mut(run);
            rest.fill(0);
            let in_y = (y * shape.stride + ky).wrapping_sub(shape.padding);
            if in_y >= shape.height {
                padding.fill(to);
                continue;
            }
            let line = &input[(image * shape.height + in_y) * line_len..][..line_len];
            padding.copy(line, left, shape.in_channels, to);
        }
        x += 1;
        if x == width {
            (x, y) = (0, y + 1);
            if y == shape.out_height() {
                (y, image) = (0, image + 1);
            }
        }
    }
}
