//! Named recipes: each a complete [`Config`] that flags may change before a run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::config::{Augment, Config, DataInfo, Length, Normalize};
use super::schedule::{Schedule, Warmup};
use crate::model::{BlockKind, Family, ModelSpec, Options, SpecError, StrideIn};

/// A named way to train.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipe {
    /// The built-in images in about a minute.
    Demo,
    /// Any data in a few epochs, made for CIFAR: cosine, warm-up, Nesterov.
    FastCifar,
    /// Section 4.2 of the paper.
    PaperCifar,
    /// Section 3.4 of the paper.
    PaperImagenet,
}

/// The name of a recipe that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown recipe '{0}'; known are demo, fast-cifar, paper-cifar, paper-imagenet")]
pub struct UnknownRecipe(String);

impl Recipe {
    /// All recipes.
    pub const ALL: [Self; 4] = [Self::Demo, Self::FastCifar, Self::PaperCifar, Self::PaperImagenet];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Demo => "demo",
            Self::FastCifar => "fast-cifar",
            Self::PaperCifar => "paper-cifar",
            Self::PaperImagenet => "paper-imagenet",
        }
    }

    /// The architecture that it trains unless another is asked for.
    pub fn default_arch(self) -> &'static str {
        match self {
            Self::PaperImagenet => "resnet50",
            _ => "resnet20",
        }
    }

    /// The network `arch` with `options`, and what the recipe says where they say nothing: `paper-*`
    /// puts a bottleneck's stride into the first 1x1.
    ///
    /// # Errors
    /// The name is unknown or an option does not fit.
    pub fn spec(self, arch: &str, mut options: Options) -> Result<ModelSpec, SpecError> {
        if matches!(self, Self::PaperCifar | Self::PaperImagenet) && options.stride_in.is_none() {
            let paper = Options { stride_in: Some(StrideIn::Conv1x1), ..options };
            if ModelSpec::new(arch, paper).is_ok() {
                options = paper;
            }
        }
        ModelSpec::new(arch, options)
    }

    /// The recipe for `spec`, before any flag. `data` is left empty: it is known when data are open.
    pub fn config(self, spec: &ModelSpec) -> Config {
        // What the recipes share is the paper's.
        let mut config = Config {
            recipe: self,
            arch: spec.name.clone(),
            shortcut: spec.shortcut,
            downsample: spec.is_plain().then_some(spec.downsample),
            stride_in: (spec.block == BlockKind::Bottleneck).then_some(spec.stride_in),
            classes: spec.classes,
            data: DataInfo::default(),
            side: spec.input_side(),
            length: Length::Iterations(64_000),
            batch: 128,
            micro_batch: None,
            lr: 0.1,
            schedule: Schedule::MultiStep { milestones: vec![32_000, 48_000], factor: 0.1 },
            warmup: Warmup::None,
            momentum: 0.9,
            nesterov: false,
            weight_decay: 1e-4,
            decay_bn: true,
            label_smoothing: 0.0,
            ema_decay: None,
            zero_init: false,
            augment: Augment::CropFlip,
            normalize: Normalize::PixelMean,
            held_out: 0,
            seed: 0,
        };
        match self {
            Self::Demo => {
                config.length = Length::Epochs(6);
                config.batch = 64;
                config.schedule = Schedule::Cosine;
                config.warmup = Warmup::Linear { steps: 60 };
                config.nesterov = true;
                config.weight_decay = 5e-4;
                // The images are drawn at random places and angles already.
                config.augment = Augment::None;
                config.normalize = Normalize::Channel;
            }
            Self::FastCifar => {
                config.length = Length::Epochs(10);
                config.lr = 0.2;
                config.schedule = Schedule::Cosine;
                config.warmup = Warmup::Linear { steps: 400 };
                config.nesterov = true;
                config.weight_decay = 5e-4;
                config.normalize = Normalize::Channel;
                if spec.family == Family::ImageNet {
                    // Photographs: seven times the side, so fewer at a time and a lower rate.
                    config.batch = 32;
                    config.lr = 0.05;
                    config.augment = Augment::ScaleCropFlipColour;
                }
            }
            Self::PaperCifar => {
                if spec.name == "resnet110" {
                    config.warmup = Warmup::UntilError { lr: 0.01, error: 0.8 };
                }
            }
            Self::PaperImagenet => {
                config.length = Length::Iterations(600_000);
                config.batch = 256;
                config.schedule = Schedule::Plateau { factor: 0.1, patience: 5, threshold: 0.001 };
                config.augment = Augment::ScaleCropFlipColour;
            }
        }
        config
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Recipe {
    type Err = UnknownRecipe;

    fn from_str(text: &str) -> Result<Self, UnknownRecipe> {
        let found = Self::ALL.into_iter().find(|recipe| recipe.name() == text);
        found.ok_or_else(|| UnknownRecipe(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_are_the_papers() {
        for recipe in Recipe::ALL {
            assert_eq!(recipe.name().parse(), Ok(recipe));
            let spec = recipe.spec(recipe.default_arch(), Options::default()).unwrap();
            let config = recipe.config(&spec);
            assert_eq!(config.spec().unwrap(), spec);
            let json = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config);
            assert!(json.contains(&format!("\"recipe\":\"{recipe}\"")), "{json}");
        }
        assert!("quick".parse::<Recipe>().unwrap_err().to_string().contains("fast-cifar"));
        let paper = Recipe::PaperImagenet;
        let v1 = paper.spec("resnet50", Options::default()).unwrap();
        assert_eq!(v1.stride_in, StrideIn::Conv1x1);
        let asked = Options { stride_in: Some(StrideIn::Conv3x3), ..Options::default() };
        assert_eq!(paper.spec("resnet50", asked).unwrap().stride_in, StrideIn::Conv3x3);
        assert!(paper.spec("resnet34", Options::default()).is_ok());
        let deep = ModelSpec::new("resnet110", Options::default()).unwrap();
        assert_ne!(Recipe::PaperCifar.config(&deep).warmup, Warmup::None);
    }
}
