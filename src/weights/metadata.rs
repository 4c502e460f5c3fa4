//! What a file says about its network: the `resnet_cpu.*` entries of a safetensors header.
//!
//! | key | value |
//! |---|---|
//! | `resnet_cpu.arch` | name of the architecture, e.g. `resnet50` |
//! | `resnet_cpu.shortcut` | `a`, `b` or `c` (residual networks) |
//! | `resnet_cpu.stride_in` | `1x1` or `3x3` (bottleneck networks) |
//! | `resnet_cpu.downsample` | `conv` or `maxpool` (plain networks) |
//! | `resnet_cpu.mean`, `resnet_cpu.std` | three numbers `r,g,b` for pixels in 0..1, or one for all channels |
//! | `resnet_cpu.resize` | pixels of the shorter side before cropping |
//! | `resnet_cpu.pad` | pixels of the black square in whose middle smaller images stand before resizing |
//! | `resnet_cpu.crop` | pixels of the square crop's side |
//! | `resnet_cpu.interpolation` | `bilinear` (as files without it), `bicubic`, `nearest` or `lanczos` |
//! | `resnet_cpu.crop_mode` | `center` (as files without it), `center_floor`, `squash` or `border` |
//! | `resnet_cpu.input_channels` | channels of the images, 3 in files without it |
//! | `resnet_cpu.classes` | JSON array of class names in index order |
//! | `resnet_cpu.quantized` | `u8i8`: the network is in 8 bits, with the tensors that `docs/int8.md` lists |
//!
//! All are optional; other keys are left alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use super::WeightsError;
use super::stated::{MAX_SIDE, StatedPreprocess, parse_mean, parse_std};
use crate::model::{BlockKind, Downsample, ModelSpec, Shortcut, StrideIn};

pub(super) const ARCH: &str = "resnet_cpu.arch";
pub(super) const SHORTCUT: &str = "resnet_cpu.shortcut";
pub(super) const STRIDE_IN: &str = "resnet_cpu.stride_in";
pub(super) const DOWNSAMPLE: &str = "resnet_cpu.downsample";
pub(super) const MEAN: &str = "resnet_cpu.mean";
pub(super) const STD: &str = "resnet_cpu.std";
const RESIZE: &str = "resnet_cpu.resize";
const CROP: &str = "resnet_cpu.crop";
const PAD: &str = "resnet_cpu.pad";
const INTERPOLATION: &str = "resnet_cpu.interpolation";
const CROP_MODE: &str = "resnet_cpu.crop_mode";
pub(super) const INPUT_CHANNELS: &str = "resnet_cpu.input_channels";
pub(super) const CLASSES: &str = "resnet_cpu.classes";
/// Of a network in 8 bits.
pub(super) const QUANTIZED: &str = "resnet_cpu.quantized";

/// What a file says about its network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// Name of the architecture.
    pub arch: Option<String>,
    /// Kind of shortcut.
    pub shortcut: Option<Shortcut>,
    /// Where a bottleneck's stride is.
    pub stride_in: Option<StrideIn>,
    /// How a plain network downsamples.
    pub downsample: Option<Downsample>,
    /// Channels of the images.
    pub in_channels: Option<usize>,
    /// How images were prepared.
    pub preprocess: StatedPreprocess,
    /// Class names in index order.
    pub classes: Option<Vec<String>>,
}

impl Metadata {
    /// The metadata that describe `spec`.
    pub fn of_spec(spec: &ModelSpec) -> Self {
        Self {
            arch: Some(spec.name.clone()),
            shortcut: spec.shortcut,
            stride_in: (spec.block == BlockKind::Bottleneck).then_some(spec.stride_in),
            downsample: spec.is_plain().then_some(spec.downsample),
            in_channels: (spec.in_channels != 3).then_some(spec.in_channels),
            ..Self::default()
        }
    }

