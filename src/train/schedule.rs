//! The learning rate: pure functions of configuration, step and a small state that is saved.
//!
//! A run resumed from a checkpoint must continue with exactly the rate it would have had, so nothing here
//! remembers anything by itself: [`LearningRate`] is made from the configuration and maps a step and
//! a [`ScheduleState`] to a rate, or an observation to the next state.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How the learning rate falls. Steps are iterations (weight updates) from the run's start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// It stays the same.
    Constant,
    /// Multiplied by `factor` at each of `milestones` (the paper on CIFAR-10: 0.1 at 32k and 48k).
    MultiStep {
        /// Steps, ascending.
        milestones: Vec<u64>,
        /// What the rate is multiplied by.
        factor: f64,
    },
    /// Half a cosine from the end of the warm-up down to zero after the run's last step
    /// (Loshchilov, Hutter, 2016, without restarts).
    Cosine,
    /// Multiplied by `factor` when the validation error stops falling (the paper on ImageNet,
    /// section 3.4: "divided by 10 when the error plateaus").
    Plateau {
        /// What the rate is multiplied by.
        factor: f64,
        /// Epochs without improvement before the rate drops: it drops at the end of the next one.
        patience: u32,
        /// An improvement is an error lower than the best so far by more than this, as a fraction.
        threshold: f64,
    },
}

/// The warm-up: the learning rate before the schedule's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Warmup {
    /// Nothing.
    None,
    /// The rate rises by equal amounts from `lr / steps` at the first step to lr (Goyal et al.,
    /// 2017, section 2.2).
    Linear {
        /// Length in steps; a shorter run is all warm-up.
        steps: u64,
    },
    /// The rate is `lr` until the training error falls below `error` (the paper's ResNet-110,
    /// section 4.2: 0.01 until 80 %). The error is that of [`ERROR_WINDOW`] steps at a time.
    UntilError {
        /// The rate meanwhile.
        lr: f64,
        /// Training error that ends it, as a fraction.
        error: f64,
    },
}

/// Steps over which [`Warmup::UntilError`] measures the training error.
pub const ERROR_WINDOW: u64 = 50;

/// What a schedule has seen so far; saved in every checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleState {
    /// How often a plateau has lowered the rate.
    pub reductions: u32,
    /// Lowest validation error (a fraction) since the last reduction that counts as progress.
    pub best_error: Option<f64>,
    /// Epochs since then.
    pub bad_epochs: u32,
    /// Whether the training error has been below the threshold of [`Warmup::UntilError`].
    pub warm: bool,
    /// Steps in the present window of the training error.
    pub window_steps: u64,
    /// Training samples in it.
    pub window_samples: u64,
    /// Those classified right.
    pub window_correct: u64,
}

/// The learning rate of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct LearningRate {
    /// The rate after warm-up and before any reduction.
    pub base: f64,
    /// How it falls.
    pub schedule: Schedule,
    /// What comes before.
    pub warmup: Warmup,
    /// Steps of the whole run; only [`Schedule::Cosine`] depends on it.
    pub total_steps: u64,
}

impl LearningRate {
    /// The rate of `step` (0 is the run's first).
    pub fn at(&self, step: u64, state: &ScheduleState) -> f32 {
        let warmup_steps = match self.warmup {
            Warmup::Linear { steps } if step < steps => {
                return (self.base * (step + 1) as f64 / steps as f64) as f32;
            }
            Warmup::Linear { steps } => steps,
            Warmup::UntilError { lr, .. } if !state.warm => return lr as f32,
            _ => 0,
        };
        let factor = match &self.schedule {
            Schedule::Constant => 1.0,
            Schedule::MultiStep { milestones, factor } => {
                let passed = milestones.iter().filter(|&&milestone| milestone <= step).count();
                power(*factor, passed)
            }
            Schedule::Cosine => {
                let length = self.total_steps.saturating_sub(warmup_steps).max(1);
                let done = (step - warmup_steps).min(length) as f64 / length as f64;
                0.5 * (1.0 + libm::cos(std::f64::consts::PI * done))
            }
            Schedule::Plateau { factor, .. } => power(*factor, state.reductions as usize),
        };
        (self.base * factor) as f32
    }

    /// The state after a step that classified `correct` of `samples` training samples right.
    pub fn after_step(&self, state: &ScheduleState, correct: u64, samples: u64) -> ScheduleState {
        let mut next = state.clone();
        let Warmup::UntilError { error, .. } = self.warmup else { return next };
        if state.warm {
            return next;
        }
        next.window_steps += 1;
        next.window_samples += samples;
        next.window_correct += correct;
        if next.window_steps >= ERROR_WINDOW {
            let wrong = next.window_samples.saturating_sub(next.window_correct);
            next.warm = (wrong as f64) < error * next.window_samples as f64;
            (next.window_steps, next.window_samples, next.window_correct) = (0, 0, 0);
        }
        next
    }

    /// The state after an epoch with this validation error (a fraction; `None` if the epoch was not
    /// validated). An error that is not a number is no progress.
    pub fn after_epoch(&self, state: &ScheduleState, error: Option<f64>) -> ScheduleState {
        let mut next = state.clone();
        let (Schedule::Plateau { patience, threshold, .. }, Some(error)) = (&self.schedule, error)
        else {
            return next;
        };
        let progress = match state.best_error {
            Some(best) => error < best - threshold,
            None => !error.is_nan(),
        };
        if progress {
            (next.best_error, next.bad_epochs) = (Some(error), 0);
        } else {
            next.bad_epochs += 1;
            if next.bad_epochs > *patience {
                (next.reductions, next.bad_epochs) = (state.reductions + 1, 0);
            }
        }
        next
    }
}

