//! What torchvision and timm need to load a network from here: one of their own that is the same, its tensors
//! under their names (which are ours), and for timm a `config.json` that says how images are prepared.

use std::fmt;

use serde_json::{Value, json};

use super::published::resize_of;
use crate::data::{CropMode, Mean, Preprocess, View};
use crate::model::{BlockKind, Family, ModelSpec, Shortcut, StrideIn};

/// Who loads weights under torchvision's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loader {
    /// `torchvision.models`, which keeps neither preparation nor names of classes.
    Torchvision,
    /// `timm`, which reads them in a `config.json` beside the weights.
    Timm,
}

impl fmt::Display for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Torchvision => "torchvision",
            Self::Timm => "timm",
        })
    }
}

/// Why somebody else cannot run a network as it is run here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoaderError {
    /// There is no such network there.
    #[error(
        "{loader} has no network like this {spec}: {reason}; ONNX (--to onnx) has every network"
    )]
    Network {
        /// Who does not have it.
        loader: Loader,
        /// Which network.
        spec: String,
        /// What is there instead.
        reason: &'static str,
    },
    /// Images are prepared as they cannot be there.
    #[error("{loader} cannot prepare images as this network's are: {what}; {instead}")]
    Preparation {
        /// Who cannot.
        loader: Loader,
        /// What it cannot do.
        what: &'static str,
        /// What can be done about it.
        instead: &'static str,
    },
}

impl Loader {
    /// Whether it has a network that computes what `spec` does of inputs that are prepared as `preprocess` says.
    ///
    /// # Errors
    /// What it does not have or cannot do.
    pub fn check(self, spec: &ModelSpec, preprocess: &Preprocess) -> Result<(), LoaderError> {
        let missing = match (spec.family, spec.shortcut) {
            (Family::Cifar, _) => Some("its ResNets are those for ImageNet"),
            (_, None) => Some("it has no plain networks"),
            (_, Some(Shortcut::A | Shortcut::C)) => {
                Some("its shortcuts are projections where the shape changes (shortcut b)")
            }
            _ if spec.block == BlockKind::Bottleneck && spec.stride_in == StrideIn::Conv1x1 => {
                Some("its bottlenecks have the stride in the 3x3, and would give other results")
            }
            _ => None,
        };
        if let Some(reason) = missing {
            return Err(LoaderError::Network { loader: self, spec: spec.to_string(), reason });
        }
        let View { pad, resize, mode, .. } = preprocess.view;
        let cannot = match (&preprocess.mean, self) {
            (Mean::Pixel(_), _) => Some((
                "the mean of each pixel is subtracted",
                "ONNX (--to onnx) has that, --mean and --std change it",
            )),
            (_, Self::Torchvision) => None,
            _ if mode == CropMode::CenterFloor => Some((
                "half a pixel is dropped where a crop is centred (center_floor)",
                "--crop-mode center rounds as timm does",
            )),
            _ if pad.is_some() || resize.is_none() => Some((
                "images are padded or not resized before they are cropped",
                "--resize and --crop say what is done instead",
            )),
            _ => None,
        };
        match cannot {
            Some((what, instead)) => Err(LoaderError::Preparation { loader: self, what, instead }),
            None => Ok(()),
        }
    }
}

/// timm's `config.json` for a network like `spec` with inputs that are prepared as `preprocess` says.
///
/// # Errors
/// timm has no such network or cannot prepare images so.
pub fn timm_config(
    spec: &ModelSpec,
    preprocess: &Preprocess,
    classes: Option<&[String]>,
) -> Result<String, LoaderError> {
    Loader::Timm.check(spec, preprocess)?;
    let View { resize, crop, interpolation, mode, .. } = preprocess.view;
    let (Some(share), Mean::Channel { mean, std }) =
        (resize.and_then(|resize| crop_share(resize, crop)), &preprocess.mean)
    else {
        return Err(LoaderError::Preparation {
            loader: Loader::Timm,
            what: "the crop is no share of the resized image that timm could state",
            instead: "--resize and --crop choose others",
        });
    };
    let features = spec.features();
    let mut config = json!({
        "architecture": spec.name,
        "num_classes": spec.classes,
        "num_features": features,
        "global_pool": "avg",
        "pretrained_cfg": {
            "input_size": [3, crop, crop],
            "fixed_input_size": false,
            "pool_size": [crop.div_ceil(32), crop.div_ceil(32)],
            "crop_pct": share,
            "crop_mode": mode.to_string(),
            "interpolation": interpolation.to_string(),
            "mean": mean.map(as_written),
            "std": std.map(as_written),
            "num_classes": spec.classes,
            "first_conv": "conv1",
            "classifier": "fc",
        },
    });
    if let Some(classes) = classes {
        config["label_names"] = json!(classes);
    }
    Ok(format!("{config:#}\n"))
}

