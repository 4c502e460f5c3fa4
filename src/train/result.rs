//! `result.json`: what a run has come to, for scripts and for comparisons of runs.
//!
//! It is written beside each checkpoint at the end of an epoch and depends on the run alone: no time, no machine.
//! Nothing is ever chosen by a test set. Where the data have only that, the best weights are the last.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::config::Config;
use super::metrics::{EpochMetrics, MetricsError};
use super::state::{Best, State};
use crate::runtime::{Storage, write_durably};

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Weight updates done.
    pub step: u64,
    /// Weight updates of the whole run.
    pub steps: u64,
    /// Of the weights in `best.safetensors`, on the images that they were chosen by; those of the last epoch where
    /// there are none to choose by. `None` if nothing was measured.
    pub best: Option<Measurement>,
    /// Of the last epoch's weights, on the same images.
    pub last: Option<Measurement>,
    /// Of the last epoch's weights on test images, if the run is measured on such.
    pub test: Option<Measurement>,
}

/// What the weights after an epoch did on the images that a run is measured on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Epochs done then.
    pub epoch: u64,
    /// Weight updates done then.
    pub step: u64,
    /// Mean loss; `None` if it is no finite number.
    pub loss: Option<f64>,
    /// Fraction classified right, 0..1.
    pub top1: f64,
    /// Fraction with the right class among the first five, 0..1.
    pub top5: f64,
    /// Images.
    pub images: u64,
}

impl RunResult {
    /// The result of the run at `state`, whose epochs so far are `epochs`.
    pub fn of(state: &State, epochs: &[EpochMetrics]) -> Self {
        Self::of_record(&state.config, state.progress.step, state.best.as_ref(), epochs)
    }

    /// The result of the run with this configuration after `step` weight updates.
    pub(super) fn of_record(
        config: &Config,
        step: u64,
        best: Option<&Best>,
        epochs: &[EpochMetrics],
    ) -> Self {
        let data = &config.data;
        let measured = |epoch: &EpochMetrics| {
            Some(Measurement {
                epoch: epoch.epoch,
                step: epoch.step,
                loss: epoch.val_loss,
                top1: epoch.val_top1?,
                top5: epoch.val_top5?,
                images: data.val_images,
            })
        };
        let last = epochs.last().and_then(measured);
        let best = match best.filter(|_| data.can_choose()) {
            Some(best) => epochs.iter().find(|epoch| epoch.step == best.step).and_then(measured),
            None => last.clone(),
        };
        let test = last.clone().filter(|_| data.test);
        Self { step, steps: config.total_steps(), best, last, test }
    }

    /// Whether the run is done.
    pub fn is_finished(&self) -> bool {
        self.step >= self.steps
    }

    /// Reads the file.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn read(path: &Path, storage: &dyn Storage) -> Result<Self, MetricsError> {
        let failed =
            |reason| MetricsError { path: path.to_owned(), action: "read the result", reason };
        let bytes = storage.read(path).map_err(failed)?;
        serde_json::from_slice(&bytes).map_err(|reason| failed(io::Error::from(reason)))
    }

    /// Writes the file, wholly or not at all, unless it says this already.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path, storage: &dyn Storage) -> Result<(), MetricsError> {
        let text = serde_json::to_string_pretty(self).expect("plain data with string keys") + "\n";
        if storage.read(path).is_ok_and(|found| found == text.as_bytes()) {
            return Ok(());
        }
        write_durably(storage, path, |out| out.write_all(text.as_bytes()))
            .map_err(|reason| MetricsError { path: path.to_owned(), action: "write", reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Preprocess;
    use crate::model::Family;
    use crate::runtime::Disk;
    use crate::train::{Best, InferenceInfo, Recipe};

    fn epochs() -> Vec<EpochMetrics> {
        let epoch = |epoch: u64, top1: f64| EpochMetrics {
            epoch,
            step: 10 * epoch,
            val_loss: Some(1.0 / 3.0),
            val_top1: Some(top1),
            val_top5: Some(0.9),
            ..EpochMetrics::default()
        };
        vec![epoch(1, 0.5), epoch(2, 0.75), epoch(3, 0.625)]
    }

    fn state(test: bool) -> State {
        let recipe = Recipe::PaperCifar;
        let mut config = recipe.config(&recipe.spec("resnet20", Default::default()).unwrap());
        (config.data.val_images, config.data.test) = (1000, test);
        let preprocess = Preprocess::standard(Family::Cifar);
        let mut state = State::start(config, InferenceInfo { preprocess, classes: None }).unwrap();
        state.progress.step = 30;
        state.best = (!test).then_some(Best { epoch: 2, step: 20, top1: 0.75 });
        state
    }

    #[test]
    fn a_test_set_chooses_nothing() {
        let chosen = RunResult::of(&state(false), &epochs());
        assert_eq!(chosen.best.as_ref().map(|m| (m.epoch, m.top1)), Some((2, 0.75)));
        assert_eq!(chosen.last.as_ref().map(|m| (m.epoch, m.images)), Some((3, 1000)));
        assert_eq!((chosen.test, chosen.step, chosen.steps), (None, 30, 64_000));
        let tested = RunResult::of(&state(true), &epochs());
        assert_eq!(tested.best, tested.last);
        assert_eq!(tested.test, tested.last);
        let empty = RunResult::of(&state(true), &[]);
        assert_eq!((empty.best, empty.last, empty.test), (None, None, None));
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.json");
        assert!(RunResult::read(&path, &Disk).is_err());
        let result = RunResult::of(&state(false), &epochs());
        result.write(&path, &Disk).unwrap();
        assert_eq!(RunResult::read(&path, &Disk).unwrap(), result);
        std::fs::write(&path, "{}").unwrap();
        let error = RunResult::read(&path, &Disk).unwrap_err().to_string();
        assert!(error.contains("result.json: cannot read the result: missing field"), "{error}");
    }
}