/// `factor` to the power of `n`, multiplied out in order: the same bits on every platform.
fn power(factor: f64, n: usize) -> f64 {
    (0..n).fold(1.0, |product, _| product * factor)
}

impl Schedule {
    /// The kinds, each with the numbers that it has unless others are given. Milestones depend on how
    /// long the run is: [`default_milestones`].
    pub const KINDS: [Self; 4] = [
        Self::Constant,
        Self::MultiStep { milestones: Vec::new(), factor: 0.1 },
        Self::Cosine,
        Self::Plateau { factor: 0.1, patience: 5, threshold: 0.001 },
    ];

    /// Its kind's name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::MultiStep { .. } => "steps",
            Self::Cosine => "cosine",
            Self::Plateau { .. } => "plateau",
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is not that of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("expected constant, steps, cosine or plateau, found {0}")]
pub struct UnknownSchedule(String);

impl FromStr for Schedule {
    type Err = UnknownSchedule;

    /// The kind of that name, with its usual numbers.
    fn from_str(text: &str) -> Result<Self, UnknownSchedule> {
        let found = Self::KINDS.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(text));
        found.ok_or_else(|| UnknownSchedule(text.to_owned()))
    }
}

/// A half and three quarters of a run of `steps`, as the paper has them on CIFAR-10: those of them that
/// are steps after the first, each once.
pub fn default_milestones(steps: u64) -> Vec<u64> {
    let three_quarters = (u128::from(steps) * 3 / 4) as u64;
    let mut milestones = vec![steps / 2, three_quarters];
    milestones.dedup();
    milestones.retain(|&step| step > 0);
    milestones
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(schedule: Schedule, warmup: Warmup) -> LearningRate {
        LearningRate { base: 0.1, schedule, warmup, total_steps: 100 }
    }

    #[test]
    fn rates_by_step() {
        let state = ScheduleState::default();
        let multi = Schedule::MultiStep { milestones: vec![32, 48], factor: 0.1 };
        let lr = rate(multi, Warmup::None);
        let rates: Vec<f32> =
            [0, 31, 32, 47, 48, 99].iter().map(|&step| lr.at(step, &state)).collect();
        assert_eq!(rates, [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]);
        let lr = rate(Schedule::Cosine, Warmup::Linear { steps: 20 });
        assert_eq!(lr.at(0, &state), 0.005);
        assert_eq!((lr.at(19, &state), lr.at(20, &state)), (0.1, 0.1));
        assert!((lr.at(60, &state) - 0.05).abs() < 1e-8, "half-way");
        assert!(lr.at(99, &state) > 0.0 && lr.at(99, &state) < 1e-4);
        assert_eq!(lr.at(100, &state), 0.0);
        // A run shorter than its warm-up never divides by zero.
        let short = LearningRate { total_steps: 5, ..lr };
        assert!((0..30).all(|step| short.at(step, &state).is_finite()));
        assert_eq!(rate(Schedule::Constant, Warmup::None).at(7, &state), 0.1);
    }

    #[test]
    fn milestones_for_every_length() {
        for (steps, expected) in [
            (0, &[][..]),
            (1, &[]),
            (2, &[1]),
            (3, &[1, 2]),
            (4, &[2, 3]),
            (6, &[3, 4]),
            (7, &[3, 5]),
            (10, &[5, 7]),
            (64_000, &[32_000, 48_000]),
        ] {
            assert_eq!(default_milestones(steps), expected, "{steps}");
        }
        assert!(default_milestones(u64::MAX).is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn kinds_have_names() {
        for kind in Schedule::KINDS {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert_eq!("Cosine".parse(), Ok(Schedule::Cosine));
        assert!("step".parse::<Schedule>().is_err());
    }

    #[test]
    fn plateau_waits_for_its_patience() {
        let schedule = Schedule::Plateau { factor: 0.1, patience: 2, threshold: 0.001 };
        let lr = rate(schedule, Warmup::None);
        let mut state = ScheduleState::default();
        let mut rates = Vec::new();
        // Progress, less than the threshold three times (a reduction), progress again.
        for error in [0.5, 0.4, 0.3995, 0.3999, 0.45, 0.35, f64::NAN, 0.36, 0.36, 0.2] {
            state = lr.after_epoch(&state, Some(error));
            rates.push(lr.at(0, &state));
        }
        assert_eq!(rates, [0.1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01, 0.001, 0.001]);
        assert_eq!(lr.after_epoch(&state, None), state);
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<ScheduleState>(&text).unwrap(), state);
    }

    #[test]
    fn warm_up_ends_when_the_training_error_is_low() {
        let lr = rate(Schedule::Constant, Warmup::UntilError { lr: 0.01, error: 0.8 });
        let mut state = ScheduleState::default();
        for step in 0..3 * ERROR_WINDOW {
            let warm = step >= 2 * ERROR_WINDOW;
            assert_eq!(lr.at(step, &state), if warm { 0.1 } else { 0.01 }, "{step}");
            // 80 % wrong is not below 80 %.
            state = lr.after_step(&state, if step < ERROR_WINDOW { 2 } else { 3 }, 10);
        }
    }
}
