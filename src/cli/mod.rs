//! The command line: one file a verb. Parse (pure), resolve (what the machine and the files say),
//! run.
//!
//! Results go to stdout, progress and notes to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage,
//! 130 interrupted after saving.
//! An error is one line on stderr. A reader that closes the pipe early ends the run quietly.

mod activity;
mod bad_images;
mod bench;
mod cache;
mod classifier;
mod convert;
mod convolutions;
mod docs;
mod error;
mod eval;
mod hub;
mod infer;
mod inspect;
mod layer_times;
mod limits;
mod machine;
mod network;
mod output;
mod png;
mod preprocessing;
mod processes;
mod quantize;
mod runs;
mod step_times;
mod study;
mod train;
mod weights;
mod written;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

use error::CliError;
use machine::{Machine, MachineArgs};

/// Train and run Residual Networks (He et al., 2015) on the CPU.
#[derive(Parser)]
#[command(name = "resnet-cpu", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted after saving. \
                        Results go to stdout, notes and progress to stderr."
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    machine: MachineArgs,
}

#[derive(Subcommand)]
enum Verb {
    /// Train a network; without DATA, on built-in images in about a minute
    Train(Box<train::Args>),
    /// Compare networks as the paper does: a grid of runs, and one page with its figures and tables
    Study(study::Args),
    /// Classify images
    Infer(infer::Args),
    /// List runs and how they differ, compare their curves, export their metrics
    Runs(runs::Args),
    /// Measure accuracy on labelled images
    Eval(eval::Args),
    /// Show the layers of a network or the contents of a weights file
    Inspect(inspect::Args),
    /// Convert a weights file to safetensors, with the network and its preprocessing stored in it
    Convert(convert::Args),
    /// Make a network four times smaller and faster: its weights and activations in 8 bits
    Quantize(quantize::Args),
    /// Published weights by name: list them, fetch them, say where they are
    Weights(hub::Args),
    /// Measure speed, also as a percentage of this CPU's peak
    Bench(bench::Args),
    /// Print a completion script for your shell
    Completions(docs::CompletionsArgs),
    /// Print the manual page, or write the pages of all commands to a folder
    Man(docs::ManArgs),
}

/// Parses the arguments of the process, runs, reports.
pub(crate) fn main() -> ExitCode {
    let result = match Cli::try_parse() {
        Ok(cli) => run(&cli),
        Err(error) => CliError::from_clap(error),
    };
    match result {
        Ok(()) | Err(CliError::BrokenPipe) => ExitCode::SUCCESS,
        Err(error) => {
            error.report();
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: &Cli) -> Result<(), CliError> {
    let machine = || Machine::resolve(&cli.machine);
    match &cli.verb {
        Verb::Train(args) => machine()?.install_shared(|machine| train::run(args, machine)),
        Verb::Study(args) => machine()?.install(|machine| study::run(args, machine)),
        Verb::Runs(args) => runs::run(args, &machine()?),
        Verb::Infer(args) => machine()?.install(|machine| infer::run(args, machine)),
        Verb::Eval(args) => machine()?.install(|machine| eval::run(args, machine)),
        Verb::Inspect(args) => machine()?.install(|machine| inspect::run(args, machine)),
        Verb::Convert(args) => machine()?.install(|machine| convert::run(args, machine)),
        Verb::Quantize(args) => machine()?.install(|machine| quantize::run(args, machine)),
        Verb::Weights(args) => hub::run(args, &machine()?),
        Verb::Bench(args) => machine()?.install_shared(|machine| bench::run(args, machine)),
        Verb::Completions(args) => docs::completions(args),
        Verb::Man(args) => docs::man(args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn definitions_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
