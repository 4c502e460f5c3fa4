//! Everything that changes the result of a run, in one struct that every checkpoint carries.
//!
//! Flags that only change where, how fast or how loudly a run happens are not here, so they may
//! differ on a resume; whatever is here may not, except that a run may be made longer.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::recipe::Recipe;
use super::schedule::{LearningRate, Schedule, Warmup};
use super::spelled;
use crate::learn::SgdOptions;
use crate::model::{Downsample, ModelSpec, Options, Shortcut, SpecError, StrideIn};

/// How long a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Length {
    /// Passes over the training set.
    Epochs(u64),
    /// Weight updates.
    Iterations(u64),
}

/// What is done to training images at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Augment {
    /// Nothing.
    None,
    /// 4 pixels of padding on each side and a random crop of the original size.
    Crop,
    /// That, and a horizontal flip every other time (the paper, section 4.2).
    CropFlip,
    /// Shorter side random in 256..=480, random 224 crop, flip, PCA colour (section 3.4).
    ScaleCropFlipColour,
}

/// What is subtracted from pixels, and whether they are scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalize {
    /// The training set's mean of each pixel and channel is subtracted (the paper).
    PixelMean,
    /// The training set's mean of each channel is subtracted, and its deviation divides.
    Channel,
}

/// The data of a run, as far as results depend on them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataInfo {
    /// What it is read as, e.g. `demo`, `cifar10`, `folder`, `idx`, `shards`.
    pub kind: String,
    /// A digest of what is in it, whatever its place on disk.
    pub fingerprint: String,
    /// Images trained on, those held out excluded.
    pub train_images: u64,
    /// Images validated on.
    pub val_images: u64,
}

/// A value that no run can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: expected {expected}, found {found}")]
pub struct ConfigError {
    /// The field, as [`Config::fields`] calls it.
    pub field: &'static str,
    /// What it could be.
    pub expected: &'static str,
    /// What it is.
    pub found: String,
}

/// Everything that changes the result of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The recipe it was made from.
    pub recipe: Recipe,
    /// The architecture's name.
    pub arch: String,
    /// Kind of shortcut (residual networks).
    #[serde(with = "spelled")]
    pub shortcut: Option<Shortcut>,
    /// How the network downsamples (plain networks).
    #[serde(with = "spelled")]
    pub downsample: Option<Downsample>,
    /// Where a bottleneck's stride is (bottleneck networks).
    #[serde(with = "spelled")]
    pub stride_in: Option<StrideIn>,
    /// Number of classes.
    pub classes: usize,
    /// The data.
    pub data: DataInfo,
    /// Side of the square that the network is trained on, in pixels.
    pub side: usize,
    /// How long the run is.
    pub length: Length,
    /// Images of a weight update.
    pub batch: usize,
    /// Images that go through the network at a time, with batch norm's statistics of their own;
    /// `None`: the whole batch.
    pub micro_batch: Option<usize>,
    /// Learning rate.
    pub lr: f64,
    /// How it falls.
    pub schedule: Schedule,
    /// What comes before.
    pub warmup: Warmup,
    /// SGD's momentum.
    pub momentum: f64,
    /// Whether in Nesterov's form.
    pub nesterov: bool,
    /// Weight decay.
    pub weight_decay: f64,
    /// Whether batch norm and biases decay too.
    pub decay_bn: bool,
    /// Share of the target that is spread over all classes (Szegedy et al., 2015, section 7).
    pub label_smoothing: f64,
    /// Decay a step of the weights' moving average; `None`: there is none.
    pub ema_decay: Option<f64>,
    /// Whether each residual block's last batch norm starts with scale 0.
    pub zero_init: bool,
    /// What is done to training images at random.
    pub augment: Augment,
    /// What is subtracted from pixels.
    pub normalize: Normalize,
    /// Training images held out to validate on (the paper on CIFAR-10: 5,000); 0: the data set's own
    /// validation or test part.
    pub held_out: u64,
    /// Where all random numbers come from.
    pub seed: u64,
}

impl Config {
    /// The network.
    ///
    /// # Errors
    /// The name is unknown or an option does not fit.
    pub fn spec(&self) -> Result<ModelSpec, SpecError> {
        let Self { shortcut, downsample, stride_in, .. } = *self;
        let classes = Some(self.classes);
        ModelSpec::new(&self.arch, Options { shortcut, downsample, stride_in, classes })
    }

