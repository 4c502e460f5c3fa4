//! `resnet-cpu weights`: published weights by name. And what other commands do with such a name: they fetch
//! it, unless it is in the cache.

use indicatif::{BinaryBytes, ProgressBar, ProgressStyle};
use resnet_cpu::hub::{Hub, HubError, Name, PUBLISHED, PublishedWeights, Settings, WAITING};
use resnet_cpu::runtime::Watch;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Once, OnceLock};

use super::error::CliError;
use super::machine::Machine;

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// List the weights that have a short name, with their source, licence, published accuracy and size
    List,
    /// Fetch weights, or what is new of them, into the cache that Python's packages use; prints the file
    Get(NameArgs),
    /// Print the file that weights are in, if they are in the cache; nothing is fetched
    Where(NameArgs),
}

#[derive(clap::Args)]
struct NameArgs {
    /// hf:OWNER/REPOSITORY[@REVISION][:FILE] (the Hugging Face hub), torchvision:NETWORK[.V1|.V2], or a
    /// short name, e.g. resnet50
    #[arg(value_name = "NAME")]
    name: String,
}

pub(super) fn run(args: &Args, machine: &Machine) -> Result<(), CliError> {
    let hub = Hub::new(Settings::from_env());
    match &args.what {
        What::List => list(&hub),
        What::Get(args) => {
            let name = args.name()?;
            match (fetched(&args.name, machine, |watch| hub.fetch(&name, watch)), hub.cached(&name))
            {
                (Ok(path), _) => print(&path),
                (
                    Err(error @ (HubError::Unreachable { .. } | HubError::Busy { .. })),
                    Some(path),
                ) => {
                    machine.note(&format!("{error}; what is in the cache is used"));
                    print(&path)
                }
                (Err(error), _) => Err(CliError::failed(error)),
            }
        }
        What::Where(args) => match hub.cached(&args.name()?) {
            Some(path) => print(&path),
            None => Err(CliError::failed(format!(
                "{0}: not in the cache; `resnet-cpu weights get {0}` fetches it",
                args.name
            ))),
        },
    }
}

impl NameArgs {
    fn name(&self) -> Result<Name, CliError> {
        let name = Name::parse(&self.name).map_err(CliError::usage)?;
        name.ok_or_else(|| {
            CliError::usage(format!(
                "{}: no such name of weights; `resnet-cpu weights list` prints those that there are",
                self.name
            ))
        })
    }
}

fn print(path: &Path) -> Result<(), CliError> {
    Ok(writeln!(std::io::stdout(), "{}", path.display())?)
}

fn list(hub: &Hub) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    let row = ["name", "source", "licence", "top-1 %", "resize, crop", "MiB", "in the cache"];
    let width = [10, 25, 13, 9, 14, 7, 0];
    let mut line = |row: [&str; 7]| -> Result<(), CliError> {
        let cells = row.iter().zip(width).map(|(cell, width)| format!("{cell:width$}"));
        Ok(writeln!(out, "{}", cells.collect::<String>().trim_end())?)
    };
    line(row)?;
    for weights in PUBLISHED {
        let PublishedWeights { name, source, licence, top1, sides, mebibytes, .. } = weights;
        let cached =
            Name::parse(name).ok().flatten().is_some_and(|name| hub.cached(&name).is_some());
        let (top1, mebibytes) = (format!("{top1:.2}"), format!("{mebibytes:.1}"));
        let sides = format!("{}, {}", sides[0], sides[1]);
        let cached = if cached { "yes" } else { "no" };
        line([name, source, licence, &top1, &sides, &mebibytes, cached])?;
    }
    Ok(())
}

/// The file that `path` means: itself, or where the weights of that name are, fetched if they are not in the
/// cache.
pub(super) fn file_of(path: &Path, machine: &Machine) -> Result<PathBuf, CliError> {
    match Name::of_path(path).map_err(CliError::usage)? {
        None => Ok(path.to_owned()),
        Some(name) => get(&path.to_string_lossy(), &name, machine),
    }
}

/// The weights called `name`, whatever files there are.
pub(super) fn published(
    weights: &PublishedWeights,
    machine: &Machine,
) -> Result<PathBuf, CliError> {
    match Name::parse(weights.name).map_err(CliError::failed)? {
        Some(name) => get(weights.name, &name, machine),
        None => Err(CliError::failed(format!("{}: not known", weights.name))),
    }
}

/// Whether they are in the cache.
pub(super) fn is_cached(weights: &PublishedWeights) -> bool {
    let name = Name::parse(weights.name).ok().flatten();
    name.is_some_and(|name| Hub::new(Settings::from_env()).cached(&name).is_some())
}

fn get(text: &str, name: &Name, machine: &Machine) -> Result<PathBuf, CliError> {
    let hub = Hub::new(Settings::from_env());
    fetched(text, machine, |watch| hub.get(name, watch)).map_err(CliError::failed)
}

fn fetched(
    text: &str,
    machine: &Machine,
    fetch: impl FnOnce(&dyn Watch) -> Result<PathBuf, HubError>,
) -> Result<PathBuf, HubError> {
    let progress = Progress { machine, name: text, bar: OnceLock::new(), waiting: Once::new() };
    let fetched = fetch(&progress);
    if let Some(Some(bar)) = progress.bar.get() {
        bar.finish_and_clear();
    }
    fetched
}

/// A bar of bytes if stderr is a terminal, else a line at the beginning. Ctrl-C ends the program at once, as
/// always; what was fetched stays for the next time.
struct Progress<'a> {
    machine: &'a Machine,
    name: &'a str,
    bar: OnceLock<Option<ProgressBar>>,
    /// Done when it has been said that another program is waited for.
    waiting: Once,
}

/// Files below are there before anybody would read about them.
const SMALL: u64 = 1 << 20;

impl Watch for Progress<'_> {
    fn progress(&self, what: &'static str, done: u64, total: Option<u64>) {
        if what == WAITING {
            return self.waiting.call_once(|| self.machine.note(&format!("{}: {what}", self.name)));
        }
        if total.is_some_and(|total| total < SMALL) {
            return;
        }
        let bar = self.bar.get_or_init(|| {
            let size = total.map_or(String::new(), |total| format!(" ({})", BinaryBytes(total)));
            let begun = if done > 0 { format!(", of which {} are there", BinaryBytes(done)) } else { String::new() };
            self.machine.note(&format!("fetching {}{size}{begun}", self.name));
            let visible = !self.machine.quiet && std::io::stderr().is_terminal();
            visible.then(|| {
                let style = "{bar:30} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, ETA {eta}";
                let bar = ProgressBar::new(total.unwrap_or(done));
                ProgressStyle::with_template(style).map_or(bar.clone(), |style| bar.with_style(style))
            })
        });
        if let Some(bar) = bar {
            bar.set_position(done);
        }
    }

    fn stopped(&self) -> bool {
        false
    }
}
