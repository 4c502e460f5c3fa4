//! The patches under the filter as the rows of a matrix that exists only panel by panel.

use super::ConvShape;
use crate::gemm::ASource;

/// The left operand of a convolution: row (image, y, x), column (ky, kx, channel).
#[derive(Clone, Copy)]
pub struct Im2col<'a> {
    input: &'a [f32],
    shape: ConvShape,
}

impl<'a> Im2col<'a> {
    /// The patches of `input`, NHWC.
    ///
    /// # Panics
    /// If `input` has another size than `shape` says.
    pub fn new(input: &'a [f32], shape: ConvShape) -> Self {
        assert_eq!(input.len(), shape.input_len(), "input of {shape:?}");
        Self { input, shape }
    }
}

impl ASource for Im2col<'_> {
    fn rows(&self) -> usize {
        self.shape.rows()
    }

    fn k(&self) -> usize {
        self.shape.k()
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
        let s = &self.shape;
        let (out_width, out_height) = (s.out_width(), s.out_height());
        // In NHWC the values under one row of the filter lie side by side: a patch is `kernel` runs.
        let run = s.kernel * s.in_channels;
        let width = (s.width * s.in_channels) as isize;
        let (mut x, y) = (row % out_width, row / out_width);
        let (mut y, mut image) = (y % out_height, y / out_height);
        for dst in dst.chunks_mut(stride).take(rows) {
            let left = ((x * s.stride) as isize - s.padding as isize) * s.in_channels as isize;
            let mut done = 0;
            while done < steps {
                let (ky, from) = ((k + done) / run, (k + done) % run);
                let len = (run - from).min(steps - done);
                let dst = &mut dst[done..done + len];
                done += len;
                let in_y = (y * s.stride + ky).wrapping_sub(s.padding);
                if in_y >= s.height {
                    dst.fill(0.0);
                    continue;
                }
                let line = &self.input[(image * s.height + in_y) * s.width * s.in_channels..]
                    [..width as usize];
                let at = left + from as isize;
                if at >= 0 && at + len as isize <= width {
                    dst.copy_from_slice(&line[at as usize..][..len]);
                } else {
                    // The patch hangs over an edge: zeros, what there is of the picture, zeros.
                    let before = (-at).clamp(0, len as isize) as usize;
                    let end = (width - at).clamp(before as isize, len as isize) as usize;
                    let from = at + before as isize;
                    dst[..before].fill(0.0);
                    if before < end {
                        dst[before..end].copy_from_slice(&line[from as usize..][..end - before]);
                    }
                    dst[end..].fill(0.0);
                }
            }
            x += 1;
            if x == out_width {
                (x, y) = (0, y + 1);
                if y == out_height {
                    (y, image) = (0, image + 1);
                }
            }
        }
    }
}
