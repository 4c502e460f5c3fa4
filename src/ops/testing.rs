//! What the tests of the layers share: inputs, finite differences, equality everywhere.

use crate::runtime::{Rng, Team, team};
use crate::simd::Isa;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::LazyLock;

/// `len` standard normal values.
pub(super) fn normals(seed: u64, len: usize) -> Vec<f32> {
    let mut rng = Rng::new(seed, &[len as u64]);
    (0..len).map(|_| rng.normal()).collect()
}

/// `values` in f64.
pub(super) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// Runs `f` on every instruction set with 1, 2 and 3 threads. Asserts that threads change no bit, and
/// exact sets none either; returns the results that may differ: of the exact sets and of `portable`.
pub(super) fn everywhere(f: impl Fn(&mut Team, Isa) -> Vec<Vec<f32>> + Sync) -> Vec<Vec<Vec<f32>>> {
    static POOLS: LazyLock<Vec<ThreadPool>> = LazyLock::new(|| {
        (1..=3).map(|n| ThreadPoolBuilder::new().num_threads(n).build().unwrap()).collect()
    });
    let bits = |result: &[Vec<f32>]| -> Vec<Vec<u32>> {
        result.iter().map(|v| v.iter().map(|x| x.to_bits()).collect()).collect()
    };
    let mut results: Vec<(bool, Vec<Vec<f32>>)> = Vec::new();
    for isa in Isa::available() {
        for pool in &*POOLS {
            let result = pool.install(|| team(|team| f(team, isa)));
            match results.iter().find(|(exact, _)| *exact == isa.is_exact()) {
                None => results.push((isa.is_exact(), result)),
                Some((_, first)) => {
                    let threads = pool.current_num_threads();
                    assert!(bits(first) == bits(&result), "{isa}, {threads} threads: other bits");
                }
            }
        }
    }
    results.into_iter().map(|(_, result)| result).collect()
}

/// Asserts that `gradient` is that of `f` at `at`, by central differences.
pub(super) fn assert_gradient(f: impl Fn(&[f64]) -> f64, at: &[f64], gradient: &[f64]) {
    const STEP: f64 = 1e-5;
    assert_eq!(at.len(), gradient.len());
    for (i, &expected) in gradient.iter().enumerate() {
        let moved = |by: f64| {
            let mut at = at.to_vec();
            at[i] += by;
            f(&at)
        };
        let slope = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
        // Truncation is STEP² times a third derivative, cancellation 1e-16 · f / STEP.
        let bound = 1e-6 * (1.0 + expected.abs());
        assert!((slope - expected).abs() <= bound, "{i}: {slope}, not {expected}");
    }
}

/// Asserts |got - expected| ≤ `bound` for each value.
pub(super) fn assert_close(
    what: &str,
    got: &[f32],
    expected: &[f64],
    bound: impl Fn(usize) -> f64,
) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let error = (f64::from(got) - expected).abs();
        assert!(error <= bound(i), "{what} {i}: {got}, not {expected}, bound {}", bound(i));
    }
}
