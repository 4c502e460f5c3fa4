//! The time, memory and disk space of a run, from shapes and a few timed steps with few images.

use std::sync::Arc;
use std::time::Instant;

use super::config::Config;
use super::data::{TrainData, view};
use super::error::RunError;
use super::finetune::Frozen;
use super::images::ColourKind;
use super::memory;
use super::run_team;
use super::state::{InferenceInfo, State};
use super::trainer::{Trainer, VALIDATION_BATCH};
use crate::data::{Batches, Preprocess};
use crate::gemm::Backend;
use crate::infer::{Model, Session};
use crate::model::Network;
use crate::numerics::MEASURED_IMAGES;
use crate::runtime::{AlignedBuf, Watch, available_memory};

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
        let (sides, validated) = (config.sides_and_steps(), config.side);
        let (train, val) = (config.data.train_images as f64, config.data.val_images as f64);
        let batch = config.batch as f64;

        if config.is_frozen() {
            return Self::measure_frozen(config, data, &network, backend, watch, memory, disk);
        }
        let (mut run_seconds, mut image) = (0.0, ImageSeconds::default());
        let mut timed = 0;
        for &(side, steps) in sides.iter().filter(|(_, steps)| *steps > 0) {
            let mut trial = Config { side, ..config.clone() };
            trial.images.sides.clear();
            image = ImageSeconds::measure(trial, &network, data, backend, watch)?;
            run_seconds += steps as f64 * image.all() * batch;
            timed = side;
        }
        let macs = |side: usize| network.macs(side, side).max(1) as f64;
        // Of the forward pass alone, at another side perhaps.
        let forward = image.compute / 3.0 * (macs(validated) / macs(timed));
        // Where the run starts from weights, some images go through the network once before.
        let measured = match config.initial {
            Some(_) => config.data.train_images.min(MEASURED_IMAGES as u64) as f64,
            None => 0.0,
        };
        Ok(Self {
            steps,
            steps_per_epoch,
            prepare_seconds: image.read * (train + val) + (image.read + forward) * measured,
            step_seconds: run_seconds / steps as f64,
            validation_seconds: (image.read + forward) * val,
            memory,
            disk,
        })
    }

    /// As [`measure`](Self::measure), where only the classifier is trained: its steps take next to nothing, and
    /// before them all images go through the network once.
    fn measure_frozen(
        config: Config,
        data: &TrainData,
        network: &Network,
        backend: Backend,
        watch: &dyn Watch,
        memory: u64,
        disk: u64,
    ) -> Result<Self, RunError> {
        let (steps, steps_per_epoch) = (config.total_steps(), config.steps_per_epoch());
        let (train, val) = (data.train.len(), config.data.val_images as usize);
        let (side, width) = (config.side, network.fc.in_features);
        let preprocess = assumed(&config, network, data);
        let state = State::start(config, InferenceInfo { preprocess, classes: None })?;
        let Preprocess { view, mean } = &state.inference.preprocess;
        let most = usize::try_from(WORK / network.macs(side, side).max(1)).unwrap_or(usize::MAX);
        let images = most.clamp(1, VALIDATION_BATCH.min(train));
        let (indices, mut labels): (Vec<usize>, _) = ((0..images).collect(), vec![0; images]);
        let batches = Batches::evaluation(&*data.train, *view, mean);
        let mut input = AlignedBuf::zeroed(images * batches.input_len());
        let model = Model::new(network, &state.params, backend)
            .with_convolutions(state.config.convolutions);
        let mut session = Session::of(&Arc::new(model));
        let mut seconds = 0.0;
        // The first allocates.
        for timed in 0..2 {
            if watch.stopped() {
                return Err(crate::data::Error::Interrupted.into());
            }
            watch.progress("timed batches", timed, Some(2));
            let start = Instant::now();
            batches.fill(0, &indices, &mut input, &mut labels)?;
            session.run(&input, images, side, side)?;
            seconds = start.elapsed().as_secs_f64() / images as f64;
        }
        drop(session);
        let features = |images: usize| vec![0.0; images * width];
        let frozen = Frozen::new(features(train), features(val), width);
        let mut trainer = Trainer::new(state, data, Some(frozen), backend)?;
        let stopped = || watch.stopped();
        trainer.step(&stopped)?;
        let start = Instant::now();
        (0..STEPS).try_for_each(|_| trainer.step(&stopped).map(drop))?;
        let step_seconds = start.elapsed().as_secs_f64() / f64::from(STEPS);
        let start = Instant::now();
        trainer.validate(&stopped, &mut |_| ())?;
        Ok(Self {
            steps,
            steps_per_epoch,
            prepare_seconds: seconds * (train + val) as f64,
            step_seconds,
            validation_seconds: start.elapsed().as_secs_f64(),
            memory,
            disk,
        })
    }

    /// The same of a run that `processes` share, each as fast as this one. What they tell each other is not counted.
    ///
    /// # Errors
    /// So many cannot share it.
    pub fn shared(self, config: &Config, processes: usize) -> Result<Self, RunError> {
        let micro_batches = config.batch / run_team::check(config, processes)?;
        // The step takes as long as the one with the most.
        let most = micro_batches.div_ceil(processes) as f64 / micro_batches as f64;
        Ok(Self {
            step_seconds: self.step_seconds * most,
            validation_seconds: self.validation_seconds / processes as f64,
            ..self
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

/// How images are prepared, as far as it takes time: the numbers that are subtracted do not matter.
pub(super) fn assumed(config: &Config, network: &Network, data: &TrainData) -> Preprocess {
    let family = network.spec.family;
    Preprocess { view: view(config.side, family, &*data.train), ..Preprocess::standard(family) }
}

/// Seconds that a training image takes.
#[derive(Clone, Copy, Debug, Default)]
struct ImageSeconds {
    /// To be read and prepared.
    read: f64,
    /// For forward and backward pass and the update.
    compute: f64,
}

impl ImageSeconds {
    fn all(self) -> f64 {
        self.read + self.compute
    }

    /// Times steps of a few images of the side of `config`, which has no others.
    fn measure(
        config: Config,
        network: &Network,
        data: &TrainData,
        backend: Backend,
        watch: &dyn Watch,
    ) -> Result<Self, RunError> {
        // Forward and backward are three times the forward pass.
        let macs = 3 * network.macs(config.side, config.side).max(1);
        let most = config.images_at_a_time();
        // Images that are mixed need another one.
        let least = most.min(2);
        let images = usize::try_from(WORK / macs).unwrap_or(most).clamp(least, most);
        let mut trial = Config { batch: images, micro_batch: None, ..config };
        // The numbers that are subtracted or added change no time.
        if trial.colour() == ColourKind::Own {
            trial.images.colour = Some(ColourKind::Imagenet);
        }
        let preprocess = assumed(&trial, network, data);
        let state = State::start(trial, InferenceInfo { preprocess, classes: None })?;
        let mut trainer = Trainer::new(state, data, None, backend)?;
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
        let read = data_seconds * per_image;
        Ok(Self { read, compute: (start.elapsed().as_secs_f64() * per_image - read).max(0.0) })
    }
}
