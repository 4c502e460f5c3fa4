//! The options that say how images become inputs.

use std::path::Path;

use resnet_cpu::data::{Mean, Preprocessing};
use resnet_cpu::infer::preprocessing;
use resnet_cpu::weights::{self, WeightsFile};

use super::error::CliError;
use super::machine::Machine;

#[derive(clap::Args)]
pub(super) struct PreprocessingArgs {
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
}

impl PreprocessingArgs {
    /// The preprocessing that these options and the file at `path` ask for; a note says what it is
    /// and what of it was assumed.
    pub(super) fn resolve(
        &self,
        machine: &Machine,
        path: &Path,
        weights: &WeightsFile,
    ) -> Result<Preprocessing, CliError> {
        let asked = weights::Preprocessing {
            mean: self.mean,
            std: self.std,
            resize: self.resize.map(|n| n as usize),
            crop: self.crop.map(|n| n as usize),
        };
        let (used, assumed) = preprocessing(weights, &asked)
            .map_err(|error| CliError::failed(format!("{}: {error}", path.display())))?;
        note(machine, &used, &assumed);
        Ok(used)
    }
}

fn note(machine: &Machine, used: &Preprocessing, assumed: &[&str]) {
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

fn parse_mean(text: &str) -> Result<[f32; 3], String> {
    let valid = |x: f32| (0.0..=1.0).contains(&x);
    parse_triple(text, "three numbers r,g,b in 0..1 (pixels of 0..255 divided by 255)", valid)
}

fn parse_std(text: &str) -> Result<[f32; 3], String> {
    let valid = |x: f32| x > 0.0 && x <= 1.0;
    parse_triple(text, "three positive numbers r,g,b up to 1 (of pixels in 0..1)", valid)
}

fn parse_triple(text: &str, expected: &str, valid: fn(f32) -> bool) -> Result<[f32; 3], String> {
    let numbers: Option<Vec<f32>> = text.split(',').map(|x| x.trim().parse().ok()).collect();
    numbers
        .and_then(|numbers| <[f32; 3]>::try_from(numbers).ok())
        .filter(|numbers| numbers.iter().all(|&x| valid(x)))
        .ok_or_else(|| format!("expected {expected}"))
}
