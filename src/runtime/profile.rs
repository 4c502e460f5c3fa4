//! What each step of a run took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Times of steps by their number, added up over all threads that run them.
#[derive(Debug, Default)]
pub struct Profile {
    nanoseconds: Vec<AtomicU64>,
}

impl Profile {
    /// Nothing so far, for `steps` steps.
    pub fn new(steps: usize) -> Self {
        Self { nanoseconds: (0..steps).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Runs step `step`.
    pub fn time<R>(&self, step: usize, run: impl FnOnce() -> R) -> R {
        let start = Instant::now();
        let result = run();
        self.nanoseconds[step].fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        result
    }

    /// The time of each step so far.
    pub fn times(&self) -> impl Iterator<Item = Duration> {
        self.nanoseconds.iter().map(|time| Duration::from_nanos(time.load(Ordering::Relaxed)))
    }
}
