//! Every kernel against plain loops: equal, not near.

use super::finish::Finish;
use super::kernels::Kernel;
use super::{Filter, Output, forward, reference};
use crate::conv::ConvShape;
use crate::runtime::{Rng, Team, alone, team};
use crate::simd::Isa;
use rayon::ThreadPoolBuilder;

/// What a convolution computes, by `kernel` on `threads` threads: u8 with and without a residual, and f32.
struct Case {
    shape: ConvShape,
    input: Vec<u8>,
    padding: Vec<u8>,
    weights: Vec<i8>,
    finish: Finish,
    residual: Vec<u8>,
}

impl Case {
    fn new(shape: ConvShape, seed: u64, extreme: bool) -> Self {
        let mut rng = Rng::named(seed, "int8");
        let mut byte = |most: usize| if extreme { most } else { rng.below(most + 1) };
        let input = (0..shape.input_len()).map(|_| byte(255) as u8).collect();
        let padding = (0..shape.in_channels).map(|_| byte(255) as u8).collect();
        let weights = (0..shape.weight_len()).map(|_| (byte(254) as i32 - 127) as i8).collect();
        let residual = (0..shape.output_len()).map(|_| byte(255) as u8).collect();
        // So that sums become values of which some are cut at either end.
        let spread = 1.0 / (shape.k() as f32).sqrt() / 100.0;
        let factor = (0..shape.out_channels).map(|i| spread * (1.0 + i as f32 / 7.0)).collect();
        let shift = (0..shape.out_channels).map(|i| 100.0 - (i % 9) as f32 * 3.5).collect();
        Self { shape, input, padding, weights, finish: Finish::new(factor, shift), residual }
    }

    fn run(&self, kernel: Kernel, threads: usize) -> (Vec<u8>, Vec<u8>, Vec<f32>) {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| team(|team| self.run_by(team, kernel)))
    }

    fn run_by(&self, team: &mut Team, kernel: Kernel) -> (Vec<u8>, Vec<u8>, Vec<f32>) {
        let Self { shape, input, padding, weights, finish, residual } = self;
        let mut filter = Filter::zeros(kernel, shape);
        filter.pack_from(weights).run(team);
        let mut run = |output: Output| {
            forward(team, shape, input, padding, &filter, finish, output);
        };
        let [mut plain, mut added] = [(); 2].map(|()| vec![7; shape.output_len()]);
        let mut floats = vec![7.0; shape.output_len()];
        run(Output::U8 { values: &mut plain, residual: None });
        run(Output::U8 { values: &mut added, residual: Some((residual, 0.75)) });
        run(Output::F32(&mut floats));
        (plain, added, floats)
    }

    fn expected(&self) -> (Vec<u8>, Vec<u8>, Vec<f32>) {
        let sums = reference::sums(&self.shape, &self.input, &self.padding, &self.weights);
        let floats = reference::finished(&sums, &self.finish, None);
        let added = reference::finished(&sums, &self.finish, Some((&self.residual, 0.75)));
        (reference::rounded(&floats), reference::rounded(&added), floats)
    }
}

fn shape(batch: usize, side: [usize; 2], channels: [usize; 2], how: [usize; 3]) -> ConvShape {
    let ([height, width], [in_channels, out_channels]) = (side, channels);
    let [kernel, stride, padding] = how;
    ConvShape { batch, height, width, in_channels, out_channels, kernel, stride, padding }
}

/// One of each place where rows can be, with odd sizes: the stem, strips, lines, gathered patches, matrices.
fn shapes() -> Vec<ConvShape> {
    vec![
        shape(1, [31, 29], [3, 64], [7, 2, 3]),
        shape(2, [15, 13], [16, 33], [3, 1, 1]),
        shape(1, [12, 30], [20, 48], [3, 2, 1]),
        shape(1, [9, 40], [8, 70], [1, 2, 0]),
        shape(3, [7, 7], [64, 64], [3, 1, 1]),
        shape(2, [9, 5], [5, 17], [3, 2, 1]),
        shape(2, [6, 6], [32, 31], [1, 1, 0]),
        shape(1, [4, 4], [7, 3], [1, 1, 0]),
        shape(1, [10, 11], [12, 9], [1, 2, 0]),
        shape(5, [1, 1], [96, 1000], [1, 1, 0]),
        shape(1, [1, 1], [1, 1], [1, 1, 0]),
    ]
}

