//! Everything that changes the result of a run, in one struct that every checkpoint carries.
//!
//! Flags that only change where, how fast or how loudly a run happens are not here, so they may
//! differ on a resume; whatever is here may not, except that a run may be made longer.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::images::Images;
use super::recipe::Recipe;
use super::schedule::{LearningRate, Schedule, Warmup};
use super::spelled;
use crate::conv::Convolutions;
use crate::data::JpegDecoder;
use crate::learn::SgdOptions;
use crate::model::{Downsample, ModelSpec, Options, Shortcut, SpecError, StrideIn};

/// The version of the numerics. It is raised when a change of the program changes the bits of a run.
/// Configurations of the first version do not state it; 2 brought Winograd's algorithm for the gradients of filters, 3 the
/// sum of four and more micro-batches by a tree.
pub const NUMERICS: u32 = 3;

/// How long a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Length {
    /// Passes over the training set.
    Epochs(u64),
    /// Weight updates.
    Iterations(u64),
}

/// Random changes to training images: the combinations of the first version. [`Images`] changes parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Augment {
    /// Nothing.
    None,
    /// 4 pixels of padding on each side and a random crop of the original size.
    Crop,
    /// The same, and a horizontal flip half of the time (the paper, section 4.2).
    CropFlip,
    /// Shorter side random in 256..=480, random 224 crop, flip, PCA colour (section 3.4).
    ScaleCropFlipColour,
}

/// How pixels are normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalize {
    /// The training set's mean of each pixel and channel is subtracted (the paper).
    PixelMean,
    /// The training set's mean of each channel is subtracted, and the result is divided by its deviation.
    Channel,
}

/// What of a network that was trained before stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Freeze {
    /// Nothing: all weights are trained.
    #[default]
    None,
    /// All but the classifier, which is trained on the features that the rest computes of centre views.
    Backbone,
}

/// The data of a run, as far as results depend on them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataInfo {
    /// The kind of data, e.g. `demo`, `cifar10`, `folder`, `idx`, `shards`.
    pub kind: String,
    /// A digest of the content, independent of its place on disk.
    pub fingerprint: String,
    /// Training images, without those held out.
    pub train_images: u64,
    /// Validation or test images.
    pub val_images: u64,
    /// Whether these are a test set: its error is measured, but nothing is chosen by it. Runs of early
    /// versions do not say so.
    #[serde(default, skip_serializing_if = "is_false")]
    pub test: bool,
}

impl DataInfo {
    /// Whether there are images that may be used to choose the best weights and the end of a plateau.
    pub fn can_choose(&self) -> bool {
        self.val_images > 0 && !self.test
    }
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
    /// Side of the square that the network is validated on and, unless [`Images::sides`] says otherwise, trained
    /// on, in pixels.
    pub side: usize,
    /// How long the run is.
    pub length: Length,
    /// How long it was before it was lengthened, the first length first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lengthened: Vec<Length>,
    /// The version of the numerics, see [`NUMERICS`].
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub numerics: u32,
    /// Images per weight update.
    pub batch: usize,
    /// Images that go through the network at a time, with batch norm's statistics of their own;
    /// `None`: the whole batch.
    pub micro_batch: Option<usize>,
    /// Learning rate.
    pub lr: f64,
    /// How the learning rate falls.
    pub schedule: Schedule,
    /// The warm-up before that.
    pub warmup: Warmup,
    /// SGD's momentum.
    pub momentum: f64,
    /// Whether Nesterov's momentum is used.
    pub nesterov: bool,
    /// Weight decay.
    pub weight_decay: f64,
    /// Whether batch norm and biases decay too.
    pub decay_bn: bool,
    /// Share of the target that is spread over all classes (Szegedy et al., 2015, section 7).
    pub label_smoothing: f64,
    /// Decay per step of the weights' moving average; `None`: there is no average.
    pub ema_decay: Option<f64>,
    /// Whether each residual block's last batch norm starts with scale 0.
    pub zero_init: bool,
    /// Random changes to training images.
    pub augment: Augment,
    /// Where they are others, and what the first version did not have.
    #[serde(default, skip_serializing_if = "Images::is_default")]
    pub images: Images,
    /// How pixels are normalised.
    pub normalize: Normalize,
    /// Training images held out to validate on (the paper on CIFAR-10: 5,000); 0: the data set's own
    /// validation or test part.
    pub held_out: u64,
    /// The seed of all random numbers.
    pub seed: u64,
    /// The digest of the weights that the run starts from, with what they state about images; `None`: it starts
    /// from random numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial: Option<String>,
    /// The learning rate of all but the classifier is multiplied by this.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub backbone_lr: f64,
    /// What is not trained.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub freeze: Freeze,
    /// Which decoder reads JPEGs.
    #[serde(default, skip_serializing_if = "is_default")]
    pub decoder: JpegDecoder,
    /// Which algorithms compute convolutions, in training and in validation.
    #[serde(default, skip_serializing_if = "is_default")]
    pub convolutions: Convolutions,
}

