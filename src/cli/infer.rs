//! `resnet-cpu infer`: what do these images show?

use clap::ValueEnum;
use resnet_cpu::data::{self, Crops, Limits};
use resnet_cpu::infer::{Classifier, InferError, Model, Prediction, Session, class_names, labels};
use resnet_cpu::runtime::Unwatched;
use resnet_cpu::weights::WeightsFile;
use serde::Serialize;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::convolutions::ConvolutionArgs;
use super::error::CliError;
use super::layer_times::print_layer_times;
use super::machine::Machine;
use super::network::NetworkArgs;
use super::output::{one_line, print_error, write_json};
use super::preprocessing::PreprocessingArgs;
use super::weights::{ExtraArgs, find_weights, note_weights};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Images, and folders of images (with their subfolders, in sorted order); - is an image on
    /// stdin
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Weights, a safetensors or PyTorch file [default: $RESNET_CPU_WEIGHTS, else the newest
    /// runs/*/best.safetensors]
    #[arg(long, value_name = "FILE")]
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
    /// How many classes to name [default: 5]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    top: Option<u32>,
    /// One JSON object a line; `ms` is the wall time of a batch, from file to prediction, over its
    /// images
    #[arg(long)]
    json: bool,
    /// Class names in order of index: text, one a line, or JSON
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    #[command(flatten)]
    preprocessing: PreprocessingArgs,
    /// What the network sees of an image: its centre, or the four corners, the centre and these
    /// mirrored, whose probabilities are averaged
    #[arg(long, value_enum, default_value_t)]
    crops: CropsName,
    /// Pixels that a side of an image may have
    #[arg(long, value_name = "N", default_value_t = Limits::default().side, value_parser = clap::value_parser!(u32).range(1..))]
    max_side: u32,
    /// Bytes that an image may have, decoded and as a file
    #[arg(long, value_name = "N", default_value_t = Limits::default().bytes, value_parser = clap::value_parser!(u64).range(1..=2 << 30))]
    max_bytes: u64,
    /// Crops that run together; changes speed and memory, and the last digits at most
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch: u32,
    /// Where the time of the last batch went, layer by layer, on stderr
    #[arg(long, conflicts_with = "quiet")]
    verbose: bool,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum CropsName {
    #[default]
    Center,
    Ten,
}

/// Whether the path means stdin.
fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The line of JSON for an image.
#[derive(Serialize)]
struct Answer<'a> {
    image: &'a str,
    arch: &'a str,
    ms: f64,
    predictions: Vec<Guess<'a>>,
}

#[derive(Serialize)]
struct Guess<'a> {
    index: usize,
    label: Option<&'a str>,
    probability: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    logit: Option<f32>,
}

/// The line of JSON for an image that cannot be read.
#[derive(Serialize)]
struct Failure<'a> {
    image: &'a str,
    error: &'a str,
}

pub(super) fn run(args: &Args, machine: &Machine) -> Result<(), CliError> {
    if args.paths.iter().filter(|path| is_stdin(path)).count() > 1 {
        return Err(CliError::usage("stdin (-) can be given once"));
    }
    let overrides = args.extra.and(args.network.overrides(args.arch.as_deref())?);
    let path = find_weights(args.weights.as_deref())?;
    let names = args.labels.as_ref().map(labels::read_labels).transpose();
    let names = names.map_err(CliError::failed)?;
    machine.note_itself();
    let weights = WeightsFile::open(&path, &overrides).map_err(CliError::failed)?;
    let (classifier, arch) = prepare(args, machine, &path, weights, names)?;

    let mut found = Vec::new();
    for path in &args.paths {
        if is_stdin(path) {
            found.push(Ok(path.clone()));
            continue;
        }
        let list = data::collect_images(std::slice::from_ref(path), &Unwatched);
        let list = list.map_err(CliError::failed)?;
        list.notes.iter().for_each(|note| machine.note(note));
        found.extend(list.images);
    }
    let mut report = Report::new(args, arch, found.len() > 1);
    let limits = Limits { side: args.max_side, bytes: args.max_bytes };
    let mut runner = Runner { classifier, limits, top: args.top.unwrap_or(5) as usize };
    let images = (args.batch as usize / args.crops.crops().count()).max(1);
    for batch in found.chunks(images) {
        let start = Instant::now();
        let results = runner.classify_files(batch);
        let ms = start.elapsed().as_secs_f64() * 1e3 / batch.len() as f64;
        for (file, result) in batch.iter().zip(results) {
            let path = file.as_deref().unwrap_or_else(|error| error.path());
            report.add(path, ms, result, &runner.classifier)?;
        }
        report.out.flush()?;
    }
    if args.verbose {
        let images = images.min(found.len());
        warm_layer_times(&runner.classifier, images * args.crops.crops().count(), machine)?;
    }
    if report.failed { Err(CliError::Reported) } else { Ok(()) }
}

