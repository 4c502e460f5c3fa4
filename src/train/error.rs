//! Why a run cannot start or continue.

use std::io;
use std::path::PathBuf;

use super::checkpoint::CheckpointError;
use super::checks::ConfigError;
use super::finetune::StartError;
use super::metrics::MetricsError;
use crate::data;
use crate::exchange::Failed;
use crate::infer::InferError;
use crate::learn::{NotFinite, TooSmall};
use crate::model::SpecError;

/// Why a run cannot start or continue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A setting has an impossible value.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The network does not exist.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// An image cannot be read.
    #[error(transparent)]
    Data(#[from] data::Error),
    /// A number does not fit the data.
    #[error(transparent)]
    Setting(#[from] data::SettingError),
    /// The images are too small for the network.
    #[error(transparent)]
    TooSmall(#[from] TooSmall),
    /// The network cannot be validated.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// The run cannot start from the weights that it was given, or was given none.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A checkpoint cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// `metrics.jsonl` or `result.json` cannot be read or written.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The run's folder cannot be used.
    #[error("{}: cannot {action}: {reason}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the operating system says.
        reason: io::Error,
    },
    /// There is less memory than the run needs.
    #[error(
        "training with --batch {batch} takes about {} of memory, but {} are free; a smaller --batch \
         takes less, and so does a smaller --micro-batch (batch norm then sees fewer images at a time, \
         which changes results)",
        gigabytes(*needed),
        gigabytes(*available)
    )]
    Memory {
        /// Bytes that it needs.
        needed: u64,
        /// Bytes that are free.
        available: u64,
        /// Images per weight update.
        batch: usize,
    },
    /// The folder is not empty and holds no run.
    #[error(
        "{}: expected a new folder, or one with a run (last.safetensors) in it, found {found}; choose \
         another folder with --out",
        path.display()
    )]
    NotARun {
        /// The folder.
        path: PathBuf,
        /// The first name in it.
        found: String,
    },
    /// Another process trains in the folder.
    #[error(
        "{}: another process is training in this folder; wait until it ends, or choose another folder with \
         --out",
        path.display()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds a run with other settings.
    #[error(
        "{}: holds a run with other settings ({}); give the stored settings to continue it, or start a \
         new run in another folder with --out",
        path.display(),
        differences.join("; ")
    )]
    AnotherRun {
        /// The folder.
        path: PathBuf,
        /// The settings that differ.
        differences: Vec<String>,
    },
    /// Several processes cannot share the run.
    #[error("{0}")]
    Processes(String),
    /// Another process of the run cannot go on.
    #[error("process {rank} on {host}: {reason}")]
    OtherProcess {
        /// Its number.
        rank: usize,
        /// Its machine.
        host: String,
        /// What it says.
        reason: String,
    },
    /// A number of the run is not finite. Nothing was saved after that.
    #[error(
        "step {step}: {at} are not finite, the run has diverged (a lower --lr or a longer --warmup \
         may help); the last good checkpoint is {}",
        checkpoint.as_ref().map_or("none".to_owned(), |path| path.display().to_string())
    )]
    Diverged {
        /// The step, from 1.
        step: u64,
        /// Where it was first seen.
        at: NotFinite,
        /// The last checkpoint that was saved, all of whose numbers are finite.
        checkpoint: Option<PathBuf>,
    },
}

impl From<Failed> for RunError {
    fn from(Failed { rank, host, reason }: Failed) -> Self {
        Self::OtherProcess { rank, host, reason }
    }
}

/// 8,600,000,000 to `8.6 GB`.
fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}
