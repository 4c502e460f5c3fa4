//! The weights that a run starts from: what they decide of its configuration, and its first numbers.
//!
//! They are read once, whole, before anything else. The run's checkpoint then has all of it, so the file is
//! not needed to go on.

use std::path::PathBuf;

use super::super::config::{Config, Normalize};
use super::super::data::TrainData;
use super::super::error::RunError;
use super::super::measured::measure_parts;
use super::super::recipe::Recipe;
use super::super::state::{InferenceInfo, State};
use crate::data::{Hash, Mean, Preprocess, epoch_order};
use crate::gemm::Backend;
use crate::infer::{class_names, preprocess};
use crate::learn::{Learner, Measured, finite};
use crate::model::{
    BlockKind, Family, InitOptions, ModelSpec, Network, Options, Params, Role, SourceError,
    initialize,
};
use crate::numerics::MEASURED_IMAGES;
use crate::runtime::Watch;
use crate::weights::{Metadata, StatedPreprocess, WeightsFile};

/// The longest side of an image, in pixels, that is no photograph: networks of 32 x 32 inputs see enough of it.
const SMALL: usize = 64;

/// Weights that a run starts from.
pub struct StartingWeights {
    path: PathBuf,
    network: Network,
    params: Params,
    preprocess: Preprocess,
    classes: Option<Vec<String>>,
    digest: String,
}

/// Why a run cannot start from weights.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The file cannot be read any more.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The configuration asks for a start from weights, but there are none.
    #[error(
        "a new run with these settings starts from weights: expected --weights FILE, found none"
    )]
    Missing,
    /// The configuration is not one for these weights.
    #[error("{}: {field}: expected {expected}, as the weights say, found {found}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The setting.
        field: &'static str,
        /// What the weights say.
        expected: String,
        /// What was asked for.
        found: String,
    },
    /// The classifier is to be kept, but is for other classes.
    #[error(
        "{}: expected a classifier for the data's classes, found {found}; --recipe finetune gives the network \
         a new one",
        path.display()
    )]
    Classes {
        /// The file.
        path: PathBuf,
        /// What it has instead.
        found: String,
    },
    /// A network of small inputs, and photographs.
    #[error(
        "{}: {arch} sees {side} x {side} pixels, but the first training image has {width} x {height}; \
         fine-tune a network for photographs (resnet18 to resnet152), or give --arch {arch} to shrink the \
         images all the same",
        path.display()
    )]
    Photographs {
        /// The file.
        path: PathBuf,
        /// Its network.
        arch: String,
        /// What that sees, in pixels.
        side: usize,
        /// Columns of the image.
        width: usize,
        /// Its rows.
        height: usize,
    },
    /// The network gives numbers that are not finite.
    #[error("{weights}: the network's {what} of these images are not finite")]
    NotFinite {
        /// The weights.
        weights: String,
        /// Which numbers.
        what: &'static str,
    },
}

