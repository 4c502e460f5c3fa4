//! `resnet-cpu infer`: what do these pictures show?

use resnet_cpu::data::{self, Limits, Mean, Preprocessing};
use resnet_cpu::infer::{
    Classifier, InferError, Prediction, Session, class_names, labels, preprocessing,
};
use resnet_cpu::weights::{self, WeightsFile};
use serde::Serialize;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::error::CliError;
use super::layer_times::print_layer_times;
use super::machine::Machine;
use super::network::NetworkArgs;
use super::output::{one_line, print_error, write_json};
use super::weights::find_weights;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Pictures, and folders of pictures (with their subfolders, in sorted order)
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Weights, a safetensors file [default: $RESNET_CPU_WEIGHTS, else the newest
    /// runs/*/best.safetensors]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Network that the weights belong to [default: as the file says]
    #[arg(long, value_name = "NAME")]
    arch: Option<String>,
    #[command(flatten)]
    network: NetworkArgs,
    /// How many classes to name [default: 5]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    top: Option<u32>,
    /// One JSON object a line; `ms` is the wall time of a batch, from file to prediction, over its
    /// pictures
    #[arg(long)]
    json: bool,
    /// Class names, one a line in order of index
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Mean of red, green and blue in 0..1
    #[arg(long, value_name = "R,G,B", value_parser = parse_mean, allow_hyphen_values = true)]
    mean: Option<[f32; 3]>,
    /// Standard deviation of red, green and blue in 0..1
    #[arg(long, value_name = "R,G,B", value_parser = parse_std, allow_hyphen_values = true)]
    std: Option<[f32; 3]>,
    /// Pixels to which the shorter side is resized
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16_384))]
    resize: Option<u32>,
    /// Pixels of the side of the square cut from the centre: the network's input
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    crop: Option<u32>,
    /// Pictures that run together; changes speed and memory, never the result
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch: u32,
    /// Where the time of the last batch went, layer by layer, on stderr
    #[arg(long, conflicts_with = "quiet")]
    verbose: bool,
}

/// The line of JSON for a picture.
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
    logit: f32,
}

/// The line of JSON for a picture that cannot be read.
#[derive(Serialize)]
struct Failure<'a> {
    image: &'a str,
    error: &'a str,
}

pub(super) fn run(args: &Args, machine: &Machine) -> Result<(), CliError> {
    let overrides = args.network.overrides(args.arch.as_deref())?;
    let path = find_weights(args.weights.as_deref())?;
    let names = args.labels.as_deref().map(labels::read_labels).transpose();
    let names = names.map_err(CliError::failed)?;
    machine.note_itself();
    let weights = WeightsFile::open(&path, &overrides).map_err(CliError::failed)?;
    let (mut classifier, arch) = prepare(args, machine, &path, weights, names)?;
    classifier.session_mut().set_profiling(args.verbose);

    let found = data::collect_images(&args.paths);
    let mut report = Report::new(args, arch, found.len() > 1);
    let mut runner = Runner { classifier, top: args.top.unwrap_or(5) as usize };
    for batch in found.chunks(args.batch as usize) {
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
        print_layer_times(&runner.classifier.session().layer_times(), machine);
    }
    if report.failed { Err(CliError::Reported) } else { Ok(()) }
}

/// The classifier that file and flags describe, with notes of what was assumed.
fn prepare(
    args: &Args,
    machine: &Machine,
    path: &Path,
    weights: WeightsFile,
    names: Option<Vec<String>>,
) -> Result<(Classifier<'static>, String), CliError> {
    let spec = weights.spec().clone();
    machine.note(&format!("weights {}: {spec}, {} classes", path.display(), spec.classes));
    for note in weights.notes() {
        machine.note(note);
    }
    let asked = weights::Preprocessing {
        mean: args.mean,
        std: args.std,
        resize: args.resize.map(|n| n as usize),
        crop: args.crop.map(|n| n as usize),
    };
    let (preprocessing, assumed) = preprocessing(&weights, &asked)
        .map_err(|error| CliError::failed(format!("{}: {error}", path.display())))?;
    note_preprocessing(machine, &preprocessing, &assumed);

    let names = names.or_else(|| class_names(&weights));
    let session = Session::new(&weights.network().clone(), weights, machine.backend);
    if names.is_none() {
        machine.note(&format!("no names are known for the {} classes; see --labels", spec.classes));
    }
    let classifier = Classifier::new(session, preprocessing, names);
    let classifier = classifier.map_err(|error| match (&error, &args.labels) {
        (InferError::Labels { .. }, Some(file)) => {
            CliError::failed(format!("{}: {error}", file.display()))
        }
        _ => CliError::failed(error),
    })?;
    Ok((classifier, spec.name))
}

fn note_preprocessing(machine: &Machine, used: &Preprocessing, assumed: &[&str]) {
    let triple = |[r, g, b]: [f32; 3]| format!("{r},{g},{b}");
    let resize = used.resize.map_or("no resize".to_owned(), |side| format!("resize {side}"));
    let mean = match &used.mean {
        Mean::Channel { mean, std } => format!("mean {}, std {}", triple(*mean), triple(*std)),
        Mean::Pixel(_) => "the file's per-pixel mean".to_owned(),
    };
    let assumed = match assumed {
        [] => String::new(),
        fields => format!(" (assumed: {})", fields.join(", ")),
    };
    machine.note(&format!("preprocessing: {resize}, crop {}, {mean}{assumed}", used.crop));
}

/// Reads and classifies batches of files.
struct Runner {
    classifier: Classifier<'static>,
    top: usize,
}

impl Runner {
    /// The predictions for each file, or the reason why there are none.
    fn classify_files(
        &mut self,
        files: &[Result<PathBuf, data::Error>],
    ) -> Vec<Result<Vec<Prediction>, String>> {
        let limits = Limits::default();
        let results = self.classifier.classify_each(files.len(), self.top, |i| match &files[i] {
            Ok(path) => data::read_image(path, &limits).map_err(|error| Reason::of(&error)),
            Err(error) => Err(Reason::of(error)),
        });
        results.into_iter().map(|result| result.map_err(|Reason(reason)| reason)).collect()
    }
}

/// What is wrong with a picture, without its path.
struct Reason(String);

impl Reason {
    fn of(error: &data::Error) -> Self {
        let text = error.to_string();
        let path = format!("{}: ", error.path().display());
        Self(text.strip_prefix(&path).unwrap_or(&text).to_owned())
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
    /// Each picture's rows follow a line with its path.
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
            return write_json(&mut self.out, &Answer { image, arch: &self.arch, ms, predictions });
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
                Some(label) => format!("{label} ({index})"),
                None => format!("class {index}"),
            };
            writeln!(self.out, "{rank:3}  {percent:6.2} %  {class}")?;
        }
        Ok(())
    }
}

fn parse_mean(text: &str) -> Result<[f32; 3], String> {
    parse_triple(text, "three numbers r,g,b", f32::is_finite)
}

fn parse_std(text: &str) -> Result<[f32; 3], String> {
    parse_triple(text, "three positive numbers r,g,b", |x| x.is_finite() && x > 0.0)
}

fn parse_triple(text: &str, expected: &str, valid: fn(f32) -> bool) -> Result<[f32; 3], String> {
    let numbers: Option<Vec<f32>> = text.split(',').map(|x| x.trim().parse().ok()).collect();
    numbers
        .and_then(|numbers| <[f32; 3]>::try_from(numbers).ok())
        .filter(|numbers| numbers.iter().all(|&x| valid(x)))
        .ok_or_else(|| format!("expected {expected}"))
}
