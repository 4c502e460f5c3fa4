//! `resnet-cpu eval`: how good is this network on these labelled images?

mod average;
mod networks;
mod page;
mod results;
mod views;

use clap::ValueEnum;
use indicatif::HumanCount;
use resnet_cpu::data::{self, Dataset, Labelled, Split, demo, open_split};
use resnet_cpu::infer::{
    DenseError, Evaluation, EvaluationError, EvaluationOptions, evaluate_dense, evaluate_ensemble,
    match_classes,
};
use resnet_cpu::weights::DataSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::activity::Activity;
use super::bad_images::{self, BadImageArgs, OnBadImage};
use super::cache::CacheArgs;
use super::classifier::{ClassifierArgs, Weights, check_batch, say};
use super::error::CliError;
use super::limits::{LimitArgs, advice};
use super::machine::Machine;
use super::written::{check_place, refuse_weights};
use average::{AverageArgs, Training};
use networks::Networks;
use results::Results;
use views::{ViewArgs, Views};

/// Mistakes that the page shows.
const MISTAKES: usize = 24;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Labelled images: a folder with one folder of images per class, or such folders in train, val and
    /// test; CIFAR-10's binary files; idx files (MNIST); shards, a folder of tars or one [default: the built-in images, for weights
    /// that were trained on them]
    #[arg(value_name = "DATA")]
    data: Option<PathBuf>,
    /// Which images of the data [default: val, else test, else all]
    #[arg(long, value_enum, value_name = "SPLIT")]
    split: Option<SplitName>,
    /// Weights: a safetensors or PyTorch file, or a name of published ones, which are fetched once (see
    /// `resnet-cpu weights`). Of several, with commas between them, the probabilities are averaged
    /// [default: $RESNET_CPU_WEIGHTS, else the newest runs/*/best.safetensors]
    #[arg(short, long, value_name = "FILE|NAME,..")]
    weights: Option<OsString>,
    #[command(flatten)]
    classifier: ClassifierArgs,
    #[command(flatten)]
    views: ViewArgs,
    #[command(flatten)]
    average: AverageArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Also write a page with the confusion matrix and the worst mistakes
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    bad_images: BadImageArgs,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// Crops per batch. It changes speed and memory, and at most the last digits of results [default: 64,
    /// that of a run's validation]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    batch: Option<u32>,
    /// Print all notes
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum SplitName {
    /// The validation images; of class folders without any, the tenth that training holds out
    Val,
    /// The test images
    Test,
    /// The training images
    Train,
    /// All, of data that are not split
    All,
}

