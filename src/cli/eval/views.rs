//! What the networks see of each image: crops, or all of it at several scales.

use clap::ValueEnum;
use resnet_cpu::data::Crops;
use resnet_cpu::infer::{Classifier, MAX_INPUT_SIDE, dense_scales};

use super::super::classifier::TEN_CROPS;
use super::super::error::CliError;

#[derive(clap::Args)]
pub(super) struct ViewArgs {
    /// What the network sees of each image; the probabilities of several views are averaged
    #[arg(long, value_enum, default_value_t)]
    crops: ViewName,
    /// Of --crops dense: the lengths in pixels to which the shorter side is resized, one after the other
    /// [default: 224,256,384,480,640 for networks that see 224 x 224, for other ImageNet networks in
    /// proportion; for CIFAR networks the side that they see]
    #[arg(long, value_name = "N,..", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=MAX_INPUT_SIDE as i64))]
    scales: Vec<u32>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum ViewName {
    /// The centre
    #[default]
    Center,
    /// The four corners and the centre, each also mirrored
    Ten,
    /// No crops: the whole image at several scales, each also mirrored, through the fully convolutional network
    Dense,
}

/// What the networks see.
pub(super) enum Views {
    Crops(Crops),
    /// The scales of each network.
    Dense(Vec<Vec<usize>>),
}

impl ViewArgs {
    /// What flags alone tell to be wrong. `crop` is a flag of the preparation that was given and says something of a
    /// crop.
    pub(super) fn check(&self, crop: Option<&str>, batch: Option<u32>) -> Result<(), CliError> {
        if self.crops != ViewName::Dense {
            return match self.scales[..] {
                [] => Ok(()),
                _ => Err(CliError::usage("--scales: only --crops dense has scales")),
            };
        }
        if let Some(flag) = crop {
            return Err(CliError::usage(format!(
                "{flag}: --crops dense sees whole images; --scales says how large"
            )));
        }
        match batch {
            Some(_) => Err(CliError::usage(
                "--batch: --crops dense runs an image and its mirror at a time, since each has its own shape",
            )),
            None => Ok(()),
        }
    }

    /// Crops that the classifiers use.
    pub(super) fn crops(&self) -> Crops {
        match self.crops {
            ViewName::Center | ViewName::Dense => Crops::Center,
            ViewName::Ten => Crops::Ten,
        }
    }

    /// What these networks see, with a note of it.
    pub(super) fn of<'c>(
        &self,
        classifiers: impl Iterator<Item = &'c Classifier>,
        notes: &mut Vec<String>,
    ) -> Views {
        match self.crops {
            ViewName::Center => {}
            ViewName::Ten => notes.push(TEN_CROPS.to_owned()),
            ViewName::Dense => {
                let given: Vec<usize> = self.scales.iter().map(|&scale| scale as usize).collect();
                let own = |c| if given.is_empty() { dense_scales(c) } else { given.clone() };
                let views = Views::Dense(classifiers.map(own).collect());
                notes.push(format!("{views}, in place of resize and crop"));
                return views;
            }
        }
        Views::Crops(self.crops())
    }
}

impl Views {
    /// The word of `--crops`.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Crops(Crops::Center) => "center",
            Self::Crops(Crops::Ten) => "ten",
            Self::Dense(_) => "dense",
        }
    }

    /// The scales of a network, if it has any.
    pub(super) fn scales(&self, network: usize) -> Option<&[usize]> {
        match self {
            Self::Crops(_) => None,
            Self::Dense(scales) => Some(&scales[network]),
        }
    }
}

impl std::fmt::Display for Views {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Crops(Crops::Center) => f.write_str("1 crop"),
            Self::Crops(Crops::Ten) => f.write_str("10 crops, probabilities averaged"),
            Self::Dense(scales) => {
                let one = |scales: &Vec<usize>| {
                    scales.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                };
                let mut each: Vec<String> = scales.iter().map(one).collect();
                each.dedup();
                let mirrored = "pixels, each also mirrored, probabilities averaged";
                write!(f, "dense test, shorter side {} {mirrored}", each.join("; "))
            }
        }
    }
}
