//! Convolutions against the definition, over random shapes; and instruction sets against each other.

use super::{ConvShape, Filter, forward, reference};
use crate::gemm::{Backend, Epilogue};
use crate::runtime::Rng;
use crate::simd::Isa;
use proptest::prelude::*;

fn check(shape: &ConvShape, seed: u64) {
    let mut rng = Rng::new(seed, &[]);
    let mut draw =
        |len: usize| -> Vec<f32> { (0..len).map(|_| rng.uniform_in(-1.0, 1.0)).collect() };
    let (input, weights) = (draw(shape.input_len()), draw(shape.weight_len()));
    let (bias, residual) = (draw(shape.out_channels), draw(shape.output_len()));
    let epilogue = Epilogue { bias: Some(&bias), residual: Some(&residual), relu: true };
    let expected = reference::forward(shape, &input, &weights, &epilogue);
    let bound = (shape.k() + 4) as f64 * (shape.k() + 2) as f64 * f64::from(f32::EPSILON);
    let mut exact: Option<Vec<f32>> = None;
    let natives = Isa::available().into_iter().map(Backend::Native);
    for backend in natives.chain([Backend::Matrixmultiply]) {
        let filter = Filter::new(backend, &weights, None, shape);
        let mut output = vec![f32::NAN; shape.output_len()];
        forward(shape, &input, &filter, &epilogue, &mut output);
        for (i, (&got, &want)) in output.iter().zip(&expected).enumerate() {
            let error = (f64::from(got) - want).abs();
            assert!(error <= bound, "{backend:?} at {i}: {got} for {want}, {shape:?}");
        }
        if let Backend::Native(isa) = backend
            && isa.is_exact()
        {
            assert!(*exact.get_or_insert(output.clone()) == output, "{isa} differs, {shape:?}");
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
