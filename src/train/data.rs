//! A run's images: the training and validation images, and what follows from them for a configuration.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::checks::ConfigError;
use super::config::{Augment, Config, DataInfo, Normalize};
use super::error::RunError;
use super::schedule::Warmup;
use super::state::InferenceInfo;
use crate::data::{
    self, Dataset, Kind, Mean, Preprocess, RgbImage, SettingError, Splits, Subset,
    ValidationOrigin, View,
};
use crate::model::Family;
use crate::runtime::Watch;

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
    /// Where those come from.
    pub origin: ValidationOrigin,
    /// What was opened.
    pub kind: Kind,
}

impl TrainData {
    /// The data set `splits`. If `held_out` is more than 0, that many training images are held out for
    /// validation, instead of the set's own validation images.
    ///
    /// # Errors
    /// As many are to be held out as there are, or more.
    pub fn new(splits: Splits, held_out: u64) -> Result<Self, SettingError> {
        let Splits { train, val, origin, kind, .. } = splits;
        // An empty set is none, whatever made it.
        let val = val.filter(|val| !val.is_empty());
        if held_out == 0 {
            return Ok(Self { train, val, origin, kind });
        }
        let held_out = usize::try_from(held_out).unwrap_or(usize::MAX);
        let (train, val) = Subset::hold_out(Arc::from(train), held_out)?;
        let origin = ValidationOrigin::HeldOut;
        Ok(Self { train: Box::new(train), val: Some(Box::new(val)), origin, kind })
    }

    /// Writes into a recipe's configuration what these data determine: their description and classes;
    /// digits are not mirrored; a batch is at most the whole set, and of whole micro-batches; a warm-up
    /// is at most an epoch.
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
            test: val.is_some() && self.origin == ValidationOrigin::Test,
        };
        if !self.kind.may_flip() && config.augment == Augment::CropFlip {
            config.augment = Augment::Crop;
        }
        if config.batch > self.train.len() {
            let micro = config.micro_batch.filter(|&micro| micro <= self.train.len()).unwrap_or(1);
            config.batch = self.train.len() / micro * micro;
        }
        if let Warmup::Linear { steps } = config.warmup {
            config.warmup = Warmup::Linear { steps: steps.min(config.steps_per_epoch()) };
        }
    }

    /// Whether the set can fill a batch and, of a run that starts from weights, whether holding images out has
    /// left some of each class: of few images a class, all may be.
    pub(super) fn check_batch(&self, config: &Config) -> Result<(), RunError> {
        data::Sampler::new(0, self.train.len(), config.batch, 0)?;
        if config.held_out > 0
            && config.initial.is_some()
            && let Some(class) = self.class_without_images()
        {
            let expected = format!(
                "fewer images, so that each class has some to train on ({class} has none left; without \
                 --val-split, class folders keep some of each)"
            );
            let found = config.held_out.to_string();
            return Err(ConfigError { field: "val-split", expected, found }.into());
        }
        Ok(())
    }

    /// Measures the mean that is subtracted, which reads every training image, and reads every validation
    /// image. So an image that cannot be read is found before any work is done. `watch` is told how far it
    /// is, and may stop it.
    ///
    /// # Errors
    /// [`data::Error`] of an image that cannot be read, [`data::Error::Interrupted`] if it was stopped.
    pub fn prepare(
        &self,
        config: &Config,
        family: Family,
        watch: &dyn Watch,
    ) -> Result<InferenceInfo, data::Error> {
        let view = view(config, family, &*self.train);
        let train = Watched::new(&*self.train, "training images read", watch);
        let mean = match config.normalize {
            Normalize::Channel => Mean::channels_of(&train, view)?,
            Normalize::PixelMean => Mean::pixels_of(&train, view)?,
        };
        self.read_validation(watch)?;
        let classes = self.train.class_names().map(<[String]>::to_vec);
        Ok(InferenceInfo { preprocess: Preprocess { view, mean }, classes })
    }

    /// Reads every image once, where nothing is measured on the way, so that one that cannot be read is found
    /// before any work is done.
    ///
    /// # Errors
    /// As for [`prepare`](Self::prepare).
    pub(super) fn read_all(&self, watch: &dyn Watch) -> Result<(), data::Error> {
        read(&Watched::new(&*self.train, "training images read", watch))?;
        self.read_validation(watch)
    }

    fn read_validation(&self, watch: &dyn Watch) -> Result<(), data::Error> {
        let val = self.val.as_deref();
        val.map_or(Ok(()), |val| read(&Watched::new(val, "validation images read", watch)))
    }

    /// A class that has no training images, although it exists: those were all held out, say.
    fn class_without_images(&self) -> Option<String> {
        let mut found = vec![false; self.train.classes()];
        (0..self.train.len()).for_each(|i| found[self.train.label(i)] = true);
        let class = found.iter().position(|found| !found)?;
        let named = self.train.class_names().and_then(|names| names.get(class).cloned());
        Some(named.unwrap_or(class.to_string()))
    }
}

/// Reads every image of `data`.
fn read(data: &Watched) -> Result<(), data::Error> {
    let failed = (0..data.len()).into_par_iter().find_map_first(|i| data.image(i).err());
    failed.map_or(Ok(()), Err)
}

/// A set that tells how many of its images have been read, and reads none once it is to stop.
struct Watched<'a> {
    data: &'a dyn Dataset,
    what: &'static str,
    read: AtomicU64,
    watch: &'a dyn Watch,
}

impl<'a> Watched<'a> {
    fn new(data: &'a dyn Dataset, what: &'static str, watch: &'a dyn Watch) -> Self {
        Self { data, what, read: AtomicU64::new(0), watch }
    }
}

impl Dataset for Watched<'_> {
    fn len(&self) -> usize {
        self.data.len()
    }

    fn classes(&self) -> usize {
        self.data.classes()
    }

    fn class_names(&self) -> Option<&[String]> {
        self.data.class_names()
    }

    fn label(&self, index: usize) -> usize {
        self.data.label(index)
    }

    fn image(&self, index: usize) -> Result<RgbImage, data::Error> {
        if self.watch.stopped() {
            return Err(data::Error::Interrupted);
        }
        let image = self.data.image(index);
        let read = self.read.fetch_add(1, Ordering::Relaxed) + 1;
        self.watch.progress(self.what, read, Some(self.len() as u64));
        image
    }

    fn fingerprint(&self) -> String {
        self.data.fingerprint()
    }
}

/// How the network of `config` sees an image of `data`, unless it starts from weights, which say so.
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
