//! The one-dimensional transforms of F(4, 3) and F(2, 3): the only place where the two differ.
//!
//! A filter of three taps over T = M + 2 values gives M outputs as Aᵀ [(G g) ⊙ (Bᵀ d)] (Cook and Toom;
//! Lavin and Gray, arXiv 1509.09308). Every function writes one order of operations, so each
//! instruction set computes the same bits.

use crate::simd::Simd;

/// Transforms that make `M` outputs from `T` values.
pub(super) trait Scheme<const M: usize, const T: usize>: Copy + Send + Sync {
    /// Bᵀ d.
    fn input<S: Simd>(s: S, d: [S::V; T]) -> [S::V; T];
    /// Aᵀ m.
    fn output<S: Simd>(s: S, m: [S::V; T]) -> [S::V; M];
    /// G g, in f64: rounded once, when the filter has been transformed both ways.
    fn filter(g: [f64; 3]) -> [f64; T];
    /// A y, the transpose of [`output`](Self::output): what the gradient of the outputs becomes.
    fn gradient<S: Simd>(s: S, y: [S::V; M]) -> [S::V; T];
    /// Gᵀ u, the transpose of [`filter`](Self::filter): the gradient of the taps.
    fn filter_gradient(u: [f64; T]) -> [f64; 3];
}

/// F(2, 3) on the points 0, ±1 and infinity.
#[derive(Clone, Copy)]
pub(super) struct F2;

impl Scheme<2, 4> for F2 {
    #[inline(always)]
    fn input<S: Simd>(s: S, d: [S::V; 4]) -> [S::V; 4] {
        [s.sub(d[0], d[2]), s.add(d[1], d[2]), s.sub(d[2], d[1]), s.sub(d[1], d[3])]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, m: [S::V; 4]) -> [S::V; 2] {
        [s.add(m[0], s.add(m[1], m[2])), s.sub(s.sub(m[1], m[2]), m[3])]
    }

    #[inline(always)]
    fn filter(g: [f64; 3]) -> [f64; 4] {
        let (even, odd) = (0.5 * (g[0] + g[2]), 0.5 * g[1]);
        [g[0], even + odd, even - odd, g[2]]
    }

    #[inline(always)]
    fn gradient<S: Simd>(s: S, y: [S::V; 2]) -> [S::V; 4] {
        [y[0], s.add(y[0], y[1]), s.sub(y[0], y[1]), s.sub(s.splat(0.0), y[1])]
    }

    #[inline(always)]
    fn filter_gradient(u: [f64; 4]) -> [f64; 3] {
        let (even, odd) = (0.5 * (u[1] + u[2]), 0.5 * (u[1] - u[2]));
        [u[0] + even, odd, even + u[3]]
    }
}

/// F(4, 3) on the points 0, ±2/3, ±3/2 and infinity, whose error is 2.5 times less than that of the
/// customary 0, ±1, ±2.
#[derive(Clone, Copy)]
pub(super) struct F4;

const A: f64 = 2.0 / 3.0;
const B: f64 = 3.0 / 2.0;
const A2: f64 = A * A;
const B2: f64 = B * B;

impl Scheme<4, 6> for F4 {
    #[inline(always)]
    fn input<S: Simd>(s: S, d: [S::V; 6]) -> [S::V; 6] {
        let (a, b) = (s.splat(A as f32), s.splat(B as f32));
        let (minus_a, minus_b) = (s.splat(-A as f32), s.splat(-B as f32));
        let (minus_a2, minus_b2) = (s.splat(-A2 as f32), s.splat(-B2 as f32));
        let minus_c = s.splat(-(A2 + B2) as f32);
        let (even_a, odd_a) = (s.fma(minus_b2, d[2], d[4]), s.fma(minus_b2, d[1], d[3]));
        let (even_b, odd_b) = (s.fma(minus_a2, d[2], d[4]), s.fma(minus_a2, d[1], d[3]));
        [
            s.fma(minus_c, d[2], s.add(d[0], d[4])),
            s.fma(a, odd_a, even_a),
            s.fma(minus_a, odd_a, even_a),
            s.fma(b, odd_b, even_b),
            s.fma(minus_b, odd_b, even_b),
            s.fma(minus_c, d[3], s.add(d[1], d[5])),
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, m: [S::V; 6]) -> [S::V; 4] {
        let (even_a, odd_a) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
        let (even_b, odd_b) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
        let (a, b) = (s.splat(A as f32), s.splat(B as f32));
        let (a2, b2) = (s.splat(A2 as f32), s.splat(B2 as f32));
        let (a3, b3) = (s.splat((A * A2) as f32), s.splat((B * B2) as f32));
        [
            s.add(m[0], s.add(even_a, even_b)),
            s.fma(a, odd_a, s.mul(b, odd_b)),
            s.fma(a2, even_a, s.mul(b2, even_b)),
            s.fma(a3, odd_a, s.fma(b3, odd_b, m[5])),
        ]
    }

    #[inline(always)]
    fn filter(g: [f64; 3]) -> [f64; 6] {
        let (scale_a, scale_b) = (1.0 / (2.0 * A2 * (A2 - B2)), 1.0 / (2.0 * B2 * (B2 - A2)));
        let (even_a, odd_a) = (scale_a * (g[0] + A2 * g[2]), scale_a * A * g[1]);
        let (even_b, odd_b) = (scale_b * (g[0] + B2 * g[2]), scale_b * B * g[1]);
        [g[0], even_a + odd_a, even_a - odd_a, even_b + odd_b, even_b - odd_b, g[2]]
    }

    #[inline(always)]
    fn gradient<S: Simd>(s: S, y: [S::V; 4]) -> [S::V; 6] {
        let (a, b) = (s.splat(A as f32), s.splat(B as f32));
        let (a2, b2) = (s.splat(A2 as f32), s.splat(B2 as f32));
        let (a3, b3) = (s.splat((A * A2) as f32), s.splat((B * B2) as f32));
        let (even_a, even_b) = (s.fma(a2, y[2], y[0]), s.fma(b2, y[2], y[0]));
        let (odd_a, odd_b) = (s.fma(a3, y[3], s.mul(a, y[1])), s.fma(b3, y[3], s.mul(b, y[1])));
        [
            y[0],
            s.add(even_a, odd_a),
            s.sub(even_a, odd_a),
            s.add(even_b, odd_b),
            s.sub(even_b, odd_b),
            y[3],
        ]
    }

    #[inline(always)]
    fn filter_gradient(u: [f64; 6]) -> [f64; 3] {
        let (scale_a, scale_b) = (1.0 / (2.0 * A2 * (A2 - B2)), 1.0 / (2.0 * B2 * (B2 - A2)));
        let (even_a, odd_a) = (scale_a * (u[1] + u[2]), scale_a * (u[1] - u[2]));
        let (even_b, odd_b) = (scale_b * (u[3] + u[4]), scale_b * (u[3] - u[4]));
        [u[0] + (even_a + even_b), A * odd_a + B * odd_b, A2 * even_a + B2 * even_b + u[5]]
    }
}
