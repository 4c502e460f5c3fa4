//! What each step of a run took.

use std::time::{Duration, Instant};

/// Wall times of steps, in the order in which they ran.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    times: Vec<Duration>,
}

impl Profile {
    /// Runs the next step.
    pub fn time<R>(&mut self, step: impl FnOnce() -> R) -> R {
        let start = Instant::now();
        let result = step();
        self.times.push(start.elapsed());
        result
    }

    /// The time of each step so far.
    pub fn times(&self) -> &[Duration] {
        &self.times
    }
}
