//! `resnet-cpu infer`: what do these images show, where in them, and by which features?

mod answers;
mod canvas;
mod embed;
mod explain;
mod names;
mod npy;
mod picture;

use clap::ValueEnum;
use resnet_cpu::data::{self, Crops, Limits, RgbImage};
use resnet_cpu::infer::{Classifier, InferError, Session};
use resnet_cpu::runtime::Unwatched;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::classifier::{ClassifierArgs, TEN_CROPS, check_batch, say};
use super::error::CliError;
use super::layer_times::print_warm_layer_times;
use super::limits::{LimitArgs, reason};
use super::machine::Machine;
use super::weights::Offer;
use answers::{Answers, Found};
use embed::Embedder;
use explain::Explainer;

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
    /// Also write to this folder, for each image, a picture of where the network sees its most likely
    /// class: the class-activation map, over the image
    #[arg(long, value_name = "DIR")]
    explain: Option<PathBuf>,
    /// How many of the most likely classes each picture shows a map of [default: 1]
    #[arg(long, value_name = "N", requires = "explain", value_parser = clap::value_parser!(u32).range(1..=10))]
    explain_top: Option<u32>,
    /// Instead of classes, print the features that the last layer sees, one JSON object per image; of
    /// several crops their mean
    #[arg(long, conflicts_with_all = ["top", "explain", "verbose"])]
    embed: bool,
    /// Write the features to this NumPy file (.npy), a row per image, and print which row is whose
    #[arg(short, long, value_name = "FILE", requires = "embed")]
    out: Option<PathBuf>,
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
    if let Some(folder) = &args.explain {
        explain::check_folder(folder)?;
    }
    if let Some(file) = &args.out {
        embed::check_file(file)?;
    }
    let offer = if args.yes { Offer::Allowed } else { Offer::Ask };
    if args.explain.is_some() && args.crops != CropsName::Center {
        return Err(CliError::usage(
            "--explain shows what the network saw in one crop: it does not go with --crops ten",
        ));
    }
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
    let found = find(args, &mut notes)?;
    say(notes, args.verbose, machine);
    if found.is_empty() {
        return Err(CliError::failed("no images but the pictures of an earlier --explain"));
    }
    let crops = classifier.crops().count();
    let images = (args.batch as usize / crops).max(1);
    check_batch(args.batch, images.min(found.len()) * crops, [&classifier], machine)?;

    let limits = args.limits.limits();
    if args.embed {
        let mut embedder = Embedder::new(args.out.as_deref(), &classifier);
        for batch in found.chunks(images) {
            embedder.embed(batch, &classifier, |source| read(source, &limits))?;
        }
        embedder.finish()?;
        return if embedder.failed { Err(CliError::Reported) } else { Ok(()) };
    }
    let arch = classifier.model().network().spec.name.clone();
    let mut answers = Answers::new(args.json, arch, found.len() > 1);
    let top = args.top.unwrap_or(5) as usize;
    let maps = args.explain_top.unwrap_or(1) as usize;
    let explainer = |folder| Explainer::new(folder, [maps, top], &found);
    let explainer = args.explain.as_deref().map(explainer).transpose()?;
    let mut runner = Runner { classifier, limits, top, explainer };
    let mut read = 0;
    for batch in found.chunks(images) {
        let start = Instant::now();
        let results = runner.run(batch)?;
        let ms = start.elapsed().as_secs_f64() * 1e3 / batch.len() as f64;
        read = results.iter().filter(|result| result.is_ok()).count();
        for (source, result) in batch.iter().zip(results) {
            let path = source.as_deref().unwrap_or_else(|error| error.path());
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

/// The path of an image (- is stdin), or why there is none.
type Source = Result<PathBuf, data::Error>;

/// The images at the paths, stdin among them.
fn find(args: &Args, notes: &mut Vec<String>) -> Result<Vec<Source>, CliError> {
    let mut found = Vec::new();
    for path in &args.paths {
        if is_stdin(path) {
            found.push(Ok(path.clone()));
            continue;
        }
        let list = data::collect_images(std::slice::from_ref(path), &Unwatched);
        let mut list = list.map_err(CliError::failed)?;
        notes.extend(list.notes);
        if let Some(folder) = args.explain.as_deref().filter(|_| path.is_dir()) {
            match explain::leave_out_pictures(folder, &mut list.images) {
                0 => {}
                count => notes.push(format!(
                    "{count} pictures of an earlier --explain in {} are left out",
                    folder.display()
                )),
            }
        }
        found.extend(list.images);
    }
    Ok(found)
}

/// The image that `source` names.
fn read(source: &Source, limits: &Limits) -> Result<RgbImage, Reason> {
    let read = match source {
        Ok(path) if is_stdin(path) => data::read_image_from(std::io::stdin(), path, limits),
        Ok(path) => data::read_image(path, limits),
        Err(error) => return Err(Reason::of(error)),
    };
    read.map_err(|error| Reason::of(&error))
}

/// Classifies batches of images, and explains them if that is asked for.
struct Runner {
    classifier: Classifier,
    limits: Limits,
    top: usize,
    explainer: Option<Explainer>,
}

impl Runner {
    /// What was found of each image.
    fn run(&mut self, batch: &[Source]) -> Result<Vec<Found>, CliError> {
        let Self { classifier, limits, top, explainer } = self;
        if let Some(explainer) = explainer {
            let found = explainer.explain(batch, classifier, |source| read(source, limits))?;
            let with_file = |(predictions, file)| (predictions, Some(file));
            return Ok(found.into_iter().map(|found| found.map(with_file)).collect());
        }
        let found = classifier.classify_each(batch.len(), *top, |i| read(&batch[i], limits));
        let without = |found: Result<_, Reason>| match found {
            Ok(predictions) => Ok((predictions, None)),
            Err(Reason(reason)) => Err(reason),
        };
        Ok(found.into_iter().map(without).collect())
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
