//! `resnet-cpu convert`: weights of any readable format to safetensors that need no assumptions, to ONNX, or to what
//! torchvision and timm load.

use std::io::Write;
use std::path::{Path, PathBuf};

use resnet_cpu::infer::{InferError, class_names, labels};
use resnet_cpu::runtime::write_durably;
use resnet_cpu::weights::{Loader, WeightsFile, timm_config, write_onnx_to, write_weights_to};

use super::error::CliError;
use super::hub::file_of;
use super::machine::Machine;
use super::output::{grouped, one_line};
use super::preprocessing::PreprocessingArgs;
use super::weights::{WeightsArgs, note_weights};
use super::written::{entries, pixel_mean, refuse_stdout, storage};

/// What timm looks for in a folder.
const WEIGHTS: &str = "model.safetensors";
const CONFIG: &str = "config.json";

#[derive(clap::Args)]
pub(super) struct Args {
    /// Weights: a PyTorch file (.pth, .th, .pt) or safetensors, whose content decides, not its name; or a
    /// name of published ones
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The file to write: f32 tensors under torchvision's names (which timm has, too), with everything that
    /// was stated or assumed as metadata. For --to timm a folder
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// What to write: safetensors; onnx, the network for other runtimes; torch-names, safetensors that
    /// torchvision loads strictly, or an error; timm, a folder that timm loads, with its config.json [default:
    /// onnx if OUT ends in .onnx, else safetensors]
    #[arg(long, value_enum, value_name = "FORMAT")]
    to: Option<Format>,
    /// Replace OUT if it exists; if it is a symbolic link, replace the file it points to
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    weights: WeightsArgs,
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
    TorchNames,
    Timm,
}

impl Args {
    fn format(&self) -> Format {
        let onnx = self.output.extension().is_some_and(|e| e.eq_ignore_ascii_case("onnx"));
        self.to.unwrap_or(if onnx { Format::Onnx } else { Format::Safetensors })
    }
}

pub(super) fn run(args: &Args, machine: &Machine) -> Result<(), CliError> {
    let format = args.format();
    let input = &file_of(&args.input, machine)?;
    let output = &match format {
        Format::Timm => args.output.join(WEIGHTS),
        _ => args.output.clone(),
    };
    let overrides = args.weights.overrides()?;
    if format == Format::Timm {
        refuse_stdout(&args.output)?;
        storage(input, &args.output.join(CONFIG), args.force)?;
    }
    let storage = storage(input, output, args.force)?;
    let weights = WeightsFile::open(input, &overrides).map_err(CliError::failed)?;
    note_weights(machine, input, &weights);
    let (used, notes) = args.preprocessing.resolve(&weights, None)?;
    notes.iter().for_each(|note| machine.note(note));
    let classes = match &args.labels {
        Some(file) => Some(read_labels(file, weights.spec().classes)?),
        None => class_names(&weights),
    };
    let spec = weights.spec();
    let config = match format {
        Format::Safetensors | Format::Onnx => None,
        Format::TorchNames => {
            Loader::Torchvision.check(spec, &used).map_err(CliError::failed)?;
            None
        }
        Format::Timm => {
            Some(timm_config(spec, &used, classes.as_deref()).map_err(CliError::failed)?)
        }
    };

    let (entries, pixel_mean) = (entries(&weights, &used, classes), pixel_mean(&used));
    let (network, mean) = (weights.network(), pixel_mean.as_ref());
    let write = match format {
        Format::Onnx => write_onnx_to,
        Format::Safetensors | Format::TorchNames | Format::Timm => write_weights_to,
    };
    if config.is_some() {
        let made = std::fs::create_dir_all(&args.output);
        let folder = args.output.display();
        made.map_err(|error| {
            CliError::failed(format!("{folder}: cannot make the folder: {error}"))
        })?;
    }
    write(storage, output, network, &weights, mean, &entries).map_err(CliError::failed)?;
    if let Some(config) = config {
        let path = args.output.join(CONFIG);
        let written = write_durably(storage, &path, |out| out.write_all(config.as_bytes()));
        written.map_err(|error| CliError::failed(format!("{}: {error}", path.display())))?;
    }
    if let Some(note) = whereabouts(format, &args.output) {
        machine.note(&note);
    }

    let bytes = std::fs::metadata(output).map_or(0, |attributes| attributes.len());
    let path = output.to_string_lossy();
    let tensors = weights.network().tensors().len() + usize::from(pixel_mean.is_some());
    Ok(writeln!(
        std::io::stdout(),
        "{}: {spec}, {} classes; {tensors} tensors, {} bytes",
        one_line(&path),
        spec.classes,
        grouped(bytes)
    )?)
}

/// Where those who load what was written find how images are prepared and what the classes are called.
fn whereabouts(format: Format, output: &Path) -> Option<String> {
    match format {
        Format::Safetensors | Format::Onnx => None,
        Format::TorchNames => Some(
            "torchvision loads the tensors only: preparation and names of classes are in the file's metadata, \
             resnet_cpu.*"
                .to_owned(),
        ),
        Format::Timm => Some(format!(
            "preparation and names of classes are in {}, and timm.create_model('local-dir:{}', pretrained=True) \
             heeds them",
            output.join(CONFIG).display(),
            output.display()
        )),
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
