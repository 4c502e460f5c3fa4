//! `resnet-cpu runs export`: the metrics of runs for other programs.

use resnet_cpu::runtime::{Disk, write_durably};
use resnet_cpu::train::{EpochMetrics, StoredRun};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::super::error::CliError;
use super::super::machine::Machine;
use super::RunArgs;
use super::find::labels;
use super::tensorboard;

/// The name of stdout among files.
const STDOUT: &str = "-";

#[derive(clap::Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    runs: RunArgs,
    #[command(flatten)]
    to: To,
}

#[derive(clap::Args)]
#[group(required = true, multiple = true)]
struct To {
    /// Write one table with a line per epoch, as in metrics.jsonl, and the run's name before it; - is stdout
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write event files for TensorBoard to this folder, in a folder for each run. Those that an earlier export wrote
    /// are replaced
    #[arg(long, value_name = "DIR")]
    tensorboard: Option<PathBuf>,
}

/// A column of the table and what is in it; nothing where there is no value.
type Column = (&'static str, fn(&EpochMetrics) -> Option<String>);

/// The columns, named as in `metrics.jsonl`. Numbers are the shortest that are read back as the same.
const COLUMNS: [Column; 11] = [
    ("epoch", |e| Some(e.epoch.to_string())),
    ("step", |e| Some(e.step.to_string())),
    ("lr", |e| Some(e.lr.to_string())),
    ("train_loss", |e| text(e.train_loss)),
    ("train_top1", |e| text(e.train_top1)),
    ("val_loss", |e| text(e.val_loss)),
    ("val_top1", |e| text(e.val_top1)),
    ("val_top5", |e| text(e.val_top5)),
    ("images_per_second", |e| text(e.images_per_second)),
    ("data_seconds", |e| text(e.data_seconds)),
    ("seconds", |e| text(e.seconds)),
];

fn text(value: Option<f64>) -> Option<String> {
    value.map(|value| value.to_string())
}

pub(super) fn run(args: &ExportArgs, machine: &Machine) -> Result<(), CliError> {
    let runs = args.runs.read(machine)?;
    let labels = labels(&runs);
    let labelled: Vec<(&str, &StoredRun)> = labels.iter().map(String::as_str).zip(&runs).collect();
    if let Some(path) = &args.to.csv {
        if path == Path::new(STDOUT) {
            let mut out = std::io::stdout().lock();
            write_csv(&mut out, &labelled).and_then(|()| out.flush())?;
        } else {
            write_durably(&Disk, path, |out| write_csv(out, &labelled)).map_err(|error| {
                CliError::failed(format!("{}: cannot write: {error}", path.display()))
            })?;
            machine.note(&format!("{}: {} epochs", path.display(), epochs(&runs)));
        }
    }
    if let Some(folder) = &args.to.tensorboard {
        for (label, run) in &labelled {
            tensorboard::export(run, &folder.join(label))?;
        }
        machine.note(&format!(
            "{0}: {1} epochs; `tensorboard --logdir {0}` shows them",
            folder.display(),
            epochs(&runs)
        ));
    }
    Ok(())
}

fn epochs(runs: &[StoredRun]) -> usize {
    runs.iter().map(|run| run.epochs.len()).sum()
}

/// The table as RFC 4180 has it, with LF at the end of lines.
fn write_csv(out: &mut (impl Write + ?Sized), runs: &[(&str, &StoredRun)]) -> io::Result<()> {
    write!(out, "run")?;
    COLUMNS.iter().try_for_each(|(name, _)| write!(out, ",{name}"))?;
    writeln!(out)?;
    for (label, run) in runs {
        for epoch in &run.epochs {
            write!(out, "{}", quoted(label))?;
            for (_, value) in COLUMNS {
                write!(out, ",{}", value(epoch).unwrap_or_default())?;
            }
            writeln!(out)?;
        }
    }
    Ok(())
}

/// Text for a cell, in quotes if it needs them.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_metric_is_a_column() {
        let json = serde_json::to_value(EpochMetrics::default()).unwrap();
        let fields: BTreeSet<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(COLUMNS.map(|(name, _)| name).into_iter().collect::<BTreeSet<_>>(), fields);
    }

    #[test]
    fn names_are_quoted_where_they_must_be() {
        assert_eq!(["a-b c", "a,b", "a\"b\n"].map(quoted), ["a-b c", "\"a,b\"", "\"a\"\"b\n\""]);
    }
}
