//! A run's images: the training and validation images, and what follows from them for a configuration.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::config::{Augment, Config, DataInfo, Normalize};
use super::schedule::Warmup;
use super::state::InferenceInfo;
use crate::data::{
    self, Colours, Dataset, Kind, Mean, Preprocess, RgbImage, SettingError, Splits, Statistics,
    Subset, ValidationOrigin, View,
};
use crate::model::Family;
use crate::runtime::Watch;

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
        if !self.kind.may_flip() && config.flip() {
            match config.augment {
                Augment::CropFlip => config.augment = Augment::Crop,
                _ => config.images.flip = Some(false),
            }
        }
        if config.batch > self.train.len() {
            let micro = config.micro_batch.filter(|&micro| micro <= self.train.len()).unwrap_or(1);
            config.batch = self.train.len() / micro * micro;
        }
        if let Warmup::Linear { steps } = config.warmup {
            config.warmup = Warmup::Linear { steps: steps.min(config.steps_per_epoch()) };
        }
    }

    /// Whether the set can fill a batch.
    pub(super) fn check_batch(&self, config: &Config) -> Result<(), SettingError> {
        data::Sampler::new(0, self.train.len(), config.batch, 0).map(drop)
    }

    /// Measures the mean that is subtracted and the training set's colours, which reads every training image,
    /// and reads every validation image. So an image that cannot be read is found before any work is done. `watch` is told how far it
    /// is, and may stop it.
    ///
    /// # Errors
    /// [`data::Error`] of an image that cannot be read, [`data::Error::Interrupted`] if it was stopped.
    pub fn prepare(
        &self,
        config: &Config,
        family: Family,
        watch: &dyn Watch,
    ) -> Result<(InferenceInfo, Colours), data::Error> {
        let view = view(config.side, family, &*self.train);
        let found = Statistics::of(&*self.train, view, watch)?;
        let mean = match config.normalize {
            Normalize::Channel => found.channels(),
            Normalize::PixelMean => Mean::Pixel(found.pixel_mean),
        };
        if let Some(val) = &self.val {
            let val = Watched::new(&**val, "validation images read", watch);
            let failed = (0..val.len()).into_par_iter().find_map_first(|i| val.image(i).err());
            failed.map_or(Ok(()), Err)?;
        }
        let classes = self.train.class_names().map(<[String]>::to_vec);
        let preprocess = Preprocess { view, mean };
        Ok((InferenceInfo { preprocess, classes }, found.colours))
    }
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

/// How a network of `family` sees an image of `data` on inputs of `side` pixels.
pub(super) fn view(side: usize, family: Family, data: &dyn Dataset) -> View {
    let standard = match family {
        Family::ImageNet => View::imagenet(),
        Family::Cifar => View::cifar(),
    };
    let resize = standard.resize.map(|resize| resize * side / standard.crop);
    View { pad: data.pad(), resize, crop: side }
}
