//! What is not a convolution: the image as integers, pools, the padded shortcut.

use super::Finish;
use crate::ops::{HalfPool, PoolShape, ShortcutPad};
use crate::runtime::Team;
use crate::simd::{Isa, Simd, SimdOp};

/// 2²³: from there on the floats are the integers, so an addition rounds half to even.
const INTEGERS: f32 = 8_388_608.0;

/// `value` rounded half to even and cut to 0..=255; 0 if it is NaN.
#[inline(always)]
#[expect(clippy::manual_clamp, reason = "NaN is to become 0")]
fn to_u8(value: f32) -> u8 {
    (value.max(0.0).min(255.0) + INTEGERS).to_bits() as u8
}

/// Runs plain loops compiled for an instruction set.
struct Plain<F>(F);

impl<F: FnOnce()> SimdOp for Plain<F> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, _: S) {
        (self.0)();
    }
}

/// Values of an input that a task converts: those of a few lines of an image.
const CONVERTED: usize = 32 * 1024;

/// Pixels, `[.., channels]`, as integers: value · factor + offset of its channel.
///
/// # Panics
/// If a size does not fit.
pub fn quantize(
    team: &mut Team,
    isa: Isa,
    input: &[f32],
    (factor, offset): (&[f32], &[f32]),
    output: &mut [u8],
) {
    let channels = factor.len();
    assert!(offset.len() == channels && output.len() == input.len(), "sizes");
    // Some pixels at a time, so that vectors are full whatever the number of channels.
    const PIXELS: usize = 16;
    let [factor, offset] = [factor, offset].map(|values| values.repeat(PIXELS));
    let task = CONVERTED.next_multiple_of(channels * PIXELS);
    team.for_each_chunk(output, task, |i, output, _| {
        let input = &input[i * task..][..output.len()];
        isa.dispatch(Plain(
            #[inline(always)]
            || {
                let pixels = channels * PIXELS;
                for (output, input) in output.chunks_mut(pixels).zip(input.chunks(pixels)) {
                    let scale = factor.iter().zip(&offset);
                    for ((output, &x), (&factor, &offset)) in
                        output.iter_mut().zip(input).zip(scale)
                    {
                        *output = to_u8(x.mul_add(factor, offset));
                    }
                }
            },
        ));
    });
}

/// Real sums, `[.., channels]`, as u8, by what [`Finish`] says, plus a residual times its factor.
///
/// # Panics
/// If a size does not fit.
pub fn requantize(
    team: &mut Team,
    isa: Isa,
    sums: &[f32],
    finish: &Finish,
    residual: Option<(&[u8], f32)>,
    output: &mut [u8],
) {
    let channels = finish.columns();
    assert!(channels > 0 && sums.len() == output.len(), "sizes");
    assert!(residual.is_none_or(|(residual, _)| residual.len() == output.len()), "residual");
    let task = CONVERTED.next_multiple_of(channels);
    let (factor, shift) = finish.values();
    team.for_each_chunk(output, task, |i, output, _| {
        let part = i * task..i * task + output.len();
        let (sums, residual) = (&sums[part.clone()], residual.map(|(r, by)| (&r[part], by)));
        isa.dispatch(Plain(
            #[inline(always)]
            || {
                for (pixel, output) in output.chunks_exact_mut(channels).enumerate() {
                    let at = pixel * channels;
                    let sums = &sums[at..at + channels];
                    for (channel, output) in output.iter_mut().enumerate() {
                        let mut value = sums[channel].mul_add(factor[channel], shift[channel]);
                        if let Some((residual, by)) = residual {
                            value = f32::from(residual[at + channel]).mul_add(by, value);
                        }
                        *output = to_u8(value);
                    }
                }
            },
        ));
    });
}

/// Channels whose largest values are found together.
const TOGETHER: usize = 64;