#[test]
fn every_kernel_is_listed_once() {
    let names: std::collections::BTreeSet<_> = Kernel::all().iter().map(Kernel::name).collect();
    assert_eq!(names.len(), Kernel::all().len());
    for isa in Isa::available() {
        assert!(names.contains(Kernel::of(isa).name()), "{isa}");
    }
}

#[test]
fn every_kernel_equals_the_reference() {
    for (seed, shape) in (0..).zip(shapes()) {
        let case = Case::new(shape, seed, false);
        let expected = case.expected();
        for kernel in Kernel::all() {
            for threads in [1, 3] {
                assert!(case.run(kernel, threads) == expected, "{} {shape:?}", kernel.name());
            }
        }
    }
}

#[test]
fn random_shapes_equal_the_reference() {
    let mut rng = Rng::named(11, "shapes");
    for seed in 0..40 {
        let mut one_of = |most: usize| 1 + rng.below(most);
        let kernel = [1, 3, 7][one_of(3) - 1];
        let [batch, stride] = [one_of(3), one_of(2)];
        let [height, width] = [one_of(20), one_of(36)];
        let shape =
            shape(batch, [height, width], [one_of(40), one_of(80)], [kernel, stride, kernel / 2]);
        let case = Case::new(shape, seed, false);
        let expected = case.expected();
        for kernel in Kernel::all() {
            assert!(
                case.run(kernel, 1 + seed as usize % 3) == expected,
                "{} {shape:?}",
                kernel.name()
            );
        }
    }
}

/// The largest values times the largest weights, over the longest sum of the networks, and over one nearly as long
/// as there may be.
#[test]
fn sums_do_not_overflow() {
    for channels in [2048, 7000] {
        let case = Case::new(shape(1, [3, 3], [channels, 2], [3, 1, 1]), 1, true);
        let expected = case.expected();
        for kernel in Kernel::all() {
            assert!(case.run(kernel, 1) == expected, "{}", kernel.name());
        }
    }
    let shape = shape(1, [1, 1], [super::filter::MOST_VALUES + 1, 1], [1, 1, 0]);
    assert!(std::panic::catch_unwind(|| Filter::zeros(Kernel::all()[0], &shape)).is_err());
}

/// Halves go to the even neighbour; what is out of range is cut, however far.
#[test]
fn rounding_is_half_to_even() {
    let halves = [-3, -1, 0, 1, 2, 3, 5, 7, 253, 507, 509, 511, 513, 1 << 30, -(1 << 30)];
    let expected = [0, 0, 0, 0, 1, 2, 2, 4, 126, 254, 254, 255, 255, 255, 0];
    for copies in [1, 3] {
        let values: Vec<f32> = halves.repeat(copies).iter().map(|&x| x as f32 / 2.0).collect();
        let columns = values.len();
        // Pixels of zeros: the shift alone.
        let shape = shape(1, [1, 5], [1, columns], [1, 1, 0]);
        for kernel in Kernel::all() {
            let finish = Finish::new(vec![1.0; columns], values.clone());
            let mut found = vec![1; 5 * columns];
            team(|team| {
                let filter = Filter::zeros(kernel, &shape);
                let output = Output::U8 { values: &mut found, residual: None };
                forward(team, &shape, &[0; 5], &[], &filter, &finish, output);
            });
            assert_eq!(found, expected.repeat(5 * copies), "{}", kernel.name());
        }
    }
}

/// A shape of each place where rows can be, small enough for Miri.
#[test]
fn miri_integers() {
    let shapes = [
        shape(1, [3, 11], [3, 5], [3, 1, 1]),
        shape(1, [2, 21], [4, 9], [1, 2, 0]),
        shape(1, [3, 3], [5, 3], [3, 2, 1]),
        shape(2, [1, 3], [8, 9], [1, 1, 0]),
    ];
    for (seed, shape) in (0..).zip(shapes) {
        let case = Case::new(shape, seed, false);
        let kernel = Kernel::of(Isa::named("portable").unwrap());
        assert!(alone(|team| case.run_by(team, kernel)) == case.expected(), "{shape:?}");
    }
}
