//! The command line: one file a verb. Parse (pure), resolve (what the machine and the files say),
//! run.
//!
//! Results go to stdout, progress and notes to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage,
//! 130 interrupted after saving.
//! An error is one line on stderr. A reader that closes the pipe early ends the run quietly.

mod bench;
mod error;
mod infer;
mod inspect;
mod layer_times;
mod machine;
mod network;
mod output;
mod train;
mod weights;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

use error::CliError;
use machine::{Machine, MachineArgs};

/// Residual Networks (He et al., 2015) on CPUs alone.
#[derive(Parser)]
#[command(name = "resnet-cpu", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted after saving. Results \
                        go to stdout, notes and progress to stderr."
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    machine: MachineArgs,
}

#[derive(Subcommand)]
enum Verb {
    /// Train a network; without DATA on the built-in pictures, in about a minute
    Train(Box<train::Args>),
    /// Name what pictures show
    Infer(infer::Args),
    /// Show what is in a file of weights, or what a network consists of
    Inspect(inspect::Args),
    /// Measure speed, beside the machine's own multiply-add peak
    Bench(bench::Args),
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
    let machine = Machine::resolve(&cli.machine)?;
    machine.install(|machine| match &cli.verb {
        Verb::Train(args) => train::run(args, machine),
        Verb::Infer(args) => infer::run(args, machine),
        Verb::Inspect(args) => inspect::run(args, machine),
        Verb::Bench(args) => bench::run(args, machine),
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn definitions_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
