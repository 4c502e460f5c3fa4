//! `resnet-cpu infer`: what do these images show?

use clap::ValueEnum;
use resnet_cpu::data::{self, Crops, Limits};
use resnet_cpu::infer::{Classifier, InferError, Prediction, Session};
use resnet_cpu::runtime::Unwatched;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::answers::Answers;
use super::classifier::{ClassifierArgs, TEN_CROPS, check_batch, say};
use super::error::CliError;
use super::layer_times::print_warm_layer_times;
use super::limits::{LimitArgs, reason};
use super::machine::Machine;
use super::weights::Offer;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Images, and folders of images (with their subfolders, in sorted order); - reads an image from
    /// stdin
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Weights: a safetensors or PyTorch file, or a name of published ones, which are fetched once (see
    /// `resnet-cpu weights`) [default: $RESNET_CPU_WEIGHTS, else the newest runs/*/best.safetensors]
    #[arg(short, long, value_name = "FILE|NAME")]
    weights: Option<PathBuf>,
    #[command(flatten)]
    classifier: ClassifierArgs,
    /// Crops of each image that the network sees; the probabilities of several are averaged
    #[arg(long, value_enum, default_value_t)]
    crops: CropsName,
    /// How many classes to print for each image [default: 5]
    #[arg(short = 'k', long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    top: Option<u32>,
    /// Print one JSON object per image; `ms` is the wall time of its batch, from file to prediction,
    /// divided by the number of images
    #[arg(long)]
    json: bool,
    /// Where there are no weights yet, fetch published ones without a question
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    limits: LimitArgs,
    /// Crops per batch; changes speed and memory, and at most the last digits of results
    #[arg(short, long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    batch: u32,
    /// Print all notes, and the time that each layer takes in a batch like the last one
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
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
    let offer = if args.yes { Offer::Allowed } else { Offer::Ask };
    let weights = args.classifier.read(args.weights.as_deref(), offer, machine)?;
    let mut notes = Vec::new();
    let classifier = args.classifier.classifier(weights, None, machine, &mut notes)?;
    let classifier = match args.crops {
        CropsName::Center => classifier,
        CropsName::Ten => {
            notes.push(TEN_CROPS.to_owned());
            classifier.with_crops(Crops::Ten)
        }
    };
    let found = find(&args.paths, &mut notes)?;
    say(notes, args.verbose, machine);
    let crops = classifier.crops().count();
    let images = (args.batch as usize / crops).max(1);
    check_batch(args.batch, images.min(found.len()) * crops, [&classifier], machine)?;

    let arch = classifier.model().network().spec.name.clone();
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
        let inputs = read * crops;
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
        Self(reason(error))
    }
}

impl From<InferError> for Reason {
    fn from(error: InferError) -> Self {
        Self(error.to_string())
    }
}
