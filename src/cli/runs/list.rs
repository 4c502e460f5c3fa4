//! `resnet-cpu runs list`: a line per run, as a table or as JSON.

use indicatif::HumanCount;
use resnet_cpu::charts::percent;
use resnet_cpu::train::{Config, EpochMetrics, RunResult, RunStatus, SETTINGS, Setting, StoredRun};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::super::error::CliError;
use super::super::machine::Machine;
use super::super::output::{one_line, print_error, write_json};
use super::super::train::RUNS;
use super::find::{runs_below, runs_in};
use super::table::{self, Column};

/// Characters of a digest that the table shows.
const DIGEST: usize = 12;
/// Settings that are digests.
const DIGESTS: [&str; 2] = ["data fingerprint", "initial weights"];
/// Where there is no value.
pub(super) const NONE: &str = "–";

#[derive(clap::Args)]
pub(super) struct ListArgs {
    /// Folders of runs, or folders with such folders in them, one or two levels down [default: runs]
    #[arg(value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// Print one JSON object per run
    #[arg(long)]
    pub(super) json: bool,
}

/// The object of JSON.
#[derive(Serialize)]
struct Line<'a> {
    run: String,
    status: RunStatus,
    problems: &'a [String],
    /// What accuracies are of: `validation` or `test`.
    measured_on: Option<&'static str>,
    /// What `result.json` of the run says, or would.
    #[serde(flatten)]
    result: Option<&'a RunResult>,
    images_per_second: Option<f64>,
    /// The settings that are not the same in all runs, as text; those that do not apply are null.
    differs: BTreeMap<&'static str, Option<String>>,
    config: Option<&'a Config>,
    /// The last epoch, as in `metrics.jsonl`.
    metrics: Option<&'a EpochMetrics>,
}

pub(super) fn run(args: &ListArgs, machine: &Machine) -> Result<(), CliError> {
    let runs = match args.folders.as_slice() {
        [] => runs_below(Path::new(RUNS)),
        folders => runs_in(folders)?,
    };
    if runs.is_empty() {
        machine.note(&format!("no runs in {RUNS}; `resnet-cpu train` makes one"));
    }
    let out = &mut std::io::stdout().lock();
    if args.json {
        let settings = differing(&runs);
        runs.iter().try_for_each(|run| write_json(out, &line(run, &settings)))?;
    } else if !runs.is_empty() {
        table::write(out, &columns(&runs), table::terminal_width())?;
    }
    out.flush()?;
    let (mut damaged, mut notes) = (false, Vec::new());
    for run in &runs {
        match run.status {
            RunStatus::Damaged => {
                print_error(&run.problems.join("; "));
                damaged = true;
            }
            _ => notes.extend(&run.problems),
        }
    }
    notes.iter().for_each(|note| machine.note(note));
    if damaged { Err(CliError::Reported) } else { Ok(()) }
}

fn line<'a>(run: &'a StoredRun, settings: &[&'static Setting]) -> Line<'a> {
    let config = config(run);
    let value = |setting: &&Setting| (setting.name, config.and_then(|c| setting.text(c)));
    Line {
        run: run.folder.to_string_lossy().into_owned(),
        status: run.status,
        problems: &run.problems,
        measured_on: config.and_then(measured_on),
        result: run.result.as_ref(),
        images_per_second: run.images_per_second(),
        differs: settings.iter().map(value).collect(),
        config,
        metrics: run.epochs.last(),
    }
}

/// What a run's accuracies are of.
pub(super) fn measured_on(config: &Config) -> Option<&'static str> {
    match (config.data.val_images, config.data.test) {
        (0, _) => None,
        (_, true) => Some("test"),
        (_, false) => Some("validation"),
    }
}

/// The settings that are not the same in all runs whose configuration is known.
pub(super) fn differing(runs: &[StoredRun]) -> Vec<&'static Setting> {
    let configs: Vec<&Config> = runs.iter().filter_map(config).collect();
    let differs = |setting: &&Setting| {
        configs.windows(2).any(|pair| setting.text(pair[0]) != setting.text(pair[1]))
    };
    SETTINGS.iter().filter(differs).collect()
}

pub(super) fn config(run: &StoredRun) -> Option<&Config> {
    run.head.as_ref().map(|head| &head.config)
}

fn columns(runs: &[StoredRun]) -> Vec<Column> {
    let each = |cell: &dyn Fn(&StoredRun) -> Option<String>| -> Vec<String> {
        runs.iter().map(|run| cell(run).unwrap_or_else(|| NONE.to_owned())).collect()
    };
    let last = |run: &StoredRun| run.result.as_ref()?.last.clone();
    let mut columns = vec![
        Column::text("run", each(&|run| Some(one_line(&run.folder.to_string_lossy())))),
        Column::text("state", each(&|run| Some(state(run)))),
        Column::text("measured on", each(&|run| Some(measured_on(config(run)?)?.to_owned()))),
        Column::number("last top-1", each(&|run| Some(percent(last(run)?.top1)))),
        Column::number(
            "best",
            each(&|run| Some(percent(run.result.as_ref()?.best.as_ref()?.top1))),
        ),
        Column::number("images/s", each(&|run| run.images_per_second().map(rate))),
    ];
    for setting in differing(runs) {
        let digest = DIGESTS.contains(&setting.name);
        let value = |run: &StoredRun| {
            let value = one_line(&setting.text(config(run)?)?);
            Some(if digest { value.chars().take(DIGEST).collect() } else { value })
        };
        let cells = each(&value);
        let right = cells.iter().all(|cell| cell == NONE || cell.parse::<f64>().is_ok());
        columns.push(Column { title: setting.name.to_owned(), cells, right: right && !digest });
    }
    columns
}

/// How far a run is, in words.
pub(super) fn state(run: &StoredRun) -> String {
    let Some(RunResult { step, steps, .. }) = run.result else {
        return match run.status {
            RunStatus::Training => "training begins".to_owned(),
            status => status.to_string(),
        };
    };
    let (step, total) = (HumanCount(step), HumanCount(steps));
    match run.status {
        RunStatus::Finished => format!("finished, {total} steps"),
        RunStatus::Interrupted => format!("interrupted at step {step} of {total}"),
        RunStatus::Training => format!("training now, step {step} of {total}"),
        RunStatus::Damaged => "damaged".to_owned(),
    }
}

/// Images a second: whole ones, where there are many.
pub(super) fn rate(images: f64) -> String {
    match images {
        100.0.. => HumanCount(images.round() as u64).to_string(),
        _ => format!("{images:.1}"),
    }
}
