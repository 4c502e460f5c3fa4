//! What a checkpoint says of its run in the header of its file. The numbers are neither read nor checked, so it
//! takes no longer for a large network than for a small one.

use std::path::Path;

use super::{BEST, CONFIG, CheckpointError, FORMAT, Fields, PROGRESS, VERSION};
use crate::train::{Best, Config, Progress};
use crate::weights::TensorFile;

/// What the header says of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// The configuration.
    pub config: Config,
    /// How far the run was when it was saved.
    pub progress: Progress,
    /// The best validation until then.
    pub best: Option<Best>,
}

/// The header of the checkpoint at `path`.
///
/// # Errors
/// The file cannot be read, is cut short, or is not a checkpoint that this version knows.
pub fn load_head(path: &Path) -> Result<Head, CheckpointError> {
    let file = TensorFile::open(path)?;
    let fields = Fields { path, entries: file.metadata() };
    match fields.entries.get(FORMAT).map(String::as_str) {
        None => return Err(CheckpointError::NoState { path: path.to_owned() }),
        Some(VERSION) => {}
        Some(other) => return Err(fields.error(FORMAT, format!("version {VERSION}"), other)),
    }
    let config = fields.read(CONFIG)?;
    Ok(Head { config, progress: fields.read(PROGRESS)?, best: fields.read(BEST)? })
}

/// The configuration of the run whose checkpoint is at `path`.
///
/// # Errors
/// As for [`load_head`].
pub fn load_config(path: &Path) -> Result<Config, CheckpointError> {
    load_head(path).map(|head| head.config)
}
