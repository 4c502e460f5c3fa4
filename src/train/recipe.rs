//! The names of recipes, and which network each trains.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::{ModelSpec, Options, SpecError, StrideIn};

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
    /// Weights that were trained elsewhere, with a new classifier for other classes.
    Finetune,
    /// Photographs in a few epochs, made for ImageNet: growing sides and what came after the paper.
    FastImagenet,
}

/// A name that is not that of a recipe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error(
    "unknown recipe '{0}'; known are demo, fast-cifar, paper-cifar, paper-imagenet, fast-imagenet, finetune"
)]
pub struct UnknownRecipe(String);

impl Recipe {
    /// All recipes.
    pub const ALL: [Self; 6] = [
        Self::Demo,
        Self::FastCifar,
        Self::PaperCifar,
        Self::PaperImagenet,
        Self::FastImagenet,
        Self::Finetune,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Demo => "demo",
            Self::FastCifar => "fast-cifar",
            Self::PaperCifar => "paper-cifar",
            Self::PaperImagenet => "paper-imagenet",
            Self::Finetune => "finetune",
            Self::FastImagenet => "fast-imagenet",
        }
    }

    /// The architecture that it trains by default; where it starts from weights, theirs.
    pub fn default_arch(self) -> &'static str {
        match self {
            Self::PaperImagenet => "resnet50",
            Self::FastImagenet | Self::Finetune => "resnet18",
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
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Recipe {
    type Err = UnknownRecipe;

    fn from_str(text: &str) -> Result<Self, UnknownRecipe> {
        let found = Self::ALL.into_iter().find(|recipe| recipe.name().eq_ignore_ascii_case(text));
        found.ok_or_else(|| UnknownRecipe(text.to_owned()))
    }
}
