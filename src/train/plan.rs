//! What a run will take, from a few timed steps of it.

use std::time::Instant;

use super::config::Config;
use super::data::TrainData;
use super::error::RunError;
use super::state::{InferenceInfo, State};
use super::trainer::{Trainer, VALIDATION_BATCH};
use crate::data::Preprocess;
use crate::gemm::Backend;

/// Steps that are timed, after one that allocates.
const STEPS: u32 = 3;

/// What a run will take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Weight updates.
    pub steps: u64,
    /// Weight updates an epoch.
    pub steps_per_epoch: u64,
    /// Seconds of reading all images once before the first step.
    pub prepare_seconds: f64,
    /// Seconds a step.
    pub step_seconds: f64,
    /// Seconds a validation.
    pub validation_seconds: f64,
    /// Bytes of memory that the process has taken at most while it measured, where the system tells
    /// (Linux).
    pub memory: Option<u64>,
    /// Bytes of the run's folder at most: its files, and a new checkpoint beside the old one.
    pub disk: u64,
}

impl Plan {
    /// Times a few steps and a batch of validation; writes nothing.
    ///
    /// # Errors
    /// The configuration is impossible or does not go with the data, or an image cannot be read.
    pub fn measure(config: Config, data: &TrainData, backend: Backend) -> Result<Self, RunError> {
        config.validate()?;
        // The numbers that are subtracted change no time.
        let preprocess = Preprocess::standard(config.spec()?.family);
        let state = State::start(config, InferenceInfo { preprocess, classes: None })?;
        let table = state.params.table();
        let (learnable, statistics) = (table.learnable_len() as u64, table.statistics_len() as u64);
        let mut trainer = Trainer::new(state, data, backend)?;
        trainer.step()?;
        let (start, mut data_seconds) = (Instant::now(), 0.0);
        for _ in 0..STEPS {
            data_seconds += trainer.step()?.data_seconds;
        }
        let step_seconds = start.elapsed().as_secs_f64() / f64::from(STEPS);
        let config = trainer.config();
        let (train, val) = (config.data.train_images as f64, config.data.val_images as f64);
        let per_image = data_seconds / f64::from(STEPS) / config.batch as f64;
        let (steps, steps_per_epoch) = (config.total_steps(), config.steps_per_epoch());
        let weights = 4 * (learnable + statistics);
        let averages = if config.ema_decay.is_some() { weights } else { 0 };
        let checkpoint = weights + 4 * learnable + averages;

        let start = Instant::now();
        trainer.validate(VALIDATION_BATCH, &mut |_| {})?;
        let measured = val.min(VALIDATION_BATCH as f64).max(1.0);
        Ok(Self {
            steps,
            steps_per_epoch,
            prepare_seconds: per_image * (train + val),
            step_seconds,
            validation_seconds: start.elapsed().as_secs_f64() * val / measured,
            memory: peak_memory(),
            disk: 2 * checkpoint + weights,
        })
    }

    /// Seconds of the whole run.
    pub fn seconds(&self) -> f64 {
        let validations = self.steps.div_ceil(self.steps_per_epoch);
        self.prepare_seconds
            + self.steps as f64 * self.step_seconds
            + validations as f64 * self.validation_seconds
    }
}

/// The most memory that this process has had, in bytes.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(1024 * line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?)
}
