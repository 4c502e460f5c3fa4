//! `metrics.jsonl`: one JSON object a line, one line an epoch, for people and their tools.
//!
//! A line is appended before the checkpoint of its epoch is saved, so after a crash the file may be
//! ahead of the checkpoint, never behind; a resumed run cuts it back first.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::runtime::{Storage, write_durably};

/// What is known after an epoch. Accuracies are fractions right, 0..1; what was not measured, or is
/// not a number, is null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// Epochs done.
    pub epoch: u64,
    /// Weight updates done.
    pub step: u64,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Mean loss of the epoch's training images, as they were used.
    pub train_loss: Option<f64>,
    /// Fraction of them classified right.
    pub train_top1: Option<f64>,
    /// Mean loss of the validation images.
    pub val_loss: Option<f64>,
    /// Fraction of them classified right.
    pub val_top1: Option<f64>,
    /// Fraction of them with the right class among the first five.
    pub val_top5: Option<f64>,
    /// Training images a second, validation excluded.
    pub images_per_second: Option<f64>,
    /// Seconds of the epoch in which no step ran because data were being prepared.
    pub data_seconds: Option<f64>,
    /// Seconds the epoch took, validation included.
    pub seconds: Option<f64>,
}

/// `metrics.jsonl` cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The operating system refused.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The reason.
        source: io::Error,
    },
    /// A line is not what this program writes.
    #[error("{}: line {line}: expected the metrics of an epoch: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

/// Appends a line.
///
/// # Errors
/// The file cannot be written.
pub fn append_metrics(path: &Path, metrics: &EpochMetrics) -> Result<(), MetricsError> {
    let io = |source| MetricsError::Io { path: path.to_owned(), action: "append", source };
    let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(io)?;
    file.write_all(line(metrics).as_bytes()).map_err(io)
}

/// The epochs in the file; none if there is no file. A last line without a line break, which an
/// interrupted write leaves, is left out.
///
/// # Errors
/// The file cannot be read, or another line is not the metrics of an epoch.
pub fn read_metrics(path: &Path) -> Result<Vec<EpochMetrics>, MetricsError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(MetricsError::Io { path: path.to_owned(), action: "read", source });
        }
    };
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    let lines = bytes[..whole].split_inclusive(|&byte| byte == b'\n').enumerate();
    lines
        .map(|(i, line)| {
            serde_json::from_slice(line).map_err(|error| MetricsError::Line {
                path: path.to_owned(),
                line: i + 1,
                reason: error.to_string(),
            })
        })
        .collect()
}

/// Removes all epochs after `step`, durably, and returns those that stay.
///
/// # Errors
/// As of [`read_metrics`], or the file cannot be written.
pub fn cut_metrics(
    path: &Path,
    step: u64,
    storage: &dyn Storage,
) -> Result<Vec<EpochMetrics>, MetricsError> {
    let mut epochs = read_metrics(path)?;
    epochs.retain(|epoch| epoch.step <= step);
    let text: String = epochs.iter().map(line).collect();
    write_durably(storage, path, |out| out.write_all(text.as_bytes()))
        .map_err(|source| MetricsError::Io { path: path.to_owned(), action: "write", source })?;
    Ok(epochs)
}

fn line(metrics: &EpochMetrics) -> String {
    serde_json::to_string(metrics).expect("plain data with string keys") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Disk;

    fn epoch(epoch: u64) -> EpochMetrics {
        EpochMetrics {
            epoch,
            step: 10 * epoch,
            lr: 0.1,
            train_loss: Some(1.0 / 3.0),
            val_top1: Some(0.5),
            ..EpochMetrics::default()
        }
    }

    #[test]
    fn appended_read_and_cut_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        assert_eq!(read_metrics(&path).unwrap(), []);
        for i in 1..=4 {
            append_metrics(&path, &epoch(i)).unwrap();
        }
        let first = fs::read_to_string(&path).unwrap().lines().next().unwrap().to_owned();
        assert_eq!(
            first,
            "{\"epoch\":1,\"step\":10,\"lr\":0.1,\"train_loss\":0.3333333333333333,\
             \"train_top1\":null,\"val_loss\":null,\"val_top1\":0.5,\"val_top5\":null,\
             \"images_per_second\":null,\"data_seconds\":null,\"seconds\":null}"
        );
        fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"{\"epoch\":5")
            .unwrap();
        assert_eq!(read_metrics(&path).unwrap().len(), 4);
        assert_eq!(cut_metrics(&path, 29, &Disk).unwrap(), [epoch(1), epoch(2)]);
        append_metrics(&path, &epoch(3)).unwrap();
        assert_eq!(read_metrics(&path).unwrap(), [epoch(1), epoch(2), epoch(3)]);
        fs::write(&path, "{}\n").unwrap();
        let error = read_metrics(&path).unwrap_err().to_string();
        assert!(error.contains("metrics.jsonl: line 1") && error.contains("epoch"), "{error}");
    }
}
