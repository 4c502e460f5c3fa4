//! `resnet-cpu train`: from images to weights.

mod args;
mod progress;
mod result;
mod units;

pub(super) use args::Args;

use resnet_cpu::data::{self, Kind};
use resnet_cpu::model::Options;
use resnet_cpu::runtime::Disk;
use resnet_cpu::train::{
    Config, Interrupt, LAST, Outcome, Plan, Recipe, Run, RunError, RunOptions, TrainData,
};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::error::CliError;
use super::machine::Machine;
use super::output::grouped;
use progress::Progress;
use units::{bytes, duration};

/// The longest side of images for which networks of 32 x 32 inputs are the default.
const SMALL: usize = 64;

/// The network for larger ones.
const PHOTOGRAPHS: &str = "resnet18";

pub(super) fn run(args: &Args, machine: &Machine) -> Result<(), CliError> {
    if let Some(arch) = &args.arch {
        args.network.spec(arch)?;
    }
    let splits = data::open(args.data.as_deref()).map_err(CliError::failed)?;
    machine.note_itself();
    splits.notes.iter().for_each(|note| machine.note(note));
    let data = TrainData::new(splits, args.val_split)
        .map_err(|error| CliError::usage(format!("--val-split: {error}")))?;
    let config = configure(args, &data)?;
    if args.plan {
        return plan(config, &data, machine);
    }

    let out = args.out.clone().unwrap_or_else(|| default_out(&config));
    // From here on an interrupted run is saved.
    let interrupt = Interrupt::catch()
        .map_err(|error| CliError::failed(format!("cannot catch signals: {error}")))?;
    let options = RunOptions { backend: machine.backend, save_every: args.save_every };
    let mut run = Run::open(&out, config, &data, options, &Disk).map_err(failure)?;
    let state = run.state();
    let (step, total) = (state.progress.step, state.config.total_steps());
    if run.is_finished() {
        machine.note(&format!("{}: finished, {step} of {total} steps done", out.display()));
    } else {
        state.config.to_string().lines().for_each(|line| machine.note(line));
        let verb = if run.is_resumed() { "goes on" } else { "begins" };
        machine.note(&format!("{}: {verb}, {step} of {total} steps done", out.display()));
    }
    let mut progress = Progress::new(machine, &state.config);
    let outcome = run.train(&mut progress, &interrupt);
    progress.finish();
    match outcome.map_err(failure)? {
        Outcome::Finished => result::print(&run, data.kind),
        Outcome::Interrupted => Err(CliError::Interrupted(format!(
            "interrupted after step {} of {total}; saved to {}, the same command goes on",
            run.state().progress.step,
            run.path(LAST).display()
        ))),
    }
}

/// The configuration that recipe, data and flags make.
fn configure(args: &Args, data: &TrainData) -> Result<Config, CliError> {
    let recipe = args.recipe.unwrap_or(match data.kind {
        Kind::Demo => Recipe::Demo,
        Kind::Cifar10 | Kind::Idx | Kind::ClassFolders => Recipe::FastCifar,
    });
    let arch = match &args.arch {
        Some(arch) => arch,
        None if args.recipe.is_none() && has_photographs(data)? => PHOTOGRAPHS,
        None => recipe.default_arch(),
    };
    let options = Options { classes: Some(data.train.classes()), ..args.network.options() };
    let spec = recipe.spec(arch, options).map_err(CliError::usage)?;
    let mut config = recipe.config(&spec);
    data.fit(&mut config);
    args.apply(&mut config)?;
    Ok(config)
}

/// Whether the first image of class folders is too large for a network of 32 x 32 inputs.
fn has_photographs(data: &TrainData) -> Result<bool, CliError> {
    if data.kind != Kind::ClassFolders {
        return Ok(false);
    }
    let first = data.train.image(0).map_err(CliError::failed)?;
    Ok(first.width().max(first.height()) > SMALL)
}

fn default_out(config: &Config) -> PathBuf {
    Path::new("runs").join(format!("{}-{}", config.recipe, config.arch))
}

fn plan(config: Config, data: &TrainData, machine: &Machine) -> Result<(), CliError> {
    let text = config.to_string();
    let plan = Plan::measure(config, data, machine.backend).map_err(failure)?;
    text.lines().for_each(|line| machine.note(line));
    let epochs = plan.steps as f64 / plan.steps_per_epoch as f64;
    let memory = plan.memory.map_or("unknown on this system".to_owned(), bytes);
    let mut out = std::io::stdout().lock();
    writeln!(out, "steps   {} ({epochs:.1} epochs)", grouped(plan.steps))?;
    writeln!(
        out,
        "time    {} ({} a step, {} a validation)",
        duration(plan.seconds()),
        milliseconds(plan.step_seconds),
        duration(plan.validation_seconds)
    )?;
    writeln!(out, "memory  {memory}")?;
    writeln!(out, "disk    {}", bytes(plan.disk))?;
    Ok(())
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.0} ms", 1e3 * seconds)
}

/// What the user can set right is wrong usage.
fn failure(error: RunError) -> CliError {
    match error {
        RunError::Config(_)
        | RunError::Spec(_)
        | RunError::Setting(_)
        | RunError::NotARun { .. }
        | RunError::AnotherRun { .. } => CliError::usage(error),
        _ => CliError::failed(error),
    }
}
