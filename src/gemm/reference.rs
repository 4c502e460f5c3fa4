//! The definition: what [`gemm`](super::gemm()) computes, as plain loops in f64.

use super::Epilogue;

/// C [m, n] = epilogue(A [m, k] · B [k, n]), all row-major, sums in f64.
pub fn gemm(m: usize, n: usize, k: usize, a: &[f32], b: &[f32], epilogue: &Epilogue) -> Vec<f64> {
    let mut c = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            let mut sum: f64 =
                (0..k).map(|p| f64::from(a[i * k + p]) * f64::from(b[p * n + j])).sum();
            sum += epilogue.bias.map_or(0.0, |bias| f64::from(bias[j]));
            sum += epilogue.residual.map_or(0.0, |r| f64::from(r[i * n + j]));
            c[i * n + j] = if epilogue.relu && sum < 0.0 { 0.0 } else { sum };
        }
    }
    c
}
