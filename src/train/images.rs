//! What is done to training images, as a configuration stores it: each part a switch of its own.
//!
//! `augment` names one of the combinations of the first version. What is set here goes before it; what is
//! not set is as that name says, so configurations that are stored mean what they meant.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::config::{Augment, Config};
use crate::data::{Augmentation, ColourShift, Colours, Crop, Jitter, Mixing};

/// Zeros on each side of which a crop is taken (the paper, section 4.2).
const PAD: usize = 4;

/// The shorter side of photographs, for a crop of 224 (the paper, section 3.4), and of the crop's
/// side in general in proportion; and the fixed one.
const SCALES: (usize, usize) = (256, 480);
const RESIZE: usize = 256;
const SCALES_CROP: usize = 224;

/// The least share of an image's area in a crop of random area: torchvision's.
pub const LEAST_AREA: f64 = 0.08;

/// Which square of a training image is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CropKind {
    /// The centre, as in validation.
    Center,
    /// A random one of the image with 4 zeros on each side (the paper, section 4.2).
    Pad,
    /// A random one of the image with its shorter side 256 (for crops of 224).
    Resize,
    /// A random one of the image with its shorter side random in 256..=480 (section 3.4).
    Scale,
    /// One of random area and shape (torchvision's `RandomResizedCrop`).
    Area,
}

/// The principal components by which colours are shifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColourKind {
    /// They are not.
    None,
    /// ImageNet's.
    Imagenet,
    /// Those of the training set.
    Own,
}

/// A side that is trained on for some epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideEpochs(pub usize, pub u64);

/// What is done to training images, where it is not as [`Augment`] says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Images {
    /// Which square is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<CropKind>,
    /// Whether it is mirrored half of the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flip: Option<bool>,
    /// The components by which colours are shifted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub colour: Option<ColourKind>,
    /// The least share of the area in a crop of [`CropKind::Area`]; [`LEAST_AREA`] if it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub area: Option<f64>,
    /// Strengths of random brightness, contrast, saturation and hue, see [`Jitter`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<[f64; 4]>,
    /// How probably a rectangle is erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erase: Option<f64>,
    /// The parameter of mixup's Beta distribution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mixup: Option<f64>,
    /// That of CutMix's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cutmix: Option<f64>,
    /// The sides that are trained on, one after another, the last one to the end. Empty: the network's side
    /// all the time, which is that of validation in any case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sides: Vec<SideEpochs>,
}

impl Images {
    /// Whether all is as [`Augment`] says.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Config {
    /// Which square of a training image is used.
    pub fn crop(&self) -> CropKind {
        self.images.crop.unwrap_or(match self.augment {
            Augment::None => CropKind::Center,
            Augment::Crop | Augment::CropFlip => CropKind::Pad,
            Augment::ScaleCropFlipColour => CropKind::Scale,
        })
    }

    /// Whether training images are mirrored half of the time.
    pub fn flip(&self) -> bool {
        let named = matches!(self.augment, Augment::CropFlip | Augment::ScaleCropFlipColour);
        self.images.flip.unwrap_or(named)
    }

    /// The components by which colours are shifted.
    pub fn colour(&self) -> ColourKind {
        self.images.colour.unwrap_or(match self.augment {
            Augment::ScaleCropFlipColour => ColourKind::Imagenet,
            _ => ColourKind::None,
        })
    }

    /// How the images of a micro-batch are mixed.
    pub fn mixing(&self) -> Mixing {
        let Images { mixup, cutmix, .. } = self.images;
        Mixing { mixup: mixup.unwrap_or(0.0), cutmix: cutmix.unwrap_or(0.0) }
    }

    /// The side that is trained on in `epoch`, from 0.
    pub fn side_in(&self, epoch: u64) -> usize {
        let mut end = 0_u64;
        let of = |&&SideEpochs(_, epochs): &&SideEpochs| {
            end = end.saturating_add(epochs);
            epoch < end
        };
        let sides = &self.images.sides;
        sides.iter().find(of).or(sides.last()).map_or(self.side, |&SideEpochs(side, _)| side)
    }

    /// The sides that are trained on, each with the steps of the run that are.
    pub fn sides_and_steps(&self) -> Vec<(usize, u64)> {
        let (mut left, an_epoch) = (self.total_steps(), self.steps_per_epoch());
        let mut found = Vec::new();
        for (i, &SideEpochs(side, epochs)) in self.images.sides.iter().enumerate() {
            let last = i + 1 == self.images.sides.len();
            let steps = if last { left } else { left.min(epochs.saturating_mul(an_epoch)) };
            found.push((side, steps));
            left -= steps;
        }
        if found.is_empty() { vec![(self.side, left)] } else { found }
    }

    /// The largest side that is trained on.
    pub(super) fn largest_side(&self) -> usize {
        self.images.sides.iter().map(|&SideEpochs(side, _)| side).max().unwrap_or(self.side)
    }

    /// Epochs of the run, the last one perhaps not whole.
    pub(super) fn epochs(&self) -> u64 {
        self.total_steps().div_ceil(self.steps_per_epoch())
    }

