//! Convolutions between guard pages: nothing before or after the operands, the packed filters or the
//! scratch of an algorithm is touched.

use super::super::{
    Algorithm, BackwardFilter, ConvShape, Filter, WinogradTile, backward_data, backward_weights,
    forward, strip,
};
use crate::gemm::{Backend, Epilogue};
use crate::runtime::guarded::{Edge, guarded};
use crate::runtime::{AlignedBuf, Rng, Team, alone};
use crate::simd::Isa;

/// Output and gradients, from buffers that end where they say.
fn all(team: &mut Team, algorithm: Algorithm, isa: Isa, shape: &ConvShape) -> [Vec<f32>; 3] {
    let backend = Backend::Native(isa);
    let mut rng = Rng::new(3, &[]);
    let mut draw = |len| {
        let mut values = AlignedBuf::zeroed(len);
        values.fill_with(|| rng.uniform_in(-1.0, 1.0));
        values
    };
    let (input, weights) = (draw(shape.input_len()), draw(shape.weight_len()));
    let (bias, residual) = (draw(shape.out_channels), draw(shape.output_len()));
    let gradient = draw(shape.output_len());
    let epilogue =
        Epilogue { bias: Some(&bias), residual: Some(&residual), relu: true, after: None };
    let mut filter = Filter::zeros_for(algorithm, backend, shape);
    filter.pack(team, &weights, None);
    let mut output = AlignedBuf::zeroed(shape.output_len());
    forward(team, shape, &input, &filter, &epilogue, &mut output);
    let mut filter = BackwardFilter::zeros_for(algorithm, backend, shape);
    filter.pack(team, &weights);
    let mut dx = AlignedBuf::zeroed(shape.input_len());
    backward_data(team, shape, &gradient, &filter, &mut dx);
    let mut dw = AlignedBuf::zeroed(shape.weight_len());
    backward_weights(team, algorithm, backend, shape, &input, &gradient, &mut dw);
    [output, dx, dw].map(|values| values.to_vec())
}

fn check(algorithm: Algorithm, shape: &ConvShape) {
    for isa in Isa::available() {
        let expected = alone(|team| all(team, algorithm, isa, shape));
        for edge in [Edge::Start, Edge::End] {
            let found = guarded(edge, || alone(|team| all(team, algorithm, isa, shape)));
            assert!(found == expected, "{algorithm:?} on {isa}, {edge:?}, {shape:?}");
        }
    }
}

/// An image of this size; channels, kernel, stride and padding.
fn shape(
    [height, width]: [usize; 2],
    [in_channels, out_channels, kernel, stride, padding]: [usize; 5],
) -> ConvShape {
    ConvShape { batch: 2, height, width, in_channels, out_channels, kernel, stride, padding }
}

#[test]
fn patches_stay_within_their_operands() {
    for layer in [[3, 5, 3, 1, 1], [7, 33, 3, 2, 1], [1, 1, 5, 1, 3], [17, 12, 1, 1, 0]] {
        for size in [[5, 6], [3, 9], [8, 8]] {
            check(Algorithm::Direct, &shape(size, layer));
        }
    }
    check(Algorithm::Direct, &shape([4, 5], [40, 35, 3, 1, 1]));
    check(Algorithm::Direct, &shape([7, 4], [70, 9, 1, 2, 0]));
}

#[test]
fn strips_stay_within_their_operands() {
    for layer in [[3, 64, 7, 2, 3], [3, 16, 3, 1, 1], [1, 5, 2, 1, 0], [20, 33, 3, 2, 4]] {
        for size in [[7, 9], [16, 5], [31, 40]] {
            let shape = shape(size, layer);
            assert!(strip::fits(&shape));
            check(Algorithm::Strip, &shape);
        }
    }
}

#[test]
fn winograd_stays_within_its_operands() {
    for tile in [WinogradTile::F2, WinogradTile::F4] {
        for channels in [[16, 16], [32, 48], [48, 16], [16, 80], [272, 32]] {
            for (size, padding) in
                [([4, 4], 1), ([5, 7], 1), ([1, 9], 1), ([6, 3], 2), ([8, 12], 0)]
            {
                let [from, to] = channels;
                // The gradient's convolution is padded by what this one lacks.
                check(Algorithm::Winograd(tile), &shape(size, [from, to, 3, 1, padding]));
            }
        }
    }
}
