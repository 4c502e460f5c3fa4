//! `resnet-cpu train`: from images to weights.

pub(super) mod args;
pub(super) mod data;
mod origin;
pub(super) mod progress;
mod result;

pub(super) use args::Args;

use indicatif::{DecimalBytes, HumanCount};
use resnet_cpu::data::Kind;
use resnet_cpu::model::Options;
use resnet_cpu::runtime::Disk;
use resnet_cpu::simd::peak_gflops;
use resnet_cpu::train::{
    Config, INTERRUPTED, LAST, Outcome, Plan, Recipe, Run, RunError, RunOptions, StartError,
    TrainData, agree, assist, profile_steps,
};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::activity::{Activity, duration};
use super::error::CliError;
use super::limits::advice;
use super::machine::Machine;
use super::step_times::{self, Timed};
use data::{Asked, data_name};
use origin::Origin;
use progress::Progress;

/// What is said when a signal comes.
pub(super) const STOPPING: &str =
    "saving the run if it has started, then stopping; interrupt again to stop at once";

/// The longest side of images for which networks of 32 x 32 inputs are the default.
const SMALL: usize = 64;

/// The network for larger ones.
const PHOTOGRAPHS: &str = "resnet18";

/// Where runs are, unless `--out` says otherwise.
pub(super) const RUNS: &str = "runs";

pub(super) fn run(args: &Args, machine: &Machine) -> Result<(), CliError> {
    if let Some(arch) = &args.arch {
        args.network.spec(arch)?;
    }
    let held_out = args.settings.held_out()?;
    let activity = Activity::begin(machine, STOPPING)?;
    let origin = Origin::find(args, machine)?;
    let asked = Asked {
        path: args.data.as_deref(),
        held_out,
        limits: args.limits.limits(),
        cache: args.cache.cache(),
        on_bad_image: args.bad_images.on_bad_image,
    };
    let data = asked.open(machine, &activity)?;
    let (recipe, config) = configure(args, &origin, &data)?;
    let out = args.out.clone().or(origin.folder().map(Path::to_owned));
    let out = out.unwrap_or_else(|| default_out(args, &config));
    // What is stored is gone on with; a new run must be as its settings say.
    if args.plan || args.profile || !out.join(LAST).is_file() {
        config.check().map_err(CliError::usage)?;
        if let Some(weights) = origin.weights() {
            weights.check(&config, &data).map_err(|error| failure(error, &activity))?;
            if args.arch.is_none() {
                weights.check_images(&data).map_err(|error| failure(error, &activity))?;
            }
        }
        note_older(args, &config, &out, machine);
    }
    if config.data.val_images == 0 {
        machine
            .note("no validation images: best.safetensors will hold the weights of the last step");
    }
    let settings = if args.verbose { config.fields() } else { changes(&config, &recipe) };
    if args.profile && machine.exchange().processes() > 1 {
        return Err(CliError::usage("--profile is for one process"));
    }
    if args.plan && machine.exchange().rank() > 0 {
        return Ok(());
    }
    if args.profile {
        return profile(config, &settings, &data, machine, &activity);
    }
    if args.plan {
        return plan(config, &settings, &data, machine, &activity);
    }

    let exchange = machine.exchange();
    let hosts = match exchange.processes() {
        1 => Vec::new(),
        _ => agree(exchange, &config, machine.backend)
            .map_err(|error| shared_failure(error, machine, &activity))?,
    };
    if exchange.rank() > 0 {
        let outcome = assist(exchange, &data, machine.backend, &|| activity.interrupt.is_raised());
        return match outcome.map_err(|error| shared_failure(error, machine, &activity))? {
            Outcome::Finished => Ok(()),
            Outcome::Interrupted => Err(CliError::Elsewhere(INTERRUPTED as u8)),
        };
    }
    let options = RunOptions { backend: machine.backend, save_every: args.save_every };
    let weights = origin.weights();
    let run = Run::open_from(weights, &out, config, &data, options, &Disk, &activity);
    let mut run = run.map_err(|error| failure(error, &activity))?;
    activity.end();
    run.notes().iter().for_each(|note| machine.note(note));
    let state = run.state();
    let (step, total) = (state.progress.step, state.config.total_steps());
    if run.is_finished() {
        machine.note(&format!("{}: finished, {step} of {total} steps done", out.display()));
    } else {
        print_settings(&settings, machine);
        let verb = if run.is_resumed() { "continuing" } else { "starting" };
        machine.note(&format!("{}: {verb}, {step} of {total} steps done", out.display()));
    }
    let mut progress = Progress::new(machine, &state.config);
    if !hosts.is_empty() {
        progress.set_hosts(hosts);
        run.share(exchange).map_err(|error| failure(error, &activity))?;
    }
    let outcome = run.train(&mut progress, &activity.interrupt);
    progress.finish();
    match outcome.map_err(|error| shared_failure(error, machine, &activity))? {
        Outcome::Finished => result::print(&run, data.kind, machine),
        Outcome::Interrupted => Err(CliError::Interrupted(format!(
            "interrupted after step {} of {total}; saved to {}; the same command continues the run",
            run.state().progress.step,
            run.path(LAST).display()
        ))),
    }
}

