//! `resnet-cpu study`: the paper's comparisons of networks, as one command.

mod args;
mod folder;
mod members;
mod plan;

pub(super) use args::Args;

use resnet_cpu::charts::percent;
use resnet_cpu::data;
use resnet_cpu::runtime::{Disk, write_durably};
use resnet_cpu::study::{
    Entry, Grid, Made, Member, NUMBERS, PAGE, RESPONSES, Spread, Study, measure_responses, page,
};
use resnet_cpu::train::{Config, Outcome, Run, RunError, RunOptions, TrainData};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::activity::Activity;
use super::error::CliError;
use super::machine::Machine;
use super::output::{aligned, one_line, print_error};
use super::train::data::{Asked, data_name};
use super::train::progress::Progress;
use super::train::{RUNS, STOPPING, changes, failure, print_settings};
use args::StudyArgs;
use members::Maker;

/// A study that is trained.
struct Work<'a> {
    out: &'a Path,
    grid: &'a Grid,
    members: &'a [(Member, Config)],
    recipe_iterations: u64,
    made: Made,
    data: &'a TrainData,
    options: RunOptions,
    machine: &'a Machine,
    activity: &'a Activity<'a>,
}

/// Why a run did not come to its end.
enum Stopped {
    /// Its numbers did.
    Diverged(RunError),
    /// This, and the study with it.
    By(CliError),
}

pub(super) fn run(args: &Args, machine: &Machine) -> Result<(), CliError> {
    let (kind, args) = args.of_kind();
    let (grid, family) = args.grid(kind)?;
    let held_out = args.settings.held_out()?;
    let activity = Activity::begin(machine, STOPPING)?;
    let asked = Asked {
        path: args.data.as_deref(),
        held_out,
        limits: args.limits.limits(),
        cache: args.cache.cache(),
        on_bad_image: args.bad_images.on_bad_image,
    };
    let data = asked.open(machine, &activity)?;
    activity.check()?;
    let maker = Maker::new(args, family, &data);
    let members = maker.members(&grid)?;
    let (first, config) = &members[0];
    let recipe = maker.of_recipe(first)?;
    let out = args.out.clone().unwrap_or_else(|| default_out(args, &grid));
    folder::check(&out, kind, &maker)?;
    let settings = changes(config, &recipe);
    let common = |name: &str| !["arch", "shortcut", "downsample", "seed"].contains(&name);
    let settings: Vec<_> = settings.into_iter().filter(|(name, _)| common(name)).collect();
    print_settings(&settings, machine);
    if args.plan {
        return plan::print(&out, &grid, &members, &data, machine, &activity);
    }
    let _lock = folder::take(&out)?;
    activity.end();
    let threads = machine.threads;
    let work = Work {
        out: &out,
        grid: &grid,
        members: &members,
        recipe_iterations: recipe.total_steps(),
        made: Made {
            command: command(),
            cpu: machine.cpu(),
            machine: format!(
                "{}, {threads} thread{}",
                machine.isa,
                if threads == 1 { "" } else { "s" }
            ),
            data: args.data.as_deref().map_or("built-in images".to_owned(), data_name),
            // The page says it beside the recipe's.
            settings: settings.into_iter().filter(|(name, _)| *name != "iterations").collect(),
        },
        data: &data,
        options: RunOptions { backend: machine.backend, save_every: args.save_every },
        machine,
        activity: &activity,
    };
    let (study, diverged) = work.train_all()?;
    print(&study, &out)?;
    if diverged { Err(CliError::Reported) } else { Ok(()) }
}

/// `runs/study-<kind>-<data>`.
fn default_out(args: &StudyArgs, grid: &Grid) -> PathBuf {
    let data = args.data.as_deref().map_or("demo".to_owned(), data_name);
    Path::new(RUNS).join(format!("study-{}-{data}", grid.kind))
}

/// The command as it was given.
fn command() -> String {
    let mut words: Vec<String> =
        std::env::args_os().map(|word| one_line(&word.to_string_lossy())).collect();
    if let Some(program) = words.first_mut() {
        *program = "resnet-cpu".to_owned();
    }
    // Texts of one line have no character that a shell could not take.
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "))
}

