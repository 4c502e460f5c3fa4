//! `resnet-cpu completions` and `resnet-cpu man`: what shells and `man` know of the command line, made
//! from its definition.

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use resnet_cpu::runtime::{Disk, write_durably};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::Cli;
use super::error::CliError;

/// What the pages say they belong to.
const VERSION: &str = concat!("resnet-cpu ", env!("CARGO_PKG_VERSION"));

#[derive(clap::Args)]
pub(super) struct CompletionsArgs {
    /// Shell to print the script for
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

#[derive(clap::Args)]
pub(super) struct ManArgs {
    /// Folder to write the pages to: resnet-cpu.1 and one per command [default: print
    /// resnet-cpu.1 to stdout]
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

pub(super) fn completions(args: &CompletionsArgs) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "resnet-cpu", &mut script);
    Ok(std::io::stdout().write_all(&script)?)
}

pub(super) fn man(args: &ManArgs) -> Result<(), CliError> {
    let mut command = Cli::command().disable_help_subcommand(true);
    // Hands the options that all commands have to each.
    command.build();
    let page = |command| Man::new(command).source(VERSION);
    let Some(folder) = &args.folder else {
        return Ok(page(command).render(&mut std::io::stdout())?);
    };
    std::fs::create_dir_all(folder).map_err(|error| failed("create", folder, &error))?;
    let commands: Vec<Command> = command.get_subcommands().cloned().collect();
    let inner: Vec<Command> = commands.iter().flat_map(Command::get_subcommands).cloned().collect();
    for command in commands.into_iter().chain(inner).chain([command]) {
        let page = page(command);
        let path = folder.join(page.get_filename());
        write_durably(&Disk, &path, |mut file| page.render(&mut file))
            .map_err(|error| failed("write", &path, &error))?;
    }
    Ok(())
}

fn failed(action: &str, path: &Path, error: &std::io::Error) -> CliError {
    CliError::failed(format!("{}: cannot {action}: {error}", path.display()))
}
