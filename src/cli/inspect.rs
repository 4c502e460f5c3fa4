//! `resnet-cpu inspect`: what is in a file of weights, or what a network consists of.

use resnet_cpu::infer::activation_bytes;
use resnet_cpu::model::{Layer, LayerShape, ModelSpec, Network, TensorId};
use resnet_cpu::weights::{StoredTensor, TensorFile, WeightsError, WeightsFile};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::error::CliError;
use super::hub::file_of;
use super::machine::Machine;
use super::output::{grouped, one_line, write_json};
use super::weights::WeightsArgs;

#[derive(clap::Args)]
pub(super) struct Args {
    /// A safetensors or PyTorch file, the name of a network, e.g. resnet50, or that of published weights, e.g.
    /// torchvision:resnet50
    #[arg(value_name = "FILE|NAME")]
    what: String,
    #[command(flatten)]
    weights: WeightsArgs,
    /// Side of the input in pixels [default: as the file's metadata say, else 224 (ImageNet) or 32
    /// (CIFAR)]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16_384))]
    size: Option<u32>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A network, and the file it is from if it is from one.
#[derive(Serialize)]
struct Report<'a> {
    arch: &'a str,
    network: String,
    classes: usize,
    size: usize,
    layers: Vec<Row<'a>>,
    parameters: usize,
    macs: u64,
    /// In 8 bits.
    quantized: bool,
    weights_bytes: usize,
    activation_bytes: usize,
    file: Option<FileFacts<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    kind: &'static str,
    /// Height, width, channels.
    input: [usize; 3],
    output: [usize; 3],
    kernel: usize,
    stride: usize,
    groups: usize,
    parameters: usize,
    macs: u64,
}

#[derive(Serialize)]
struct FileFacts<'a> {
    path: String,
    tensors: usize,
    bytes: usize,
    /// Bytes of each element type.
    dtypes: BTreeMap<String, usize>,
    metadata: &'a BTreeMap<String, String>,
    assumptions: &'a [String],
}

/// A file that is no network of the paper.
#[derive(Serialize)]
struct Listing<'a> {
    arch: Option<String>,
    reason: String,
    file: FileFacts<'a>,
    tensors: Vec<TensorRow>,
}

#[derive(Serialize)]
struct TensorRow {
    name: String,
    dtype: String,
    shape: Vec<usize>,
    bytes: usize,
}

pub(super) fn run(args: &Args, machine: &Machine) -> Result<(), CliError> {
    let mut out = BufWriter::new(std::io::stdout());
    // A network's name alone means the network, not weights.
    let named = ["hf:", "torchvision:"].iter().any(|prefix| args.what.starts_with(prefix));
    let path = Path::new(&args.what);
    let path = if named { &file_of(path, machine)? } else { path };
    let is_name = ModelSpec::names().contains(&args.what.as_str());
    let is_name = is_name || (ModelSpec::name_of(&args.what).is_some() && !path.exists());
    if !named && (is_name || !(path.exists() || args.what.contains(['/', '\\', '.']))) {
        if args.weights.arch.is_some() {
            return Err(CliError::usage(
                "--arch is for weights files; a network is given by its name alone",
            ));
        }
        let network = Network::new(&args.weights.network.spec(&args.what)?);
        let size = args.size.map_or(network.spec.input_side(), |n| n as usize);
        let report = Report::new(&network, size, None, machine)?;
        return report.write(args.json, &mut out);
    }
    let overrides = args.weights.overrides()?;
    match WeightsFile::open(path, &overrides) {
        Ok(weights) => {
            let network = weights.network();
            let stated = weights.preprocess().crop.unwrap_or(network.spec.input_side());
            let size = args.size.map_or(stated, |n| n as usize);
            let facts = FileFacts::new(weights.file(), weights.notes());
            let mut report = Report::new(network, size, Some(facts), machine)?;
            if weights.quantized().is_some() {
                report.quantized = true;
                report.weights_bytes =
                    weights.file().tensors().iter().map(StoredTensor::byte_len).sum();
                report.activation_bytes /= size_of::<f32>();
            }
            report.write(args.json, &mut out)
        }
        Err(error @ (WeightsError::Unrecognised { .. } | WeightsError::OtherNetwork { .. })) => {
            let file = TensorFile::open(path).map_err(CliError::failed)?;
            machine.note(&error.to_string());
            list_tensors(&file, error.to_string(), args.json, &mut out)
        }
        Err(error) => Err(CliError::failed(error)),
    }
}

