//! A run as its folder shows it, also while it trains.
//!
//! Nothing is written and nothing is held. Of the checkpoint only the header is read. Training replaces files
//! whole, so what is read is as it was at some moment; the record of epochs may be ahead of the checkpoint then.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::checkpoint::{Head, load_head};
use super::folder::{LAST, METRICS, RESULT};
use super::metrics::{EpochMetrics, Metrics, read_metrics};
use super::result::RunResult;
use crate::runtime::{Disk, FolderLock};

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunStatus {
    /// All steps are done.
    Finished,
    /// Some steps are not, and nobody trains it.
    Interrupted,
    /// A process trains in its folder.
    Training,
    /// It cannot be read, so it cannot be continued.
    Damaged,
}

/// A run as its folder shows it.
#[derive(Clone, Debug)]
pub struct StoredRun {
    /// Where it is.
    pub folder: PathBuf,
    /// What it is doing.
    pub status: RunStatus,
    /// What its checkpoint says; there is none yet, or it cannot be read, if this is missing.
    pub head: Option<Head>,
    /// Its epochs on record: of a run that nobody trains, those with which it would be continued.
    pub epochs: Vec<EpochMetrics>,
    /// What it has come to, if its checkpoint says what it is.
    pub result: Option<RunResult>,
    /// What is wrong with its files, one sentence each.
    pub problems: Vec<String>,
}

impl StoredRun {
    /// Whether there is a run in `folder`: a checkpoint, a record of epochs, or somebody who begins one.
    pub fn is_in(folder: &Path) -> bool {
        let recorded = |file: std::fs::Metadata| !file.is_file() || file.len() > 0;
        folder.join(LAST).symlink_metadata().is_ok()
            || folder.join(METRICS).metadata().is_ok_and(recorded)
            || (FolderLock::is_held(folder) && !has_folders(folder))
    }

    /// Reads what the files in `folder` say. What cannot be read is among the problems.
    pub fn read(folder: &Path) -> Self {
        // Before the files: a run that ends meanwhile is then at worst said to be training still.
        let training = FolderLock::is_held(folder);
        let mut problems = Vec::new();
        let checkpoint = folder.join(LAST);
        // It is written when all images have been read once.
        let begun = !training || checkpoint.symlink_metadata().is_ok();
        let head = match begun.then(|| load_head(&checkpoint)).transpose() {
            Ok(head) => head,
            Err(error) => {
                problems.push(error.to_string());
                None
            }
        };
        let Metrics { mut epochs, passed_over } = read_metrics(&folder.join(METRICS), &Disk)
            .unwrap_or_else(|error| {
                problems.push(error.to_string());
                Metrics::default()
            });
        let damaged = !problems.is_empty();
        if !training {
            if let Some(head) = &head {
                epochs.retain(|epoch| epoch.step <= head.progress.step);
            }
            // Of a run that is training, the last line may be half there.
            if !passed_over.is_empty() {
                let lines: Vec<String> = passed_over.iter().map(usize::to_string).collect();
                problems.push(format!(
                    "{}: lines that are not the metrics of an epoch: {}",
                    folder.join(METRICS).display(),
                    lines.join(", ")
                ));
            }
        }
        let status = match &head {
            _ if training => RunStatus::Training,
            Some(head) if !damaged && is_finished(folder, head, &epochs) => RunStatus::Finished,
            Some(_) if !damaged => RunStatus::Interrupted,
            _ => RunStatus::Damaged,
        };
        let result = head.as_ref().map(|head| result(folder, head, &epochs));
        Self { folder: folder.to_owned(), status, head, epochs, result, problems }
    }

    /// Training images a second: the median of the epochs, which one that was disturbed does not change.
    pub fn images_per_second(&self) -> Option<f64> {
        let mut speeds: Vec<f64> = self.epochs.iter().filter_map(|e| e.images_per_second).collect();
        speeds.sort_by(f64::total_cmp);
        speeds.get(speeds.len() / 2).copied()
    }
}

/// What a run has come to, by its record of epochs: that is never behind other files, and old versions have no other.
/// Where nothing was recorded, or the record is lost, `result.json` may say it.
fn result(folder: &Path, head: &Head, epochs: &[EpochMetrics]) -> RunResult {
    let Head { config, progress, best } = head;
    let step = progress.step.max(epochs.last().map_or(0, |epoch| epoch.step));
    let recorded = RunResult::of_record(config, step, best.as_ref(), epochs);
    let stored = || RunResult::read(&folder.join(RESULT), &Disk).ok();
    match recorded.last {
        None => stored().filter(|stored| stored.step == step).unwrap_or(recorded),
        Some(_) => recorded,
    }
}

/// Whether there are folders in `folder`, as in a study's, which is locked while its runs are trained.
fn has_folders(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| entry.path()).any(|path| path.is_dir())
}

/// Whether a run that nobody trains has nothing left to do: no step, and no validation after the last.
fn is_finished(folder: &Path, head: &Head, epochs: &[EpochMetrics]) -> bool {
    let Head { config, progress, .. } = head;
    // A run that ends within an epoch: its result is written last. Early versions had none.
    let concluded = || match RunResult::read(&folder.join(RESULT), &Disk) {
        Ok(result) => result.step == progress.step,
        Err(_) => epochs.last().is_some_and(|epoch| epoch.step == progress.step),
    };
    let within = progress.cursor / (config.batch.max(1) as u64) < config.steps_per_epoch();
    progress.step >= config.total_steps() && (progress.cursor == 0 || (within && concluded()))
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Finished => "finished",
            Self::Interrupted => "interrupted",
            Self::Training => "training",
            Self::Damaged => "damaged",
        })
    }
}
