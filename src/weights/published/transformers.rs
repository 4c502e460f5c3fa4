//! transformers' `preprocessor_config.json`, and the names in its `config.json`.
//!
//! Its ResNets have the processor of ConvNeXT: below 384 pixels the shorter side becomes
//! `int(shortest_edge / crop_pct)` and the middle is cropped; from 384 on both sides are resized. Others
//! (`crop_size`, or a size of two sides) are understood as they are.

use serde_json::Value;

use super::fields::{Fields, resize_of, side};
use super::{Object, Published};
use crate::data::{CropMode, Interpolation};
use crate::model::{BlockKind, ModelSpec, StrideIn};
use crate::weights::stated::{parse_mean, parse_std};
use crate::weights::{StatedPreprocess, WeightsError};

/// From this side on ConvNeXT's processor does not crop.
const NO_CROP: usize = 384;

/// Whether a `config.json` is that of a network of transformers.
pub(super) fn is_it(config: &Object) -> bool {
    config.get("model_type").is_some_and(Value::is_string)
}

/// What the two files say about a network like `spec`.
pub(super) fn read(
    config: Option<Fields<'_>>,
    prepared: Option<Fields<'_>>,
    spec: &ModelSpec,
    found: &mut Published,
) -> Result<(), WeightsError> {
    if let Some(config) = config {
        if !is_about(config, spec) {
            let theirs = config.get("model_type").and_then(Value::as_str).unwrap_or("another");
            let theirs = crate::weights::limits::shown(theirs);
            found.pass(config.path, &format!("a network of the type {theirs}"), spec);
            return Ok(());
        }
        if let Some(why) = changed(config, spec) {
            found.other =
                Some(format!("a changed {} ({why} in {})", spec.name, config.path.display()));
            return Ok(());
        }
        let names = config.names("id2label")?;
        if let Some(names) = names.as_ref().filter(|names| names.len() != spec.classes) {
            let expected = format!("{} names, one for each class", spec.classes);
            return Err(config.wrong("id2label", &expected, &names.len().into()));
        }
        found.classes = names;
    }
    if let Some(prepared) = prepared {
        found.preprocess = preparation(prepared)?;
        found.follow(prepared.path, "transformers");
    }
    Ok(())
}

/// Whether the network is that of the weights, as far as the configuration says.
fn is_about(config: Fields<'_>, spec: &ModelSpec) -> bool {
    let depths: Option<Vec<usize>> = config.get("depths").and_then(|depths| {
        depths.as_array()?.iter().map(|n| n.as_u64().map(|n| n as usize)).collect()
    });
    let block = match spec.block {
        BlockKind::Basic => "basic",
        BlockKind::Bottleneck => "bottleneck",
    };
    config.get("model_type").and_then(Value::as_str) == Some("resnet")
        && depths.is_none_or(|depths| depths == spec.stages)
        && config.get("layer_type").and_then(Value::as_str).is_none_or(|kind| kind == block)
}

/// What the configuration changes about the network that its tensors do not show.
fn changed(config: Fields<'_>, spec: &ModelSpec) -> Option<String> {
    let first = config.get("downsample_in_first_stage").and_then(Value::as_bool) == Some(true);
    let in_1x1 = config.get("downsample_in_bottleneck").and_then(Value::as_bool) == Some(true);
    let activation = config.get("hidden_act").and_then(Value::as_str).unwrap_or("relu");
    if first {
        Some("downsample_in_first_stage true".to_owned())
    } else if in_1x1 && spec.block == BlockKind::Bottleneck && spec.stride_in != StrideIn::Conv1x1 {
        Some(
            "downsample_in_bottleneck true; with --arch and --stride-in 1x1 it can be run"
                .to_owned(),
        )
    } else if activation != "relu" {
        Some(format!("hidden_act {}", crate::weights::limits::shown(activation)))
    } else {
        None
    }
}

