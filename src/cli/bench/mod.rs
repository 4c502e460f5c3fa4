//! `resnet-cpu bench`: speed, in milliseconds and in percent of the peak measured beside it.

mod gemm;
mod infer;
mod shared;
mod stats;
mod train;

use clap::ValueEnum;
use resnet_cpu::conv::Convolutions;
use resnet_cpu::model::ModelSpec;
use resnet_cpu::simd::peak_gflops;
use serde::Serialize;
use std::io::{Stdout, Write};
use std::path::PathBuf;
use std::time::Duration;

use super::convolutions::ConvolutionArgs;
use super::error::CliError;
use super::machine::Machine;
use super::network::NetworkArgs;
use super::output::{rounded, write_json};
use super::weights::ExtraArgs;
use stats::Times;

#[derive(clap::Args)]
pub(super) struct Args {
    /// What to measure
    #[arg(long, value_enum, default_value_t)]
    mode: Mode,
    /// Networks, comma-separated [default: resnet18,resnet50; train: resnet18,resnet20; gemm: resnet50]
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    arch: Vec<String>,
    #[command(flatten)]
    network: NetworkArgs,
    /// Use these weights, a file or a name of published ones, instead of random ones (inference with one
    /// network only); --json then includes the logits
    #[arg(short, long, value_name = "FILE|NAME")]
    weights: Option<PathBuf>,
    #[command(flatten)]
    extra: ExtraArgs,
    #[command(flatten)]
    convolutions: ConvolutionArgs,
    /// Images per batch, comma-separated
    #[arg(short, long, value_name = "N,..", value_delimiter = ',', default_value = "1",
          value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch: Vec<u32>,
    /// Images that go through the network at a time (--mode train) [default: the batch; of several processes, each
    /// one's part of it]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    micro_batch: Option<u32>,
    /// Height and width of the input in pixels [default: 224 (ImageNet) or 32 (CIFAR)]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    size: Option<u32>,
    /// Seconds to spend on each row; there are at least 5 runs
    #[arg(long, value_name = "S", default_value = "1", value_parser = parse_seconds)]
    seconds: Duration,
    /// Print after each row of --mode train where the time of a step went: each layer, each part, beside the peak of
    /// multiply-adds and of copying
    #[arg(long)]
    profile: bool,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Mode {
    /// Inference
    #[default]
    Infer,
    /// Training steps: forward, backward and the optimiser
    Train,
    /// Matrix products, next to the matrixmultiply crate: the kernel alone, squares, and the products of
    /// the networks' convolutions
    Gemm,
}

/// One measurement. A run of mode `gemm` is one product: there are no images then.
#[derive(Serialize)]
struct Row {
    mode: &'static str,
    arch: String,
    batch: usize,
    threads: usize,
    isa: &'static str,
    /// Runs that were timed.
    runs: usize,
    median_ms: f64,
    p10_ms: f64,
    p90_ms: f64,
    images_per_second: Option<f64>,
    gflops: f64,
    peak_gflops: f64,
    percent_of_peak: f64,
    backend: &'static str,
    kernel: &'static str,
    /// Of all images of the batch, `[batch, classes]`, where they mean something.
    #[serde(skip_serializing_if = "Option::is_none")]
    logits: Option<Vec<f32>>,
}

pub(super) fn run(args: &Args, machine: &Machine) -> Result<(), CliError> {
    if args.weights.is_some() && !(matches!(args.mode, Mode::Infer) && args.arch.len() <= 1) {
        return Err(CliError::usage("--weights is for --mode infer and one --arch"));
    }
    let choice = args.convolutions.choice();
    if choice != Convolutions::Auto && matches!(args.mode, Mode::Gemm) {
        return Err(CliError::usage("--conv is for --mode infer and train"));
    }
    if args.profile && !matches!(args.mode, Mode::Train) {
        return Err(CliError::usage("--profile is for --mode train"));
    }
    let training = matches!(args.mode, Mode::Train);
    if args.micro_batch.is_some() && !training {
        return Err(CliError::usage("--micro-batch is for --mode train"));
    }
    let several = machine.exchange().processes() > 1;
    if several && !training {
        return Err(CliError::usage("several processes are for --mode train"));
    }
    if several && args.profile {
        return Err(CliError::usage("--profile is for one process"));
    }
    match args.mode {
        Mode::Infer => infer::run(args, machine),
        Mode::Train if several => shared::run(args, machine),
        Mode::Train => train::run(args, machine),
        Mode::Gemm => gemm::run(args, machine),
    }
}

impl Args {
    /// The networks to measure; all are known before the first is.
    fn specs(&self, default: &[&str]) -> Result<Vec<ModelSpec>, CliError> {
        let given: Vec<&str> = self.arch.iter().map(|name| name.trim()).collect();
        let names = if given.is_empty() { default } else { &given };
        names.iter().map(|name| self.network.spec(name)).collect()
    }

