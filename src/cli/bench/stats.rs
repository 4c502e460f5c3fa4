//! Repeated timings and their quantiles.

use std::time::{Duration, Instant};

/// The fewest runs that are timed.
const RUNS: usize = 5;

/// Seconds of each run, ascending.
pub(super) struct Times(Vec<f64>);

/// Times each of `runs` in turn, after one warm-up, until `duration` is over: what disturbs one
/// disturbs the others too.
pub(super) fn measure<const N: usize>(
    duration: Duration,
    mut runs: [&mut (dyn FnMut() + '_); N],
) -> [Times; N] {
    runs.iter_mut().for_each(|run| run());
    let mut times: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
    let start = Instant::now();
    while start.elapsed() < duration || times[0].len() < RUNS {
        for (run, times) in runs.iter_mut().zip(&mut times) {
            let start = Instant::now();
            run();
            times.push(start.elapsed().as_secs_f64());
        }
    }
    times.map(Times::new)
}

impl Times {
    fn new(mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        Self(seconds)
    }

    /// The same for one of `count` repetitions that each run consisted of.
    pub(super) fn per_repetition(self, count: usize) -> Self {
        Self(self.0.into_iter().map(|seconds| seconds / count as f64).collect())
    }

    /// The value below which the share `q` of all runs lies, between neighbours in proportion.
    pub(super) fn quantile(&self, q: f64) -> f64 {
        let at = q * (self.0.len() - 1) as f64;
        let (below, above) = (self.0[at.floor() as usize], self.0[at.ceil() as usize]);
        below + (above - below) * at.fract()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate() {
        let times = Times::new(vec![3.0, 1.0, 2.0, 5.0, 4.0]);
        let close = |q, expected: f64| assert!((times.quantile(q) - expected).abs() < 1e-12);
        close(0.0, 1.0);
        close(0.5, 3.0);
        close(0.9, 4.6);
        close(1.0, 5.0);
    }

    #[test]
    fn every_run_is_timed_at_least_five_times() {
        let (mut a, mut b) = (0, 0);
        let [times, _] = measure(Duration::ZERO, [&mut || a += 1, &mut || b += 1]);
        assert_eq!((times.0.len(), a, b), (5, 6, 6));
    }
}
