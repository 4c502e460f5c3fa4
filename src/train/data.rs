//! A run's images: the training and validation images, and what follows from them for a configuration.

use std::path::Path;
use std::sync::Arc;

use super::checks::ConfigError;
use super::config::{Augment, Config, DataInfo, Normalize};
use super::error::RunError;
use super::schedule::Warmup;
use super::state::InferenceInfo;
use crate::data::{
    self, Colours, Dataset, Kind, Mean, Preprocess, Scan, SettingError, Splits, Subset,
    ValidationOrigin, View,
};
use crate::model::Family;
use crate::runtime::{Cache, Watch};

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
    /// Where what is found by reading the images is remembered.
    pub cache: Cache,
}

impl TrainData {
    /// The data set in the folder `path`, of whatever kind: class folders, shards, CIFAR-10's binary files, idx
    /// files. Where it has no images for validation, some of those for training are held out.
    ///
    /// # Errors
    /// The folder holds no known kind of data, or something in it is wrong.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, data::Error> {
        Ok(Self::whole(data::open(Some(path.as_ref()))?))
    }

    /// The built-in set: 4,000 drawn images of 32 x 32 pixels in ten classes, and 1,000 for validation.
    pub fn demo() -> Self {
        Self::whole(data::open(None).expect("the built-in set is in no file"))
    }

    /// A program's own images to train on; none for validation, unless
    /// [`validated_on`](Self::validated_on) names some.
    pub fn of(train: impl Dataset + 'static) -> Self {
        Self {
            train: Box::new(train),
            val: None,
            origin: ValidationOrigin::Val,
            kind: Kind::Own,
            cache: Cache::none(),
        }
    }

    /// The same, validated on a program's own images, of the same classes.
    pub fn validated_on(self, val: impl Dataset + 'static) -> Self {
        let val: Box<dyn Dataset> = Box::new(val);
        Self { val: Some(val).filter(|val| !val.is_empty()), origin: ValidationOrigin::Val, ..self }
    }

    /// All of `splits`, as they are.
    fn whole(splits: Splits) -> Self {
        let Splits { train, val, origin, kind, .. } = splits;
        // An empty set is none, whatever made it.
        let val = val.filter(|val| !val.is_empty());
        Self { train, val, origin, kind, cache: Cache::none() }
    }

    /// The data set `splits`. If `held_out` is more than 0, that many training images are held out for
    /// validation, instead of the set's own validation images: of class folders that nobody has split
    /// ([`Wanted::whole`](data::Wanted::whole)), of each class in proportion.
    ///
    /// # Errors
    /// As many are to be held out as there are, or more, or a part of the set is held out already.
    pub fn new(splits: Splits, held_out: u64) -> Result<Self, SettingError> {
        let all = Self::whole(splits);
        if held_out == 0 {
            return Ok(all);
        }
        let Self { train, val, origin, kind, cache } = all;
        if let (ValidationOrigin::HeldOut, Some(val)) = (origin, &val) {
            return Err(SettingError::HeldOutTwice { train: train.len(), val: val.len() });
        }
        let held_out = usize::try_from(held_out).unwrap_or(usize::MAX);
        let unsplit = (kind, origin) == (Kind::ClassFolders, ValidationOrigin::HeldOut);
        let (train, val) = match unsplit {
            true => Subset::hold_out_of_each_class(Arc::from(train), held_out)?,
            false => Subset::hold_out(Arc::from(train), held_out)?,
        };
        let origin = ValidationOrigin::HeldOut;
        let (train, val) = (Box::new(train), Some(Box::new(val) as Box<dyn Dataset>));
        Ok(Self { train, val, origin, kind, cache })
    }

    /// The same, where what is found by reading the images is remembered in `cache`.
    pub fn remembered_in(self, cache: Cache) -> Self {
        Self { cache, ..self }
    }

    /// Writes into a recipe's configuration what these data determine: their description and classes;
    /// digits are not mirrored; a batch is at most the whole set, and of whole micro-batches; a warm-up
    /// is at most an epoch.
    pub fn fit(&self, config: &mut Config) {
        let val = self.val.as_deref();
        let fingerprint = |set: &dyn Dataset| set.fingerprint();
        config.classes = self.train.classes();
        config.decoder = self.train.decoder();
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
        if !self.train.may_flip() && config.flip() {
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

    /// Whether the set can fill a batch and, of a run that starts from weights, whether holding images out has
    /// left some of each class: of few images a class, all may be.
    pub(super) fn check_batch(&self, config: &Config) -> Result<(), RunError> {
        data::Sampler::new(0, self.train.len(), config.batch, 0)?;
        let classes = self.train.classes();
        if let Some(found) = self.val.as_ref().map(|val| val.classes()).filter(|&n| n != classes) {
            let expected = format!("the {classes} classes of the training images");
            return Err(
                ConfigError { field: "validation", expected, found: found.to_string() }.into()
            );
        }
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

    /// Finds the mean that is subtracted and the colours of the training images, and reads every image once, so that one that cannot be read is found
    /// before any work is done. What is known of the images is not read again: what `resnet-data` has
    /// verified and measured, and what an earlier run has, on the same files. `watch` is told how far it is, and
    /// may stop it.
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
        let scan = Scan { cache: &self.cache, watch };
        let found = scan.statistics(&*self.train, view)?;
        let mean = match config.normalize {
            Normalize::Channel => found.channels(),
            Normalize::PixelMean => Mean::Pixel(found.pixel_mean),
        };
        self.check_validation(scan)?;
        let classes = self.train.class_names().map(<[String]>::to_vec);
        let preprocess = Preprocess { view, mean };
        Ok((InferenceInfo { preprocess, classes }, found.colours))
    }

    /// Reads every image once, where nothing is measured on the way, so that one that cannot be read is found
    /// before any work is done.
    ///
    /// # Errors
    /// As for [`prepare`](Self::prepare).
    pub(super) fn read_all(&self, watch: &dyn Watch) -> Result<(), data::Error> {
        let scan = Scan { cache: &self.cache, watch };
        scan.check(&*self.train, "training images read")?;
        self.check_validation(scan)
    }

    fn check_validation(&self, scan: Scan) -> Result<(), data::Error> {
        self.val.as_deref().map_or(Ok(()), |val| scan.check(val, "validation images read"))
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

/// How a network of `family` sees an image of `data` on inputs of `side` pixels, unless the run starts from
/// weights, which say so.
pub(super) fn view(side: usize, family: Family, data: &dyn Dataset) -> View {
    let standard = match family {
        Family::ImageNet => View::imagenet(),
        Family::Cifar => View::cifar(),
    };
    let resize = standard.resize.map(|resize| resize * side / standard.crop);
    View { pad: data.pad(), resize, crop: side, ..View::imagenet() }
}