    /// Images that go through the network at a time in training: unless it is said, each of the processes has all of its
    /// own at once.
    fn micro_batch(&self, images: usize, processes: usize) -> Result<usize, CliError> {
        let micro_batch = self.micro_batch.map_or(images / processes, |n| n as usize);
        if micro_batch == 0 || !images.is_multiple_of(micro_batch) {
            return Err(CliError::usage(format!(
                "--batch {images} on {processes} processes: expected a multiple of the micro-batch, {micro_batch} images"
            )));
        }
        Ok(micro_batch)
    }

    fn side(&self, spec: &ModelSpec) -> usize {
        self.size.map_or(spec.input_side(), |n| n as usize)
    }
}

/// Runs `measure` between two measurements of the peak of `threads` threads, whose larger one counts.
fn beside_peak<T>(machine: &Machine, threads: usize, measure: impl FnOnce() -> T) -> (T, f64) {
    let before = peak_gflops(machine.isa, threads);
    let result = measure();
    (result, before.max(peak_gflops(machine.isa, threads)))
}

impl Row {
    /// The row of runs of `flops` operations each.
    fn new(machine: &Machine, mode: &'static str, arch: String, flops: f64, times: &Times) -> Self {
        let median = times.quantile(0.5);
        Self {
            mode,
            arch,
            batch: 1,
            threads: machine.threads * machine.exchange().processes(),
            isa: machine.isa.name(),
            runs: times.count(),
            median_ms: rounded(median * 1e3),
            p10_ms: rounded(times.quantile(0.1) * 1e3),
            p90_ms: rounded(times.quantile(0.9) * 1e3),
            images_per_second: None,
            gflops: rounded(flops / median / 1e9),
            peak_gflops: 0.0,
            percent_of_peak: 0.0,
            backend: machine.backend_name(),
            kernel: machine.kernel(),
            logits: None,
        }
    }

    fn with_peak(mut self, peak: f64) -> Self {
        self.peak_gflops = rounded(peak);
        self.percent_of_peak = rounded(100.0 * self.gflops / peak);
        self
    }
}

/// Writes rows as they come.
struct Table {
    out: Stdout,
    json: bool,
    arch_width: usize,
}

impl Table {
    fn new(args: &Args, arch_width: usize) -> Self {
        Self { out: std::io::stdout(), json: args.json, arch_width }
    }

    fn write_head(&mut self) -> Result<(), CliError> {
        if !self.json {
            writeln!(
                self.out,
                "{:width$}  {:>5}  {:>7}  {:14}  {:>9}  {:>9}  {:>9}  {:>8}  {:>7}  {:>6}  {:>9}",
                "",
                "batch",
                "threads",
                "backend",
                "median ms",
                "p10 ms",
                "p90 ms",
                "images/s",
                "GFLOP/s",
                "peak",
                "% of peak",
                width = self.arch_width
            )?;
        }
        Ok(())
    }

    /// A closing sentence, which JSON has no room for on stdout.
    fn write_summary(&mut self, machine: &Machine, text: &str) -> Result<(), CliError> {
        if self.json {
            machine.note(text);
        } else {
            writeln!(self.out, "\n{text}")?;
        }
        Ok(())
    }

    fn write(&mut self, row: &Row) -> Result<(), CliError> {
        if self.json {
            return Ok(write_json(&mut self.out, row)?);
        }
        let images = row.images_per_second.map_or_else(String::new, |n| format!("{n:.1}"));
        let Row { arch, batch, threads, backend, median_ms, p10_ms, p90_ms, gflops, .. } = row;
        let (peak, percent) = (row.peak_gflops, row.percent_of_peak);
        writeln!(
            self.out,
            "{arch:width$}  {batch:>5}  {threads:>7}  {backend:14}  {median_ms:>9.3}  {p10_ms:>9.3}  \
             {p90_ms:>9.3}  {images:>8}  {gflops:>7.1}  {peak:>6.1}  {percent:>9.1}",
            width = self.arch_width
        )?;
        Ok(())
    }
}

/// Says so if runs of what `row` measured differ too much for their median to mean much.
fn warn_of_noise(machine: &Machine, row: &Row, times: &Times) {
    let Some(noise) = times.noise() else { return };
    let Row { arch, batch, backend, .. } = row;
    machine.note(&format!("warning: {arch}, batch {batch}, {backend}: {noise}"));
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds".to_owned())?;
    if !(0.0..=3600.0).contains(&seconds) {
        return Err("expected 0 to 3600 seconds".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}