/// 0.9123 to `91.23 %`.
pub(super) fn percent(fraction: f64) -> String {
    format!("{:.2} %", 100.0 * fraction)
}

/// The configuration that recipe, data and flags make.
/// Before it that of recipe and data alone.
fn configure(args: &Args, origin: &Origin, data: &TrainData) -> Result<(Config, Config), CliError> {
    let recipe = args.recipe.or(origin.recipe()).unwrap_or(match data.kind {
        Kind::Demo => Recipe::Demo,
        Kind::Cifar10 | Kind::Idx | Kind::ClassFolders | Kind::Shards | Kind::Own => {
            Recipe::FastCifar
        }
    });
    let spec = match origin.spec(args, data)? {
        Some(spec) => spec,
        None => {
            let arch = match &args.arch {
                Some(arch) => arch,
                None if args.recipe.is_none() && has_photographs(data)? => PHOTOGRAPHS,
                None => recipe.default_arch(),
            };
            let options = Options { classes: Some(data.train.classes()), ..args.network.options() };
            recipe.spec(arch, options).map_err(CliError::usage)?
        }
    };
    let mut config = recipe.config(&spec);
    data.fit(&mut config);
    origin.fit(&mut config);
    config.fit_finetuning(args.is_frozen(), data.train.may_flip());
    let mut changed = config.clone();
    args.settings.apply(&mut changed)?;
    changed.validate().map_err(CliError::usage)?;
    config.settle(|_| false);
    Ok((config, changed))
}

/// What a run is, in short: recipe, network, data, and the settings that are not the recipe's.
pub(super) fn changes(config: &Config, recipe: &Config) -> Vec<(&'static str, String)> {
    let short = ["recipe", "arch", "classes", "data", "training images", "validation images"];
    let said = |name: &str| short.contains(&name) || name == "test images";
    let fields = config.fields().into_iter().filter(|(name, _)| said(name));
    let changed = config.changed_from(recipe).into_iter().filter(|(name, _)| !said(name));
    fields.chain(changed).collect()
}

