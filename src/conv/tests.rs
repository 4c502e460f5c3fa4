//! Convolutions against the definition, over random shapes; and instruction sets against each other.

#[cfg(not(miri))]
mod guards;
mod small;

use super::{
    Algorithm, BackwardFilter, ConvShape, Filter, WinogradTile, add_backward_data, backward_data,
    backward_data_with, backward_weights, forward, reference, strip,
};
use crate::gemm::tests::{Seen, rounding};
use crate::gemm::{Backend, Epilogue, Operand};
use crate::numerics::KC;
use crate::runtime::{Rng, team};
use crate::simd::Isa;
use proptest::prelude::*;
use std::fmt::Debug;

/// How much more than a plain sum an algorithm rounds: transforms add and take away again.
fn roughness(algorithm: Algorithm, backend: Backend) -> usize {
    let exact = matches!(backend, Backend::Native(isa) if isa.is_exact());
    match algorithm {
        Algorithm::Direct | Algorithm::Strip => 1,
        Algorithm::Winograd(WinogradTile::F2) => 2,
        // Without a fused multiply-add it loses twice the digits.
        Algorithm::Winograd(WinogradTile::F4) => {
            if exact {
                4
            } else {
                8
            }
        }
    }
}

/// Sums of `terms` products of values of at most 1, by an algorithm that rounds `rough` times as much as
/// a plain sum.
fn compare(what: &str, got: &[f32], want: &[f64], [rough, terms]: [usize; 2], case: &dyn Debug) {
    assert_eq!(got.len(), want.len());
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(got) - want).abs();
        let bound = rough as f64 * rounding(terms, want);
        assert!(error <= bound, "{what} at {i}: {got} for {want}, bound {bound}, {case:?}");
    }
}

fn check(shape: &ConvShape, seed: u64) {
    let mut rng = Rng::new(seed, &[]);
    let mut draw =
        |len: usize| -> Vec<f32> { (0..len).map(|_| rng.uniform_in(-1.0, 1.0)).collect() };
    let (input, weights) = (draw(shape.input_len()), draw(shape.weight_len()));
    let (bias, residual) = (draw(shape.out_channels), draw(shape.output_len()));
    let (scale, shift) = (draw(shape.in_channels), draw(shape.in_channels));
    let epilogue =
        Epilogue { bias: Some(&bias), residual: Some(&residual), relu: true, after: None };
    let expected = reference::forward(shape, &input, &weights, &epilogue);
    let gradient = draw(shape.output_len());
    let (input_gradient, weight_gradient) = reference::backward(shape, &input, &weights, &gradient);
    let natives: Vec<_> = Isa::available().into_iter().map(Backend::Native).collect();
    let both = [natives.as_slice(), &[Backend::Matrixmultiply]].concat();
    let mut cases = vec![(Algorithm::Direct, both)];
    if strip::fits(shape) {
        cases.push((Algorithm::Strip, natives.clone()));
    }
    if Algorithm::winograd_isa(natives[0], shape).is_some() {
        for tile in [WinogradTile::F2, WinogradTile::F4] {
            cases.push((Algorithm::Winograd(tile), natives.clone()));
        }
    }
    for (algorithm, backends) in cases {
        let mut exact: Option<[Vec<f32>; 3]> = None;
        for backend in backends {
            let mut filter = Filter::zeros_for(algorithm, backend, shape);
            team(|team| filter.pack(team, &weights, None));
            let mut output = vec![f32::NAN; shape.output_len()];
            team(|team| forward(team, shape, &input, &filter, &epilogue, &mut output));
            let case = (algorithm, backend, shape);
            let seen = Seen::new(1 + seed as usize % 40, shape.rows(), shape.out_channels);
            let mut again = vec![f32::NAN; shape.output_len()];
            let shown = Epilogue { after: Some(&seen), ..epilogue };
            team(|team| forward(team, shape, &input, &filter, &shown, &mut again));
            assert!(output == again, "other bits where rows are shown, {case:?}");
            seen.check(&output, &case);
            // With an activation before it, against the same computed first.
            let isa = backend.isa();
            let from = Operand::activated(isa, &input, &scale, &shift);
            let mut activated = vec![f32::NAN; input.len()];
            from.write(isa, 0, &mut activated);
            let mut first = vec![f32::NAN; shape.output_len()];
            team(|team| forward(team, shape, &activated, &filter, &epilogue, &mut first));
            team(|team| forward(team, shape, from, &filter, &epilogue, &mut again));
            assert!(first == again, "other bits of an activated input, {case:?}");
            let [of_first, of_operand] = [activated.as_slice().into(), from].map(|x: Operand| {
                let mut dw = vec![f32::NAN; shape.weight_len()];
                team(|team| {
                    backward_weights(team, algorithm, backend, shape, x, &gradient, &mut dw)
                });
                dw
            });
            assert!(of_first == of_operand, "other gradients of an activated input, {case:?}");
            let mut dx = vec![f32::NAN; shape.input_len()];
            let mut filter = BackwardFilter::zeros_for(algorithm, backend, shape);
            team(|team| filter.pack(team, &weights));
            team(|team| backward_data(team, shape, &gradient, &filter, &mut dx));
            // The same on top of something else.
            let mut sum = input.clone();
            if shape.stride == 1 {
                let seen = Seen::new(
                    1 + seed as usize % 40,
                    input.len() / shape.in_channels,
                    shape.in_channels,
                );
                let epilogue =
                    Epilogue { residual: Some(&input), after: Some(&seen), ..Epilogue::default() };
                team(|team| {
                    backward_data_with(team, shape, &gradient, &filter, &epilogue, &mut sum)
                });
                seen.check(&sum, &case);
            } else {
                team(|team| add_backward_data(team, shape, &gradient, &filter, &mut sum));
            }
            let added: Vec<f32> = dx.iter().zip(&input).map(|(a, b)| a + b).collect();
            assert!(sum == added, "a gradient added is not the gradient, added, {case:?}");
            let mut dw = vec![f32::NAN; shape.weight_len()];
            team(|team| {
                backward_weights(team, algorithm, backend, shape, &input, &gradient, &mut dw)
            });
            let taps = shape.kernel * shape.kernel;
            let rough = roughness(algorithm, backend);
            compare("output", &output, &expected, [rough, shape.k()], &case);
            let terms = taps * shape.out_channels;
            compare("input gradient", &dx, &input_gradient, [rough, terms], &case);
            compare("weight gradient", &dw, &weight_gradient, [rough, shape.rows()], &case);
            if let Backend::Native(isa) = backend
                && isa.is_exact()
            {
                let all = [output, dx, dw];
                assert!(
                    *exact.get_or_insert(all.clone()) == all,
                    "{algorithm:?} on {isa} differs, {shape:?}"
                );
            }
        }
    }
}