/// The share of an image of `resize` pixels that a crop is, so that timm finds the same number of pixels.
fn crop_share(resize: usize, crop: usize) -> Option<f64> {
    // The quotient, where rounding does not take it to the pixel before; else one that lies well between two.
    let shares = [crop as f64 / resize as f64, crop as f64 / (resize as f64 + 0.5)];
    shares.into_iter().find(|&share| resize_of(crop, share) == Some(resize))
}

/// The number as it is written: 0.485, and not the nearest of 32 bits to it.
fn as_written(x: f32) -> Value {
    x.to_string().parse::<f64>().map_or(x.into(), Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Interpolation;
    use crate::model::Options;
    use crate::weights::Published;

    fn spec(arch: &str, options: Options) -> ModelSpec {
        ModelSpec::new(arch, options).unwrap()
    }

    #[test]
    fn only_networks_that_are_there_are_written() {
        let (none, standard) = (Options::default(), Preprocess::imagenet());
        for loader in [Loader::Torchvision, Loader::Timm] {
            for arch in ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"] {
                assert_eq!(loader.check(&spec(arch, none), &standard), Ok(()));
            }
            let a = Options { shortcut: Some(Shortcut::A), ..none };
            let c = Options { shortcut: Some(Shortcut::C), ..none };
            let paper = Options { stride_in: Some(StrideIn::Conv1x1), ..none };
            for (arch, options, said) in [
                (
                    "resnet20",
                    none,
                    "has no network like this resnet20, shortcut a: its ResNets are",
                ),
                ("plain18", none, "no plain networks"),
                ("resnet18", a, "projections where the shape changes"),
                ("resnet34", c, "projections where the shape changes"),
                ("resnet50", paper, "stride in the 3x3"),
            ] {
                let error = loader.check(&spec(arch, options), &standard).unwrap_err().to_string();
                assert!(error.starts_with(&loader.to_string()), "{error}");
                assert!(error.contains(said) && error.contains("--to onnx"), "{error}");
            }
        }
    }

    #[test]
    fn preparation_that_is_not_there_is_refused() {
        let spec = spec("resnet18", Options::default());
        let standard = Preprocess::imagenet();
        let mean = Mean::Pixel(vec![0.5; 224 * 224 * 3]);
        let pixels = Preprocess { mean, ..standard.clone() };
        let of = |view| Preprocess { view, ..standard.clone() };
        let floor = of(View { mode: CropMode::CenterFloor, ..standard.view });
        let padded = of(View { pad: Some(32), ..standard.view });
        let whole = of(View { resize: None, ..standard.view });
        for (how, said) in [
            (&pixels, "--to onnx"),
            (&floor, "--crop-mode center"),
            (&padded, "padded or not resized"),
            (&whole, "padded or not resized"),
        ] {
            let error = timm_config(&spec, how, None).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        assert!(Loader::Torchvision.check(&spec, &pixels).is_err());
        // It keeps no preparation, so there is none that it could not do.
        assert_eq!(Loader::Torchvision.check(&spec, &floor), Ok(()));
    }

    /// What is written is what is read, for any sizes.
    #[test]
    fn the_configuration_says_what_it_was_made_of() {
        let options = Options { classes: Some(3), ..Options::default() };
        let spec = spec("resnet50", options);
        let classes = ["cat", "dog", "\"x\n"].map(str::to_owned);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let mean = Mean::Channel { mean: [0.485, 0.456, 0.5], std: [0.229, 1.0, 0.225] };
        for (resize, crop, interpolation, mode) in [
            (256, 224, Interpolation::Bilinear, CropMode::Center),
            (232, 224, Interpolation::Bicubic, CropMode::Squash),
            (288, 288, Interpolation::Nearest, CropMode::Border),
            (235, 224, Interpolation::Lanczos, CropMode::Center),
            (16_384, 1, Interpolation::Bilinear, CropMode::Center),
        ] {
            let view = View { interpolation, mode, ..View::of(resize, crop) };
            let how = Preprocess { view, mean: mean.clone() };
            let config = timm_config(&spec, &how, Some(&classes)).unwrap();
            assert!(config.contains("0.485,") && !config.contains("0.4850"), "{config}");
            std::fs::write(&path, config).unwrap();
            let read = Published::beside(&folder.path().join("model.safetensors"), &spec).unwrap();
            assert_eq!(read.preprocess, how.stated());
            assert_eq!(read.classes.as_deref(), Some(&classes[..]));
        }
        let bare = timm_config(&spec, &Preprocess::imagenet(), None).unwrap();
        assert!(bare.contains("\"crop_pct\": 0.875") && !bare.contains("label_names"), "{bare}");
    }

    #[test]
    fn every_pair_of_sizes_has_a_share() {
        for resize in (1..600).chain([1024, 4096, 16_384]) {
            for crop in (1..=resize).step_by(7) {
                assert!(crop_share(resize, crop).is_some(), "{resize}, {crop}");
            }
        }
    }
}
