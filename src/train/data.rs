//! A run's images: which are trained on, which validated on, and what they ask of a configuration.

use std::sync::Arc;

use rayon::prelude::*;

use super::config::{Augment, Config, DataInfo, Normalize};
use super::schedule::Warmup;
use super::state::InferenceInfo;
use crate::data::{self, Dataset, Kind, Mean, Preprocess, SettingError, Splits, Subset, View};
use crate::model::Family;

/// Zeros on each side of which a crop is taken (the paper, section 4.2).
const PAD: usize = 4;

/// The shorter side of photographs, for a crop of 224 (the paper, section 3.4), and of the crop's
/// side in general in proportion.
const SCALES: (usize, usize) = (256, 480);
const SCALES_CROP: usize = 224;

/// The images of a run.
pub struct TrainData {
    /// Images to train on.
    pub train: Box<dyn Dataset>,
    /// Images to validate on, if there are any.
    pub val: Option<Box<dyn Dataset>>,
    /// What was opened.
    pub kind: Kind,
}

impl TrainData {
    /// The data set `splits`. With `held_out` more than 0, as many training images are validated on
    /// instead of the set's own.
    ///
    /// # Errors
    /// More are to be held out than there are, or all.
    pub fn new(splits: Splits, held_out: u64) -> Result<Self, SettingError> {
        let Splits { train, val, kind, .. } = splits;
        if held_out == 0 {
            return Ok(Self { train, val, kind });
        }
        let held_out = usize::try_from(held_out).unwrap_or(usize::MAX);
        let (train, val) = Subset::hold_out(Arc::from(train), held_out)?;
        Ok(Self { train: Box::new(train), val: Some(Box::new(val)), kind })
    }

    /// Writes into a recipe's configuration what these data determine: their description and classes;
    /// digits are not mirrored; a batch is at most the whole set, a warm-up at most an epoch.
    pub fn fit(&self, config: &mut Config) {
        let val = self.val.as_deref();
        let fingerprint = |set: &dyn Dataset| set.fingerprint();
        config.classes = self.train.classes();
        config.data = DataInfo {
            kind: self.kind.to_string(),
            fingerprint: match val {
                Some(val) => format!("{}; {}", fingerprint(&*self.train), fingerprint(val)),
                None => fingerprint(&*self.train),
            },
            train_images: self.train.len() as u64,
            val_images: val.map_or(0, |val| val.len() as u64),
        };
        if !self.kind.may_flip() && config.augment == Augment::CropFlip {
            config.augment = Augment::Crop;
        }
        config.batch = config.batch.min(self.train.len());
        if let Warmup::Linear { steps } = config.warmup {
            config.warmup = Warmup::Linear { steps: steps.min(config.steps_per_epoch()) };
        }
    }

    /// Measures what is subtracted from pixels, which reads every training image, and reads every
    /// validation image: one that cannot be read is found before any work is done.
    ///
    /// # Errors
    /// [`data::Error`] of an image that cannot be read.
    pub fn prepare(&self, config: &Config, family: Family) -> Result<InferenceInfo, data::Error> {
        let view = view(config, family, &*self.train);
        let mean = match config.normalize {
            Normalize::Channel => Mean::channels_of(&*self.train, view)?,
            Normalize::PixelMean => Mean::pixels_of(&*self.train, view)?,
        };
        if let Some(val) = &self.val {
            let failed = (0..val.len()).into_par_iter().find_map_first(|i| val.image(i).err());
            failed.map_or(Ok(()), Err)?;
        }
        let classes = self.train.class_names().map(<[String]>::to_vec);
        Ok(InferenceInfo { preprocess: Preprocess { view, mean }, classes })
    }
}

/// How the network of `config` sees an image of `data`.
pub(super) fn view(config: &Config, family: Family, data: &dyn Dataset) -> View {
    let standard = match family {
        Family::ImageNet => View::imagenet(),
        Family::Cifar => View::cifar(),
    };
    let resize = standard.resize.map(|resize| resize * config.side / standard.crop);
    View { pad: data.pad(), resize, crop: config.side }
}

/// What is done to training images, as the reader of images calls it.
pub(super) fn augment(config: &Config) -> data::Augmentation {
    let scaled = |length: usize| length * config.side / SCALES_CROP;
    match config.augment {
        Augment::None => data::Augmentation::None,
        Augment::Crop => data::Augmentation::PadCrop { pad: PAD },
        Augment::CropFlip => data::Augmentation::PadCropFlip { pad: PAD },
        Augment::ScaleCropFlipColour => data::Augmentation::ScaleCropFlipColour {
            shortest: scaled(SCALES.0),
            longest: scaled(SCALES.1),
        },
    }
}
