//! A run and its folder: starts or continues by itself, trains, validates, saves.
//!
//! What is computed depends on the configuration and the data only. When a run is saved, where and
//! by how many threads it is computed changes nothing: a run that was interrupted or killed ends
//! with the same checkpoint, byte for byte, as one that was not.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::assist::tell_state;
use super::checkpoint::{self, save, save_for_inference};
use super::config::Config;
use super::continued::go_on;
use super::data::TrainData;
use super::error::RunError;
use super::finetune::{Backbone, Frozen, StartError, StartingWeights};
#[cfg(feature = "cli")]
use super::folder::REPORT;
use super::folder::{BEST, LAST, METRICS, RESULT, RunFolder};
use super::images::ColourKind;
use super::memory;
use super::metrics::{EpochMetrics, append_metrics, cut_metrics};
#[cfg(feature = "cli")]
use super::report::write_report;
use super::result::RunResult;
use super::state::{Best, State};
use super::trainer::{StepReport, Trainer, Validated, Validation};
use crate::exchange::Exchange;
use crate::gemm::Backend;
use crate::model::Network;
use crate::runtime::{Interrupt, Storage, Watch, available_memory};
use crate::simd::Isa;

/// Options that do not change results.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// The backend that computes matrix products.
    pub backend: Backend,
    /// Time after which a checkpoint is saved within an epoch.
    pub save_every: Duration,
}

impl Default for RunOptions {
    /// The fastest instruction set, and a checkpoint every ten minutes.
    fn default() -> Self {
        Self { backend: Backend::Native(Isa::best()), save_every: Duration::from_secs(600) }
    }
}

/// Is told how a run progresses, to show it.
pub trait Observer {
    /// The first step starts. It allocates buffers, so it takes longer than others.
    fn starting(&mut self) {}
    /// A step is done.
    fn step(&mut self, _report: &StepReport) {}
    /// `done` of `images` validation images are classified.
    fn validating(&mut self, _done: usize, _images: usize) {}
    /// An epoch is done, recorded and saved.
    fn epoch(&mut self, _metrics: &EpochMetrics) {}
    /// Something failed that the run does not need to continue.
    fn warning(&mut self, _text: &str) {}
}

/// An observer that shows nothing.
impl Observer for () {}

/// How [`Run::train`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done.
    Finished,
    /// It was asked to stop; the checkpoint is where it stopped.
    Interrupted,
}

/// A run.
pub struct Run<'a> {
    trainer: Trainer<'a>,
    folder: RunFolder,
    options: RunOptions,
    storage: &'a dyn Storage,
    epochs: Vec<EpochMetrics>,
    notes: Vec<String>,
    resumed: bool,
    saved: Instant,
}

/// Seconds and images of the present epoch in this process.
struct Clock {
    start: Instant,
    /// Learning rate of the last step.
    lr: Option<f64>,
    steps: f64,
    data: f64,
    images: usize,
}

impl Clock {
    fn start() -> Self {
        Self { start: Instant::now(), lr: None, steps: 0.0, data: 0.0, images: 0 }
    }
}

impl<'a> Run<'a> {
    /// Continues the run in `folder`, or starts one there if the folder is empty or missing. A new run reads
    /// all images once and is saved before its first step, so problems with images or folder are found now.
    /// `watch` is told how far the reading is, and may stop it.
    ///
    /// # Errors
    /// The configuration is impossible, or does not fit the data or the memory; the folder holds something
    /// else, or a run whose configuration differs in more than a smaller length; another process is training
    /// in it; or it was stopped.
    pub fn open(
        folder: &Path,
        config: Config,
        data: &'a TrainData,
        options: RunOptions,
        storage: &'a dyn Storage,
        watch: &dyn Watch,
    ) -> Result<Self, RunError> {
        Self::open_from(None, folder, config, data, options, storage, watch)
    }

