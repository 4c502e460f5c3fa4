//! Products small enough for Miri, which interprets them and knows every rule of pointers: the same loops,
//! packers and tiles as any product's, with the vectors of `portable`.

use super::super::{Backend, Epilogue, Matrix, PackedB, gemm, gemm_transposed, reference};
use super::{Packed, draw, rounding};
use crate::runtime::{Buffers, Rng, Team};
use crate::simd::Isa;

#[test]
fn miri_products() {
    let mut buffers = Buffers::default();
    let team = &mut Team::alone(buffers.scratch());
    let backend = Backend::Native(Isa::named("portable").unwrap());
    for (m, n, k) in [(1, 1, 1), (5, 9, 3), (4, 8, 6), (9, 17, 2), (2, 3, 260), (3, 2, 0)] {
        let mut rng = Rng::new(5, &[m as u64, n as u64]);
        let (a, b) = (draw(&mut rng, m * k), draw(&mut rng, k * n));
        let (bias, residual) = (draw(&mut rng, n), draw(&mut rng, m * n));
        let epilogue =
            Epilogue { bias: Some(&bias), residual: Some(&residual), relu: true, after: None };
        let expected = reference::gemm(m, n, k, &a, &b, &epilogue);
        let packed = PackedB::from_rows(team, backend, k, n, &b);
        let (mut c, mut again) = (vec![f32::NAN; m * n], vec![f32::NAN; m * n]);
        let matrix = Matrix::new(&a, m, k);
        gemm(team, &matrix, &packed, &mut c, &epilogue);
        gemm(team, &Packed(matrix), &packed, &mut again, &epilogue);
        assert!(c == again);
        for (&got, &want) in c.iter().zip(&expected) {
            assert!((f64::from(got) - want).abs() <= rounding(k, want), "{got}, not {want}");
        }
    }
}

#[test]
fn miri_transposed_products() {
    let mut buffers = Buffers::default();
    let team = &mut Team::alone(buffers.scratch());
    let backend = Backend::Native(Isa::named("portable").unwrap());
    for (m, n, k) in [(1, 1, 1), (7, 9, 5), (6, 17, 3), (260, 2, 2), (0, 3, 2)] {
        let mut rng = Rng::new(6, &[m as u64, n as u64]);
        let (a, b) = (draw(&mut rng, m * k), draw(&mut rng, m * n));
        let mut c = vec![f32::NAN; k * n];
        gemm_transposed(team, backend, &Matrix::new(&a, m, k), &b, n, &mut c);
        for (at, &got) in c.iter().enumerate() {
            let (i, j) = (at / n, at % n);
            let terms = (0..m).map(|p| f64::from(a[p * k + i]) * f64::from(b[p * n + j]));
            let want: f64 = terms.sum();
            assert!((f64::from(got) - want).abs() <= rounding(m, want), "{got}, not {want}");
        }
    }
}
