//! Why a run does not start or does not go on.

use std::io;
use std::path::PathBuf;

use super::checkpoint::CheckpointError;
use super::config::ConfigError;
use super::metrics::MetricsError;
use super::report::ReportError;
use crate::data;
use crate::infer::InferError;
use crate::learn::{NotFinite, TooSmall};
use crate::model::SpecError;

/// Why a run does not start or does not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A value that no run can have.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The network does not exist.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// An image cannot be read.
    #[error(transparent)]
    Data(#[from] data::Error),
    /// A number that does not go with the data.
    #[error(transparent)]
    Setting(#[from] data::SettingError),
    /// Images too small for the network.
    #[error(transparent)]
    TooSmall(#[from] TooSmall),
    /// The network cannot be validated.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// A checkpoint cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// `metrics.jsonl` cannot be read or written.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// `report.html` cannot be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The run's folder cannot be used.
    #[error("{}: cannot {action}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The reason.
        source: io::Error,
    },
    /// The folder is not empty and holds no run.
    #[error(
        "{}: expected a new folder or that of a run (with last.safetensors), found {found}; choose \
         another with --out",
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
        "{}: another process is training in this folder; wait for its end or choose another with --out",
        path.display()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds a run of another configuration.
    #[error(
        "{}: holds another run ({}); to begin a new one choose another folder with --out",
        path.display(),
        differences.join("; ")
    )]
    AnotherRun {
        /// The folder.
        path: PathBuf,
        /// What differs, a field each.
        differences: Vec<String>,
    },
    /// A number of the run is not finite; nothing was saved since.
    #[error(
        "step {step}: {at} are not finite, the run has diverged (a lower --lr or a longer --warmup \
         may help); the last good checkpoint is {}",
        checkpoint.as_ref().map_or("none".to_owned(), |path| path.display().to_string())
    )]
    Diverged {
        /// The step, from 1.
        step: u64,
        /// Where it was seen first.
        at: NotFinite,
        /// The last checkpoint that was saved, all of whose numbers are finite.
        checkpoint: Option<PathBuf>,
    },
}