pub(super) fn run(args: &Args, machine: &Machine) -> Result<(), CliError> {
    if let Some(page) = &args.html {
        check_place("--html", page)?;
    }
    args.views.check(args.classifier.of_crop(), args.batch)?;
    let mut weights = networks::read(args.weights.as_deref(), &args.classifier, machine)?;
    args.average.check(&weights)?;
    if let Some(page) = &args.html {
        let given = weights.iter().map(|weights| ("weights", &*weights.path));
        refuse_weights("--html", page, given.chain(args.average.written()))?;
    }
    let first = &mut weights[0];
    if args.data.is_none() {
        check_demo(first)?;
    }
    let activity = Activity::begin(machine, "stopping")?;
    let split = args.split.map(SplitName::split);
    let (limits, cache) = (args.limits.limits(), args.cache.cache());
    let opened = open_split(args.data.as_deref(), split, limits, &cache, &activity);
    let Labelled { data, kind, split, mut notes } =
        opened.map_err(|error| activity.failure(error))?;
    let shown = args.data.as_deref().map_or("the built-in images".into(), Path::to_string_lossy);
    let (images, classes) = (HumanCount(data.len() as u64), data.classes());
    notes.push(format!("{shown}: {split}, {images} images of {classes} classes, {kind}"));

    let matched = match_classes(
        kind,
        classes,
        data.class_names(),
        first.file.spec().classes,
        first.names.as_deref(),
        first.file.data_set() == Some(DataSet::ImageNet),
    );
    let matched = matched.map_err(|error| CliError::failed(format!("{shown}: {error}")))?;
    notes.extend(matched.notes);
    let training = Training {
        data: args.data.as_deref(),
        pad: data.pad(),
        limits,
        cache: &cache,
        args: &args.classifier,
        machine,
        activity: &activity,
        skip_bad: args.bad_images.on_bad_image == OnBadImage::Skip,
    };
    let averaged = args.average.apply(first, &training, &mut notes)?;
    let networks = Networks::new(weights, &args.classifier, data.pad(), machine, &mut notes)?;
    let views = args.views.of(networks.ensemble.classifiers(), &mut notes);
    let ensemble = networks.ensemble.with_crops(args.views.crops());
    let networks = Networks { ensemble, ..networks };
    say(notes, args.verbose, machine);
    let found = measure(args, (&networks, &views), &*data, &matched.indices, machine, &activity)?;
    let reason = |error: &data::Error| format!("{error}{}", advice(error));
    let skipped: Vec<String> = found.skipped.iter().map(reason).collect();
    bad_images::list(&skipped, machine);
    let results = Results { found: &found, networks: &networks, views: &views, split };
    let title = format!("{} on {shown}", results.networks.arch());
    // Whoever stops it now gets nothing; after that, what was found is not lost because something cannot be written.
    let page = args.html.as_ref().map(|_| page::page(&title, &results, &*data, &activity));
    activity.check()?;
    if args.json {
        results.print_json()?;
    } else {
        results.print_text()?;
    }
    if let Some(averaged) = averaged {
        averaged.write(machine)?;
    }
    match args.html.as_ref().zip(page) {
        Some((path, page)) => page::write(path, &page.map_err(|error| activity.failure(error))?),
        None => Ok(()),
    }
}

/// Measures the networks by their views on `data`, whose classes are those of the networks with these `indices`.
fn measure(
    args: &Args,
    (networks, views): (&Networks, &Views),
    data: &dyn Dataset,
    indices: &[usize],
    machine: &Machine,
    activity: &Activity,
) -> Result<Evaluation, CliError> {
    let default = EvaluationOptions::default();
    let options = EvaluationOptions {
        batch: args.batch.map_or(default.batch, |batch| batch as usize),
        skip_bad: args.bad_images.on_bad_image == OnBadImage::Skip,
        mistakes: if args.html.is_some() { MISTAKES } else { 0 },
    };
    let ensemble = &networks.ensemble;
    let found = match views {
        Views::Crops(crops) => {
            let inputs = options.images_a_batch(*crops).min(data.len()) * crops.count();
            check_batch(options.batch as u32, inputs, ensemble.classifiers(), machine)?;
            evaluate_ensemble(ensemble, data, indices, &options, activity)
        }
        Views::Dense(scales) => evaluate_dense(ensemble, scales, data, indices, &options, activity),
    };
    activity.end();
    found.map_err(|error| failure(error, activity))
}

/// Without data, only a network of the built-in images can be measured.
fn check_demo(weights: &Weights) -> Result<(), CliError> {
    if weights.names.as_deref().is_some_and(|names| names == demo::CLASSES) {
        return Ok(());
    }
    Err(CliError::usage(format!(
        "no DATA: {} is not of the built-in images, so give the folder of labelled images to measure it on",
        weights.path.display()
    )))
}

fn failure(error: EvaluationError, activity: &Activity) -> CliError {
    match error {
        EvaluationError::Data(error) => activity.failure(error),
        EvaluationError::Dense {
            error: DenseError::TooLarge { .. } | DenseError::Memory { .. },
            ..
        } => CliError::failed(format!("{error} (see --scales)")),
        _ => CliError::failed(error),
    }
}

impl SplitName {
    fn split(self) -> Split {
        match self {
            Self::Val => Split::Val,
            Self::Test => Split::Test,
            Self::Train => Split::Train,
            Self::All => Split::All,
        }
    }
}
