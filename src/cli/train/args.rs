//! The flags of `train`, and the configuration that they make of a recipe.

use resnet_cpu::train::{Augment, Config, Length, Normalize, Recipe, Schedule, Warmup};
use std::path::PathBuf;
use std::time::Duration;

use super::super::error::CliError;
use super::super::network::NetworkArgs;

#[derive(clap::Args)]
#[command(allow_negative_numbers = true)]
pub(in crate::cli) struct Args {
    /// A folder of CIFAR-10 binary files, idx files (MNIST) or class folders of images; none: the
    /// built-in images of ten shapes
    #[arg(value_name = "DATA")]
    pub(super) data: Option<PathBuf>,
    /// demo, fast-cifar, paper-cifar or paper-imagenet; the flags below change it [default: demo for
    /// the built-in images, else fast-cifar]
    #[arg(long, value_name = "NAME")]
    pub(super) recipe: Option<Recipe>,
    /// Network [default: as the recipe says; resnet18 for class folders whose first image is larger
    /// than 64 pixels]
    #[arg(long, value_name = "NAME")]
    pub(super) arch: Option<String>,
    #[command(flatten)]
    pub(super) network: NetworkArgs,
    /// The run's folder; a run that is there already goes on [default: runs/<recipe>-<arch>]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Length in passes over the training images
    #[arg(long, value_name = "N", conflicts_with = "iterations")]
    epochs: Option<u64>,
    /// Length in weight updates
    #[arg(long, value_name = "N")]
    iterations: Option<u64>,
    /// Images a weight update
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Images that go through the network at a time; batch norm sees only these, so this changes
    /// results [default: the batch]
    #[arg(long, value_name = "N")]
    micro_batch: Option<usize>,
    /// Training images to hold out and validate on, instead of the set's own
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) val_split: u64,
    /// Where all random numbers come from [default: 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Only print the time, memory, steps and disk that the run would take
    #[arg(long)]
    pub(super) plan: bool,
    /// Minutes between checkpoints within an epoch (there is one after each epoch, too)
    #[arg(long, value_name = "MINUTES", default_value = "10", value_parser = parse_minutes)]
    pub(super) save_every: Duration,
    #[command(flatten)]
    optimiser: OptimiserArgs,
    #[command(flatten)]
    images: ImageArgs,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Optimiser")]
