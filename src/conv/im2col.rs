//! The patches under the filter as the rows of a matrix that exists only panel by panel.

use super::ConvShape;
use super::parity::ParityClass;
use crate::gemm::ASource;

/// The left operand of a convolution: row (image, y, x), column (ky, kx, channel).
///
/// More general than a [`ConvShape`]: the filter may be a rectangle and the first patch may begin
/// anywhere, as the parity classes of a strided convolution's gradient need.
#[derive(Clone, Copy)]
pub struct Im2col<'a> {
    input: &'a [f32],
    batch: usize,
    /// Height and width of the input, in pixels.
    size: (usize, usize),
    channels: usize,
    /// Height and width of the filter, in pixels.
    kernel: (usize, usize),
    stride: usize,
    /// Row and column of the input where the first patch begins.
    origin: (isize, isize),
    /// Patches down and across.
    patches: (usize, usize),
}

impl<'a> Im2col<'a> {
    /// The patches of `input`, NHWC, that a forward convolution multiplies.
    ///
    /// # Panics
    /// If `input` has another size than `shape` says.
    pub fn new(input: &'a [f32], shape: &ConvShape) -> Self {
        assert_eq!(input.len(), shape.input_len(), "input of {shape:?}");
        let origin = -(shape.padding as isize);
        Self {
            input,
            batch: shape.batch,
            size: (shape.height, shape.width),
            channels: shape.in_channels,
            kernel: (shape.kernel, shape.kernel),
            stride: shape.stride,
            origin: (origin, origin),
            patches: (shape.out_height(), shape.out_width()),
        }
    }

    /// The patches of `gradient`, the output's, NHWC, whose products with the taps of `class` are the
    /// gradients of the input's pixels of that class.
    ///
    /// # Panics
    /// If `gradient` has another size than `shape` says.
    pub(super) fn of_gradient(gradient: &'a [f32], shape: &ConvShape, class: &ParityClass) -> Self {
        assert_eq!(gradient.len(), shape.output_len(), "gradient of {shape:?}");
        let (y, x) = (&class.y, &class.x);
        Self {
            input: gradient,
            batch: shape.batch,
            size: (shape.out_height(), shape.out_width()),
            channels: shape.out_channels,
            kernel: (y.taps, x.taps),
            stride: 1,
            origin: (y.origin, x.origin),
            patches: (y.pixels, x.pixels),
        }
    }
}

impl ASource for Im2col<'_> {
    fn rows(&self) -> usize {
        self.batch * self.patches.0 * self.patches.1
    }

    fn k(&self) -> usize {
        self.kernel.0 * self.kernel.1 * self.channels
    }

    fn pack(
        &self,
        row: usize,
        rows: usize,
        k: usize,
        steps: usize,
        dst: &mut [f32],
        stride: usize,
    ) {
        let (height, width) = self.size;
        let (down, across) = self.patches;
        // In NHWC the values under one row of the filter lie side by side: a patch is `kernel` runs.
        let run = self.kernel.1 * self.channels;
        let line_len = width * self.channels;
        let (mut x, y) = (row % across, row / across);
        let (mut y, mut image) = (y % down, y / down);
        for dst in dst.chunks_mut(stride).take(rows) {
            let left = ((x * self.stride) as isize + self.origin.1) * self.channels as isize;
            let top = (y * self.stride) as isize + self.origin.0;
            let mut done = 0;
            while done < steps {
                let (ky, from) = ((k + done) / run, (k + done) % run);
                let len = (run - from).min(steps - done);
                let dst = &mut dst[done..done + len];
                done += len;
                let in_y = top + ky as isize;
                if in_y < 0 || in_y >= height as isize {
                    dst.fill(0.0);
                    continue;
                }
                let line = &self.input[(image * height + in_y as usize) * line_len..][..line_len];
                let at = left + from as isize;
                if at >= 0 && at + len as isize <= line_len as isize {
                    dst.copy_from_slice(&line[at as usize..][..len]);
                } else {
                    // The patch hangs over an edge: zeros, what there is of the picture, zeros.
                    let before = (-at).clamp(0, len as isize) as usize;
                    let end =
                        (line_len as isize - at).clamp(before as isize, len as isize) as usize;
                    let from = at + before as isize;
                    dst[..before].fill(0.0);
                    if before < end {
                        dst[before..end].copy_from_slice(&line[from as usize..][..end - before]);
                    }
                    dst[end..].fill(0.0);
                }
            }
            x += 1;
            if x == across {
                (x, y) = (0, y + 1);
                if y == down {
                    (y, image) = (0, image + 1);
                }
            }
        }
    }
}
