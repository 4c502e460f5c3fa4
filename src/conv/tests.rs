//! Convolutions against the definition, over random shapes; and instruction sets against each other.

use super::{
    Algorithm, BackwardFilter, ConvShape, Filter, WinogradTile, backward_data, backward_weights,
    forward, reference, strip,
};
use crate::gemm::{Backend, Epilogue};
use crate::numerics::KC;
use crate::runtime::{Rng, team};
use crate::simd::Isa;
use proptest::prelude::*;

/// Sums of `terms` products of values of at most 1, and what an epilogue adds.
fn compare(what: &str, by: Backend, got: &[f32], want: &[f64], terms: usize, shape: &ConvShape) {
    let bound = (terms + 4) as f64 * (terms + 2) as f64 * f64::from(f32::EPSILON);
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(got) - want).abs();
        assert!(error <= bound, "{what} of {by:?} at {i}: {got} for {want}, {shape:?}");
    }
}

fn check(shape: &ConvShape, seed: u64) {
    let mut rng = Rng::new(seed, &[]);
    let mut draw =
        |len: usize| -> Vec<f32> { (0..len).map(|_| rng.uniform_in(-1.0, 1.0)).collect() };
    let (input, weights) = (draw(shape.input_len()), draw(shape.weight_len()));
    let (bias, residual) = (draw(shape.out_channels), draw(shape.output_len()));
    let epilogue = Epilogue { bias: Some(&bias), residual: Some(&residual), relu: true };
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
            let mut dx = vec![f32::NAN; shape.input_len()];
            let mut filter = BackwardFilter::zeros_for(algorithm, backend, shape);
            team(|team| filter.pack(team, &weights));
            team(|team| backward_data(team, shape, &gradient, &filter, &mut dx));
            let mut dw = vec![f32::NAN; shape.weight_len()];
            team(|team| backward_weights(team, backend, shape, &input, &gradient, &mut dw));
            let taps = shape.kernel * shape.kernel;
            compare("output", backend, &output, &expected, shape.k(), shape);
            compare(
                "input gradient",
                backend,
                &dx,
                &input_gradient,
                taps * shape.out_channels,
                shape,
            );
            compare("weight gradient", backend, &dw, &weight_gradient, shape.rows(), shape);
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

/// The bits of a strip are those of patches, on every set, for any number of threads.
fn check_strip(shape: &ConvShape, seed: u64) {
    let mut rng = Rng::new(seed, &[]);
    let mut draw = |len: usize| -> Vec<f32> { (0..len).map(|_| rng.normal()).collect() };
    let (input, weights) = (draw(shape.input_len()), draw(shape.weight_len()));
    let (bias, residual) = (draw(shape.out_channels), draw(shape.output_len()));
    let epilogue = Epilogue { bias: Some(&bias), residual: Some(&residual), relu: false };
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
                backward_weights(team, backend, &shape, &input, &gradient, &mut dw);
            })
        });
        assert!(*first.get_or_insert(dw.clone()) == dw, "{threads} threads");
    }
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
