//! A run and its folder: begins or goes on by itself, trains, validates, saves.
//!
//! What is computed depends on the configuration and the data only. When a run is saved, where and
//! by how many threads it is computed changes nothing: a run that was interrupted or killed ends
//! with the same checkpoint, byte for byte, as one that was not.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::checkpoint::{self, save, save_for_inference};
use super::config::Config;
use super::data::TrainData;
use super::error::RunError;
use super::lock::{LOCK, Lock};
use super::metrics::{EpochMetrics, append_metrics, cut_metrics};
use super::report::write_report;
use super::signals::Interrupt;
use super::state::{Best, State};
use super::trainer::{StepReport, Trainer, Validation};
use crate::gemm::Backend;
use crate::runtime::Storage;

/// The name of a run's checkpoint in its folder.
pub const LAST: &str = "last.safetensors";
/// The name of the weights that validated best.
pub const BEST: &str = "best.safetensors";
/// The name of the record of epochs.
pub const METRICS: &str = "metrics.jsonl";
/// The name of the page with the curves.
pub const REPORT: &str = "report.html";

/// What changes no result.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// Who computes.
    pub backend: Backend,
    /// Time after which a checkpoint is saved within an epoch.
    pub save_every: Duration,
}

/// Hears how a run goes on, to show it.
pub trait Observer {
    /// A step is done.
    fn step(&mut self, _report: &StepReport) {}
    /// So many of so many validation images are classified.
    fn validating(&mut self, _done: usize, _images: usize) {}
    /// An epoch is done, saved and on record.
    fn epoch(&mut self, _metrics: &EpochMetrics) {}
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
    folder: PathBuf,
    options: RunOptions,
    storage: &'a dyn Storage,
    epochs: Vec<EpochMetrics>,
    resumed: bool,
    saved: Instant,
    _lock: Lock,
}

/// Seconds and images of the present epoch in this process.
struct Clock {
    start: Instant,
    steps: f64,
    data: f64,
    images: usize,
}

impl Clock {
    fn start() -> Self {
        Self { start: Instant::now(), steps: 0.0, data: 0.0, images: 0 }
    }
}

impl<'a> Run<'a> {
    /// Goes on with the run in `folder`, or begins one there if the folder is empty or missing. A new
    /// run reads all images once and is saved before its first step, so whatever is wrong with
    /// images or folder is found now.
    ///
    /// # Errors
    /// The configuration is impossible or does not go with the data; the folder holds something else,
    /// or a run whose configuration differs in more than a smaller length; another process trains in it.
    pub fn open(
        folder: &Path,
        config: Config,
        data: &'a TrainData,
        options: RunOptions,
        storage: &'a dyn Storage,
    ) -> Result<Self, RunError> {
        config.validate()?;
        let spec = config.spec()?;
        // A run is locked before it is read; a new folder is made only when all is found right.
        let began = || folder.join(LAST).is_file();
        let lock = began().then(|| Lock::take(folder)).transpose()?;
        let stored = stored(folder, &config)?;
        let resumed = stored.is_some();
        let state = match stored {
            Some(state) => state,
            None => {
                // Refused before all images are read.
                let images = data.train.len();
                crate::data::Sampler::new(0, images, config.batch, 0)?;
                let inference = data.prepare(&config, spec.family)?;
                State::start(config, inference)?
            }
        };
        std::fs::create_dir_all(folder).map_err(|source| RunError::Folder {
            path: folder.to_owned(),
            action: "create",
            source,
        })?;
        let lock = lock.map_or_else(|| Lock::take(folder), Ok)?;
        if !resumed && began() {
            // While the images were read.
            return Err(RunError::InUse { path: folder.to_owned() });
        }
        let trainer = Trainer::new(state, data, options.backend)?;
        let mut run = Self {
            trainer,
            folder: folder.to_owned(),
            options,
            storage,
            epochs: Vec::new(),
            resumed,
            saved: Instant::now(),
            _lock: lock,
        };
        if !resumed {
            run.save()?;
        }
        run.epochs = cut_metrics(&run.path(METRICS), run.state().progress.step, storage)?;
        Ok(run)
    }

    /// The run's numbers and where it is.
    pub fn state(&self) -> &State {
        &self.trainer.state
    }

