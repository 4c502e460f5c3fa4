//! `resnet-cpu quantize`: a network's weights and activations in 8 bits, by images that show what values they have.

mod results;

use resnet_cpu::data::{self, Dataset, Labelled, Split, open_split};
use resnet_cpu::infer::class_names;
use resnet_cpu::quantize::{
    Keep, Outcome, PERCENTILE, QuantizeError, QuantizeOptions, RangeMethod, Unlabelled, page,
    quantize,
};
use resnet_cpu::runtime::{Disk, write_durably};
use resnet_cpu::weights::{WeightsFile, write_quantized_to};
use std::path::{Path, PathBuf};

use super::activity::Activity;
use super::bad_images::{self, BadImageArgs, OnBadImage};
use super::cache::CacheArgs;
use super::error::CliError;
use super::hub::file_of;
use super::limits::{LimitArgs, advice};
use super::machine::Machine;
use super::output::one_line;
use super::preprocessing::PreprocessingArgs;
use super::weights::{WeightsArgs, note_weights};
use super::written::{check_place, entries, pixel_mean, refuse_stdout, refuse_weights, storage};
use results::Results;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Weights in f32: a safetensors or PyTorch file, or a name of published ones
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The file to write: safetensors that `infer`, `eval`, `inspect` and `bench` take like any other
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// Images like those that the network will see, best some that it was trained on: what `eval` takes, or a folder of
    /// images. Labels do not matter; training images are taken where the data are split
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// How many of the images run through the network, at least 16; all, if there are fewer
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(16..=1 << 20))]
    images: u32,
    /// Where the range of an activation is cut: minmax (nowhere), percentile (see --percentile) or mse (where rounding
    /// and cutting change least, by the mean square)
    #[arg(long, value_name = "HOW", default_value = "mse")]
    method: RangeMethod,
    /// Of --method percentile: how many percent of the values are inside [default: 99.99]
    #[arg(long, value_name = "P", value_parser = parse_percentile)]
    percentile: Option<f64>,
    /// Layers whose weights are kept in f32: auto (those that lose too much), none, or names as `inspect` prints them;
    /// fc is the classifier
    #[arg(long, value_name = "auto|none|NAME,..", value_delimiter = ',', default_value = "auto")]
    keep_f32: Vec<String>,
    /// Print one JSON object: what was done to each layer
    #[arg(long)]
    json: bool,
    /// Also write a page with the histogram of each activation, and where it was cut
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Replace OUT if it exists; if it is a symbolic link, replace the file it points to
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    weights: WeightsArgs,
    #[command(flatten)]
    preprocessing: PreprocessingArgs,
    #[command(flatten)]
    bad_images: BadImageArgs,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    cache: CacheArgs,
}

fn parse_percentile(text: &str) -> Result<f64, String> {
    let inside = text.parse().ok().filter(|percent| (50.0..=100.0).contains(percent));
    inside.ok_or_else(|| "expected 50 to 100 percent".to_owned())
}

pub(super) fn run(args: &Args, machine: &Machine) -> Result<(), CliError> {
    let options = args.options()?;
    if let Some(page) = &args.report {
        check_place("--report", page)?;
    }
    refuse_stdout(&args.output)?;
    check_place("OUT", &args.output)?;
    let input = &file_of(&args.input, machine)?;
    if let Some(page) = &args.report {
        refuse_weights("--report", page, [("IN", &**input), ("OUT", &*args.output)])?;
    }
    let storage = storage(input, &args.output, args.force)?;
    let overrides = args.weights.overrides()?;
    let weights = WeightsFile::open(input, &overrides).map_err(CliError::failed)?;
    if weights.quantized().is_some() {
        return Err(CliError::failed(format!(
            "{}: expected weights in f32, found a network in 8 bits; take the file that it was made from",
            input.display()
        )));
    }
    note_weights(machine, input, &weights);

    let activity = Activity::begin(machine, "stopping")?;
    let (data, notes) = args.open(&activity)?;
    notes.iter().for_each(|note| machine.note(note));
    let (used, notes) = args.preprocessing.resolve(&weights, data.pad())?;
    notes.iter().for_each(|note| machine.note(note));
    if data.len() < options.images {
        machine.note(&format!(
            "{}: only {} images, of {} that were asked for",
            args.data.display(),
            data.len(),
            options.images
        ));
    }
    let network = weights.network();
    let found = quantize(network, &weights, &*data, &used, &options, machine.backend, &activity);
    activity.end();
    let found = found.map_err(|error| args.failure(error, input, &activity))?;
    let reason = |error: &data::Error| format!("{error}{}", advice(error));
    let skipped: Vec<String> = found.skipped.iter().map(reason).collect();
    bad_images::list(&skipped, machine);

    let (entries, mean) = (entries(&weights, &used, class_names(&weights)), pixel_mean(&used));
    write_quantized_to(storage, &args.output, network, &found.quantized, mean.as_ref(), &entries)
        .map_err(CliError::failed)?;
    let results = Results { input, output: &args.output, found: &found, skipped };
    if args.json {
        results.print_json()?
    } else {
        results.print_text()?
    }
    args.report.as_ref().map_or(Ok(()), |path| args.write_report(path, &found))
}

