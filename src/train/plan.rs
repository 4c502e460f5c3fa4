//! The time, memory and disk space of a run, from shapes and a few timed steps with few images.

use std::time::Instant;

use super::config::Config;
use super::data::TrainData;
use super::error::RunError;
use super::memory;
use super::state::{InferenceInfo, State};
use super::trainer::Trainer;
use crate::data::Preprocess;
use crate::gemm::Backend;
use crate::model::Network;
use crate::runtime::{Watch, available_memory};

/// Steps that are timed, after one that allocates.
const STEPS: u32 = 2;

/// Multiply-accumulates of the images of a timed step: a second or so on a small machine.
const WORK: u64 = 30_000_000_000;

/// The time, memory and disk space that a run will take.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Plan {
    /// Weight updates.
    pub steps: u64,
    /// Weight updates per epoch.
    pub steps_per_epoch: u64,
    /// Seconds of reading all images once before the first step.
    pub prepare_seconds: f64,
    /// Seconds per step.
    pub step_seconds: f64,
    /// Seconds of measuring the validation or test images once.
    pub validation_seconds: f64,
    /// Bytes of memory, from shapes.
    pub memory: u64,
    /// Bytes of the run's folder at most: its files, and a new checkpoint beside the old one.
    pub disk: u64,
}

impl Plan {
    /// Estimates what the run takes, and times steps of a few images. It writes nothing, and allocates memory
    /// for those images only. Large batches are somewhat faster per image than it says.
    ///
    /// # Errors
    /// The configuration is impossible, or does not fit the data or the free memory; an image cannot be read;
    /// or it was stopped.
    pub fn measure(
        config: Config,
        data: &TrainData,
        backend: Backend,
        watch: &dyn Watch,
    ) -> Result<Self, RunError> {
        config.validate()?;
        data.check_batch(&config)?;
        let network = Network::new(&config.spec()?);
        let memory = memory::needed(&config, &network, backend);
        memory::check(memory, available_memory(), &config)?;
        let disk = memory::disk(&config, &network);
        let (steps, steps_per_epoch) = (config.total_steps(), config.steps_per_epoch());
        let (train, val) = (config.data.train_images as f64, config.data.val_images as f64);
        let batch = config.batch as f64;

        // Forward and backward are three times the forward pass.
        let macs = 3 * network.macs(config.side, config.side).max(1);
        let most = config.micro_batch.unwrap_or(config.batch);
        let images = usize::try_from(WORK / macs).unwrap_or(most).clamp(1, most);
        let trial = Config { batch: images, micro_batch: None, ..config };
        // The numbers that are subtracted change no time.
        let preprocess = Preprocess::standard(network.spec.family);
        let state = State::start(trial, InferenceInfo { preprocess, classes: None })?;
        let mut trainer = Trainer::new(state, data, backend)?;
        let stopped = || watch.stopped();
        let mut step = || trainer.step(&stopped)?.ok_or(crate::data::Error::Interrupted.into());
        watch.progress("timed steps", 0, Some(1 + u64::from(STEPS)));
        let first: Result<_, RunError> = step();
        first?;
        let (start, mut data_seconds) = (Instant::now(), 0.0);
        for _ in 0..STEPS {
            data_seconds += step()?.data_seconds;
        }
        let per_image = 1.0 / (f64::from(STEPS) * images as f64);
        let image_seconds = start.elapsed().as_secs_f64() * per_image;
        let read_seconds = data_seconds * per_image;
        Ok(Self {
            steps,
            steps_per_epoch,
            prepare_seconds: read_seconds * (train + val),
            step_seconds: image_seconds * batch,
            validation_seconds: (read_seconds + (image_seconds - read_seconds) / 3.0) * val,
            memory,
            disk,
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
