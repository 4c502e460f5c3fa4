//! `metrics.jsonl`: one line of JSON per epoch, for people and their tools.
//!
//! A line is on disk before the checkpoint of its epoch is saved, so after a crash the file may be
//! ahead of the checkpoint, never behind; a resumed run cuts it back first. A line that a power cut or
//! an editor has damaged is skipped, and then removed, too.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::runtime::{Storage, append_durably, write_durably};

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

/// `metrics.jsonl` or `result.json` cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot {action}: {reason}", path.display())]
#[non_exhaustive]
pub struct MetricsError {
    /// The file.
    pub path: PathBuf,
    /// What was tried.
    pub action: &'static str,
    /// What the operating system says.
    pub reason: io::Error,
}

/// What is in `metrics.jsonl`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// The epochs, in the order of the file.
    pub epochs: Vec<EpochMetrics>,
    /// Numbers, from 1, of the lines that are not the metrics of an epoch.
    pub passed_over: Vec<usize>,
}

/// Appends a line, durably.
///
/// # Errors
/// The file cannot be written.
pub fn append_metrics(
    path: &Path,
    metrics: &EpochMetrics,
    storage: &dyn Storage,
) -> Result<(), MetricsError> {
    append_durably(storage, path, line(metrics).as_bytes()).map_err(|reason| MetricsError {
        path: path.to_owned(),
        action: "append",
        reason,
    })
}

/// What is in the file; nothing if there is none.
///
/// # Errors
/// The file cannot be read.
pub fn read_metrics(path: &Path, storage: &dyn Storage) -> Result<Metrics, MetricsError> {
    let bytes = match storage.read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Metrics::default()),
        Err(reason) => {
            return Err(MetricsError { path: path.to_owned(), action: "read", reason });
        }
    };
    let mut metrics = Metrics::default();
    let whole = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    if bytes.is_empty() {
        return Ok(metrics);
    }
    for (i, line) in whole.split(|&byte| byte == b'\n').enumerate() {
        match serde_json::from_slice(line) {
            Ok(epoch) => metrics.epochs.push(epoch),
            Err(_) => metrics.passed_over.push(i + 1),
        }
    }
    Ok(metrics)
}

/// Removes, durably, all epochs after `step` and what is no epoch's, and returns what was read less the
/// removed epochs. A file that is as it should be is left alone.
///
/// # Errors
/// As for [`read_metrics`], or the file cannot be written.
pub fn cut_metrics(path: &Path, step: u64, storage: &dyn Storage) -> Result<Metrics, MetricsError> {
    let mut metrics = read_metrics(path, storage)?;
    metrics.epochs.retain(|epoch| epoch.step <= step);
    let text: String = metrics.epochs.iter().map(line).collect();
    if !storage.read(path).is_ok_and(|found| found == text.as_bytes()) {
        write_durably(storage, path, |out| out.write_all(text.as_bytes()))
            .map_err(|reason| MetricsError { path: path.to_owned(), action: "write", reason })?;
    }
    Ok(metrics)
}

fn line(metrics: &EpochMetrics) -> String {
    serde_json::to_string(metrics).expect("plain data with string keys") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Disk;
    use std::fs;

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
        assert_eq!(read_metrics(&path, &Disk).unwrap(), Metrics::default());
        for i in 1..=4 {
            append_metrics(&path, &epoch(i), &Disk).unwrap();
        }
        let first = fs::read_to_string(&path).unwrap().lines().next().unwrap().to_owned();
        assert_eq!(
            first,
            "{\"epoch\":1,\"step\":10,\"lr\":0.1,\"train_loss\":0.3333333333333333,\
             \"train_top1\":null,\"val_loss\":null,\"val_top1\":0.5,\"val_top5\":null,\
             \"images_per_second\":null,\"data_seconds\":null,\"seconds\":null}"
        );
        let cut = cut_metrics(&path, 29, &Disk).unwrap();
        assert_eq!((cut.epochs, cut.passed_over), (vec![epoch(1), epoch(2)], vec![]));
        append_metrics(&path, &epoch(3), &Disk).unwrap();
        let epochs = read_metrics(&path, &Disk).unwrap().epochs;
        assert_eq!(epochs, [epoch(1), epoch(2), epoch(3)]);
    }

    #[test]
    fn spoilt_lines_stop_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let good: Vec<String> = (1..=3).map(|i| line(&epoch(i))).collect();
        let text = format!(
            "\n{}{}\u{0}\u{0}\n{{}}\n{}{{\"epoch\":4,\"st",
            good[0],
            good[1].replace(':', ";"),
            good[2]
        );
        fs::write(&path, text.as_bytes()).unwrap();
        let found = cut_metrics(&path, 100, &Disk).unwrap();
        assert_eq!(found.epochs, [epoch(1), epoch(3)]);
        assert_eq!(found.passed_over, [1, 3, 4, 5, 7]);
        assert_eq!(fs::read_to_string(&path).unwrap(), good[0].clone() + &good[2]);
        // A line that was cut within a character.
        fs::write(&path, [good[0].as_bytes(), b"{\"epoch\xc3"].concat()).unwrap();
        assert_eq!(cut_metrics(&path, 100, &Disk).unwrap().passed_over, [2]);
    }
}
