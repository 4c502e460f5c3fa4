//! Where the time of a run's steps goes: some of them, with its data and settings. Nothing is written.

use std::time::Duration;

use super::config::Config;
use super::data::TrainData;
use super::error::RunError;
use super::images::ColourKind;
use super::memory;
use super::plan::assumed;
use super::state::{InferenceInfo, State};
use super::trainer::Trainer;
use crate::gemm::Backend;
use crate::learn::{Part, StepTime};
use crate::model::Network;
use crate::runtime::{Watch, available_memory};

/// Steps that are timed, after one that allocates.
const STEPS: u32 = 5;

/// Times some steps of the run that `config` describes, on random weights and on images of the side that it is
/// validated on: each layer, each part of the work on it, and the wait for images. Means over the steps.
///
/// # Errors
/// The configuration is impossible, or does not fit the data or the free memory; an image cannot be read; or it was
/// stopped.
pub fn profile_steps(
    config: Config,
    data: &TrainData,
    backend: Backend,
    watch: &dyn Watch,
) -> Result<Vec<StepTime>, RunError> {
    config.validate()?;
    data.check_batch(&config)?;
    let network = Network::new(&config.spec()?);
    let mut trial = config;
    trial.images.sides.clear();
    memory::check(memory::needed(&trial, &network, backend), available_memory(), &trial)?;
    // The numbers that are added change no time.
    if trial.colour() == ColourKind::Own {
        trial.images.colour = Some(ColourKind::Imagenet);
    }
    let preprocess = assumed(&trial, &network, data);
    let state = State::start(trial, InferenceInfo { preprocess, classes: None })?;
    let mut trainer = Trainer::new(state, data, None, backend)?;
    let stopped = || watch.stopped();
    let (mut images, mut all) = (0.0, 0.0);
    for step in 0..=STEPS {
        watch.progress("timed steps", u64::from(step), Some(1 + u64::from(STEPS)));
        let report = trainer.step(&stopped)?.ok_or(crate::data::Error::Interrupted)?;
        if step == 0 {
            trainer.learner_mut().set_profiling(true);
        } else {
            (images, all) = (images + report.data_seconds, all + report.seconds);
        }
    }
    let mut times = trainer.learner_mut().step_times();
    let [images, all] = [images, all].map(|x| Duration::from_secs_f64(x) / STEPS);
    let learner: Duration = times.iter().map(|time| time.time).sum();
    let learnable = network.table().learnable_len();
    times.push(StepTime::update(learnable, all.saturating_sub(images + learner)));
    times.push(StepTime::of_no_layer(Part::Images, images));
    Ok(times)
}
