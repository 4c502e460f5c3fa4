//! What safe code may claim about sizes: products that wrap round, sources that lie. All of it panics
//! or computes something; none of it may read or write beyond a slice.

use super::super::{ASource, Backend, Epilogue, Matrix, PackedB, Part};
use super::with_team::{from_rows, gemm, gemm_transposed};
use crate::conv::{ConvShape, Convolutions, Filter, forward};
use crate::runtime::team;
use crate::simd::Isa;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Two of them wrap round to nothing.
const HALF: usize = 1 << (usize::BITS - 1);

fn backends() -> Vec<Backend> {
    let natives = Isa::available().into_iter().map(Backend::Native);
    natives.chain([Backend::Matrixmultiply]).collect()
}

#[track_caller]
fn panics<T>(what: &str, f: impl FnOnce() -> T) {
    assert!(catch_unwind(AssertUnwindSafe(f)).is_err(), "{what} was accepted");
}

/// A source that says whatever it is told to.
struct Liar<'a> {
    rows: usize,
    k: usize,
    values: &'a [f32],
    stride: usize,
}

impl ASource for Liar<'_> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn k(&self) -> usize {
        self.k
    }

    fn in_place(&self, _: usize) -> Option<(&[f32], usize)> {
        Some((self.values, self.stride))
    }

    fn pack(&self, _: Isa, _: Part, dst: &mut [f32], _: usize) {
        dst.fill(1.0);
    }
}

#[test]
fn products_of_sizes_do_not_wrap() {
    panics("a matrix of no values", || Matrix::new(&[], HALF, 2));
    for backend in backends() {
        panics("a packed matrix", || PackedB::zeros(backend, HALF, 2));
        panics("a packed matrix", || PackedB::zeros(backend, 2, usize::MAX));
        panics("a packed matrix", || from_rows(backend, HALF, 2, &[]));
        let (b, none) = (from_rows(backend, 1, 2, &[1.0; 2]), Epilogue::default());
        let a = Liar { rows: HALF, k: 1, values: &[], stride: 0 };
        panics("C of no values", || gemm(&a, &b, &mut [], &none));
        let a = Liar { rows: HALF, k: HALF, values: &[], stride: 0 };
        panics("B and C of no values", || gemm_transposed(backend, &a, &[], 2, &mut []));
        panics("B of no values", || gemm_transposed(backend, &a, &[], 4, &mut [0.0; 4]));
    }
}

#[test]
fn a_source_with_wild_rows_is_refused() {
    let values = [1.0; 64];
    for isa in Isa::available() {
        let b = from_rows(Backend::Native(isa), 4, 8, &[1.0; 32]);
        for rows in [2, 3, 5, 60] {
            // So far apart that a row, or the last of them, comes back to where the first is.
            let wild = [HALF, HALF / 2, usize::MAX, usize::MAX / (rows - 1), usize::MAX / rows];
            for stride in wild.into_iter().chain([64, 1 << 40]) {
                let a = Liar { rows, k: 4, values: &values, stride };
                let mut c = vec![0.0; rows * 8];
                panics("a source with wild rows", || {
                    gemm(&a, &b, &mut c, &Epilogue::default());
                });
            }
        }
        // Fewer values than rows.
        let a = Liar { rows: 20, k: 4, values: &values, stride: 4 };
        let mut c = vec![0.0; 160];
        panics("a source with too few rows", || gemm(&a, &b, &mut c, &Epilogue::default()));
    }
}

/// Another size each time it is asked.
struct Fickle(AtomicUsize);

impl ASource for Fickle {
    fn rows(&self) -> usize {
        7 * self.0.fetch_add(1, Ordering::Relaxed)
    }

    fn k(&self) -> usize {
        4 + self.0.fetch_add(1, Ordering::Relaxed)
    }

    fn pack(&self, _: Isa, _: Part, dst: &mut [f32], _: usize) {
        dst.fill(1.0);
    }
}

#[test]
fn a_source_that_changes_its_mind_reads_nothing_else() {
    for backend in backends() {
        for asked in 0..8 {
            let source = || Fickle(AtomicUsize::new(asked));
            let (rows, k) = (7 * asked, 4 + asked + 1);
            let b = from_rows(backend, k, 3, &vec![1.0; 3 * k]);
            let mut c = vec![0.0; rows * 3];
            // What comes of it is of no interest.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                gemm(&source(), &b, &mut c, &Epilogue::default());
            }));
            let (b, mut c) = (vec![1.0; rows * 3], vec![0.0; k * 3]);
            let _ = catch_unwind(AssertUnwindSafe(|| {
                gemm_transposed(backend, &source(), &b, 3, &mut c);
            }));
        }
    }
}

#[test]
fn convolutions_larger_than_the_address_space_are_refused() {
    let small = ConvShape {
        batch: 1,
        height: 4,
        width: 4,
        in_channels: 4,
        out_channels: 8,
        kernel: 3,
        stride: 1,
        padding: 1,
    };
    let wild = [
        ConvShape { batch: HALF, ..small },
        ConvShape { height: HALF, ..small },
        ConvShape { in_channels: HALF, ..small },
        ConvShape { out_channels: HALF, ..small },
        ConvShape { padding: HALF, ..small },
        ConvShape { kernel: HALF, padding: HALF / 2, ..small },
        // Few outputs, so far apart that strips of them would wrap round.
        ConvShape { padding: HALF / 4, stride: HALF / 2 - 1, ..small },
    ];
    for shape in wild {
        for choice in [Convolutions::Auto, Convolutions::Direct] {
            panics("a wild convolution", || {
                let backend = Backend::Native(Isa::best());
                let algorithm = choice.algorithm(backend, &shape);
                let filter = Filter::zeros_for(algorithm, backend, &shape);
                let outputs = shape.out_height().wrapping_mul(shape.out_width());
                let len = |pixels: usize, channels| {
                    shape.batch.wrapping_mul(pixels).wrapping_mul(channels) % (1 << 20)
                };
                let input = vec![0.0; len(shape.height.wrapping_mul(4), shape.in_channels)];
                let mut output = vec![0.0; len(outputs, shape.out_channels)];
                let none = Epilogue::default();
                team(|team| forward(team, &shape, &input, &filter, &none, &mut output));
            });
        }
    }
}