impl<'a> Report<'a> {
    fn new(
        network: &'a Network,
        size: usize,
        file: Option<FileFacts<'a>>,
        machine: &Machine,
    ) -> Result<Self, CliError> {
        let activation_bytes =
            activation_bytes(network, machine.backend, 1, size, size).map_err(CliError::usage)?;
        let layers =
            network.layers(size, size).iter().map(|layer| Row::new(network, layer)).collect();
        let floats: usize = network.tensors().iter().map(|tensor| tensor.len()).sum();
        Ok(Self {
            arch: &network.spec.name,
            network: network.spec.to_string(),
            classes: network.spec.classes,
            size,
            layers,
            parameters: network.parameters(),
            macs: network.macs(size, size),
            quantized: false,
            weights_bytes: floats * size_of::<f32>(),
            activation_bytes,
            file,
        })
    }

    fn write(&self, json: bool, out: &mut impl Write) -> Result<(), CliError> {
        if json {
            write_json(out, self)?;
            return Ok(out.flush()?);
        }
        let Self { network, classes, size, .. } = self;
        writeln!(out, "{network}; {classes} classes; input {size} x {size} pixels\n")?;
        self.write_layers(out)?;
        let (parameters, gmac) = (grouped(self.parameters), self.macs as f64 / 1e9);
        writeln!(out, "parameters     {parameters}")?;
        writeln!(out, "computation    {gmac:.3} GMAC per image")?;
        let kind = if self.quantized { "in 8 bits" } else { "as f32" };
        writeln!(out, "weights        {} {kind}", mebibytes(self.weights_bytes))?;
        writeln!(
            out,
            "activations    {} per image, in inference",
            mebibytes(self.activation_bytes)
        )?;
        if let Some(file) = &self.file {
            file.write(out)?;
        }
        Ok(out.flush()?)
    }

    fn write_layers(&self, out: &mut impl Write) -> Result<(), CliError> {
        let shape = |[h, w, c]: [usize; 3]| format!("{h}x{w}x{c}");
        let name_width = self.layers.iter().map(|row| row.name.len()).max().unwrap_or(0);
        let kernel_width = self.layers.iter().map(|row| row.window().len()).fold(7, usize::max);
        writeln!(
            out,
            "{:name_width$}  {:7}  {:>13}    {:13}  {:kernel_width$}  {:>10}  {:>11}",
            "layer", "kind", "input", "output", "kernel", "parameters", "MMAC"
        )?;
        for row in &self.layers {
            let (input, output) = (shape(row.input), shape(row.output));
            let kernel = row.window();
            let (parameters, mmac) = (grouped(row.parameters), row.macs as f64 / 1e6);
            writeln!(
                out,
                "{:name_width$}  {:7}  {input:>13} -> {output:13}  {kernel:kernel_width$}  {parameters:>10}  \
                 {mmac:>11.3}",
                row.name, row.kind
            )?;
        }
        Ok(writeln!(out)?)
    }
}