impl Work<'_> {
    /// Trains what is not trained yet. The page and the numbers are written anew after each run. A run that
    /// diverges would do so again, so it does not keep the others from being trained: true if there was one.
    fn train_all(&self) -> Result<(Study, bool), CliError> {
        let (mut study, mut diverged) = (self.write()?, false);
        for (i, (member, config)) in self.members.iter().enumerate() {
            let name = member.name();
            let count = format!("run {} of {}, {name}", i + 1, self.members.len());
            if self.is_complete(&study.runs[i]) {
                self.machine.note(&format!("{count}: finished"));
                continue;
            }
            match self.train(&count, &name, config) {
                Ok(()) => study = self.write()?,
                Err(Stopped::Diverged(error)) => {
                    print_error(&format!("{name}: {error}"));
                    diverged = true;
                }
                Err(Stopped::By(error)) => return Err(error),
            }
        }
        Ok((study, diverged))
    }

    /// Whether all that the page shows of a run is there.
    fn is_complete(&self, run: &Entry) -> bool {
        run.finished && (run.responses.is_some() || self.data.val.is_none())
    }

    /// Trains a run, or goes on with it, and measures the responses of its layers.
    fn train(&self, count: &str, name: &str, config: &Config) -> Result<(), Stopped> {
        let folder = self.out.join(name);
        let reading = self.activity.again();
        let run = Run::open(&folder, config.clone(), self.data, self.options, &Disk, &reading);
        reading.end();
        let mut run = run.map_err(|error| self.failure(error, name))?;
        run.notes().iter().for_each(|note| self.machine.note(note));
        let (step, total) = (run.state().progress.step, run.state().config.total_steps());
        let verb = if run.is_resumed() { "continuing" } else { "starting" };
        self.machine.note(&format!("{count}: {verb}, {step} of {total} steps done"));
        let mut progress = Progress::new(self.machine, &run.state().config);
        let outcome = run.train(&mut progress, &self.activity.interrupt);
        progress.finish();
        if outcome.map_err(|error| self.failure(error, name))? == Outcome::Interrupted {
            let step = run.state().progress.step;
            let place = format!("in {name} after step {step} of {total}");
            return Err(Stopped::By(self.interrupted(&place)));
        }
        let Some(images) = self.data.val.as_deref() else { return Ok(()) };
        let measuring = self.activity.again();
        let backend = self.options.backend;
        let (path, state) = (run.path(RESPONSES), run.into_state());
        let responses = measure_responses(&state, images, backend, &measuring);
        measuring.end();
        responses
            .map_err(|error| self.failure(error, name))?
            .write(&path, &Disk)
            .map_err(|error| Stopped::By(cannot_write(&path, &error)))
    }

    /// Writes the numbers and the page of the runs so far.
    fn write(&self) -> Result<Study, CliError> {
        let study = Study::read(self.out, self.grid, self.members, self.recipe_iterations);
        let study = study.map_err(CliError::failed)?;
        let numbers = serde_json::to_string_pretty(&study).expect("plain data with string keys");
        let html = page(&study, &self.made).map_err(CliError::failed)?;
        for (name, text) in [(NUMBERS, numbers + "\n"), (PAGE, html)] {
            let path = self.out.join(name);
            write_durably(&Disk, &path, |file| file.write_all(text.as_bytes()))
                .map_err(|error| cannot_write(&path, &error))?;
        }
        Ok(study)
    }

    /// The error of the run `name`. All that was done before is saved.
    fn failure(&self, error: RunError, name: &str) -> Stopped {
        match error {
            RunError::Data(data::Error::Interrupted) => {
                Stopped::By(self.interrupted(&format!("in {name}")))
            }
            error @ RunError::Diverged { .. } => Stopped::Diverged(error),
            error => Stopped::By(failure(error, self.activity)),
        }
    }

    fn interrupted(&self, place: &str) -> CliError {
        CliError::Interrupted(format!(
            "interrupted {place}; saved to {}; the same command continues the study",
            self.out.display()
        ))
    }
}

fn cannot_write(path: &Path, error: &std::io::Error) -> CliError {
    CliError::failed(format!("{}: cannot write: {error}", path.display()))
}

/// Prints the errors of the networks and where the page is.
fn print(study: &Study, out: &Path) -> Result<(), CliError> {
    let measured = format!("{} error", study.measured_on);
    let mut rows = vec![["network", "runs", "training error", &measured].map(str::to_owned)];
    let error = |spread: Option<Spread>| match spread {
        None => "-".to_owned(),
        Some(Spread { mean, std: None }) => percent(mean),
        Some(Spread { mean, std: Some(std) }) => {
            format!("{:.2} +- {:.2} %", 100.0 * mean, 100.0 * std)
        }
    };
    for row in &study.table {
        let errors = (error(row.train_error), error(row.top1_error));
        rows.push([row.title(), row.runs.to_string(), errors.0, errors.1]);
    }
    let mut stdout = std::io::stdout().lock();
    for line in aligned(&rows, 1) {
        writeln!(stdout, "{line}")?;
    }
    writeln!(stdout, "numbers {}", one_line(&out.join(NUMBERS).to_string_lossy()))?;
    writeln!(stdout, "page    {}", one_line(&out.join(PAGE).to_string_lossy()))?;
    Ok(stdout.flush()?)
}