impl StartingWeights {
    /// Reads `weights` whole.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of_file(weights: &WeightsFile) -> Result<Self, StartError> {
        let path = weights.file().path().to_owned();
        let (preprocess, _) = preprocess(weights, &StatedPreprocess::default());
        let network = weights.network().clone();
        let params = Params::from_source(&network, weights)?;
        let digest = digest(&network, &params, &preprocess);
        let classes = class_names(weights);
        Ok(Self { path, network, params, preprocess, classes, digest })
    }

    /// The network that they are of.
    pub fn spec(&self) -> &ModelSpec {
        &self.network.spec
    }

    /// The options of their network, for `classes` classes.
    pub fn options(&self, classes: usize) -> Options {
        let spec = self.spec();
        Options {
            shortcut: spec.shortcut,
            downsample: spec.is_plain().then_some(spec.downsample),
            stride_in: (spec.block == BlockKind::Bottleneck).then_some(spec.stride_in),
            classes: Some(classes),
            in_channels: Some(spec.in_channels),
        }
    }

    /// A digest of the tensors and of the preparation of images, whatever the file's format.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Writes into a configuration what these weights decide: their digest, the side of the inputs, and how
    /// those are normalised.
    pub fn fit(&self, config: &mut Config) {
        config.initial = Some(self.digest.clone());
        config.side = self.preprocess.view.crop;
        config.normalize = self.normalize();
        // The weights say what a recipe may draw otherwise.
        config.zero_init = false;
    }

    fn normalize(&self) -> Normalize {
        match self.preprocess.mean {
            Mean::Channel { .. } | Mean::Grey { .. } => Normalize::Channel,
            Mean::Pixel(_) => Normalize::PixelMean,
        }
    }

    /// An error if the first image is a photograph and the network is for small images. One image is read.
    ///
    /// # Errors
    /// It is, or cannot be read.
    pub fn check_images(&self, data: &TrainData) -> Result<(), RunError> {
        if self.spec().family != Family::Cifar {
            return Ok(());
        }
        let image = data.train.image(0)?;
        let (width, height) = (image.width(), image.height());
        if width.max(height) <= SMALL {
            return Ok(());
        }
        let (path, arch) = (self.path.clone(), self.spec().name.clone());
        let side = self.preprocess.view.crop;
        Err(StartError::Photographs { path, arch, side, width, height }.into())
    }

    /// An error unless `config` is one for these weights and, where it keeps their classifier (every recipe but
    /// `finetune` does), the data have their classes. Names are compared where both have some.
    ///
    /// # Errors
    /// It is not, or they have not.
    pub fn check(&self, config: &Config, data: &TrainData) -> Result<(), RunError> {
        let wrong = |field, expected: String, found: String| {
            Err(StartError::Field { path: self.path.clone(), field, expected, found }.into())
        };
        let spec = config.spec()?;
        let own = ModelSpec::new(&self.spec().name, self.options(config.classes))?;
        if spec != own {
            return wrong("network", own.to_string(), spec.to_string());
        }
        if config.side != self.preprocess.view.crop {
            let (own, found) = (self.preprocess.view.crop, config.side);
            return wrong("side", own.to_string(), found.to_string());
        }
        if config.normalize != self.normalize() {
            return wrong("mean-mode", self.normalize().to_string(), config.normalize.to_string());
        }
        if has_new_classifier(config) {
            return Ok(());
        }
        let other = |found| Err(StartError::Classes { path: self.path.clone(), found }.into());
        if self.spec().classes != config.classes {
            let (found, expected) = (self.spec().classes, config.classes);
            return other(format!("one for {found} classes, not {expected}"));
        }
        let (Some(own), Some(data)) = (&self.classes, data.train.class_names()) else {
            return Ok(());
        };
        match own.iter().zip(data).position(|(own, data)| own != data) {
            Some(i) => other(format!("one whose class {i} is {}, not {}", own[i], data[i])),
            None => Ok(()),
        }
    }

    /// A run before its first step: the backbone is that of the weights, fit for batch norm with a batch's
    /// statistics unless it is frozen; the classifier is theirs, or a new one. All images are read once, those
    /// of a frozen backbone later, for their features.
    ///
    /// # Errors
    /// `config` is not one for these weights, an image cannot be read, or `watch` stopped it.
    pub(in crate::train) fn begin(
        &self,
        config: Config,
        data: &TrainData,
        backend: Backend,
        watch: &dyn Watch,
    ) -> Result<State, RunError> {
        self.check(&config, data)?;
        let network = Network::new(&config.spec()?);
        let mut params = initialize(&network, config.seed, InitOptions::default());
        for (id, info) in network.table().iter() {
            let of_classifier = matches!(info.role, Role::LinearWeight | Role::LinearBias);
            if !(of_classifier && has_new_classifier(&config)) {
                let own = self.params.by_name(&info.name).expect("the same network");
                params.get_mut(id).copy_from_slice(own);
            }
        }
        let mut classes = data.train.class_names().map(<[String]>::to_vec);
        if !has_new_classifier(&config) {
            classes = classes.or(self.classes.clone());
        }
        if !config.is_frozen() {
            data.read_all(watch)?;
            self.measure(&mut params, &network, &config, data, backend, watch)?;
        }
        let inference = InferenceInfo { preprocess: self.preprocess.clone(), classes };
        Ok(State::with_params(config, inference, params))
    }

    /// Gives batch norm the statistics of training images, see [`Measured`].
    fn measure(
        &self,
        params: &mut Params,
        network: &Network,
        config: &Config,
        data: &TrainData,
        backend: Backend,
        watch: &dyn Watch,
    ) -> Result<(), RunError> {
        let mut chosen = epoch_order(config.seed, 0, data.train.len());
        chosen.truncate(MEASURED_IMAGES);
        chosen.sort_unstable();
        let most = config.images_at_a_time();
        let parts: Vec<&[usize]> = chosen.chunks(most).collect();
        let mut learner = Learner::new(network, backend).with_convolutions(config.convolutions);
        let (mut measured, stopped) = (Measured::default(), || watch.stopped());
        let side = self.preprocess.view.crop;
        let what = "training images measured for batch norm";
        let how = &self.preprocess;
        measure_parts::<RunError>(&*data.train, how, &parts, watch, what, |input, images| {
            learner.measure(params, input, images, side, &mut measured, &stopped)
        })?;
        measured.rewrite(network, params);
        if finite(params.learnable()) && finite(params.statistics()) {
            return Ok(());
        }
        let weights = self.path.display().to_string();
        Err(StartError::NotFinite { weights, what: "activations" }.into())
    }
}

/// Whether the run's classifier is a new one.
fn has_new_classifier(config: &Config) -> bool {
    config.recipe == Recipe::Finetune
}

/// A hash of the network, its tensors and the preparation of its images.
fn digest(network: &Network, params: &Params, preprocess: &Preprocess) -> String {
    let mut hash = Hash::new();
    let values = |hash: &mut Hash, values: &[f32]| {
        hash.number(values.len() as u64);
        values.iter().for_each(|value| hash.bytes(&value.to_le_bytes()));
    };
    let metadata = Metadata::of_spec(&network.spec);
    let entries = Metadata { preprocess: preprocess.stated(), ..metadata }.entries();
    for (key, value) in &entries {
        hash.text(key.as_bytes());
        hash.text(value.as_bytes());
    }
    for (id, info) in network.table().iter() {
        hash.text(info.name.as_bytes());
        values(&mut hash, params.get(id));
    }
    values(&mut hash, preprocess.pixel_mean().unwrap_or_default());
    hash.to_string()
}