    /// Reads the entries of the file at `path`.
    ///
    /// # Errors
    /// An entry's value is not what the table above says.
    pub fn parse(path: &Path, entries: &BTreeMap<String, String>) -> Result<Self, WeightsError> {
        let fields = Fields { path, entries };
        let most = ModelSpec::MAX_CHANNELS;
        let channels = |text: &str| text.parse().ok().filter(|n| (1..=most).contains(n));
        let in_channels =
            fields.read(INPUT_CHANNELS, &format!("1 to {most} channels"), channels)?;
        Ok(Self {
            arch: entries.get(ARCH).cloned(),
            shortcut: fields.option(SHORTCUT)?,
            stride_in: fields.option(STRIDE_IN)?,
            downsample: fields.option(DOWNSAMPLE)?,
            in_channels,
            preprocess: StatedPreprocess {
                mean: fields.triple(MEAN, parse_mean)?,
                std: fields.triple(STD, parse_std)?,
                resize: fields.side(RESIZE)?,
                crop: fields.side(CROP)?,
                pad: fields.side(PAD)?,
                interpolation: fields.option(INTERPOLATION)?,
                crop_mode: fields.option(CROP_MODE)?,
            },
            classes: fields
                .read(CLASSES, "a JSON array of strings", |text| serde_json::from_str(text).ok())?,
        })
    }

    /// The entries that [`Metadata::parse`] reads back.
    pub fn entries(&self) -> BTreeMap<String, String> {
        // As many numbers as the images have channels.
        let triple = |[r, g, b]: [f32; 3]| match self.in_channels {
            Some(1) => r.to_string(),
            _ => format!("{r},{g},{b}"),
        };
        let StatedPreprocess { mean, std, pad, resize, crop, interpolation, crop_mode } =
            self.preprocess;
        let classes = self.classes.as_ref().map(|names| serde_json::json!(names).to_string());
        [
            (ARCH, self.arch.clone()),
            (SHORTCUT, self.shortcut.map(|x| x.to_string())),
            (STRIDE_IN, self.stride_in.map(|x| x.to_string())),
            (DOWNSAMPLE, self.downsample.map(|x| x.to_string())),
            (INPUT_CHANNELS, self.in_channels.map(|x| x.to_string())),
            (MEAN, mean.map(triple)),
            (STD, std.map(triple)),
            (RESIZE, resize.map(|x| x.to_string())),
            (CROP, crop.map(|x| x.to_string())),
            (PAD, pad.map(|x| x.to_string())),
            (INTERPOLATION, interpolation.map(|x| x.to_string())),
            (CROP_MODE, crop_mode.map(|x| x.to_string())),
            (CLASSES, classes),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect()
    }
}

/// Reads single entries, with errors that name file and key.
struct Fields<'a> {
    path: &'a Path,
    entries: &'a BTreeMap<String, String>,
}

impl Fields<'_> {
    fn read<T>(
        &self,
        key: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, WeightsError> {
        let Some(text) = self.entries.get(key) else { return Ok(None) };
        let error = || WeightsError::Metadata {
            path: self.path.to_owned(),
            key,
            expected: expected.to_owned(),
            found: text.clone(),
        };
        parse(text).map(Some).ok_or_else(error)
    }

    fn option<T: FromStr>(&self, key: &'static str) -> Result<Option<T>, WeightsError> {
        let expected = match key {
            SHORTCUT => "a, b or c",
            STRIDE_IN => "1x1 or 3x3",
            INTERPOLATION => "bilinear, bicubic, nearest or lanczos",
            CROP_MODE => "center, center_floor, squash or border",
            _ => "conv or maxpool",
        };
        self.read(key, expected, |text| text.parse().ok())
    }

    fn triple(
        &self,
        key: &'static str,
        parse: fn(&str) -> Result<[f32; 3], String>,
    ) -> Result<Option<[f32; 3]>, WeightsError> {
        let expected = self.entries.get(key).and_then(|text| parse(text).err()).unwrap_or_default();
        self.read(key, &expected, |text| parse(text).ok())
    }

    fn side(&self, key: &'static str) -> Result<Option<usize>, WeightsError> {
        self.read(key, &format!("1 to {MAX_SIDE} pixels"), |text| {
            text.parse().ok().filter(|side| (1..=MAX_SIDE).contains(side))
        })
    }
}