    /// Whether the folder held a run already.
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
        self.folder.join(name)
    }

    /// Trains until all steps are done or `interrupt` is raised, in the current thread pool.
    ///
    /// # Errors
    /// An image or a file fails, or a number of the run is not finite. The last checkpoint is whole
    /// then, and the run can go on from it.
    pub fn train(
        &mut self,
        observer: &mut dyn Observer,
        interrupt: &Interrupt,
    ) -> Result<Outcome, RunError> {
        let mut clock = Clock::start();
        while !self.is_finished() {
            if interrupt.is_raised() {
                self.save()?;
                return Ok(Outcome::Interrupted);
            }
            let report = self.trainer.step().map_err(|error| self.with_checkpoint(error))?;
            clock.steps += report.seconds;
            clock.data += report.data_seconds;
            clock.images += report.images;
            observer.step(&report);
            if self.trainer.at_epoch_end() || self.is_finished() {
                self.end_epoch(report.lr, &clock, observer)?;
                clock = Clock::start();
            } else if self.saved.elapsed() >= self.options.save_every {
                self.save()?;
            }
        }
        self.write_report()?;
        Ok(Outcome::Finished)
    }

    /// Validates, records and saves. The end of a run within an epoch counts as the end of one, but
    /// a longer run goes on within it.
    fn end_epoch(
        &mut self,
        lr: f64,
        clock: &Clock,
        observer: &mut dyn Observer,
    ) -> Result<(), RunError> {
        self.check_finite()?;
        let images = self.state().config.data.val_images as usize;
        let found = self.trainer.validate(images, &mut |done| observer.validating(done, images))?;
        let progress = &self.state().progress;
        let fraction = |sum: f64| Some(sum / progress.cursor as f64).filter(|x| x.is_finite());
        let measured = |value: fn(&Validation) -> f64| {
            found.as_ref().map(value).filter(|value| value.is_finite())
        };
        let metrics = EpochMetrics {
            epoch: progress.epoch + 1,
            step: progress.step,
            lr,
            train_loss: fraction(progress.loss_sum),
            train_top1: fraction(progress.correct as f64),
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
        append_metrics(&self.path(METRICS), &metrics)?;
        if better {
            save_for_inference(self.state(), &self.path(BEST), self.storage)?;
        }
        self.save()?;
        self.epochs.push(metrics);
        self.write_report()?;
        if let Some(metrics) = self.epochs.last() {
            observer.epoch(metrics);
        }
        Ok(())
    }

    /// Whether the weights are the best so far. Without validation the latest are.
    fn note_best(&mut self, metrics: &EpochMetrics) -> bool {
        let Some(top1) = metrics.val_top1 else { return true };
        let best = &mut self.trainer.state.best;
        let better = best.as_ref().is_none_or(|best| top1 > best.top1);
        if better {
            *best = Some(Best { epoch: metrics.epoch, step: metrics.step, top1 });
        }
        better
    }

    fn save(&mut self) -> Result<(), RunError> {
        self.check_finite()?;
        save(self.state(), &self.path(LAST), self.storage)?;
        self.saved = Instant::now();
        Ok(())
    }

    fn write_report(&self) -> Result<(), RunError> {
        let State { config, best, .. } = self.state();
        let path = self.path(REPORT);
        Ok(write_report(&path, config, &self.epochs, best.as_ref(), self.storage)?)
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

/// The state of the run in `folder`, as long as `config` asks for; `None` if the folder is empty or
/// missing, or nothing is left in it but the beginnings of a first checkpoint.
fn stored(folder: &Path, config: &Config) -> Result<Option<State>, RunError> {
    let path = || folder.to_owned();
    let last = folder.join(LAST);
    if last.is_file() {
        let mut state = checkpoint::load(&last)?;
        let differences = state.config.diff(config);
        if !differences.is_empty() {
            return Err(RunError::AnotherRun { path: path(), differences });
        }
        state.config.length = config.length;
        return Ok(Some(state));
    }
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(RunError::Folder { path: path(), action: "read", source }),
    };
    let beginning = |name: &OsStr| {
        let name = name.to_string_lossy();
        name == LOCK || (name.starts_with(&format!(".{LAST}.")) && name.ends_with(".partial"))
    };
    let names = entries.filter_map(Result::ok).map(|entry| entry.file_name());
    match names.filter(|name| !beginning(name)).min() {
        None => Ok(None),
        Some(name) => {
            let found = name.to_string_lossy().into_owned();
            Err(RunError::NotARun { path: path(), found })
        }
    }
}