    /// Checks the numbers that flags or a file may have set.
    ///
    /// # Errors
    /// Names the first field whose value is impossible.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let length = match self.length {
            Length::Epochs(n) | Length::Iterations(n) => n,
        };
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let share = |x: f64| (0.0..1.0).contains(&x);
        let schedule = match &self.schedule {
            Schedule::MultiStep { milestones, factor } => {
                positive(*factor) && milestones.is_sorted_by(|a, b| a < b)
            }
            Schedule::Plateau { factor, threshold, .. } => positive(*factor) && share(*threshold),
            Schedule::Constant | Schedule::Cosine => true,
        };
        let warmup = match self.warmup {
            Warmup::UntilError { lr, error } => positive(lr) && (0.0..=1.0).contains(&error),
            Warmup::None | Warmup::Linear { .. } => true,
        };
        let micro_batch = self.micro_batch.is_none_or(|n| (1..=self.batch).contains(&n));
        let decay = self.weight_decay.is_finite() && self.weight_decay >= 0.0;
        let checks = [
            ("side", (1..=16_384).contains(&self.side), "1 to 16384 px"),
            ("length", length > 0, "at least 1"),
            ("batch", (1..=1 << 20).contains(&self.batch), "1 to 1048576 images"),
            ("micro-batch", micro_batch, "1 image up to the batch"),
            ("lr", positive(self.lr), "a positive number"),
            ("schedule", schedule, "milestones in order, a positive factor, a threshold in 0..1"),
            ("warmup", warmup, "a positive lr and an error in 0..1"),
            ("momentum", share(self.momentum), "0 up to but not 1"),
            ("weight-decay", decay, "a number, not negative"),
            ("label-smoothing", share(self.label_smoothing), "0 up to but not 1"),
            ("ema", self.ema_decay.is_none_or(share), "0 up to but not 1"),
        ];
        let Some(&(field, _, expected)) = checks.iter().find(|(_, fine, _)| !fine) else {
            return Ok(());
        };
        let found = self.fields().into_iter().find(|(name, _)| *name == field);
        Err(ConfigError { field, expected, found: found.map_or(String::new(), |(_, text)| text) })
    }

    /// Weight updates in an epoch: whole batches only, the rest of the epoch's order is left out. At
    /// least 1, so that a set smaller than a batch never divides by zero.
    pub fn steps_per_epoch(&self) -> u64 {
        (self.data.train_images / self.batch.max(1) as u64).max(1)
    }

    /// Weight updates of the whole run.
    pub fn total_steps(&self) -> u64 {
        match self.length {
            Length::Epochs(epochs) => epochs.saturating_mul(self.steps_per_epoch()),
            Length::Iterations(iterations) => iterations,
        }
    }

    /// The learning rate's course.
    pub fn learning_rate(&self) -> LearningRate {
        LearningRate {
            base: self.lr,
            schedule: self.schedule.clone(),
            warmup: self.warmup.clone(),
            total_steps: self.total_steps(),
        }
    }

    /// What the optimiser does.
    pub fn sgd(&self) -> SgdOptions {
        SgdOptions {
            momentum: self.momentum as f32,
            nesterov: self.nesterov,
            weight_decay: self.weight_decay as f32,
            decay_bn: self.decay_bn,
        }
    }

    /// All fields as text, in the order in which they are declared.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        fn option(value: Option<impl fmt::Display>) -> String {
            value.map_or("none".to_owned(), |value| value.to_string())
        }
        // Destructured, so that a new field cannot be forgotten here.
        let Self {
            recipe,
            arch,
            shortcut,
            downsample,
            stride_in,
            classes,
            data: DataInfo { kind, fingerprint, train_images, val_images },
            side,
            length,
            batch,
            micro_batch,
            lr,
            schedule,
            warmup,
            momentum,
            nesterov,
            weight_decay,
            decay_bn,
            label_smoothing,
            ema_decay,
            zero_init,
            augment,
            normalize,
            held_out,
            seed,
        } = self;
        vec![
            ("recipe", recipe.to_string()),
            ("arch", arch.clone()),
            ("shortcut", option(*shortcut)),
            ("downsample", option(*downsample)),
            ("stride-in", option(*stride_in)),
            ("classes", classes.to_string()),
            ("data", kind.clone()),
            ("data fingerprint", fingerprint.clone()),
            ("training images", train_images.to_string()),
            ("validation images", val_images.to_string()),
            ("side", format!("{side} px")),
            ("length", length.to_string()),
            ("batch", batch.to_string()),
            ("micro-batch", option(*micro_batch)),
            ("lr", lr.to_string()),
            ("schedule", schedule.to_string()),
            ("warmup", warmup.to_string()),
            ("momentum", momentum.to_string()),
            ("nesterov", nesterov.to_string()),
            ("weight-decay", weight_decay.to_string()),
            ("decay-bn", decay_bn.to_string()),
            ("label-smoothing", label_smoothing.to_string()),
            ("ema", option(*ema_decay)),
            ("zero-init", zero_init.to_string()),
            ("augment", augment.to_string()),
            ("normalize", normalize.to_string()),
            ("held-out", held_out.to_string()),
            ("seed", seed.to_string()),
        ]
    }

    /// Why a run with configuration `self` cannot be continued with `asked`: a line
    /// `field: stored X, asked Y` for each difference, empty if there is none that matters. A
    /// greater length continues the run; the recipe's name is no difference by itself.
    pub fn diff(&self, asked: &Self) -> Vec<String> {
        let longer = asked.total_steps() >= self.total_steps();
        let same = |field: &str| field == "recipe" || (field == "length" && longer);
        self.fields()
            .into_iter()
            .zip(asked.fields())
            .filter(|((field, stored), (_, asked))| stored != asked && !same(field))
            .map(|((field, stored), (_, asked))| format!("{field}: stored {stored}, asked {asked}"))
            .collect()
    }
}