pub(super) fn print_settings(settings: &[(&'static str, String)], machine: &Machine) {
    for (name, value) in settings {
        machine.note(&format!("{name:<17} = {value}"));
    }
}

/// Whether the first image of class folders or shards is too large for a network of 32 x 32 inputs.
fn has_photographs(data: &TrainData) -> Result<bool, CliError> {
    if !matches!(data.kind, Kind::ClassFolders | Kind::Shards) {
        return Ok(false);
    }
    let first = data.train.image(0);
    let first = first.map_err(|error| CliError::failed(format!("{error}{}", advice(&error))))?;
    Ok(first.width().max(first.height()) > SMALL)
}

/// `runs/<data>-<recipe>-<network>`, for the built-in images `runs/demo-<network>`.
fn default_out(args: &Args, config: &Config) -> PathBuf {
    let recipe = config.recipe.to_string();
    let mut parts = vec![args.data.as_deref().map_or("demo".to_owned(), data_name)];
    if parts[0] != recipe {
        parts.push(recipe);
    }
    parts.push(config.arch.clone());
    Path::new(RUNS).join(parts.join("-"))
}

/// Says where an earlier version put the run of this command.
fn note_older(args: &Args, config: &Config, out: &Path, machine: &Machine) {
    let older = Path::new(RUNS).join(format!("{}-{}", config.recipe, config.arch));
    if args.out.is_none() && older != out && older.join(LAST).is_file() {
        let (out, older) = (out.display(), older.display());
        machine.note(&format!(
            "{out} is a new run; to continue the one in {older}, give --out {older}"
        ));
    }
}

fn profile(
    config: Config,
    settings: &[(&'static str, String)],
    data: &TrainData,
    machine: &Machine,
    activity: &Activity,
) -> Result<(), CliError> {
    if config.is_frozen() {
        return Err(CliError::usage("--profile: a frozen backbone is in no step"));
    }
    let (arch, batch) = (config.arch.clone(), config.batch);
    let times = profile_steps(config, data, machine.backend, activity);
    let times = times.map_err(|error| failure(error, activity))?;
    activity.end();
    print_settings(settings, machine);
    let (threads, peak_gflops) = (machine.threads, peak_gflops(machine.isa, machine.threads));
    step_times::print(&Timed { arch: &arch, batch, threads, peak_gflops }, &times, false)
}

fn plan(
    config: Config,
    settings: &[(&'static str, String)],
    data: &TrainData,
    machine: &Machine,
    activity: &Activity,
) -> Result<(), CliError> {
    let plan = Plan::measure(config.clone(), data, machine.backend, activity);
    let plan = plan.map_err(|error| failure(error, activity))?;
    activity.end();
    let processes = machine.exchange().processes();
    let plan = plan.shared(&config, processes).map_err(|error| failure(error, activity))?;
    print_settings(settings, machine);
    let epochs = plan.steps as f64 / plan.steps_per_epoch as f64;
    let threads = (machine.threads * processes) as f64;
    let core_hours = plan.seconds() * threads / 3600.0;
    let core_hours = match core_hours {
        1.0.. => format!("; {core_hours:.0} core-hours"),
        _ => String::new(),
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "steps   {} ({epochs:.1} epochs)", HumanCount(plan.steps))?;
    writeln!(
        out,
        "time    about {} ({:.0} ms per step, {} for validation after each epoch{core_hours})",
        duration(plan.seconds()),
        1e3 * plan.step_seconds,
        duration(plan.validation_seconds)
    )?;
    if processes > 1 {
        writeln!(
            out,
            "        on {processes} processes like this one, without what they tell each other"
        )?;
    }
    let each = if processes > 1 { " for each process" } else { "" };
    writeln!(out, "memory  about {}{each}", DecimalBytes(plan.memory))?;
    writeln!(out, "disk    {}", DecimalBytes(plan.disk))?;
    Ok(())
}

/// What all processes know is said by the first; what one knows, by that.
fn shared_failure(error: RunError, machine: &Machine, activity: &Activity) -> CliError {
    let known = matches!(error, RunError::Processes(_) | RunError::Diverged { .. });
    match error {
        RunError::OtherProcess { .. } => CliError::Elsewhere(1),
        error => match failure(error, activity) {
            error if known && machine.exchange().rank() > 0 => {
                CliError::Elsewhere(error.exit_code())
            }
            error => error,
        },
    }
}

/// What the user can set right is wrong usage.
pub(super) fn failure(error: RunError, activity: &Activity) -> CliError {
    match error {
        RunError::Data(error) => activity.failure(error),
        RunError::Config(_)
        | RunError::Spec(_)
        | RunError::Setting(_)
        | RunError::Memory { .. }
        | RunError::Start(
            StartError::Missing
            | StartError::Field { .. }
            | StartError::Classes { .. }
            | StartError::Photographs { .. },
        )
        | RunError::Processes(_)
        | RunError::NotARun { .. }
        | RunError::AnotherRun { .. } => CliError::usage(error),
        _ => CliError::failed(error),
    }
}
