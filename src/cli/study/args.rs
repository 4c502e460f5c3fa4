//! The flags of `study`, and the grid of runs that they mean.

use resnet_cpu::model::{Family, ModelSpec};
use resnet_cpu::study::{Grid, Kind, Net};
use resnet_cpu::train::Recipe;
use std::path::PathBuf;
use std::time::Duration;

use super::super::bad_images::BadImageArgs;
use super::super::cache::CacheArgs;
use super::super::error::CliError;
use super::super::limits::LimitArgs;
use super::super::train::args::{SettingArgs, parse_minutes};

/// The most seeds that a study has: more would be a mistake.
const SEEDS: u64 = 1000;

#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    study: StudyKind,
}

#[derive(clap::Subcommand)]
enum StudyKind {
    /// Plain beside residual networks of several depths: deeper plain networks have a higher training error
    Degradation(Box<StudyArgs>),
    /// Residual networks with shortcuts A, B and C
    Shortcuts(Box<StudyArgs>),
}

#[derive(clap::Args)]
#[command(allow_negative_numbers = true)]
pub(super) struct StudyArgs {
    /// A folder with one folder of images per class, shards (*.tar), CIFAR-10's binary files or idx files (MNIST)
    /// [default: built-in images of ten shapes]
    #[arg(value_name = "DATA")]
    pub(super) data: Option<PathBuf>,
    /// Layers of the networks: 20, 32, 44, 56, 110 or 1202 for images of 32 pixels; 18, 34, 50, 101 or 152 for
    /// photographs [default: 20,32,44,56; study shortcuts: 20,32]
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    depths: Vec<usize>,
    /// Kinds of network: plain, or residual with shortcuts a (identity), b (projections where sizes change) or c
    /// (projections everywhere) [default: plain,a; plain,b for photographs; study shortcuts: a,b,c]
    #[arg(long, value_name = "NET,..", value_delimiter = ',')]
    nets: Vec<Net>,
    /// Runs of each network, with seeds from --seed (else from 1) on; tables then have mean and standard deviation
    #[arg(long, value_name = "N", default_value_t = 1)]
    seeds: u64,
    /// The part of the recipe's iterations that each run has, for example 0.05; the learning rate drops in
    /// proportion. --iterations and --epochs say it in other words [default: 1]
    #[arg(long, value_name = "X", conflicts_with_all = ["iterations", "epochs"])]
    pub(super) budget: Option<f64>,
    /// All settings at once: paper-cifar, paper-imagenet or another recipe of `train`; other flags change single ones
    /// [default: paper-cifar, paper-imagenet for photographs, demo for the built-in images]
    #[arg(long, value_name = "NAME")]
    pub(super) recipe: Option<Recipe>,
    /// Folder of the study; one that is already in it is continued [default: runs/study-<kind>-<data>]
    #[arg(short, long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Only print the runs and the time, memory and disk space that they would take
    #[arg(long)]
    pub(super) plan: bool,
    /// Minutes between checkpoints within an epoch; one is always saved after each epoch
    #[arg(long, value_name = "MINUTES", default_value = "10", value_parser = parse_minutes)]
    pub(super) save_every: Duration,
    #[command(flatten)]
    pub(super) limits: LimitArgs,
    #[command(flatten)]
    pub(super) bad_images: BadImageArgs,
    #[command(flatten)]
    pub(super) cache: CacheArgs,
    #[command(flatten)]
    pub(super) settings: SettingArgs,
}

impl Args {
    /// What is compared, and the flags.
    pub(super) fn of_kind(&self) -> (Kind, &StudyArgs) {
        match &self.study {
            StudyKind::Degradation(args) => (Kind::Degradation, args),
            StudyKind::Shortcuts(args) => (Kind::Shortcuts, args),
        }
    }
}

impl StudyArgs {
    /// The grid, and the family that its networks are of.
    pub(super) fn grid(&self, kind: Kind) -> Result<(Grid, Family), CliError> {
        let depths = match (kind, &self.depths[..]) {
            (Kind::Degradation, []) => &[20, 32, 44, 56],
            (Kind::Shortcuts, []) => &[20, 32][..],
            (_, given) => given,
        };
        let family = family(depths)?;
        let nets = match (kind, family, &self.nets[..]) {
            (Kind::Degradation, Family::Cifar, []) => nets(&["plain", "a"]),
            (Kind::Degradation, Family::ImageNet, []) => nets(&["plain", "b"]),
            (Kind::Shortcuts, _, []) => nets(&["a", "b", "c"]),
            (_, _, given) => given.to_vec(),
        };
        let first = self.settings.number("seed")?.unwrap_or(1);
        if !(1..=SEEDS).contains(&self.seeds) || first.checked_add(self.seeds).is_none() {
            let found = self.seeds;
            return Err(CliError::usage(format!("--seeds: expected 1 to {SEEDS}, found {found}")));
        }
        let seeds: Vec<u64> = (first..first + self.seeds).collect();
        if let Some(budget) = self.budget.filter(|budget| !(*budget > 0.0 && *budget <= 1.0)) {
            return Err(CliError::usage(format!(
                "--budget: expected a number above 0, at most 1, found {budget}"
            )));
        }
        if self.recipe == Some(Recipe::Finetune) {
            return Err(CliError::usage(
                "--recipe: expected one that starts from random numbers, found finetune",
            ));
        }
        let grid = Grid::new(kind, depths, &nets, &seeds);
        for member in grid.members() {
            // Of a depth that exists, but not for this kind of network.
            ModelSpec::new(&member.arch(), member.options())
                .map_err(|error| CliError::usage(format!("{}: {error}", member.title())))?;
        }
        Ok((grid, family))
    }
}

/// The family of the networks of these depths.
fn family(depths: &[usize]) -> Result<Family, CliError> {
    let mut found = None;
    for depth in depths {
        let spec = ModelSpec::new(&format!("resnet{depth}"), resnet_cpu::model::Options::default());
        let family = spec.map_err(|error| CliError::usage(format!("--depths: {error}")))?.family;
        if found.is_some_and(|found| found != family) {
            return Err(CliError::usage(format!(
                "--depths: expected networks for images of 32 pixels or for photographs, found both ({})",
                depths.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
            )));
        }
        found = Some(family);
    }
    Ok(found.unwrap_or(Family::Cifar))
}

fn nets(names: &[&str]) -> Vec<Net> {
    names.iter().map(|name| name.parse().expect("a known kind of network")).collect()
}
