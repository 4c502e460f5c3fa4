//! `resnet-cpu infer`: what do these images show?

use clap::ValueEnum;
use indicatif::DecimalBytes;
use resnet_cpu::data::{self, Crops, Limits};
use resnet_cpu::infer::{
    Classifier, InferError, Model, Prediction, Session, activation_bytes, class_names, labels,
};
use resnet_cpu::runtime::{Unwatched, available_memory};
use resnet_cpu::weights::WeightsFile;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::answers::Answers;
use super::convolutions::ConvolutionArgs;
use super::error::CliError;
use super::layer_times::print_warm_layer_times;
use super::limits::{LimitArgs, advice};
use super::machine::Machine;
use super::network::NetworkArgs;
use super::preprocessing::PreprocessingArgs;
use super::weights::{ExtraArgs, explains, find_weights, weights_notes};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Images, and folders of images (with their subfolders, in sorted order); - reads an image from
    /// stdin
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Weights: a safetensors or PyTorch file [default: $RESNET_CPU_WEIGHTS, else the newest
    /// runs/*/best.safetensors]
    #[arg(short, long, value_name = "FILE")]
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
    /// How many classes to print for each image [default: 5]
    #[arg(short = 'k', long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    top: Option<u32>,
    /// Print one JSON object per image; `ms` is the wall time of its batch, from file to prediction,
    /// divided by the number of images
    #[arg(long)]
    json: bool,
    /// Class names in index order: a text file with one name per line, or JSON [default: as the file
    /// says, else those of the data set that its publisher is known to have trained on]
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    #[command(flatten)]
    preprocessing: PreprocessingArgs,
    /// Crops of each image that the network sees; the probabilities of several are averaged
    #[arg(long, value_enum, default_value_t)]
    crops: CropsName,
    #[command(flatten)]
    limits: LimitArgs,
    /// Crops per batch; changes speed and memory, and at most the last digits of results
    #[arg(short, long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    batch: u32,
    /// Print all notes, and the time that each layer takes in a batch like the last one
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum CropsName {
    /// The centre
    #[default]
    Center,
    /// The four corners and the centre, each also mirrored
    Ten,
}

/// Whether the path means stdin.
fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

pub(super) fn run(args: &Args, machine: &Machine) -> Result<(), CliError> {
    if args.paths.iter().filter(|path| is_stdin(path)).count() > 1 {
        return Err(CliError::usage("stdin (-) can be given only once"));
    }
    let overrides = args.extra.and(args.network.overrides(args.arch.as_deref())?);
    let path = find_weights(args.weights.as_deref())?;
    let names = args.labels.as_ref().map(labels::read_labels).transpose();
    let names = names.map_err(CliError::failed)?;
    let weights = WeightsFile::open(&path, &overrides).map_err(CliError::failed)?;
    let mut notes = Vec::new();
    let (classifier, arch) = prepare(args, machine, &path, weights, names, &mut notes)?;
    let found = find(&args.paths, &mut notes)?;
    if args.verbose {
        machine.note_itself();
        notes.iter().for_each(|note| machine.note(note));
    } else {
        let all = notes.len();
        notes.retain(|note| !explains(note));
        if notes.len() < all {
            notes.push("-v prints more".to_owned());
        }
        machine.note(&notes.join("; "));
    }
    let images = (args.batch as usize / args.crops.crops().count()).max(1);
    check_memory(args, &classifier, images.min(found.len()), machine)?;

    let mut answers = Answers::new(args.json, arch, found.len() > 1);
    let limits = args.limits.limits();
    let mut runner = Runner { classifier, limits, top: args.top.unwrap_or(5) as usize };
    let mut read = 0;
    for batch in found.chunks(images) {
        let start = Instant::now();
        let results = runner.classify_files(batch);
        let ms = start.elapsed().as_secs_f64() * 1e3 / batch.len() as f64;
        read = results.iter().filter(|result| result.is_ok()).count();
        for (file, result) in batch.iter().zip(results) {
            let path = file.as_deref().unwrap_or_else(|error| error.path());
            answers.add(path, ms, result, &runner.classifier)?;
        }
        answers.flush()?;
    }
    if args.verbose && read > 0 {
        let inputs = read * args.crops.crops().count();
        let classifier = &runner.classifier;
        let side = classifier.preprocess().view.crop;
        print_warm_layer_times(&mut Session::of(classifier.model()), inputs, side, machine);
    }
    if answers.failed { Err(CliError::Reported) } else { Ok(()) }
}

/// The images at the paths, stdin among them.
fn find(
    paths: &[PathBuf],
    notes: &mut Vec<String>,
) -> Result<Vec<Result<PathBuf, data::Error>>, CliError> {
    let mut found = Vec::new();
    for path in paths {
        if is_stdin(path) {
            found.push(Ok(path.clone()));
            continue;
        }
        let list = data::collect_images(std::slice::from_ref(path), &Unwatched);
        let list = list.map_err(CliError::failed)?;
        notes.extend(list.notes);
        found.extend(list.images);
    }
    Ok(found)
}

/// Refuses a batch for which there is no memory, where the system tells what there is.
fn check_memory(
    args: &Args,
    classifier: &Classifier,
    images: usize,
    machine: &Machine,
) -> Result<(), CliError> {
    let (network, side) = (classifier.model().network(), classifier.preprocess().view.crop);
    let crops = images * args.crops.crops().count();
    let activations = activation_bytes(network, machine.backend, crops, side, side);
    let inputs = crops * classifier.preprocess().input_len() * size_of::<f32>();
    let needed = (activations.map_err(CliError::failed)? + inputs) as u64;
    match available_memory() {
        Some(available) if needed > available => Err(CliError::usage(format!(
            "--batch {}: {crops} inputs of {side}x{side} pixels need about {}, and {} are available; \
             choose a smaller --batch or --crop",
            args.batch,
            DecimalBytes(needed),
            DecimalBytes(available)
        ))),
        _ => Ok(()),
    }
}

/// The classifier that file and flags describe, with notes of what was assumed.
fn prepare(
    args: &Args,
    machine: &Machine,
    path: &Path,
    weights: WeightsFile,
    names: Option<Vec<String>>,
    notes: &mut Vec<String>,
) -> Result<(Classifier, String), CliError> {
    let spec = weights.spec().clone();
    notes.extend(weights_notes(path, &weights));
    let crops = args.crops.crops();
    if crops == Crops::Ten {
        notes.push("ten crops of each image, with their probabilities averaged".to_owned());
    }

    let names = names.or_else(|| class_names(&weights));
    let (preprocess, preparation) = args.preprocessing.resolve(path, &weights)?;
    let model = Model::new(&weights.network().clone(), weights, machine.backend)
        .with_convolutions(args.convolutions.choice());
    if names.is_none() {
        notes.push(format!(
            "the names of the {} classes are not known (--labels FILE gives them)",
            spec.classes
        ));
    }
    let classifier = Classifier::new(model, preprocess, names);
    notes.push(preparation);
    let classifier = classifier.map_err(|error| match (&error, &args.labels) {
        (InferError::Labels { .. }, Some(file)) => {
            CliError::failed(format!("{}: {error}", file.display()))
        }
        (InferError::OneOutput, _) => CliError::failed(format!("{}: {error}", path.display())),
        _ => CliError::failed(error),
    })?;
    Ok((classifier.with_crops(crops), spec.name))
}

/// Reads and classifies batches of files.
struct Runner {
    classifier: Classifier,
    limits: Limits,
    top: usize,
}

impl Runner {
    /// The predictions for each file, or the reason why there are none.
    fn classify_files(
        &mut self,
        files: &[Result<PathBuf, data::Error>],
    ) -> Vec<Result<Vec<Prediction>, String>> {
        let limits = &self.limits;
        let results = self.classifier.classify_each(files.len(), self.top, |i| {
            let read = match &files[i] {
                Ok(path) if is_stdin(path) => data::read_image_from(std::io::stdin(), path, limits),
                Ok(path) => data::read_image(path, limits),
                Err(error) => return Err(Reason::of(error)),
            };
            read.map_err(|error| Reason::of(&error))
        });
        results.into_iter().map(|result| result.map_err(|Reason(reason)| reason)).collect()
    }
}

/// What is wrong with an image, without its path.
struct Reason(String);

impl Reason {
    fn of(error: &data::Error) -> Self {
        let text = error.to_string();
        let path = format!("{}: ", error.path().display());
        let reason = text.strip_prefix(&path).unwrap_or(&text);
        Self(format!("{reason}{}", advice(error)))
    }
}

impl From<InferError> for Reason {
    fn from(error: InferError) -> Self {
        Self(error.to_string())
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
