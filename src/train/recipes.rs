//! What each recipe is: a complete [`Config`] that flags may change before a run.

use super::config::{Augment, Config, DataInfo, Freeze, Length, NUMERICS, Normalize};
use super::images::{ColourKind, CropKind, Images, growing_sides};
use super::recipe::Recipe;
use super::schedule::{Schedule, Warmup};
use crate::conv::Convolutions;
use crate::data::JpegDecoder;
use crate::model::{BlockKind, Family, ModelSpec};

impl Recipe {
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
            numerics: NUMERICS,
            lengthened: Vec::new(),
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
            images: Images::default(),
            normalize: Normalize::PixelMean,
            held_out: 0,
            seed: 0,
            initial: None,
            backbone_lr: 1.0,
            freeze: Freeze::None,
            decoder: JpegDecoder::default(),
            convolutions: Convolutions::default(),
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
                // The authors' eight GPUs had 32 images each, and batch norm statistics of their own.
                config.micro_batch = Some(32);
                config.schedule = Schedule::Plateau { factor: 0.1, patience: 5, threshold: 0.001 };
                config.augment = Augment::ScaleCropFlipColour;
                // Krizhevsky et al. took the components of the training set.
                config.images.colour = Some(ColourKind::Own);
            }
            Self::FastImagenet => {
                config.length = Length::Epochs(16);
                config.batch = 256;
                // For memory: batch norm sees enough images.
                config.micro_batch = Some(64);
                // As ffcv's recipe for this network: 0.5 for a batch of 1,024.
                config.lr = 0.125;
                config.schedule = Schedule::Cosine;
                // An epoch of ImageNet.
                config.warmup = Warmup::Linear { steps: 5004 };
                config.nesterov = true;
                config.weight_decay = 5e-5;
                config.decay_bn = false;
                config.label_smoothing = 0.1;
                config.ema_decay = Some(0.999);
                config.zero_init = !spec.is_plain();
                config.normalize = Normalize::Channel;
                config.images.crop = Some(CropKind::Area);
                if spec.family == Family::ImageNet {
                    config.images.sides = growing_sides(16);
                }
            }
            Self::Finetune => {
                config.length = Length::Epochs(20);
                config.batch = 32;
                config.lr = 0.01;
                config.backbone_lr = 0.1;
                config.schedule = Schedule::Cosine;
                config.warmup = Warmup::Linear { steps: 20 };
                config.normalize = Normalize::Channel;
                if spec.family == Family::ImageNet {
                    // Eight times as many features, so a loss that is as much steeper.
                    config.lr = 0.002;
                    config.augment = Augment::ScaleCropFlipColour;
                }
            }
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Options, StrideIn};

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
        assert_eq!("Paper-CIFAR".parse(), Ok(Recipe::PaperCifar));
        assert!("quick".parse::<Recipe>().unwrap_err().to_string().contains("fast-cifar"));
        let paper = Recipe::PaperImagenet;
        let v1 = paper.spec("resnet50", Options::default()).unwrap();
        assert_eq!(v1.stride_in, StrideIn::Conv1x1);
        let config = paper.config(&v1);
        assert_eq!((config.batch, config.micro_batch), (256, Some(32)), "eight GPUs");
        let asked = Options { stride_in: Some(StrideIn::Conv3x3), ..Options::default() };
        assert_eq!(paper.spec("resnet50", asked).unwrap().stride_in, StrideIn::Conv3x3);
        assert!(paper.spec("resnet34", Options::default()).is_ok());
        assert_eq!(config.colour(), ColourKind::Own);
        let fast = Recipe::FastImagenet.config(&v1);
        assert_eq!([0, 5, 6, 10, 11, 15].map(|e| fast.side_in(e)), [128, 128, 160, 160, 192, 192]);
        let deep = ModelSpec::new("resnet110", Options::default()).unwrap();
        assert_ne!(Recipe::PaperCifar.config(&deep).warmup, Warmup::None);
    }
}