fn preparation(fields: Fields<'_>) -> Result<StatedPreprocess, WeightsError> {
    if fields.truth("do_resize")? == Some(false) {
        return Err(fields.wrong("do_resize", "true", &false.into()));
    }
    let rescale = fields.truth("do_rescale")? != Some(false);
    let factor = fields.positive("rescale_factor")?.unwrap_or(1.0 / 255.0);
    if !rescale || (factor * 255.0 - 1.0).abs() > 1e-6 {
        return Err(fields.wrong("rescale_factor", "1/255", &factor.into()));
    }
    let kinds = "0 (nearest), 1 (lanczos), 2 (bilinear) or 3 (bicubic)";
    let resample = fields.read("resample", kinds, |value| match value.as_u64()? {
        0 => Some(Interpolation::Nearest),
        1 => Some(Interpolation::Lanczos),
        2 => Some(Interpolation::Bilinear),
        3 => Some(Interpolation::Bicubic),
        _ => None,
    })?;
    let convnext = is_convnext(fields);
    let (resize, crop, mode) = sizes(fields, convnext)?;
    let (mean, std) = if fields.truth("do_normalize")? == Some(false) {
        (Some([0.0; 3]), Some([1.0; 3]))
    } else {
        (fields.triple("image_mean", parse_mean)?, fields.triple("image_std", parse_std)?)
    };
    // The default of that processor; of others it is stated.
    let default = if convnext { Interpolation::Bicubic } else { Interpolation::Bilinear };
    Ok(StatedPreprocess {
        mean,
        std,
        pad: None,
        resize: Some(resize),
        crop: Some(crop),
        interpolation: Some(resample.unwrap_or(default)),
        crop_mode: Some(mode),
    })
}

/// Whether it is the processor of ConvNeXT: by its name, else by the field that only it has.
fn is_convnext(fields: Fields<'_>) -> bool {
    let named = ["image_processor_type", "feature_extractor_type"].map(|field| fields.get(field));
    match named.into_iter().flatten().find_map(Value::as_str) {
        Some(name) => name.starts_with("ConvNext"),
        None => fields.get("crop_pct").is_some() || fields.get("size").is_some_and(Value::is_u64),
    }
}

/// The sides of resizing and of the crop, and how they are meant.
fn sizes(fields: Fields<'_>, convnext: bool) -> Result<(usize, usize, CropMode), WeightsError> {
    let expected = "a side, {\"shortest_edge\": side} or {\"height\": side, \"width\": side}";
    // Whether it is the shorter side.
    let size = fields.read("size", expected, |value| match value {
        Value::Object(sides) => match sides.get("shortest_edge") {
            Some(shorter) => Some((side(shorter)?, true)),
            None => Some((equal(sides)?, false)),
        },
        value => Some((side(value)?, true)),
    })?;
    let Some((size, shorter)) = size else {
        return Err(fields.wrong("size", expected, &Value::Null));
    };
    if convnext {
        if size >= NO_CROP {
            return Ok((size, size, CropMode::Squash));
        }
        let share = fields.positive("crop_pct")?.unwrap_or(224.0 / 256.0);
        let resize = resize_of(size, share).filter(|resize| *resize >= size);
        let resize =
            resize.ok_or_else(|| fields.wrong("crop_pct", "a share up to 1", &share.into()))?;
        return Ok((resize, size, CropMode::CenterFloor));
    }
    let crop = match fields.truth("do_center_crop")? {
        Some(true) => fields.read("crop_size", "a square", |value| match value {
            Value::Object(sides) => equal(sides),
            value => side(value),
        })?,
        _ => None,
    };
    match (crop, shorter) {
        (Some(crop), true) => Ok((size, crop, CropMode::CenterFloor)),
        (None, false) => Ok((size, size, CropMode::Squash)),
        (None, true) => Err(fields.wrong("crop_size", "a square", &Value::Null)),
        (Some(_), false) => {
            let size = fields.get("size").unwrap_or(&Value::Null);
            Err(fields.wrong("size", "{\"shortest_edge\": side} with a crop_size", size))
        }
    }
}

/// The side of a square that is given by both sides.
fn equal(sides: &Object) -> Option<usize> {
    let (height, width) = (side(sides.get("height")?)?, side(sides.get("width")?)?);
    (height == width).then_some(height)
}