struct OptimiserArgs {
    /// Learning rate
    #[arg(long, value_name = "X")]
    lr: Option<f64>,
    /// How it falls: constant, steps, cosine or plateau
    #[arg(long, value_name = "KIND", value_parser = ["constant", "steps", "cosine", "plateau"])]
    schedule: Option<String>,
    /// Steps: weight updates at which it falls [default: a half and three quarters of the run]
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    milestones: Vec<u64>,
    /// Steps, plateau: what it is multiplied by [default: 0.1]
    #[arg(long, value_name = "X")]
    factor: Option<f64>,
    /// Plateau: epochs without progress that are borne [default: 5]
    #[arg(long, value_name = "N")]
    patience: Option<u32>,
    /// Plateau: decrease of the validation error, 0..1, that is progress [default: 0.001]
    #[arg(long, value_name = "X")]
    threshold: Option<f64>,
    /// Weight updates in which the learning rate rises to its value; 0: none
    #[arg(long, value_name = "N", conflicts_with_all = ["warmup_lr", "warmup_error"])]
    warmup: Option<u64>,
    /// Learning rate until the training error is below --warmup-error
    #[arg(long, value_name = "X")]
    warmup_lr: Option<f64>,
    /// Training error, 0..1, that ends --warmup-lr [default: 0.8]
    #[arg(long, value_name = "X", requires = "warmup_lr")]
    warmup_error: Option<f64>,
    /// Share of the last step's velocity that is kept
    #[arg(long, value_name = "X")]
    momentum: Option<f64>,
    /// Nesterov's momentum; --nesterov=false for the plain one
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    nesterov: Option<bool>,
    /// Weight decay
    #[arg(long, value_name = "X")]
    weight_decay: Option<f64>,
    /// Whether batch norm and biases decay too; --decay-bn=false spares them
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    decay_bn: Option<bool>,
    /// Share of the target that is spread over all classes
    #[arg(long, value_name = "X")]
    label_smoothing: Option<f64>,
    /// Decay a step of a moving average of the weights, which is then validated and published
    #[arg(long, value_name = "X")]
    ema: Option<f64>,
    /// Each residual block's last batch norm starts with scale 0
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    zero_init: Option<bool>,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Images")]
struct ImageArgs {
    /// What happens to training images at random: none, crop, crop-flip or scale-crop-flip-colour
    #[arg(long, value_name = "KIND", value_parser = parse_augment)]
    augment: Option<Augment>,
    /// What is subtracted: channel (mean and deviation of each colour) or pixel-mean (the paper)
    #[arg(long, value_name = "KIND", value_parser = parse_normalize)]
    mean_mode: Option<Normalize>,
}

impl Args {
    /// Changes the recipe's configuration as the flags say.
    pub(super) fn apply(&self, config: &mut Config) -> Result<(), CliError> {
        fn set<T: Copy>(to: &mut T, flag: Option<T>) {
            *to = flag.unwrap_or(*to);
        }
        let Self { optimiser, images, .. } = self;
        set(&mut config.batch, self.batch);
        set(&mut config.seed, self.seed);
        set(&mut config.length, self.epochs.map(Length::Epochs));
        set(&mut config.length, self.iterations.map(Length::Iterations));
        config.micro_batch = self.micro_batch.or(config.micro_batch);
        config.held_out = self.val_split;
        set(&mut config.lr, optimiser.lr);
        set(&mut config.momentum, optimiser.momentum);
        set(&mut config.nesterov, optimiser.nesterov);
        set(&mut config.weight_decay, optimiser.weight_decay);
        set(&mut config.decay_bn, optimiser.decay_bn);
        set(&mut config.label_smoothing, optimiser.label_smoothing);
        config.ema_decay = optimiser.ema.or(config.ema_decay);
        set(&mut config.zero_init, optimiser.zero_init);
        set(&mut config.augment, images.augment);
        set(&mut config.normalize, images.mean_mode);
        config.warmup = match (optimiser.warmup, optimiser.warmup_lr) {
            (Some(0), _) => Warmup::None,
            (Some(steps), _) => Warmup::Linear { steps },
            (None, Some(lr)) => {
                Warmup::UntilError { lr, error: optimiser.warmup_error.unwrap_or(0.8) }
            }
            (None, None) => config.warmup.clone(),
        };
        config.schedule = optimiser.schedule(config)?;
        config.validate().map_err(CliError::usage)
    }
}

impl OptimiserArgs {
    /// The recipe's schedule, or that of `--schedule`, with the flags that belong to it.
    fn schedule(&self, config: &Config) -> Result<Schedule, CliError> {
        let recipe = &config.schedule;
        let name = self.schedule.as_deref().unwrap_or(match recipe {
            Schedule::Constant => "constant",
            Schedule::MultiStep { .. } => "steps",
            Schedule::Cosine => "cosine",
            Schedule::Plateau { .. } => "plateau",
        });
        let flags = [
            ("--milestones", !self.milestones.is_empty(), &["steps"][..]),
            ("--factor", self.factor.is_some(), &["steps", "plateau"]),
            ("--patience", self.patience.is_some(), &["plateau"]),
            ("--threshold", self.threshold.is_some(), &["plateau"]),
        ];
        if let Some((flag, _, kinds)) = flags.iter().find(|f| f.1 && !f.2.contains(&name)) {
            let kinds = kinds.join(" or ");
            return Err(CliError::usage(format!(
                "{flag}: expected --schedule {kinds}, found {name}"
            )));
        }
        Ok(match name {
            "steps" => {
                let (milestones, factor) = match recipe {
                    Schedule::MultiStep { milestones, factor } => (milestones.clone(), *factor),
                    _ => {
                        let steps = config.total_steps();
                        (vec![steps / 2, steps / 4 * 3], 0.1)
                    }
                };
                let given = !self.milestones.is_empty();
                let milestones = if given { self.milestones.clone() } else { milestones };
                Schedule::MultiStep { milestones, factor: self.factor.unwrap_or(factor) }
            }
            "plateau" => {
                let (factor, patience, threshold) = match recipe {
                    &Schedule::Plateau { factor, patience, threshold } => {
                        (factor, patience, threshold)
                    }
                    _ => (0.1, 5, 0.001),
                };
                Schedule::Plateau {
                    factor: self.factor.unwrap_or(factor),
                    patience: self.patience.unwrap_or(patience),
                    threshold: self.threshold.unwrap_or(threshold),
                }
            }
            "cosine" => Schedule::Cosine,
            _ => Schedule::Constant,
        })
    }
}

fn parse_augment(text: &str) -> Result<Augment, String> {
    use Augment::{Crop, CropFlip, None, ScaleCropFlipColour};
    parse_named(text, &[None, Crop, CropFlip, ScaleCropFlipColour])
}

fn parse_normalize(text: &str) -> Result<Normalize, String> {
    parse_named(text, &[Normalize::Channel, Normalize::PixelMean])
}

/// The one of `all` that is spelled `text`.
fn parse_named<T: Copy + ToString>(text: &str, all: &[T]) -> Result<T, String> {
    all.iter().copied().find(|value| value.to_string() == text).ok_or_else(|| {
        let names: Vec<String> = all.iter().map(T::to_string).collect();
        format!("expected {}", names.join(", "))
    })
}

fn parse_minutes(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|minutes: f64| Duration::try_from_secs_f64(60.0 * minutes).ok())
        .ok_or_else(|| "expected minutes, 0 or more".to_owned())
}
