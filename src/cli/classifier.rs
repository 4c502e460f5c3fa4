//! The options that make a classifier: which weights, what they are, how images are prepared, which crops are
//! used. `infer` and `eval` have them.

use clap::ValueEnum;
use indicatif::DecimalBytes;
use resnet_cpu::data::Crops;
use resnet_cpu::infer::{Classifier, InferError, Model, activation_bytes, class_names, labels};
use resnet_cpu::runtime::available_memory;
use resnet_cpu::weights::WeightsFile;
use std::path::PathBuf;

use super::convolutions::ConvolutionArgs;
use super::error::CliError;
use super::machine::Machine;
use super::network::NetworkArgs;
use super::preprocessing::PreprocessingArgs;
use super::weights::{ExtraArgs, Offer, explains, find_weights, weights_notes};

#[derive(clap::Args)]
pub(super) struct ClassifierArgs {
    /// Weights: a safetensors or PyTorch file, or a name of published ones, which are fetched once (see
    /// `resnet-cpu weights`) [default: $RESNET_CPU_WEIGHTS, else the newest runs/*/best.safetensors]
    #[arg(short, long, value_name = "FILE|NAME")]
    weights: Option<PathBuf>,
    /// Network that the weights belong to [default: as the file says]
    #[arg(long, value_name = "NAME")]
    arch: Option<String>,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    extra: ExtraArgs,
    #[command(flatten)]
    convolutions: ConvolutionArgs,
    /// Class names in index order: a text file with one name per line, or JSON [default: as the file
    /// says, else those of the data set that its publisher is known to have trained on]
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    #[command(flatten)]
    preprocessing: PreprocessingArgs,
    /// Crops of each image that the network sees; the probabilities of several are averaged
    #[arg(long, value_enum, default_value_t)]
    crops: CropsName,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum CropsName {
    /// The centre
    #[default]
    Center,
    /// The four corners and the centre, each also mirrored
    Ten,
}

/// A file of weights that was opened, and the names of its classes.
pub(super) struct Weights {
    pub(super) path: PathBuf,
    pub(super) file: WeightsFile,
    pub(super) names: Option<Vec<String>>,
}

impl ClassifierArgs {
    /// Finds and opens the weights; those that nobody named as `offer` says.
    pub(super) fn read(&self, offer: Offer, machine: &Machine) -> Result<Weights, CliError> {
        let overrides = self.extra.and(self.network.overrides(self.arch.as_deref())?);
        let path = find_weights(self.weights.as_deref(), offer, machine)?;
        let names = self.labels.as_ref().map(labels::read_labels).transpose();
        let names = names.map_err(CliError::failed)?;
        let file = WeightsFile::open(&path, &overrides).map_err(CliError::failed)?;
        let names = names.or_else(|| class_names(&file));
        Ok(Weights { path, file, names })
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
        let Weights { path, file, names } = weights;
        notes.extend(weights_notes(&path, &file));
        let crops = self.crops.crops();
        if crops == Crops::Ten {
            notes.push("ten crops of each image, with their probabilities averaged".to_owned());
        }
        let (preprocess, preparation) = self.preprocessing.resolve(&file, pad)?;
        if names.is_none() {
            notes.push(format!(
                "the names of the {} classes are not known (--labels FILE gives them)",
                file.spec().classes
            ));
        }
        let model = Model::new(&file.network().clone(), file, machine.backend)
            .with_convolutions(self.convolutions.choice());
        let classifier = Classifier::new(model, preprocess, names);
        notes.extend(preparation);
        let classifier = classifier.map_err(|error| match (&error, &self.labels) {
            (InferError::Labels { .. }, Some(file)) => {
                CliError::failed(format!("{}: {error}", file.display()))
            }
            (InferError::OneOutput | InferError::Channels { .. }, _) => {
                CliError::failed(format!("{}: {error}", path.display()))
            }
            _ => CliError::failed(error),
        })?;
        Ok(classifier.with_crops(crops))
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

/// Refuses a batch of `crops` inputs, for which `--batch` was `batch`, if there is no memory for it, where the
/// system tells what there is.
pub(super) fn check_batch(
    batch: u32,
    crops: usize,
    classifier: &Classifier,
    machine: &Machine,
) -> Result<(), CliError> {
    let (network, side) = (classifier.model().network(), classifier.preprocess().view.crop);
    let activations = activation_bytes(network, machine.backend, crops, side, side);
    let inputs = crops * classifier.preprocess().input_len() * size_of::<f32>();
    let needed = (activations.map_err(CliError::failed)? + inputs) as u64;
    match available_memory() {
        Some(available) if needed > available => Err(CliError::usage(format!(
            "--batch {batch}: {crops} inputs of {side}x{side} pixels need about {}, and {} are available; \
             choose a smaller --batch or --crop",
            DecimalBytes(needed),
            DecimalBytes(available)
        ))),
        _ => Ok(()),
    }
}

impl CropsName {
    fn crops(self) -> Crops {
        match self {
            Self::Center => Crops::Center,
            Self::Ten => Crops::Ten,
        }
    }
}