    /// As [`open`](Self::open), of a run that may start from `weights`; one that is continued does not need
    /// them. Where its backbone is frozen, the features of all images are computed now, or taken from the
    /// data's cache; a new run reads its images for that.
    ///
    /// # Errors
    /// As for [`open`](Self::open), or a new run cannot start from the weights.
    pub fn open_from(
        weights: Option<&StartingWeights>,
        folder: &Path,
        config: Config,
        data: &'a TrainData,
        options: RunOptions,
        storage: &'a dyn Storage,
        watch: &dyn Watch,
    ) -> Result<Self, RunError> {
        config.validate()?;
        let network = Network::new(&config.spec()?);
        let mut folder = RunFolder::take(folder)?;
        let needed = memory::needed(&config, &network, options.backend);
        let resumed = folder.holds_run();
        let mut notes = Vec::new();
        let state = if resumed {
            memory::check(needed, available_memory(), &config)?;
            let state = checkpoint::load(&folder.file(LAST))?;
            go_on(state, config, folder.path(), &mut notes)?
        } else {
            // Refused before all images are read.
            data.check_batch(&config)?;
            memory::check(needed, available_memory(), &config)?;
            match (weights, &config.initial) {
                (Some(weights), Some(_)) => weights.begin(config, data, options.backend, watch)?,
                (None, Some(_)) => return Err(StartError::Missing.into()),
                (_, None) => {
                    let (inference, colours) = data.prepare(&config, network.spec.family, watch)?;
                    let own = config.colour() == ColourKind::Own;
                    State { colours: own.then_some(colours), ..State::start(config, inference)? }
                }
            }
        };
        let frozen = match &state.config.initial {
            Some(digest) if state.config.is_frozen() => {
                let backbone = Backbone {
                    network: &network,
                    params: &state.params,
                    preprocess: &state.inference.preprocess,
                    digest,
                    backend: options.backend,
                    convolutions: state.config.convolutions,
                    cache: &data.cache,
                };
                Some(Frozen::compute(&backbone, data, &mut notes, watch)?)
            }
            _ => None,
        };
        let trainer = Trainer::new(state, data, frozen, options.backend)?;
        if !resumed {
            // Before the checkpoint, so that none stands beside the record of another run.
            cut_metrics(&folder.file(METRICS), 0, storage)?;
            save(&trainer.state, &folder.file(LAST), storage)?;
            folder.begin();
        }
        let progress = &trainer.state.progress;
        // Stopped in the validation of this step, and then ended between its record and its checkpoint: it is done again.
        let concluded = || {
            let result = RunResult::read(&folder.file(RESULT), storage);
            result.is_ok_and(|result| result.step == progress.step)
        };
        let owed = progress.cursor > 0
            && (trainer.at_epoch_end() || (trainer.is_finished() && !concluded()));
        let recorded = progress.step - u64::from(owed);
        let metrics = cut_metrics(&folder.file(METRICS), recorded, storage)?;
        if !metrics.passed_over.is_empty() {
            let lines: Vec<String> = metrics.passed_over.iter().map(usize::to_string).collect();
            notes.push(format!(
                "{}: removed lines that are not the metrics of an epoch: {}",
                folder.file(METRICS).display(),
                lines.join(", ")
            ));
        }
        Ok(Self {
            trainer,
            folder,
            options,
            storage,
            epochs: metrics.epochs,
            notes,
            resumed,
            saved: Instant::now(),
        })
    }

    /// Shares the run from now on with the other processes of `exchange`, where each calls `train::assist`. All must
    /// have agreed on it before, by `train::agree`.
    ///
    /// # Errors
    /// The checkpoint cannot be read, or the run cannot be shared among so many.
    pub fn share(&mut self, exchange: &'a dyn Exchange) -> Result<(), RunError> {
        tell_state(exchange, &self.state().config, &self.path(LAST))?;
        self.trainer.share(exchange)
    }

    /// The state of the run: its configuration, weights and progress. Where processes share it, the velocity is with them.
    pub fn state(&self) -> &State {
        &self.trainer.state
    }

    /// Where it stands, for whoever goes on without it: its memory is free, and so is its folder.
    pub fn into_state(self) -> State {
        self.trainer.state
    }

    /// What the user should know about the run as it was found, one sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Whether the folder already held a run.
    pub fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// Whether all steps are done.
    pub fn is_finished(&self) -> bool {
        self.trainer.is_finished()
    }

    /// The epochs on record.
    pub fn epochs(&self) -> &[EpochMetrics] {
        &self.epochs
    }

