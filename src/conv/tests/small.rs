//! Small convolutions with the vectors of `portable`: each algorithm once. Those called `miri_` are small
//! enough for Miri.

use super::super::{
    Algorithm, BackwardFilter, ConvShape, Filter, WinogradTile, backward_data, backward_weights,
    forward, reference,
};
use super::compare;
use crate::gemm::{Backend, Epilogue};
use crate::runtime::{Buffers, Rng, Team};
use crate::simd::Isa;

fn check(algorithm: Algorithm, shape: &ConvShape) {
    let backend = Backend::Native(Isa::named("portable").unwrap());
    let mut rng = Rng::new(7, &[]);
    let mut draw =
        |len: usize| -> Vec<f32> { (0..len).map(|_| rng.uniform_in(-1.0, 1.0)).collect() };
    let (input, weights) = (draw(shape.input_len()), draw(shape.weight_len()));
    let (bias, residual) = (draw(shape.out_channels), draw(shape.output_len()));
    let gradient = draw(shape.output_len());
    let epilogue =
        Epilogue { bias: Some(&bias), residual: Some(&residual), relu: true, after: None };
    let mut output = vec![f32::NAN; shape.output_len()];
    let (mut dx, mut dw) = (vec![f32::NAN; shape.input_len()], vec![f32::NAN; shape.weight_len()]);
    let mut buffers = Buffers::default();
    let team = &mut Team::alone(buffers.scratch());
    let mut filter = Filter::zeros_for(algorithm, backend, shape);
    filter.pack(team, &weights, None);
    forward(team, shape, &input, &filter, &epilogue, &mut output);
    let mut filter = BackwardFilter::zeros_for(algorithm, backend, shape);
    filter.pack(team, &weights);
    backward_data(team, shape, &gradient, &filter, &mut dx);
    backward_weights(team, algorithm, backend, shape, &input, &gradient, &mut dw);
    let expected = reference::forward(shape, &input, &weights, &epilogue);
    let (of_input, of_weights) = reference::backward(shape, &input, &weights, &gradient);
    let terms = shape.kernel * shape.kernel * shape.out_channels;
    compare("output", &output, &expected, [8, shape.k()], shape);
    compare("input gradient", &dx, &of_input, [8, terms], shape);
    compare("weight gradient", &dw, &of_weights, [8, shape.rows()], shape);
}

fn shape(in_channels: usize, out_channels: usize, kernel: usize, stride: usize) -> ConvShape {
    let (batch, height, width, padding) = (1, 3, 5, kernel / 2);
    ConvShape { batch, height, width, in_channels, out_channels, kernel, stride, padding }
}

#[test]
fn miri_patches_and_strips() {
    for shape in [shape(2, 3, 3, 1), shape(3, 9, 3, 2), shape(2, 9, 1, 1), shape(1, 2, 1, 2)] {
        check(Algorithm::Direct, &shape);
    }
    check(Algorithm::Strip, &shape(3, 9, 3, 2));
}

#[test]
fn winograd() {
    for tile in [WinogradTile::F2, WinogradTile::F4] {
        check(Algorithm::Winograd(tile), &shape(16, 16, 3, 1));
    }
}