/// Prints what each layer takes in a run of `batch` images that is not the first.
fn warm_layer_times(
    classifier: &Classifier,
    batch: usize,
    machine: &Machine,
) -> Result<(), CliError> {
    let mut session = Session::of(classifier.model());
    session.set_profiling(true);
    let side = classifier.preprocess().view.crop;
    let input = vec![0.0; batch * side * side * 3];
    for _ in 0..2 {
        session.run(&input, batch, side, side).map_err(CliError::failed)?;
    }
    print_layer_times(&session.layer_times(), machine);
    Ok(())
}

/// The classifier that file and flags describe, with notes of what was assumed.
fn prepare(
    args: &Args,
    machine: &Machine,
    path: &Path,
    weights: WeightsFile,
    names: Option<Vec<String>>,
) -> Result<(Classifier, String), CliError> {
    let spec = weights.spec().clone();
    note_weights(machine, path, &weights);
    let preprocessing = args.preprocessing.resolve(machine, path, &weights)?;
    let crops = args.crops.crops();
    if crops == Crops::Ten {
        machine.note("ten crops of each image, whose probabilities are averaged");
    }

    let names = names.or_else(|| class_names(&weights));
    let model = Model::new(&weights.network().clone(), weights, machine.backend)
        .with_convolutions(args.convolutions.choice());
    if names.is_none() {
        machine.note(&format!("no names are known for the {} classes; see --labels", spec.classes));
    }
    let classifier = Classifier::new(model, preprocessing, names);
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
        match error {
            data::Error::TooLarge { .. } => Self(format!("{reason} (see --max-side, --max-bytes)")),
            _ => Self(reason.to_owned()),
        }
    }
}

impl From<InferError> for Reason {
    fn from(error: InferError) -> Self {
        Self(error.to_string())
    }
}

/// Writes results in the form that was asked for.
struct Report<W: Write> {
    out: W,
    json: bool,
    arch: String,
    /// Each image's rows follow a line with its path.
    headed: bool,
    failed: bool,
}

impl Report<BufWriter<std::io::Stdout>> {
    fn new(args: &Args, arch: String, headed: bool) -> Self {
        let out = BufWriter::new(std::io::stdout());
        Self { out, json: args.json, arch, headed, failed: false }
    }
}

impl<W: Write> Report<W> {
    fn add(
        &mut self,
        path: &Path,
        ms: f64,
        result: Result<Vec<Prediction>, String>,
        classifier: &Classifier,
    ) -> Result<(), CliError> {
        let image = &*path.to_string_lossy();
        let predictions = match result {
            Ok(predictions) => predictions,
            Err(error) => {
                self.failed = true;
                // What stdout already has comes before the error where both are a terminal.
                self.out.flush()?;
                print_error(&format!("{image}: {error}"));
                if self.json {
                    write_json(&mut self.out, &Failure { image, error: &error })?;
                }
                return Ok(());
            }
        };
        let guess = |p: &Prediction| Guess {
            index: p.index,
            label: classifier.label(p.index),
            probability: p.probability,
            logit: p.logit,
        };
        let predictions: Vec<Guess> = predictions.iter().map(guess).collect();
        if self.json {
            let answer = Answer { image, arch: &self.arch, ms, predictions };
            return Ok(write_json(&mut self.out, &answer)?);
        }
        if self.headed {
            writeln!(self.out, "{}", one_line(image))?;
        }
        self.write_table(&predictions)
    }

    fn write_table(&mut self, rows: &[Guess]) -> Result<(), CliError> {
        for (rank, row) in rows.iter().enumerate() {
            let (rank, percent, index) = (rank + 1, row.probability * 100.0, row.index);
            let class = match row.label {
                Some(label) => format!("{} ({index})", one_line(label)),
                None => format!("class {index}"),
            };
            writeln!(self.out, "{rank:3}  {percent:6.2} %  {class}")?;
        }
        Ok(())
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
