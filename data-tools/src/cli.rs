//! The command line: what there is to call, and what a result means to the shell.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::ToolError;
use crate::machine::{Machine, MachineArgs};
use crate::{pack, stats, verify};

/// Pack image data sets into shards for resnet-cpu (and any reader of WebDataset), verify and measure them.
#[derive(Parser)]
#[command(name = "resnet-data", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted with finished shards \
                        kept. Results go to stdout, notes and progress to stderr."
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    machine: MachineArgs,
}

#[derive(Subcommand)]
enum Verb {
    /// Pack a data set into shards; the same command goes on after an interruption
    Pack(Box<pack::Args>),
    /// Read all of a set of shards and name everything that is wrong with it
    Verify(verify::Args),
    /// Measure means, deviations and colours of a packed set, and store them with it
    Stats(stats::Args),
}

/// Parses the arguments of the process, runs, reports.
pub(crate) fn main() -> ExitCode {
    let result = match Cli::try_parse() {
        Ok(cli) => run(&cli),
        Err(error) => ToolError::from_clap(&error),
    };
    match result {
        Ok(()) | Err(ToolError::BrokenPipe) => ExitCode::SUCCESS,
        Err(error) => {
            error.report();
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: &Cli) -> Result<(), ToolError> {
    let machine = Machine::resolve(&cli.machine)?;
    machine.install(|machine| match &cli.verb {
        Verb::Pack(args) => pack::run(args, machine),
        Verb::Verify(args) => verify::run(args, machine),
        Verb::Stats(args) => stats::run(args, machine),
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