    /// What is done to training images of `side` pixels, as the reader of images calls it. `own` are the
    /// training set's colours.
    ///
    /// # Panics
    /// If the set's own colours are asked for, and there are none.
    pub(super) fn augmentation(&self, side: usize, own: Option<&Colours>) -> Augmentation {
        let scaled = |length: usize| length * side / SCALES_CROP;
        let [brightness, contrast, saturation, hue] = self.images.jitter.unwrap_or_default();
        Augmentation {
            crop: match self.crop() {
                CropKind::Center => Crop::Center,
                CropKind::Pad => Crop::Pad { pad: PAD },
                CropKind::Resize => Crop::Resize { side: scaled(RESIZE) },
                CropKind::Scale => {
                    Crop::Scale { shortest: scaled(SCALES.0), longest: scaled(SCALES.1) }
                }
                CropKind::Area => {
                    Crop::Area { least: self.images.area.unwrap_or(LEAST_AREA) as f32 }
                }
            },
            flip: self.flip(),
            jitter: Jitter { brightness, contrast, saturation, hue },
            colour: match self.colour() {
                ColourKind::None => None,
                ColourKind::Imagenet => Some(ColourShift::IMAGENET),
                ColourKind::Own => {
                    Some(ColourShift::of(own.expect("the colours of a set are measured first")))
                }
            },
            erase: self.images.erase.unwrap_or(0.0) as f32,
        }
    }
}

/// Sides that grow from 128 over 160 to 192, each for a third of `epochs`: that of epoch e is
/// 128 + 32 * floor(3 e / epochs).
pub(super) fn growing_sides(epochs: u64) -> Vec<SideEpochs> {
    let first = |third: u64| (u128::from(epochs) * u128::from(third)).div_ceil(3) as u64;
    let third = |i: u64| SideEpochs(128 + 32 * i as usize, first(i + 1) - first(i));
    (0..3).map(third).filter(|&SideEpochs(_, epochs)| epochs > 0).collect()
}

impl CropKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Center, Self::Pad, Self::Resize, Self::Scale, Self::Area];
}

impl fmt::Display for CropKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Center => "center",
            Self::Pad => "pad",
            Self::Resize => "resize",
            Self::Scale => "scale",
            Self::Area => "area",
        })
    }
}

impl ColourKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::None, Self::Imagenet, Self::Own];
}

impl fmt::Display for ColourKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Imagenet => "imagenet",
            Self::Own => "own",
        })
    }
}

impl fmt::Display for SideEpochs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Options;
    use crate::train::{Length, Recipe};

    fn config() -> Config {
        let recipe = Recipe::FastCifar;
        let mut config = recipe.config(&recipe.spec("resnet18", Options::default()).unwrap());
        (config.data.train_images, config.batch) = (100, 10);
        config
    }

    #[test]
    fn sides_grow_by_thirds_of_the_run() {
        for epochs in (1..50).chain([1 << 40, u64::MAX / 2]) {
            let sides = growing_sides(epochs);
            let config = Config { images: Images { sides, ..Images::default() }, ..config() };
            for epoch in (0..epochs.min(60)).chain([epochs - 1]) {
                let third = u128::from(epoch) * 3 / u128::from(epochs);
                assert_eq!(config.side_in(epoch), 128 + 32 * third as usize, "{epoch} of {epochs}");
            }
        }
        assert_eq!(growing_sides(16), [SideEpochs(128, 6), SideEpochs(160, 5), SideEpochs(192, 5)]);
        let mut config = config();
        assert_eq!((config.side_in(7), config.largest_side()), (224, 224));
        config.length = Length::Iterations(35);
        assert_eq!(config.sides_and_steps(), [(224, 35)]);
        config.images.sides = vec![SideEpochs(64, 1), SideEpochs(96, 1), SideEpochs(80, 1)];
        assert_eq!([0, 1, 2, 3, 99].map(|epoch| config.side_in(epoch)), [64, 96, 80, 80, 80]);
        assert_eq!(config.sides_and_steps(), [(64, 10), (96, 10), (80, 15)]);
        assert_eq!((config.epochs(), config.largest_side()), (4, 96));
    }

    #[test]
    fn names_of_the_first_version_mean_what_they_meant() {
        for (augment, expected) in [
            (Augment::None, (CropKind::Center, false, ColourKind::None)),
            (Augment::Crop, (CropKind::Pad, false, ColourKind::None)),
            (Augment::CropFlip, (CropKind::Pad, true, ColourKind::None)),
            (Augment::ScaleCropFlipColour, (CropKind::Scale, true, ColourKind::Imagenet)),
        ] {
            let config = Config { augment, images: Images::default(), ..config() };
            assert_eq!((config.crop(), config.flip(), config.colour()), expected);
            let text = serde_json::to_string(&config).unwrap();
            assert!(!text.contains("images\":{"), "not stored: {text}");
        }
        let scaled = config().augmentation(112, None);
        assert_eq!(scaled.crop, Crop::Scale { shortest: 128, longest: 240 });
        assert_eq!(scaled.colour, Some(ColourShift::IMAGENET));
    }

    #[test]
    fn what_is_stored_is_read_back() {
        let images = Images {
            crop: Some(CropKind::Area),
            flip: Some(false),
            colour: Some(ColourKind::Own),
            area: Some(0.25),
            jitter: Some([0.4, 0.4, 0.4, 0.1]),
            erase: Some(0.25),
            mixup: Some(0.2),
            cutmix: Some(1.0),
            sides: growing_sides(7),
        };
        let config = Config { images, ..config() };
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
        assert!(text.contains("[[128,3],[160,2],[192,2]]"), "{text}");
        let unknown = text.replace("\"erase\"", "\"rub\"");
        assert!(serde_json::from_str::<Config>(&unknown).is_err());
    }
}