    /// The file called `name` in the run's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.file(name)
    }

    /// Trains until all steps are done or `interrupt` is raised, in the current thread pool.
    ///
    /// # Errors
    /// An image cannot be read, a file cannot be written, or a number of the run is not finite. The last
    /// checkpoint is whole then, and the run can be continued from it.
    pub fn train(
        &mut self,
        observer: &mut dyn Observer,
        interrupt: &Interrupt,
    ) -> Result<Outcome, RunError> {
        let outcome = self.all_steps(observer, interrupt)?;
        self.trainer.end(outcome == Outcome::Finished);
        Ok(outcome)
    }

    fn all_steps(
        &mut self,
        observer: &mut dyn Observer,
        interrupt: &Interrupt,
    ) -> Result<Outcome, RunError> {
        interrupt.has_saved();
        let stopped = || interrupt.is_raised();
        let mut clock = Clock::start();
        // Stopped in the validation of an epoch, it begins with that.
        if self.owes_validation() && !self.end_epoch(&clock, observer, &stopped)? {
            return self.stop();
        }
        if !self.is_finished() {
            observer.starting();
        }
        while !self.is_finished() {
            if stopped() {
                return self.stop();
            }
            let step = self.trainer.step(&stopped).map_err(|error| self.with_checkpoint(error))?;
            let Some(report) = step else { return self.stop() };
            clock.lr = Some(report.lr);
            clock.steps += report.seconds;
            clock.data += report.data_seconds;
            clock.images += report.images;
            observer.step(&report);
            if self.trainer.at_epoch_end() || self.is_finished() {
                if !self.end_epoch(&clock, observer, &stopped)? {
                    return self.stop();
                }
                clock = Clock::start();
            } else if self.saved.elapsed() >= self.options.save_every {
                self.save()?;
            }
        }
        // A run of an early version has none, and one that was killed just before may have an older one.
        self.write_result()?;
        self.write_report(observer);
        Ok(Outcome::Finished)
    }

    fn stop(&mut self) -> Result<Outcome, RunError> {
        self.save()?;
        Ok(Outcome::Interrupted)
    }

    /// Whether the steps of an epoch, or of the run, are done, but not what follows them.
    fn owes_validation(&self) -> bool {
        let progress = &self.state().progress;
        let recorded = self.epochs.last().is_some_and(|epoch| epoch.step == progress.step);
        let done = self.trainer.at_epoch_end() || self.is_finished();
        done && progress.cursor > 0 && !recorded
    }

    /// Validates, records and saves; false if it was stopped before. The end of a run within an epoch
    /// counts as the end of one, but a longer run goes on within it.
    fn end_epoch(
        &mut self,
        clock: &Clock,
        observer: &mut dyn Observer,
        stopped: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool, RunError> {
        self.check_finite()?;
        let images = self.state().config.data.val_images as usize;
        let mut done = |done| observer.validating(done, images);
        let found = match self.trainer.validate(stopped, &mut done)? {
            Validated::Found(found) => Some(found),
            Validated::Nothing => None,
            Validated::Stopped => return Ok(false),
        };
        let mixed = self.state().config.mixing().is_on();
        let progress = &self.state().progress;
        let fraction = |sum: f64| Some(sum / progress.cursor as f64).filter(|x| x.is_finite());
        let measured = |value: fn(&Validation) -> f64| {
            found.as_ref().map(value).filter(|value| value.is_finite())
        };
        let metrics = EpochMetrics {
            epoch: progress.epoch + 1,
            step: progress.step,
            lr: clock.lr.unwrap_or_else(|| self.trainer.last_rate()),
            train_loss: fraction(progress.loss_sum),
            // Mixed images have no right class.
            train_top1: fraction(progress.correct as f64).filter(|_| !mixed),
            val_loss: measured(|v| v.loss),
            val_top1: measured(|v| v.top1),
            val_top5: measured(|v| v.top5),
            images_per_second: Some(clock.images as f64 / clock.steps).filter(|x| x.is_finite()),
            data_seconds: Some(clock.data),
            seconds: Some(clock.start.elapsed().as_secs_f64()),
        };
        let better = self.note_best(&metrics);
        if self.trainer.at_epoch_end() {
            self.trainer.next_epoch(found.map(|found| 1.0 - found.top1));
        }
        append_metrics(&self.path(METRICS), &metrics, self.storage)?;
        // An epoch of a classifier takes less time than saving the whole network. What a crash loses is
        // computed again.
        let saving = !self.state().config.is_frozen()
            || self.is_finished()
            || self.saved.elapsed() >= self.options.save_every;
        if better && (saving || self.state().config.data.can_choose()) {
            save_for_inference(self.state(), &self.path(BEST), self.storage)?;
        }
        if saving {
            self.save()?;
        }
        self.epochs.push(metrics);
        if saving {
            self.write_result()?;
            self.write_report(observer);
        }
        if let Some(metrics) = self.epochs.last() {
            observer.epoch(metrics);
        }
        Ok(true)
    }

    /// Whether the weights are the best so far: by images that may choose, else the latest are.
    fn note_best(&mut self, metrics: &EpochMetrics) -> bool {
        let state = &mut self.trainer.state;
        let (Some(top1), true) = (metrics.val_top1, state.config.data.can_choose()) else {
            return true;
        };
        let better = state.best.as_ref().is_none_or(|best| top1 > best.top1);
        if better {
            state.best = Some(Best { epoch: metrics.epoch, step: metrics.step, top1 });
        }
        better
    }

    fn save(&mut self) -> Result<(), RunError> {
        self.trainer.collect_momentum();
        self.check_finite()?;
        save(self.state(), &self.path(LAST), self.storage)?;
        self.trainer.forget_momentum();
        self.saved = Instant::now();
        Ok(())
    }

    fn write_result(&self) -> Result<(), RunError> {
        let result = RunResult::of(self.state(), &self.epochs);
        Ok(result.write(&self.path(RESULT), self.storage)?)
    }

    /// A library without the feature `cli` draws no charts.
    #[cfg(not(feature = "cli"))]
    fn write_report(&self, _: &mut dyn Observer) {}

    /// Nothing depends on the report: where it cannot be written, the run goes on without.
    #[cfg(feature = "cli")]
    fn write_report(&self, observer: &mut dyn Observer) {
        let State { config, best, .. } = self.state();
        let path = self.path(REPORT);
        if let Err(error) = write_report(&path, config, &self.epochs, best.as_ref(), self.storage) {
            observer.warning(&format!("{error}; the run continues without a report"));
        }
    }

    fn check_finite(&self) -> Result<(), RunError> {
        self.trainer.check_finite().map_err(|error| self.with_checkpoint(error))
    }

    fn with_checkpoint(&self, error: RunError) -> RunError {
        match error {
            RunError::Diverged { step, at, .. } => {
                RunError::Diverged { step, at, checkpoint: Some(self.path(LAST)) }
            }
            other => other,
        }
    }
}
