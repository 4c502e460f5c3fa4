//! The definition of the convolution: plain loops.

use super::finish::Finish;
use crate::conv::ConvShape;

/// The exact sums, `[batch, out_height, out_width, out_channels]`, of `input`, NHWC, with
/// `padding` by channel (none for zeros), and `weights`, `[out, in, kernel, kernel]`.
pub fn sums(shape: &ConvShape, input: &[u8], padding: &[u8], weights: &[i8]) -> Vec<i64> {
    let &ConvShape { height, width, in_channels, kernel, stride, .. } = shape;
    let mut sums = Vec::with_capacity(shape.output_len());
    for row in 0..shape.rows() {
        let (x, y) = (row % shape.out_width(), row / shape.out_width() % shape.out_height());
        let image = row / shape.out_width() / shape.out_height();
        for filter in weights.chunks_exact(shape.k()) {
            let mut sum = 0;
            for (at, &weight) in filter.iter().enumerate() {
                let (channel, tap) = (at / (kernel * kernel), at % (kernel * kernel));
                let in_y = (y * stride + tap / kernel).wrapping_sub(shape.padding);
                let in_x = (x * stride + tap % kernel).wrapping_sub(shape.padding);
                let value = if in_y < height && in_x < width {
                    input[((image * height + in_y) * width + in_x) * in_channels + channel]
                } else {
                    padding.get(channel).copied().unwrap_or(0)
                };
                sum += i64::from(value) * i64::from(weight);
            }
            sums.push(sum);
        }
    }
    sums
}

/// What [`Finish`] makes of `sums`, before rounding; `residual` with its factor is added.
pub fn finished(sums: &[i64], finish: &Finish, residual: Option<(&[u8], f32)>) -> Vec<f32> {
    let (factor, shift) = finish.values();
    let finished = sums.iter().enumerate().map(|(i, &sum)| {
        let column = i % finish.columns();
        let value = (sum as i32 as f32).mul_add(factor[column], shift[column]);
        residual.map_or(value, |(residual, factor)| f32::from(residual[i]).mul_add(factor, value))
    });
    finished.collect()
}

/// Rounded half to even and cut to 0..=255.
pub fn rounded(values: &[f32]) -> Vec<u8> {
    values.iter().map(|value| value.round_ties_even().clamp(0.0, 255.0) as u8).collect()
}
