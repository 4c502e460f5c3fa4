//! The flags of `train`, and the configuration that they make of a recipe.

use clap::builder::ArgAction;
use clap::{Arg, ArgMatches, Command, FromArgMatches};
use resnet_cpu::train::{Config, Freeze, Heading, Recipe, SETTINGS, Setting};
use std::path::PathBuf;
use std::time::Duration;

use super::super::bad_images::BadImageArgs;
use super::super::cache::CacheArgs;
use super::super::error::CliError;
use super::super::limits::LimitArgs;
use super::super::network::NetworkArgs;
use super::super::weights::ExtraArgs;

#[derive(clap::Args)]
#[command(allow_negative_numbers = true)]
pub(in crate::cli) struct Args {
    /// A folder with one folder of images per class, shards (*.tar), CIFAR-10's binary files or idx files (MNIST)
    /// [default: built-in images of ten shapes]
    #[arg(value_name = "DATA")]
    pub(super) data: Option<PathBuf>,
    /// All settings at once: demo, fast-cifar, paper-cifar, paper-imagenet, fast-imagenet or finetune; other
    /// flags change single ones [default: finetune with --weights, demo for the built-in images, else
    /// fast-cifar]
    #[arg(long, value_name = "NAME")]
    pub(super) recipe: Option<Recipe>,
    /// Weights to start from: a safetensors or PyTorch file, or a name of published ones. Recipe finetune gives the network a new classifier
    /// for the data's classes; other recipes go on with the one it has. A run that is continued does not need
    /// the file
    #[arg(short, long, value_name = "FILE|NAME")]
    pub(super) weights: Option<PathBuf>,
    /// Network [default: that of --weights; as the recipe says; resnet18 for class folders whose first image is larger
    /// than 64 pixels]
    #[arg(long, value_name = "NAME")]
    pub(super) arch: Option<String>,
    #[command(flatten)]
    pub(super) network: NetworkArgs,
    #[command(flatten)]
    pub(super) extra: ExtraArgs,
    /// Folder of the run; a run that is already in it is continued [default:
    /// runs/<data>-<recipe>-<network>]
    #[arg(short, long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Only print the steps, time, memory and disk space that the run would take
    #[arg(long)]
    pub(super) plan: bool,
    /// Only run a few steps, and print where their time goes: each layer, each part of the work on it, beside the
    /// peak of multiply-adds and of copying. Nothing is written
    #[arg(long, conflicts_with = "plan")]
    pub(super) profile: bool,
    /// Minutes between checkpoints within an epoch; one is always saved after each epoch
    #[arg(long, value_name = "MINUTES", default_value = "10", value_parser = parse_minutes)]
    pub(super) save_every: Duration,
    /// Print all settings, not only those that differ from the recipe
    #[arg(short, long)]
    pub(super) verbose: bool,
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
    /// Whether the backbone is to be frozen.
    pub(super) fn is_frozen(&self) -> bool {
        let backbone = |text: &str| text.eq_ignore_ascii_case(&Freeze::Backbone.to_string());
        self.settings.0.iter().any(|(setting, text)| setting.name == "freeze" && backbone(text))
    }
}

/// The settings that were given as flags, in the order of the table.
pub(in crate::cli) struct SettingArgs(Vec<(&'static Setting, String)>);

impl SettingArgs {
    /// Whether the flag was given.
    pub(in crate::cli) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(setting, _)| setting.name == name)
    }

    /// The whole number that a flag gives, if it is given.
    pub(in crate::cli) fn number(&self, name: &str) -> Result<Option<u64>, CliError> {
        let Some((_, text)) = self.0.iter().find(|(setting, _)| setting.name == name) else {
            return Ok(None);
        };
        let wrong = |_| CliError::usage(format!("--{name}: expected a whole number, found {text}"));
        text.parse().map(Some).map_err(wrong)
    }

    /// Training images to hold out.
    pub(in crate::cli) fn held_out(&self) -> Result<u64, CliError> {
        Ok(self.number("val-split")?.unwrap_or(0))
    }

    /// Changes the recipe's configuration as the flags say.
    pub(in crate::cli) fn apply(&self, config: &mut Config) -> Result<(), CliError> {
        for (setting, text) in &self.0 {
            let wrong = |reason| CliError::usage(format!("--{}: {reason}", setting.name));
            setting.set(config, text).map_err(wrong)?;
        }
        config.settle(|name| self.has(name));
        Ok(())
    }
}

/// Flags that cannot be given together.
const CONFLICTS: [(&str, &[&str]); 2] =
    [("iterations", &["epochs"]), ("warmup", &["warmup-lr", "warmup-error"])];

fn flags() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(|setting| setting.heading != Heading::NoFlag)
}

impl clap::Args for SettingArgs {
    fn augment_args(command: Command) -> Command {
        flags().fold(command, |command, setting| {
            let mut arg = Arg::new(setting.name)
                .long(setting.name)
                .short(setting.short)
                .value_name(setting.value)
                .help(setting.help)
                .action(ArgAction::Set)
                .allow_negative_numbers(true)
                .help_heading(match setting.heading {
                    Heading::NoFlag | Heading::Run => "Run",
                    Heading::Optimiser => "Optimiser",
                    Heading::Images => "Images",
                });
            if setting.value == "BOOL" {
                arg = arg.num_args(0..=1).require_equals(true).default_missing_value("true");
            }
            let conflicts = CONFLICTS.iter().find(|(name, _)| *name == setting.name);
            if let Some((_, others)) = conflicts {
                arg = arg.conflicts_with_all(*others);
            }
            if setting.name == "val-split" {
                arg = arg.visible_alias("held-out");
            }
            command.arg(arg)
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |setting: &'static Setting| {
            Some((setting, matches.get_one::<String>(setting.name)?.clone()))
        };
        Ok(Self(flags().filter_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

pub(in crate::cli) fn parse_minutes(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|minutes: f64| Duration::try_from_secs_f64(60.0 * minutes).ok())
        .ok_or_else(|| "expected minutes, 0 or more".to_owned())
}
