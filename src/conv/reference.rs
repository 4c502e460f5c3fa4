//! The definition: what [`forward`](super::forward()) computes, as plain loops in f64.

use super::ConvShape;
use crate::gemm::Epilogue;

/// The output, NHWC, of `input` (NHWC) and `weights` (`[out, in, kernel, kernel]`), with the epilogue.
pub fn forward(shape: &ConvShape, input: &[f32], weights: &[f32], epilogue: &Epilogue) -> Vec<f64> {
    let s = shape;
    let mut output = Vec::with_capacity(s.output_len());
    for image in 0..s.batch {
        for y in 0..s.out_height() {
            for x in 0..s.out_width() {
                for out in 0..s.out_channels {
                    let mut sum = 0.0;
                    for ky in 0..s.kernel {
                        for kx in 0..s.kernel {
                            let in_y = (y * s.stride + ky).wrapping_sub(s.padding);
                            let in_x = (x * s.stride + kx).wrapping_sub(s.padding);
                            if in_y >= s.height || in_x >= s.width {
                                continue;
                            }
                            for c in 0..s.in_channels {
                                let pixel = (image * s.height + in_y) * s.width + in_x;
                                let value = input[pixel * s.in_channels + c];
                                let tap = (out * s.in_channels + c) * s.kernel * s.kernel;
                                let weight = weights[tap + ky * s.kernel + kx];
                                sum += f64::from(value) * f64::from(weight);
                            }
                        }
                    }
                    sum += epilogue.bias.map_or(0.0, |bias| f64::from(bias[out]));
                    sum += epilogue.residual.map_or(0.0, |r| f64::from(r[output.len()]));
                    output.push(if epilogue.relu && sum < 0.0 { 0.0 } else { sum });
                }
            }
        }
    }
    output
}

/// The gradients of the input and of the weights, from the output's gradient.
pub fn backward(
    shape: &ConvShape,
    input: &[f32],
    weights: &[f32],
    gradient: &[f32],
) -> (Vec<f64>, Vec<f64>) {
    let s = shape;
    let mut input_gradient = vec![0.0; s.input_len()];
    let mut weight_gradient = vec![0.0; s.weight_len()];
    for (i, &g) in gradient.iter().enumerate() {
        let (pixel, out) = (i / s.out_channels, i % s.out_channels);
        let (row, x) = (pixel / s.out_width(), pixel % s.out_width());
        let (image, y) = (row / s.out_height(), row % s.out_height());
        for ky in 0..s.kernel {
            for kx in 0..s.kernel {
                let in_y = (y * s.stride + ky).wrapping_sub(s.padding);
                let in_x = (x * s.stride + kx).wrapping_sub(s.padding);
                if in_y >= s.height || in_x >= s.width {
                    continue;
                }
                for c in 0..s.in_channels {
                    let at = ((image * s.height + in_y) * s.width + in_x) * s.in_channels + c;
                    let tap = ((out * s.in_channels + c) * s.kernel + ky) * s.kernel + kx;
                    input_gradient[at] += f64::from(g) * f64::from(weights[tap]);
                    weight_gradient[tap] += f64::from(g) * f64::from(input[at]);
                }
            }
        }
    }
    (input_gradient, weight_gradient)
}
