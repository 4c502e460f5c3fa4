//! `resnet-cpu runs`: which runs there are, how far and how good they are, and what differs between them.
//!
//! Runs are only read, also while they train. Of a checkpoint only the header is read, so thousands are listed in a
//! moment.

mod compare;
mod export;
mod find;
mod list;
mod table;
mod tensorboard;

use resnet_cpu::train::{RunStatus, StoredRun};
use std::path::PathBuf;

use super::error::CliError;
use super::machine::Machine;

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    list: list::ListArgs,
}

#[derive(clap::Subcommand)]
enum What {
    /// List runs; this is what `resnet-cpu runs` does, too
    #[command(visible_alias = "ls")]
    List(list::ListArgs),
    /// Draw the curves of runs over one another, on one page
    Compare(compare::CompareArgs),
    /// Write the metrics of runs as a table (CSV) or as TensorBoard's event files
    Export(export::ExportArgs),
}

/// The runs that a command is about.
#[derive(clap::Args)]
struct RunArgs {
    /// Folders of runs, or folders with such folders in them, one or two levels down
    #[arg(value_name = "RUN", required = true)]
    folders: Vec<PathBuf>,
}

impl RunArgs {
    /// The runs, all of which can be read. What else is wrong with their files is noted.
    fn read(&self, machine: &Machine) -> Result<Vec<StoredRun>, CliError> {
        let runs = find::runs_in(&self.folders)?;
        for run in &runs {
            if run.status == RunStatus::Damaged {
                return Err(CliError::failed(run.problems.join("; ")));
            }
            run.problems.iter().for_each(|problem| machine.note(problem));
            if run.epochs.is_empty() {
                machine.note(&format!("{}: no epoch is done yet", run.folder.display()));
            }
        }
        Ok(runs)
    }
}

pub(super) fn run(args: &Args, machine: &Machine) -> Result<(), CliError> {
    if args.what.is_some() && args.list.json {
        return Err(CliError::usage("--json is for `runs list`, after it"));
    }
    match &args.what {
        None => list::run(&args.list, machine),
        Some(What::List(args)) => list::run(args, machine),
        Some(What::Compare(args)) => compare::run(args, machine),
        Some(What::Export(args)) => export::run(args, machine),
    }
}