impl Config {
    /// The network.
    ///
    /// # Errors
    /// The name is unknown or an option does not fit.
    pub fn spec(&self) -> Result<ModelSpec, SpecError> {
        let Self { shortcut, downsample, stride_in, .. } = *self;
        let classes = Some(self.classes);
        ModelSpec::new(
            &self.arch,
            Options { shortcut, downsample, stride_in, classes, in_channels: None },
        )
    }

    /// Weight updates in an epoch: whole batches only, the rest of the epoch's order is left out. At
    /// least 1, so that a set smaller than a batch never divides by zero.
    pub fn steps_per_epoch(&self) -> u64 {
        (self.data.train_images / self.batch.max(1) as u64).max(1)
    }

    /// Images that go through the network at a time: a micro-batch, or the whole batch.
    pub fn images_at_a_time(&self) -> usize {
        self.micro_batch.unwrap_or(self.batch)
    }

    /// Weight updates of the whole run.
    pub fn total_steps(&self) -> u64 {
        match self.length {
            Length::Epochs(epochs) => epochs.saturating_mul(self.steps_per_epoch()),
            Length::Iterations(iterations) => iterations,
        }
    }

    /// The schedule of the learning rate.
    pub fn learning_rate(&self) -> LearningRate {
        LearningRate {
            base: self.lr,
            schedule: self.schedule.clone(),
            warmup: self.warmup.clone(),
            total_steps: self.total_steps(),
        }
    }

    /// Whether only the classifier is trained.
    pub fn is_frozen(&self) -> bool {
        self.freeze == Freeze::Backbone
    }

    /// The options of the optimiser.
    pub fn sgd(&self) -> SgdOptions {
        SgdOptions {
            momentum: self.momentum as f32,
            nesterov: self.nesterov,
            weight_decay: self.weight_decay as f32,
            decay_bn: self.decay_bn,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn is_false(value: &bool) -> bool {
    !value
}

fn first() -> u32 {
    1
}

fn is_first(numerics: &u32) -> bool {
    *numerics == 1
}

fn one() -> f64 {
    1.0
}

fn is_one(factor: &f64) -> bool {
    *factor == 1.0
}

fn is_nothing(freeze: &Freeze) -> bool {
    *freeze == Freeze::None
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Epochs(1) => f.write_str("1 epoch"),
            Self::Iterations(1) => f.write_str("1 iteration"),
            Self::Epochs(n) => write!(f, "{n} epochs"),
            Self::Iterations(n) => write!(f, "{n} iterations"),
        }
    }
}

impl Augment {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::None, Self::Crop, Self::CropFlip, Self::ScaleCropFlipColour];
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

impl Normalize {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Channel, Self::PixelMean];
}

impl fmt::Display for Normalize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PixelMean => "pixel-mean",
            Self::Channel => "channel",
        })
    }
}

impl Freeze {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::None, Self::Backbone];
}

impl fmt::Display for Freeze {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Backbone => "backbone",
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
                "shortcut: stored a, requested b",
                "data fingerprint: stored , requested 0f",
                "batch: stored 128, requested 64",
            ],
            "nine epochs of twice the steps are longer"
        );
        asked.length = Length::Epochs(3);
        assert!(
            stored.diff(&asked).contains(&"length: stored 10 epochs, requested 3 epochs".into())
        );
    }

    #[test]
    fn printed_one_field_a_line() {
        let text = config().to_string();
        assert_eq!(text.lines().count(), config().fields().len());
        assert!(text.contains("lr                = 0.2\n"), "{text}");
        assert_eq!(config().total_steps(), 3_900);
        // What the first version did not store is not stored where it is as it was.
        let first = Config { numerics: 1, ..config() };
        let text = serde_json::to_string(&first).unwrap();
        let new = [
            "numerics",
            "lengthened",
            "\"test\"",
            "initial",
            "backbone",
            "freeze",
            "\"images\"",
            "convolutions",
        ];
        assert!(new.iter().all(|new| !text.contains(new)));
        assert_eq!(serde_json::from_str::<Config>(&text).unwrap().numerics, 1);
        let text = serde_json::to_string(&config()).unwrap();
        assert!(text.contains(&format!("\"numerics\":{NUMERICS}")), "{text}");
        let unknown = serde_json::to_string(&config()).unwrap().replace("\"lr\"", "\"eta\"");
        assert!(serde_json::from_str::<Config>(&unknown).is_err());
    }
}