impl Args {
    fn options(&self) -> Result<QuantizeOptions, CliError> {
        let method = match (self.method, self.percentile) {
            (RangeMethod::Percentile(_), percent) => {
                RangeMethod::Percentile(percent.unwrap_or(PERCENTILE))
            }
            (_, Some(_)) => {
                return Err(CliError::usage("--percentile: only --method percentile has one"));
            }
            (method, None) => method,
        };
        let names: Vec<String> = self.keep_f32.iter().map(|name| name.trim().to_owned()).collect();
        let keep = match &names[..] {
            [name] if name == "auto" => Keep::Auto,
            [name] if name == "none" => Keep::None,
            _ => Keep::Layers(names),
        };
        let skip_bad = self.bad_images.on_bad_image == OnBadImage::Skip;
        Ok(QuantizeOptions { images: self.images as usize, method, keep, skip_bad })
    }

    /// The images: the training images of a data set, else those that it has; else those of a folder.
    fn open(&self, activity: &Activity) -> Result<(Box<dyn Dataset>, Vec<String>), CliError> {
        let (path, limits, cache) = (&self.data, self.limits.limits(), self.cache.cache());
        let open = |split| open_split(Some(path), split, limits, &cache, activity);
        let opened = match open(None) {
            // These are what the network will be measured on.
            Ok(Labelled { split: Split::Val | Split::Test, .. }) => {
                match open(Some(Split::Train)) {
                    Err(data::Error::NoSplit { .. }) => open(None),
                    opened => opened,
                }
            }
            opened => opened,
        };
        let shown = path.display();
        match opened {
            Ok(Labelled { data, kind, split, .. }) => {
                let note = format!("{shown}: {split}, {} images, {kind}", data.len());
                Ok((data, vec![note]))
            }
            Err(error @ data::Error::UnknownData { .. }) if path.is_dir() => {
                let images = match Unlabelled::find(path, limits, activity) {
                    Ok(images) => images,
                    Err(data::Error::NoImages { .. }) => return Err(activity.failure(error)),
                    Err(error) => return Err(activity.failure(error)),
                };
                let mut notes = vec![format!("{shown}: {} images", images.len())];
                notes.extend_from_slice(images.notes());
                Ok((Box::new(images), notes))
            }
            Err(error) => Err(activity.failure(error)),
        }
    }

    fn write_report(&self, path: &Path, found: &Outcome) -> Result<(), CliError> {
        let title = format!("{} in 8 bits", one_line(&self.input.to_string_lossy()));
        let page = page(&title, &found.report, &found.seen).map_err(CliError::failed)?;
        write_durably(&Disk, path, |out| out.write_all(page.as_bytes())).map_err(|error| {
            CliError::failed(format!("--report: {}: cannot write: {error}", path.display()))
        })
    }

    fn failure(&self, error: QuantizeError, input: &Path, activity: &Activity) -> CliError {
        match error {
            QuantizeError::Data(error) => activity.failure(error),
            QuantizeError::TooFew { .. } | QuantizeError::TooFewRead { .. } => {
                CliError::failed(format!("{}: {error}", self.data.display()))
            }
            QuantizeError::NoLayer { .. } => CliError::usage(format!("--keep-f32: {error}")),
            error => CliError::failed(format!("{}: {error}", input.display())),
        }
    }
}
