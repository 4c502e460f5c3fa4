//! Products between guard pages: nothing before or after A, B, C, bias, residual or scratch is touched.

use super::super::kernels::Kernel;
use super::super::{Backend, Epilogue, Matrix, PackedB, gemm, gemm_transposed};
use super::{Packed, draw};
use crate::runtime::guarded::{Edge, guarded};
use crate::runtime::{AlignedBuf, Rng, Team, alone};

/// The product from buffers that end (and begin) where they say; their guards are the thread's matter.
fn product(team: &mut Team, backend: Backend, [m, n, k]: [usize; 3], in_place: bool) -> Vec<f32> {
    let mut rng = Rng::new(1, &[m as u64, n as u64, k as u64]);
    let mut draw = |len| AlignedBuf::from_slice(&draw(&mut rng, len));
    let (a, b, bias, residual) = (draw(m * k), draw(k * n), draw(n), draw(m * n));
    let epilogue =
        Epilogue { bias: Some(&bias), residual: Some(&residual), relu: true, after: None };
    let b = PackedB::from_rows(team, backend, k, n, &b);
    let mut c = AlignedBuf::zeroed(m * n);
    let a = Matrix::new(&a, m, k);
    match in_place {
        true => gemm(team, &a, &b, &mut c, &epilogue),
        false => gemm(team, &Packed(a), &b, &mut c, &epilogue),
    }
    c.to_vec()
}

/// Aᵀ · B likewise.
fn transposed(team: &mut Team, backend: Backend, [m, n, k]: [usize; 3]) -> Vec<f32> {
    let mut rng = Rng::new(2, &[m as u64, n as u64, k as u64]);
    let mut draw = |len| AlignedBuf::from_slice(&draw(&mut rng, len));
    let (a, b) = (draw(m * k), draw(m * n));
    let mut c = AlignedBuf::zeroed(k * n);
    gemm_transposed(team, backend, &Matrix::new(&a, m, k), &b, n, &mut c);
    c.to_vec()
}

fn check(backend: Backend, sizes: [usize; 3]) {
    let expected = alone(|team| product(team, backend, sizes, true));
    let of_transposed = alone(|team| transposed(team, backend, sizes));
    for edge in [Edge::Start, Edge::End] {
        guarded(edge, || {
            for in_place in [true, false] {
                let found = alone(|team| product(team, backend, sizes, in_place));
                assert!(found == expected, "{backend:?}, {edge:?}, {sizes:?}");
            }
            let found = alone(|team| transposed(team, backend, sizes));
            assert!(found == of_transposed, "{backend:?}, {edge:?}, {sizes:?}, transposed");
        });
    }
}

#[test]
fn products_stay_within_their_operands() {
    for kernel in Kernel::all() {
        let backend = Backend::Native(kernel.isa());
        for m in [1, kernel.mr - 1, kernel.mr, kernel.mr + 1] {
            for n in 1..=kernel.nr + 1 {
                for k in [1, 4, 7] {
                    check(backend, [m, n, k]);
                }
            }
        }
        // More than a block of K, several panels, chunks of a long sum.
        for sizes in [[29, 70, 300], [3, 200, 513], [2100, 5, 3], [40, 16, 1024]] {
            check(backend, sizes);
        }
    }
    check(Backend::Matrixmultiply, [29, 70, 300]);
}
