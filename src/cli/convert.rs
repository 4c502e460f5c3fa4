//! `resnet-cpu convert`: weights of any readable format to safetensors that need no assumptions, or to ONNX.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use resnet_cpu::data::Preprocess;
use resnet_cpu::infer::{InferError, class_names, labels};
use resnet_cpu::runtime::{Disk, NewFiles, Storage};
use resnet_cpu::weights::{Metadata, PixelMean, WeightsFile, write_onnx_to, write_weights_to};

use super::error::CliError;
use super::hub::file_of;
use super::machine::Machine;
use super::network::NetworkArgs;
use super::output::{grouped, one_line};
use super::preprocessing::PreprocessingArgs;
use super::weights::{ExtraArgs, note_weights};

/// What a header says to this program only; `convert` writes it anew.
const OURS: &str = "resnet_cpu.";

#[derive(clap::Args)]
pub(super) struct Args {
    /// Weights: a PyTorch file (.pth, .th, .pt) or safetensors, whose content decides, not its name; or a
    /// name of published ones
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The file to write: f32 tensors under torchvision's names (which timm has, too), with everything that
    /// was stated or assumed as metadata
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// What to write: safetensors, or onnx, the network for other runtimes [default: onnx if OUT ends in
    /// .onnx, else safetensors]
    #[arg(long, value_enum, value_name = "FORMAT")]
    to: Option<Format>,
    /// Replace OUT if it exists; if it is a symbolic link, replace the file it points to
    #[arg(long)]
    force: bool,
    /// Network that the weights belong to [default: as the file says]
    #[arg(long, value_name = "NAME")]
    arch: Option<String>,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    extra: ExtraArgs,
    #[command(flatten)]
    preprocessing: PreprocessingArgs,
    /// Class names in index order: a text file with one name per line, or JSON [default: as the file
    /// says, else those of the data set that its publisher is known to have trained on]
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Format {
    Safetensors,
    Onnx,
}

impl Args {
    fn format(&self) -> Format {
        let onnx = self.output.extension().is_some_and(|e| e.eq_ignore_ascii_case("onnx"));
        self.to.unwrap_or(if onnx { Format::Onnx } else { Format::Safetensors })
    }
}

pub(super) fn run(args: &Args, machine: &Machine) -> Result<(), CliError> {
    let (input, output) = (&file_of(&args.input, machine)?, &args.output);
    let overrides = args.extra.and(args.network.overrides(args.arch.as_deref())?);
    let storage = storage(input, output, args.force)?;
    let weights = WeightsFile::open(input, &overrides).map_err(CliError::failed)?;
    note_weights(machine, input, &weights);
    let (used, notes) = args.preprocessing.resolve(&weights, None)?;
    notes.iter().for_each(|note| machine.note(note));
    let classes = match &args.labels {
        Some(file) => Some(read_labels(file, weights.spec().classes)?),
        None => class_names(&weights),
    };

    let (preprocess, pixel_mean) = (used.stated(), pixel_mean(&used));
    let metadata = Metadata { preprocess, classes, ..weights.metadata().clone() };
    let foreign = weights.file().metadata().iter().filter(|(key, _)| !key.starts_with(OURS));
    let mut entries: BTreeMap<String, String> =
        foreign.map(|(key, value)| (key.clone(), value.clone())).collect();
    entries.extend(metadata.entries());
    let (network, mean) = (weights.network(), pixel_mean.as_ref());
    let write = match args.format() {
        Format::Safetensors => write_weights_to,
        Format::Onnx => write_onnx_to,
    };
    write(storage, output, network, &weights, mean, &entries).map_err(CliError::failed)?;

    let bytes = std::fs::metadata(output).map_or(0, |attributes| attributes.len());
    let (path, spec) = (output.to_string_lossy(), weights.spec());
    let tensors = weights.network().tensors().len() + usize::from(pixel_mean.is_some());
    Ok(writeln!(
        std::io::stdout(),
        "{}: {spec}, {} classes; {tensors} tensors, {} bytes",
        one_line(&path),
        spec.classes,
        grouped(bytes)
    )?)
}

/// Where OUT is written: never over the input, and without `force` over nothing. What can be refused now
/// is; what appears until then is seen when the file gets its name.
fn storage(input: &Path, output: &Path, force: bool) -> Result<&'static dyn Storage, CliError> {
    let failed =
        |error: &dyn std::fmt::Display| CliError::failed(format!("{}: {error}", output.display()));
    if output == Path::new("-") {
        let reason = "-: expected a file name; for a file called -, give ./-";
        return Err(CliError::usage(reason));
    }
    let one = output.canonicalize().is_ok_and(|out| input.canonicalize().is_ok_and(|i| i == out));
    if one {
        return Err(CliError::usage(format!("{}: IN and OUT are the same file", output.display())));
    }
    if force {
        return Disk.target(output).map(|_| &Disk as &dyn Storage).map_err(|error| failed(&error));
    }
    match NewFiles.target(output) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(failed(&"it already exists; --force replaces it"))
        }
        // What else is wrong is said when the file is written.
        _ => Ok(&NewFiles),
    }
}

fn read_labels(file: &Path, classes: usize) -> Result<Vec<String>, CliError> {
    let names = labels::read_labels(file).map_err(CliError::failed)?;
    if names.len() == classes {
        return Ok(names);
    }
    let error = InferError::Labels { classes, found: names.len() };
    Err(CliError::failed(format!("{}: {error}", file.display())))
}

/// The mean of each pixel as files store it, if that is what is subtracted.
fn pixel_mean(used: &Preprocess) -> Option<PixelMean<'_>> {
    let side = used.view.crop;
    let values = Cow::Borrowed(used.pixel_mean()?);
    Some(PixelMean { height: side, width: side, values })
}