prop_compose! {
    /// Any convolution whose filter fits.
    fn shapes()(
        kernel in 1..6_usize,
        padding in 0..4_usize,
        stride in 1..4_usize,
        (batch, in_channels, out_channels) in (1..4_usize, 1..20_usize, 1..40_usize),
        (extra_height, extra_width) in (0..9_usize, 0..9_usize),
    ) -> ConvShape {
        let least = kernel.saturating_sub(2 * padding).max(1);
        ConvShape {
            batch,
            height: least + extra_height,
            width: least + extra_width,
            in_channels,
            out_channels,
            kernel,
            stride,
            padding,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn equals_the_definition(shape in shapes(), seed in any::<u64>()) {
        check(&shape, seed);
    }
}

prop_compose! {
    /// Any convolution that Winograd's algorithm can compute.
    fn winograd_shapes()(
        batch in 1..4_usize,
        (height, width) in (1..20_usize, 1..20_usize),
        (in_blocks, out_blocks) in (1..4_usize, 1..4_usize),
        padding in 1..3_usize,
    ) -> ConvShape {
        let (in_channels, out_channels) = (16 * in_blocks, 16 * out_blocks);
        let (kernel, stride) = (3, 1);
        ConvShape { batch, height, width, in_channels, out_channels, kernel, stride, padding }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn winograd_equals_the_definition(shape in winograd_shapes(), seed in any::<u64>()) {
        check(&shape, seed);
    }
}

prop_compose! {
    /// Any convolution that can be computed from strips, the filter wider than the image included.
    fn strip_shapes()(
        (kernel, stride) in (2..8_usize, 1..4_usize),
        padding in 0..5_usize,
        (batch, few, out_channels) in (1..4_usize, 1..20_usize, 1..70_usize),
        (height, width) in (1..24_usize, 1..40_usize),
    ) -> ConvShape {
        let in_channels = few.min(KC / (kernel * kernel));
        let least = kernel.saturating_sub(2 * padding).max(1);
        let (height, width) = (height.max(least), width.max(least));
        ConvShape { batch, height, width, in_channels, out_channels, kernel, stride, padding }
    }
}

/// Batch norm's sums rest on it: the rows of layers as networks have them do come, in whole units where they can.
#[test]
fn rows_are_shown() {
    // So many that threads share out rows, not columns.
    let square = |kernel, side, channels| ConvShape {
        batch: 12,
        height: side,
        width: side,
        in_channels: channels,
        out_channels: 32,
        kernel,
        stride: 1,
        padding: kernel / 2,
    };
    let winograd = |shape| (Algorithm::Winograd(WinogradTile::F4), shape);
    let cases = [
        winograd(square(3, 32, 32)),
        winograd(square(3, 14, 64)),
        (Algorithm::Strip, square(3, 32, 3)),
        (Algorithm::Direct, square(1, 24, 64)),
        (Algorithm::Direct, square(3, 24, 40)),
    ];
    for (algorithm, shape) in cases {
        let (backend, input) = (Backend::Native(Isa::best()), vec![1.0; shape.input_len()]);
        let filter = Filter::zeros_for(algorithm, backend, &shape);
        for threads in [1, 2, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let seen = Seen::new(64, shape.rows(), shape.out_channels);
            let epilogue = Epilogue { after: Some(&seen), ..Epilogue::default() };
            let mut output = vec![f32::NAN; shape.output_len()];
            pool.install(|| {
                team(|team| forward(team, &shape, &input, &filter, &epilogue, &mut output));
            });
            assert!(seen.all(), "{algorithm:?} of {shape:?} on {threads} threads");
            seen.check(&output, &shape);
        }
    }
}

/// The bits of a strip are those of patches, on every set, for any number of threads.
fn check_strip(shape: &ConvShape, seed: u64) {
    let mut rng = Rng::new(seed, &[]);
    let mut draw = |len: usize| -> Vec<f32> { (0..len).map(|_| rng.normal()).collect() };
    let (input, weights) = (draw(shape.input_len()), draw(shape.weight_len()));
    let (bias, residual) = (draw(shape.out_channels), draw(shape.output_len()));
    let epilogue =
        Epilogue { bias: Some(&bias), residual: Some(&residual), relu: false, after: None };
    for isa in Isa::available() {
        let run = |algorithm| {
            let mut filter = Filter::zeros_for(algorithm, Backend::Native(isa), shape);
            team(|team| filter.pack(team, &weights, None));
            let mut output = vec![f32::NAN; shape.output_len()];
            team(|team| forward(team, shape, &input, &filter, &epilogue, &mut output));
            output.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        };
        let patches = run(Algorithm::Direct);
        for threads in [1, 2, 3, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let strip = pool.install(|| run(Algorithm::Strip));
            assert!(strip == patches, "{isa}, {threads} threads: other bits, {shape:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn strips_equal_patches_and_the_definition(shape in strip_shapes(), seed in any::<u64>()) {
        check(&shape, seed);
        check_strip(&shape, seed);
    }
}

#[test]
fn large_images_take_many_strips() {
    let shape = ConvShape {
        batch: 2,
        height: 61,
        width: 330,
        in_channels: 3,
        out_channels: 35,
        kernel: 7,
        stride: 2,
        padding: 3,
    };
    check_strip(&shape, 3);
}

/// The transforms in many channels, whose products have several panels and sums several blocks of K.
#[test]
fn winograd_in_many_channels() {
    for (batch, side, channels) in [(4, 28, 128), (2, 16, 512), (1, 9, 272)] {
        let shape = ConvShape {
            batch,
            height: side,
            width: side,
            in_channels: channels,
            out_channels: channels,
            kernel: 3,
            stride: 1,
            padding: 1,
        };
        check(&shape, 6);
    }
}

#[test]
fn a_filter_of_another_convolution_is_refused() {
    let shape = ConvShape {
        batch: 1,
        height: 6,
        width: 6,
        in_channels: 16,
        out_channels: 32,
        kernel: 3,
        stride: 1,
        padding: 1,
    };
    let others = [
        ConvShape { in_channels: 32, ..shape },
        ConvShape { out_channels: 16, ..shape },
        ConvShape { kernel: 5, padding: 2, ..shape },
        ConvShape { stride: 2, ..shape },
        // The same taps, but the gradient's filters are others.
        ConvShape { padding: 0, ..shape },
    ];
    let backend = Backend::Native(Isa::best());
    let refuses = |filters_of: &ConvShape| {
        let filter = BackwardFilter::zeros_for(Algorithm::Direct, backend, filters_of);
        let gradient = vec![0.0; shape.output_len()];
        let mut dx = vec![0.0; shape.input_len()];
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            team(|team| backward_data(team, &shape, &gradient, &filter, &mut dx));
        }))
        .is_err()
    };
    assert!(!refuses(&shape));
    for other in others {
        assert!(refuses(&other), "gradients of {other:?} for {shape:?}");
    }
}

#[test]
fn the_convolutions_of_the_networks() {
    let cases = [
        (3, 64, 7, 2, 3),
        (64, 64, 3, 1, 1),
        (64, 128, 3, 2, 1),
        (64, 256, 1, 1, 0),
        (256, 512, 1, 2, 0),
        (3, 16, 3, 1, 1),
    ];
    for (in_channels, out_channels, kernel, stride, padding) in cases {
        let shape = ConvShape {
            batch: 1,
            height: 15,
            width: 13,
            in_channels,
            out_channels,
            kernel,
            stride,
            padding,
        };
        check(&shape, 9);
    }
}

/// The gradient of the filters is the same for any number of threads.
fn check_threads(algorithm: Algorithm, shape: &ConvShape) {
    let mut rng = Rng::new(4, &[]);
    let input: Vec<f32> = (0..shape.input_len()).map(|_| rng.normal()).collect();
    let gradient: Vec<f32> = (0..shape.output_len()).map(|_| rng.normal()).collect();
    let mut first: Option<Vec<f32>> = None;
    for threads in [1, 2, 3, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut dw = vec![f32::NAN; shape.weight_len()];
        pool.install(|| {
            team(|team| {
                let backend = Backend::Native(Isa::best());
                backward_weights(team, algorithm, backend, shape, &input, &gradient, &mut dw);
            })
        });
        assert!(*first.get_or_insert(dw.clone()) == dw, "{algorithm:?}, {threads} threads");
    }
}

#[test]
fn long_sums_are_cut_by_shape_and_not_by_threads() {
    let shape = ConvShape {
        batch: 3,
        height: 40,
        width: 41,
        in_channels: 5,
        out_channels: 19,
        kernel: 3,
        stride: 1,
        padding: 1,
    };
    check(&shape, 4);
    check_threads(Algorithm::Direct, &shape);
    let by_tiles = Algorithm::Winograd(WinogradTile::F4);
    // Several chunks, of several blocks each.
    let chunks = ConvShape { in_channels: 48, out_channels: 32, ..shape };
    check_threads(by_tiles, &chunks);
    // Several blocks that all tasks share.
    let blocks = ConvShape { batch: 4, in_channels: 272, out_channels: 48, ..shape };
    check_threads(by_tiles, &blocks);
    // More tiles in a row than a block of K has steps.
    let wide = ConvShape { batch: 1, height: 5, width: 1100, ..shape };
    check(&ConvShape { in_channels: 16, out_channels: 16, ..wide }, 4);
    check_threads(by_tiles, &ConvShape { in_channels: 272, out_channels: 48, ..wide });
}

#[test]
fn the_reference_gradients_are_finite_differences() {
    for (kernel, stride, padding, height, width) in
        [(1, 1, 0, 3, 2), (1, 2, 0, 5, 4), (3, 1, 1, 4, 3), (3, 2, 1, 5, 6), (7, 2, 3, 6, 5)]
    {
        let shape = ConvShape {
            batch: 2,
            height,
            width,
            in_channels: 2,
            out_channels: 3,
            kernel,
            stride,
            padding,
        };
        let mut rng = Rng::new(5, &[kernel as u64, stride as u64]);
        // Eighths, and a step of one: every sum is exact, and the loss is linear in each value.
        let mut draw = |len: usize| -> Vec<f32> {
            (0..len).map(|_| rng.below(17) as f32 / 8.0 - 1.0).collect()
        };
        let (input, weights) = (draw(shape.input_len()), draw(shape.weight_len()));
        let gradient = draw(shape.output_len());
        let loss = |input: &[f32], weights: &[f32]| -> f64 {
            let output = reference::forward(&shape, input, weights, &Epilogue::default());
            output.iter().zip(&gradient).map(|(y, &g)| y * f64::from(g)).sum()
        };
        let (dx, dw) = reference::backward(&shape, &input, &weights, &gradient);
        let at = loss(&input, &weights);
        let stepped = |values: &[f32], i: usize| {
            let mut values = values.to_vec();
            values[i] += 1.0;
            values
        };
        for (i, want) in dx.iter().enumerate() {
            assert_eq!(loss(&stepped(&input, i), &weights) - at, *want, "input {i} of {shape:?}");
        }
        for (i, want) in dw.iter().enumerate() {
            assert_eq!(loss(&input, &stepped(&weights, i)) - at, *want, "weight {i} of {shape:?}");
        }
    }
}