/// The largest value of each window, by channel; windows are cut at the borders.
///
/// # Panics
/// If a size is not what `shape` says.
pub fn max_pool(team: &mut Team, isa: Isa, shape: &PoolShape, input: &[u8], output: &mut [u8]) {
    let &PoolShape { batch, height, width, channels, kernel, stride, padding } = shape;
    let (out_height, out_width) = (shape.out_height(), shape.out_width());
    assert_eq!(input.len(), batch * height * width * channels, "input of {shape:?}");
    assert_eq!(output.len(), batch * out_height * out_width * channels, "output of {shape:?}");
    if output.is_empty() {
        return;
    }
    let inside = |at: usize, size: usize| {
        let first = (at * stride).saturating_sub(padding);
        first..(at * stride + kernel - padding).min(size)
    };
    team.for_each_chunk(output, out_width * channels, |line, output, _| {
        let (image, y) = (line / out_height, line % out_height);
        isa.dispatch(Plain(
            #[inline(always)]
            || {
                let rows = inside(y, height).map(|y| (image * height + y) * width);
                for (x, output) in output.chunks_exact_mut(channels).enumerate() {
                    let columns = inside(x, width);
                    for (part, output) in output.chunks_mut(TOGETHER).enumerate() {
                        // An array of this size stays in registers.
                        let mut most = [0; TOGETHER];
                        for row in rows.clone() {
                            for x in columns.clone() {
                                let at = (row + x) * channels + part * TOGETHER;
                                for (most, &value) in
                                    most.iter_mut().zip(&input[at..][..output.len()])
                                {
                                    *most = (*most).max(value);
                                }
                            }
                        }
                        output.copy_from_slice(&most[..output.len()]);
                    }
                }
            },
        ));
    });
}

/// Sums over all `pixels` of each image and channel, times `factor`.
///
/// # Panics
/// If a size does not fit.
pub fn global_avg_pool(
    team: &mut Team,
    isa: Isa,
    [pixels, channels]: [usize; 2],
    input: &[u8],
    factor: f32,
    output: &mut [u8],
) {
    assert_eq!(Some(input.len()), output.len().checked_mul(pixels), "sizes");
    team.for_each_chunk(output, channels.max(1), |image, output, mut scratch| {
        let input = &input[image * pixels * channels..][..pixels * channels];
        let (sums, _) = scratch.take(channels);
        let sums: &mut [u32] = bytemuck::cast_slice_mut(sums);
        isa.dispatch(Plain(
            #[inline(always)]
            || {
                sums.fill(0);
                for pixel in input.chunks_exact(channels) {
                    for (sum, &value) in sums.iter_mut().zip(pixel) {
                        *sum += u32::from(value);
                    }
                }
                for (output, &sum) in output.iter_mut().zip(&*sums) {
                    *output = to_u8(sum as f32 * factor);
                }
            },
        ));
    });
}

/// The mean of 2x2 pixels, or of those that there are at an odd side's end.
///
/// # Panics
/// If a size is not what `shape` says.
pub fn half_pool(team: &mut Team, isa: Isa, shape: &HalfPool, input: &[u8], output: &mut [u8]) {
    let &HalfPool { batch, height, width, channels } = shape;
    let (out_height, out_width) = (shape.out_height(), shape.out_width());
    assert_eq!(input.len(), batch * height * width * channels, "input of {shape:?}");
    assert_eq!(output.len(), batch * out_height * out_width * channels, "output of {shape:?}");
    if output.is_empty() {
        return;
    }
    team.for_each_chunk(output, out_width * channels, |line, output, _| {
        let (image, y) = (line / out_height, line % out_height);
        let rows = (2 * y..height.min(2 * y + 2)).map(|y| (image * height + y) * width);
        isa.dispatch(Plain(
            #[inline(always)]
            || {
                for (x, output) in output.chunks_exact_mut(channels).enumerate() {
                    let columns = 2 * x..width.min(2 * x + 2);
                    let share = 1.0 / (rows.len() * columns.len()) as f32;
                    for (channel, output) in output.iter_mut().enumerate() {
                        let mut sum = 0;
                        for row in rows.clone() {
                            for x in columns.clone() {
                                sum += u32::from(input[(row + x) * channels + channel]);
                            }
                        }
                        *output = to_u8(sum as f32 * share);
                    }
                }
            },
        ));
    });
}

/// Every `stride`-th pixel, between channels of zeros.
///
/// # Panics
/// If a size is not what `shape` says.
pub fn shortcut_pad(team: &mut Team, shape: &ShortcutPad, input: &[u8], output: &mut [u8]) {
    let &ShortcutPad { batch, height, width, channels, stride, before, .. } = shape;
    let (out_height, out_width) = (shape.out_height(), shape.out_width());
    let out_channels = shape.out_channels();
    assert_eq!(input.len(), batch * height * width * channels, "input of {shape:?}");
    assert_eq!(output.len(), batch * out_height * out_width * out_channels, "output of {shape:?}");
    if output.is_empty() {
        return;
    }
    team.for_each_chunk(output, out_width * out_channels, |line, output, _| {
        let (image, y) = (line / out_height, line % out_height);
        let line = (image * height + y * stride) * width;
        output.fill(0);
        for (x, output) in output.chunks_exact_mut(out_channels).enumerate() {
            let input = &input[(line + x * stride) * channels..][..channels];
            output[before..before + channels].copy_from_slice(input);
        }
    });
}
