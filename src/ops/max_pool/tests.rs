//! Max-pooling against plain loops, with ties, infinities and NaN, on every instruction set.

use super::*;
use crate::gemm::Operand;
use crate::gemm::tests::Seen;
use crate::ops::testing::{everywhere, normals};
use crate::runtime::{Rng, team};

/// A random shape.
fn shape(case: u64) -> PoolShape {
    let mut rng = Rng::new(6, &[case]);
    let kernel = 2 + rng.below(2);
    PoolShape {
        batch: 1 + rng.below(2),
        height: 3 + rng.below(9),
        width: 3 + rng.below(9),
        channels: 1 + rng.below(40),
        kernel,
        stride: 1 + rng.below(3),
        padding: rng.below(kernel),
    }
}

#[test]
fn equals_plain_loops_on_every_isa() {
    for case in 0..60 {
        let s = shape(case);
        let mut rng = Rng::new(7, &[case]);
        let mut input: Vec<f32> =
            (0..s.batch * s.height * s.width * s.channels).map(|_| rng.normal()).collect();
        input.iter_mut().step_by(37).for_each(|v| *v = f32::NAN);
        let mut expected = Vec::new();
        for image in 0..s.batch {
            for y in 0..s.out_height() {
                for x in 0..s.out_width() {
                    for c in 0..s.channels {
                        let mut max = f32::NEG_INFINITY;
                        for ky in 0..s.kernel {
                            for kx in 0..s.kernel {
                                let in_y = (y * s.stride + ky).wrapping_sub(s.padding);
                                let in_x = (x * s.stride + kx).wrapping_sub(s.padding);
                                if in_y < s.height && in_x < s.width {
                                    let pixel = (image * s.height + in_y) * s.width + in_x;
                                    let value = input[pixel * s.channels + c];
                                    if value > max || value.is_nan() {
                                        max = value;
                                    }
                                }
                            }
                        }
                        expected.push(max);
                    }
                }
            }
        }
        for isa in Isa::available() {
            let mut output = vec![f32::NAN; expected.len()];
            team(|team| max_pool(team, isa, &s, &input, &mut output));
            let same = output.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "case {case} on {isa}: {s:?}");
        }
    }
}

/// Backward by its definition: each window gives its gradient to the first of its maxima.
fn scatter(s: &PoolShape, input: &[f32], doutput: &[f32]) -> Vec<f32> {
    let mut dinput = vec![0.0; input.len()];
    for (i, &gradient) in doutput.iter().enumerate() {
        let (pixel, c) = (i / s.channels, i % s.channels);
        let (x, row) = (pixel % s.out_width(), pixel / s.out_width());
        let (y, image) = (row % s.out_height(), row / s.out_height());
        let mut best: Option<usize> = None;
        for in_y in s.window(y, s.height) {
            for in_x in s.window(x, s.width) {
                let at = ((image * s.height + in_y) * s.width + in_x) * s.channels + c;
                let value = input[at];
                if best.is_none_or(|best| value > input[best] || value.is_nan()) {
                    best = Some(at);
                }
            }
        }
        dinput[best.unwrap()] += gradient;
    }
    dinput
}

/// NaN wherever it is in a window, with whatever else in it, comes out, and has the gradient.
#[test]
fn a_window_with_nan_is_nan() {
    let side = 3;
    for channels in [1, 7, 16, 40] {
        let pixels = side * side;
        let s = PoolShape {
            batch: 1,
            height: side,
            width: side,
            channels,
            kernel: side,
            stride: 1,
            padding: 0,
        };
        for nan in 0..pixels {
            for other in [f32::NEG_INFINITY, -1.0, f32::INFINITY] {
                // Every other channel has one.
                let hit = |i: usize| i / channels == nan && (i % channels).is_multiple_of(2);
                let input: Vec<f32> =
                    (0..pixels * channels).map(|i| if hit(i) { f32::NAN } else { other }).collect();
                let expected: Vec<u32> = (0..channels)
                    .map(|c| if c % 2 == 0 { f32::NAN } else { other }.to_bits())
                    .collect();
                let doutput = vec![1.0; channels];
                for isa in Isa::available() {
                    let (mut plain, mut output) = (vec![0.0; channels], vec![0.0; channels]);
                    let (mut argmax, mut dinput) = (vec![255; channels], input.clone());
                    team(|team| max_pool(team, isa, &s, &input, &mut plain));
                    team(|team| max_pool_argmax(team, isa, &s, &input, &mut output, &mut argmax));
                    team(|team| {
                        max_pool_backward(team, isa, &s, &argmax, &doutput, None, &mut dinput)
                    });
                    for found in [&plain, &output] {
                        let found: Vec<u32> = found.iter().map(|v| v.to_bits()).collect();
                        assert_eq!(found, expected, "NaN at {nan} among {other} on {isa}");
                    }
                    for (i, &gradient) in dinput.iter().enumerate() {
                        let first = i < channels && i % 2 == 1;
                        let won = if i % channels % 2 == 0 { hit(i) } else { first };
                        assert_eq!(gradient, f32::from(won), "{i}, NaN at {nan} on {isa}");
                    }
                }
            }
        }
    }
}

#[test]
fn gradients_go_to_the_first_maximum() {
    for case in 0..60 {
        let s = shape(case);
        // Few distinct values, so that there are ties; and some that compare in ways of their own.
        let mut input = normals(case, s.batch * s.height * s.width * s.channels);
        let mut rng = Rng::new(9, &[case]);
        for v in &mut input {
            *v = match rng.below(20) {
                0..4 => f32::NEG_INFINITY,
                4 => f32::INFINITY,
                5 | 6 if case % 2 == 0 => f32::NAN,
                7 => -0.0,
                _ => (2.0 * *v).round(),
            };
        }
        let len = s.batch * s.out_height() * s.out_width() * s.channels;
        let doutput = normals(case + 1, len);
        let expected = scatter(&s, &input, &doutput);
        for result in everywhere(|team, isa| {
            let (mut plain, mut output) = (vec![f32::NAN; len], vec![f32::NAN; len]);
            let (mut argmax, mut dinput) = (vec![255; len], vec![f32::NAN; input.len()]);
            max_pool(team, isa, &s, &input, &mut plain);
            max_pool_argmax(team, isa, &s, &input, &mut output, &mut argmax);
            let seen = Seen::new(1 + case as usize % 9, input.len() / s.channels, s.channels);
            max_pool_backward(team, isa, &s, &argmax, &doutput, Some(&seen), &mut dinput);
            assert!(seen.all(), "case {case}");
            seen.check(&dinput, &s);
            // The same of an activation that is still to be computed.
            let [scale, shift] = [0, 1].map(|seed| normals(case + seed, s.channels));
            let operand = Operand::activated(isa, &input, &scale, &shift);
            let mut activated = vec![f32::NAN; input.len()];
            operand.write(isa, 0, &mut activated);
            let found = [activated.as_slice().into(), operand].map(|x: Operand| {
                let (mut output, mut argmax) = (vec![f32::NAN; len], vec![255; len]);
                max_pool_argmax(team, isa, &s, x, &mut output, &mut argmax);
                (output.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), argmax)
            });
            assert!(found[0] == found[1], "an activated input of case {case}");
            vec![plain, output, dinput]
        }) {
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&result[0]), bits(&result[1]), "forward of case {case}: {s:?}");
            // Sums of at most kernel² terms in the same order: equal, not close.
            assert_eq!(result[2], expected, "backward of case {case}: {s:?}");
        }
    }
}
