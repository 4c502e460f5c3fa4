//! Repeated timings and their quantiles.

use std::time::{Duration, Instant};

/// The fewest runs that are timed.
const RUNS: usize = 5;

/// How many times the 10th percentile the 90th may be on a machine that does nothing else.
const SPREAD: f64 = 1.25;
/// A run of more than so many medians was disturbed.
const OUTLIER: f64 = 3.0;

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

    /// How many runs were timed.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// What makes the median doubtful, if anything: runs that differ by much, or some that took far
    /// longer than the others.
    pub(super) fn noise(&self) -> Option<String> {
        let [p10, median, p90, slowest] = [0.1, 0.5, 0.9, 1.0].map(|q| self.quantile(q));
        let advice =
            "something else may be using this CPU; measure again, or for longer (--seconds)";
        if p90 > SPREAD * p10 {
            let percent = 100.0 * (p90 / p10 - 1.0);
            Some(format!("runs differ by {percent:.0} % (p10 to p90): {advice}"))
        } else if slowest > OUTLIER * median {
            let outliers = self.0.iter().filter(|&&time| time > OUTLIER * median).count();
            let times = slowest / median;
            Some(format!(
                "{outliers} of {} runs took up to {times:.1} times the median: {advice}",
                self.count()
            ))
        } else {
            None
        }
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
    fn noise_is_named() {
        let noise = |times: &[f64]| Times::new(times.to_vec()).noise();
        assert_eq!(noise(&[1.0, 1.01, 1.02, 1.03, 1.04]), None);
        assert!(noise(&[1.0, 1.0, 1.5, 2.0, 2.0]).unwrap().contains("100 %"));
        let mut outlier = vec![1.0; 99];
        outlier.push(9.0);
        let text = noise(&outlier).unwrap();
        assert!(text.starts_with("1 of 100 runs took up to 9.0 times the median"), "{text}");
    }

    #[test]
    fn every_run_is_timed_at_least_five_times() {
        let (mut a, mut b) = (0, 0);
        let [times, _] = measure(Duration::ZERO, [&mut || a += 1, &mut || b += 1]);
        assert_eq!((times.0.len(), a, b), (5, 6, 6));
    }
}
