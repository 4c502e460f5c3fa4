//! The options that say how images become inputs.

use resnet_cpu::data::{CropMode, Interpolation, Mean, Preprocess, View};
use resnet_cpu::infer::preprocess;
use resnet_cpu::weights::{StatedPreprocess, WeightsFile, parse_mean, parse_std};

use super::error::CliError;

#[derive(clap::Args)]
pub(super) struct PreprocessingArgs {
    /// Mean of red, green and blue, for pixels in 0..1 [default: as the file says, else
    /// 0.485,0.456,0.406]
    #[arg(long, value_name = "R,G,B", value_parser = parse_mean, allow_hyphen_values = true)]
    mean: Option<[f32; 3]>,
    /// Standard deviation of red, green and blue, for pixels in 0..1 [default: as the file says, else
    /// 0.229,0.224,0.225]
    #[arg(long, value_name = "R,G,B", value_parser = parse_std, allow_hyphen_values = true)]
    std: Option<[f32; 3]>,
    /// Length in pixels to which the shorter side is resized [default: as the file says, else 256
    /// (ImageNet) or 32 (CIFAR)]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16_384))]
    resize: Option<u32>,
    /// Side in pixels of the square crop that is the network's input [default: as the file says, else
    /// 224 (ImageNet) or 32 (CIFAR)]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    crop: Option<u32>,
    /// How images are resized: bilinear, bicubic, nearest or lanczos, each as Pillow does it [default: as
    /// the file says, else bilinear]
    #[arg(long, value_name = "HOW")]
    interpolation: Option<Interpolation>,
    /// Which sides are resized: center (the shorter, then a centre crop; center_floor drops half a pixel as
    /// transformers does), squash (both) or border (the longer, the rest filled with the mean) [default:
    /// as the file says, else center]
    #[arg(long, value_name = "MODE")]
    crop_mode: Option<CropMode>,
}

impl PreprocessingArgs {
    /// A flag that was given and says something of the crop, or of the size that images have before it.
    pub(super) fn of_crop(&self) -> Option<&'static str> {
        let given = [
            (self.resize.is_some(), "--resize"),
            (self.crop.is_some(), "--crop"),
            (self.crop_mode.is_some(), "--crop-mode"),
        ];
        given.into_iter().find_map(|(given, flag)| given.then_some(flag))
    }

    /// The preprocessing that these options and the file ask for; and notes that say what it
    /// is and what of it was assumed. Where neither says anything of sizes, images are put in a black square
    /// of `pad`, as the data have it.
    pub(super) fn resolve(
        &self,
        weights: &WeightsFile,
        pad: Option<usize>,
    ) -> Result<(Preprocess, Vec<String>), CliError> {
        let StatedPreprocess { resize, crop, pad: stated, .. } = *weights.preprocess();
        let sized = [self.resize, self.crop].iter().any(Option::is_some)
            || [resize, crop, stated].iter().any(Option::is_some);
        let asked = StatedPreprocess {
            mean: self.mean,
            std: self.std,
            resize: self.resize.map(|n| n as usize),
            crop: self.crop.map(|n| n as usize),
            pad: pad.filter(|_| !sized),
            interpolation: self.interpolation,
            crop_mode: self.crop_mode,
        };
        let (used, assumed) = preprocess(weights, &asked);
        let View { resize, crop, mode, .. } = used.view;
        let given = self.resize.is_some() || self.crop.is_some();
        if let Some(resize) =
            resize.filter(|&resize| given && resize < crop && mode != CropMode::Border)
        {
            return Err(CliError::usage(format!(
                "--resize: expected at least the crop of {crop}, found {resize}; give both --resize and \
                 --crop"
            )));
        }
        let mut notes = vec![note(&used, &assumed)];
        let of_pixels = weights.pixel_mean().filter(|_| self.mean.is_none() && self.std.is_none());
        if let (Some(mean), Mean::Channel { .. }) = (of_pixels, &used.mean) {
            notes.push(format!(
                "the file's per-pixel mean is one of {} x {} inputs: of {crop} x {crop}, its mean of each channel is \
                 subtracted",
                mean.width, mean.height
            ));
        }
        Ok((used, notes))
    }
}

fn note(used: &Preprocess, assumed: &[&str]) -> String {
    let triple = |[r, g, b]: [f32; 3]| format!("{r},{g},{b}");
    let View { pad, resize, crop, interpolation, mode, fill: _ } = used.view;
    let pad = pad.map_or(String::new(), |side| format!("pad to {side}, "));
    let which = if mode == CropMode::Center { String::new() } else { format!("{mode} ") };
    let resize = resize.map_or("no resize".to_owned(), |side| {
        let how = if interpolation == Interpolation::Bilinear {
            ""
        } else {
            &format!(" {interpolation}")
        };
        format!("{which}resize {side}{how}")
    });
    let mean = match &used.mean {
        Mean::Channel { mean, std } => format!("mean {}, std {}", triple(*mean), triple(*std)),
        Mean::Grey { mean, std } => format!("grey, mean {mean}, std {std}"),
        Mean::Pixel(_) => "the file's per-pixel mean".to_owned(),
    };
    let assumed = match assumed {
        [] => String::new(),
        fields => format!(" (assumed: {})", fields.join(", ")),
    };
    format!("preprocessing: {pad}{resize}, crop {crop}, {mean}{assumed}")
}