/// One `key = value` a line.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fields().iter().try_for_each(|(key, value)| writeln!(f, "{key:<17} = {value}"))
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Epochs(n) => write!(f, "{n} epochs"),
            Self::Iterations(n) => write!(f, "{n} iterations"),
        }
    }
}

impl fmt::Display for Augment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Crop => "crop",
            Self::CropFlip => "crop-flip",
            Self::ScaleCropFlipColour => "scale-crop-flip-colour",
        })
    }
}

impl fmt::Display for Normalize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PixelMean => "pixel-mean",
            Self::Channel => "channel",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let recipe = Recipe::FastCifar;
        let mut config = recipe.config(&recipe.spec("resnet20", Options::default()).unwrap());
        config.data.train_images = 50_000;
        config
    }

    #[test]
    fn a_longer_run_is_no_difference_but_anything_else_is() {
        let stored = config();
        let mut asked = stored.clone();
        assert!(stored.diff(&asked).is_empty());
        asked.length = Length::Epochs(20);
        asked.recipe = Recipe::PaperCifar;
        assert!(stored.diff(&asked).is_empty());
        asked.length = Length::Iterations(3_900);
        assert!(stored.diff(&asked).is_empty(), "{:?}", stored.diff(&asked));
        asked.length = Length::Epochs(9);
        asked.batch = 64;
        asked.shortcut = Some(Shortcut::B);
        asked.data.fingerprint = "0f".to_owned();
        assert_eq!(
            stored.diff(&asked),
            [
                "shortcut: stored a, asked b",
                "data fingerprint: stored , asked 0f",
                "batch: stored 128, asked 64",
            ],
            "nine epochs of twice the steps are longer"
        );
        asked.length = Length::Epochs(3);
        assert!(stored.diff(&asked).contains(&"length: stored 10 epochs, asked 3 epochs".into()));
    }

    #[test]
    fn impossible_values_are_named() {
        for recipe in Recipe::ALL {
            let spec = recipe.spec(recipe.default_arch(), Options::default()).unwrap();
            recipe.config(&spec).validate().unwrap();
        }
        type Change = fn(&mut Config);
        let changes: [(&str, Change); 6] = [
            ("lr: expected a positive number, found NaN", |c| c.lr = f64::NAN),
            ("batch: expected 1 to 1048576 images, found 0", |c| c.batch = 0),
            ("micro-batch", |c| c.micro_batch = Some(256)),
            ("length", |c| c.length = Length::Epochs(0)),
            ("ema", |c| c.ema_decay = Some(1.0)),
            ("schedule", |c| {
                c.schedule = Schedule::MultiStep { milestones: vec![3, 2], factor: 0.1 };
            }),
        ];
        for (expected, change) in changes {
            let mut config = config();
            change(&mut config);
            let text = config.validate().unwrap_err().to_string();
            assert!(text.starts_with(expected), "{text}");
        }
    }

    #[test]
    fn printed_one_field_a_line() {
        let text = config().to_string();
        assert_eq!(text.lines().count(), config().fields().len());
        assert!(text.contains("lr                = 0.2\n"), "{text}");
        assert_eq!(config().total_steps(), 3_900);
        let unknown = serde_json::to_string(&config()).unwrap().replace("\"lr\"", "\"eta\"");
        assert!(serde_json::from_str::<Config>(&unknown).is_err());
    }
}
