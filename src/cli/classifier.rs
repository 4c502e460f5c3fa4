//! The options that make a classifier of a file of weights: what it is, how images are prepared. `infer` and
//! `eval` have them.

use indicatif::DecimalBytes;
use resnet_cpu::conv::Convolutions;
use resnet_cpu::data::Preprocess;
use resnet_cpu::infer::{Classifier, InferError, Model, activation_bytes, class_names, labels};
use resnet_cpu::model::Params;
use resnet_cpu::runtime::available_memory;
use resnet_cpu::weights::WeightsFile;
use std::path::{Path, PathBuf};

use super::convolutions::ConvolutionArgs;
use super::error::CliError;
use super::machine::Machine;
use super::preprocessing::PreprocessingArgs;
use super::weights::{Offer, WeightsArgs, explains, find_weights, weights_notes};

#[derive(clap::Args)]
pub(super) struct ClassifierArgs {
    #[command(flatten)]
    of_weights: WeightsArgs,
    #[command(flatten)]
    convolutions: ConvolutionArgs,
    /// Class names in index order: a text file with one name per line, or JSON [default: as the file
    /// says, else those of the data set that its publisher is known to have trained on]
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    #[command(flatten)]
    preprocessing: PreprocessingArgs,
}

/// A file of weights that was opened, and the names of its classes.
pub(super) struct Weights {
    pub(super) path: PathBuf,
    pub(super) file: WeightsFile,
    pub(super) names: Option<Vec<String>>,
    /// Tensors that take the place of the file's.
    pub(super) changed: Option<Params>,
}

impl ClassifierArgs {
    /// A flag that was given and says something of the crop.
    pub(super) fn of_crop(&self) -> Option<&'static str> {
        self.preprocessing.of_crop()
    }

    /// How images are prepared for `weights`; `pad` as for a [classifier](Self::classifier).
    pub(super) fn preprocess(
        &self,
        weights: &Weights,
        pad: Option<usize>,
    ) -> Result<Preprocess, CliError> {
        self.preprocessing.resolve(&weights.file, pad).map(|(used, _)| used)
    }

    /// The algorithms of convolutions.
    pub(super) fn convolutions(&self) -> Convolutions {
        self.convolutions.choice()
    }

    /// Finds and opens the weights that are `given`; those that nobody named as `offer` says.
    pub(super) fn read(
        &self,
        given: Option<&Path>,
        offer: Offer,
        machine: &Machine,
    ) -> Result<Weights, CliError> {
        let overrides = self.of_weights.overrides()?;
        let path = find_weights(given, offer, machine)?;
        let names = self.labels.as_ref().map(labels::read_labels).transpose();
        let names = names.map_err(CliError::failed)?;
        let file = WeightsFile::open(&path, &overrides).map_err(CliError::failed)?;
        let names = names.or_else(|| class_names(&file));
        Ok(Weights { path, file, names, changed: None })
    }

    /// The classifier that file and flags describe, with notes of what was assumed. `pad` is the side of the
    /// black square that small images of the data stand in, if nothing else is said about sizes.
    pub(super) fn classifier(
        &self,
        weights: Weights,
        pad: Option<usize>,
        machine: &Machine,
        notes: &mut Vec<String>,
    ) -> Result<Classifier, CliError> {
        let Weights { path, file, names, changed } = weights;
        notes.extend(weights_notes(&path, &file));
        let (preprocess, preparation) = self.preprocessing.resolve(&file, pad)?;
        if names.is_none() {
            notes.push(format!(
                "the names of the {} classes are not known (--labels FILE gives them)",
                file.spec().classes
            ));
        }
        let backend = machine.backend;
        let model = match changed {
            Some(params) => Model::new(file.network(), params, backend),
            None => Model::of_weights(file, backend)
                .map_err(|error| CliError::failed(format!("{}: {error}", path.display())))?,
        };
        let model = model.with_convolutions(self.convolutions.choice());
        let classifier = Classifier::new(model, preprocess, names);
        notes.extend(preparation);
        classifier.map_err(|error| match (&error, &self.labels) {
            (InferError::Labels { .. }, Some(file)) => {
                CliError::failed(format!("{}: {error}", file.display()))
            }
            (InferError::OneOutput | InferError::Channels { .. }, _) => {
                CliError::failed(format!("{}: {error}", path.display()))
            }
            _ => CliError::failed(error),
        })
    }
}

/// Says the notes: all of them a line each if the user wants to know, else the important ones in one line.
pub(super) fn say(mut notes: Vec<String>, verbose: bool, machine: &Machine) {
    if verbose {
        machine.note_itself();
        notes.iter().for_each(|note| machine.note(note));
        return;
    }
    let all = notes.len();
    notes.retain(|note| !explains(note));
    if notes.len() < all {
        notes.push("-v prints more".to_owned());
    }
    machine.note(&notes.join("; "));
}

/// The note of ten crops.
pub(super) const TEN_CROPS: &str = "ten crops of each image, with their probabilities averaged";

/// Refuses a batch of `inputs`, for which `--batch` was `batch`, of each classifier if there is no memory for
/// it, where the system tells what there is.
pub(super) fn check_batch<'c>(
    batch: u32,
    inputs: usize,
    classifiers: impl IntoIterator<Item = &'c Classifier>,
    machine: &Machine,
) -> Result<(), CliError> {
    let (mut needed, mut side) = (0, 0);
    for classifier in classifiers {
        let network = classifier.model().network();
        side = side.max(classifier.preprocess().view.crop);
        let crop = classifier.preprocess().view.crop;
        let activations = activation_bytes(network, machine.backend, inputs, crop, crop);
        let floats = inputs * classifier.preprocess().input_len();
        needed += (activations.map_err(CliError::failed)? + floats * size_of::<f32>()) as u64;
    }
    match available_memory() {
        Some(available) if needed > available => Err(CliError::usage(format!(
            "--batch {batch}: {inputs} inputs of {side}x{side} pixels need about {}, and {} are available; \
             choose a smaller --batch or --crop",
            DecimalBytes(needed),
            DecimalBytes(available)
        ))),
        _ => Ok(()),
    }
}