impl<'a> Row<'a> {
    fn new(network: &Network, shape: &LayerShape<'a>) -> Self {
        let len = |ids: &[TensorId]| ids.iter().map(|&id| network.tensor(id).len()).sum();
        let (kind, channels, [kernel, stride, groups], parameters) = match shape.layer {
            Layer::Conv(c) => (
                "conv+bn",
                (c.in_channels, c.out_channels),
                [c.kernel, c.stride, c.groups],
                len(&[c.weight, c.gamma, c.beta]),
            ),
            Layer::Linear(l) => {
                ("linear", (l.in_features, l.out_features), [1; 3], len(&[l.weight, l.bias]))
            }
        };
        Self {
            name: match shape.layer {
                Layer::Conv(conv) => &conv.name,
                Layer::Linear(_) => "fc",
            },
            kind,
            input: [shape.input.0, shape.input.1, channels.0],
            output: [shape.output.0, shape.output.1, channels.1],
            kernel,
            stride,
            groups,
            parameters,
            macs: shape.macs(),
        }
    }

    /// `3x3`, `3x3/2` with a stride, `3x3/2, 32 groups`; nothing for a classifier.
    fn window(&self) -> String {
        if self.kind == "linear" {
            return String::new();
        }
        let stride = if self.stride == 1 { String::new() } else { format!("/{}", self.stride) };
        let groups =
            if self.groups == 1 { String::new() } else { format!(", {} groups", self.groups) };
        format!("{0}x{0}{stride}{groups}", self.kernel)
    }
}

impl<'a> FileFacts<'a> {
    fn new(file: &'a TensorFile, assumptions: &'a [String]) -> Self {
        let mut dtypes = BTreeMap::new();
        for tensor in file.tensors() {
            *dtypes.entry(tensor.dtype.to_string()).or_default() += tensor.byte_len();
        }
        Self {
            path: file.path().to_string_lossy().into_owned(),
            tensors: file.tensors().len(),
            bytes: file.tensors().iter().map(StoredTensor::byte_len).sum(),
            dtypes,
            metadata: file.metadata(),
            assumptions,
        }
    }

    fn write(&self, out: &mut impl Write) -> Result<(), CliError> {
        let types = self.dtypes.iter().map(|(name, &bytes)| format!("{name} {}", mebibytes(bytes)));
        let types = types.collect::<Vec<_>>().join(", ");
        writeln!(
            out,
            "file           {}: {} tensors, {types}",
            one_line(&self.path),
            self.tensors
        )?;
        for (i, (key, value)) in self.metadata.iter().enumerate() {
            let head = if i == 0 { "metadata" } else { "" };
            // One line each: class names alone may be many thousand characters.
            let value = one_line(value);
            let short: String = value.chars().take(60).collect();
            let dots = if short.len() < value.len() { " ..." } else { "" };
            writeln!(out, "{head:13}  {} = {short}{dots}", one_line(key))?;
        }
        for (i, note) in self.assumptions.iter().enumerate() {
            let head = if i == 0 { "notes" } else { "" };
            writeln!(out, "{head:13}  {}", one_line(note))?;
        }
        Ok(())
    }
}

fn list_tensors(
    file: &TensorFile,
    reason: String,
    json: bool,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let facts = FileFacts::new(file, &[]);
    if json {
        let row = |tensor: &'_ StoredTensor| TensorRow {
            name: tensor.name.clone(),
            dtype: tensor.dtype.to_string(),
            shape: tensor.shape.clone(),
            bytes: tensor.byte_len(),
        };
        let tensors = file.tensors().iter().map(row).collect();
        write_json(out, &Listing { arch: None, reason, file: facts, tensors })?;
        return Ok(out.flush()?);
    }
    let width = file.tensors().iter().map(|tensor| tensor.name.len()).max().unwrap_or(0).min(60);
    for tensor in file.tensors() {
        let (name, dtype) = (one_line(&tensor.name), tensor.dtype.to_string());
        writeln!(out, "{name:width$}  {dtype:5}  {:?}", tensor.shape)?;
    }
    writeln!(out)?;
    facts.write(out)?;
    Ok(out.flush()?)
}

fn mebibytes(bytes: usize) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
