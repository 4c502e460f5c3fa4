//! timm's `config.json`: `pretrained_cfg`, with the preparation for testing where it differs from that of
//! training, since the published accuracy is that of testing.

use serde_json::Value;

use super::fields::{Fields, resize_of, side};
use super::{Object, Published};
use crate::model::ModelSpec;
use crate::weights::stated::{parse_mean, parse_std};
use crate::weights::{StatedPreprocess, WeightsError, other_nets};

/// The share of the resized image that the crop is, where nothing is said.
const CROP_PCT: f64 = 0.875;

/// Whether a `config.json` is timm's: older ones have at the top what newer ones have in `pretrained_cfg`.
pub(super) fn is_it(config: &Object) -> bool {
    config.get("pretrained_cfg").is_some_and(Value::is_object)
        || (config.contains_key("architecture") && config.contains_key("input_size"))
}

/// What it says about a network like `spec`.
pub(super) fn read(
    config: Fields<'_>,
    spec: &ModelSpec,
    found: &mut Published,
) -> Result<(), WeightsError> {
    let inner = config.get("pretrained_cfg").and_then(Value::as_object);
    let fields = Fields { path: config.path, object: inner.unwrap_or(config.object) };
    let theirs = config.get("architecture").or(fields.get("architecture")).and_then(Value::as_str);
    // Networks have the same names here and there.
    if let Some(theirs) = theirs.filter(|theirs| our_name(theirs) != Some(&spec.name)) {
        let shown = crate::weights::limits::shown(theirs);
        if our_name(theirs).is_none()
            && let Some(what) = other_nets::by_architecture(theirs)
        {
            found.other = Some(format!("{what} ({shown} in {})", config.path.display()));
        }
        found.pass(config.path, &shown, spec);
        return Ok(());
    }
    if let Some(why) = changed(config) {
        found.other = Some(format!("a changed {} ({why} in {})", spec.name, config.path.display()));
        return Ok(());
    }
    let channels = spec.in_channels;
    if !matches!(channels, 1 | 3) {
        found.classes = classes(config, fields, spec)?;
        return Ok(());
    }
    let square = format!("[{channels}, side, side], the network's channels and a square");
    let of_size = |value: &Value| match value.as_array().map(Vec::as_slice) {
        Some([found, height, width])
            if found.as_u64() == Some(channels as u64) && height == width =>
        {
            side(height)
        }
        _ => None,
    };
    let training = fields.read("input_size", &square, of_size)?;
    let crop = fields.read("test_input_size", &square, of_size)?.or(training).unwrap_or(224);
    let share = fields.positive("test_crop_pct")?.or(fields.positive("crop_pct")?);
    let share = share.unwrap_or(CROP_PCT);
    let Some(resize) = resize_of(crop, share) else {
        let expected = format!("a share of the resized image that a crop of {crop} can be");
        return Err(fields.wrong("crop_pct", &expected, &share.into()));
    };
    let word = |field, expected| fields.read(field, expected, |v| Some(v.as_str()?.to_owned()));
    let kinds = "bilinear, bicubic, nearest or lanczos";
    let interpolation = fields.read("interpolation", kinds, |v| v.as_str()?.parse().ok())?;
    let modes = "center, squash or border";
    let crop_mode = match word("crop_mode", modes)?.as_deref() {
        None | Some("") => None,
        Some(mode @ ("center" | "squash" | "border")) => mode.parse().ok(),
        Some(other) => return Err(fields.wrong("crop_mode", modes, &other.into())),
    };
    found.preprocess = StatedPreprocess {
        mean: fields.triple("mean", parse_mean)?,
        std: fields.triple("std", parse_std)?,
        pad: None,
        resize: Some(resize),
        crop: Some(crop),
        // timm's own defaults.
        interpolation: Some(interpolation.unwrap_or(crate::data::Interpolation::Bicubic)),
        crop_mode: Some(crop_mode.unwrap_or_default()),
    };
    found.classes = classes(config, fields, spec)?;
    found.follow(config.path, "timm");
    if training.is_some_and(|training| training != crop) {
        let last = found.notes.last_mut().into_iter();
        last.for_each(|note| *note += &format!(", for testing at {crop} pixels"));
    }
    Ok(())
}

/// Our name of an architecture. Older configurations say in front of it, or behind, who has trained it.
fn our_name(theirs: &str) -> Option<&'static str> {
    const TRAINERS: [&str; 5] = ["tv_", "ssl_", "swsl_", "ig_", "gluon_"];
    let name = TRAINERS.iter().find_map(|by| theirs.strip_prefix(by)).unwrap_or(theirs);
    // gluon's letters.
    let name = match name.rsplit_once("_v1") {
        Some((name, "b")) => name.to_owned(),
        Some((name, letter @ ("c" | "d" | "s"))) => format!("{name}{letter}"),
        _ => name.to_owned(),
    };
    ModelSpec::name_of(&name)
}

/// What the configuration changes about the architecture, if it is more than numbers that tensors show.
fn changed(config: Fields<'_>) -> Option<String> {
    const SHOWN: [&str; 5] = ["num_classes", "in_chans", "drop_rate", "drop_path_rate", "img_size"];
    let text = |field: &str, value: &Value| {
        format!("{field} {}", crate::weights::limits::shown(&value.to_string()))
    };
    if let Some(pool) =
        config.get("global_pool").filter(|pool| !matches!(pool.as_str(), Some("avg" | "fast" | "")))
    {
        return Some(text("global_pool", pool));
    }
    let arguments = config.get("model_args").and_then(Value::as_object);
    let mut changes = arguments.into_iter().flatten();
    let change = changes.find(|(name, value)| {
        let same = name.as_str() == "global_pool" && value.as_str() == Some("avg");
        !(SHOWN.contains(&name.as_str()) || same || value.is_null())
    });
    change.map(|(name, value)| text(&format!("model_args.{name}"), value))
}

/// The names of the classes: descriptions of labels where there are any, as those of ImageNet's ids.
fn classes(
    config: Fields<'_>,
    inner: Fields<'_>,
    spec: &ModelSpec,
) -> Result<Option<Vec<String>>, WeightsError> {
    let holders = [(config, "label_names"), (inner, "label_names"), (inner, "labels")];
    let Some((fields, field)) = holders.into_iter().find(|(f, name)| f.get(name).is_some()) else {
        return Ok(None);
    };
    let Some(names) = fields.names(field)? else { return Ok(None) };
    if names.len() != spec.classes {
        let expected = format!("{} names, one for each class", spec.classes);
        return Err(fields.wrong(field, &expected, &names.len().into()));
    }
    let described = fields.get("label_descriptions").and_then(Value::as_object);
    let describe = |name: String| {
        let described = described.and_then(|all| all.get(&name)?.as_str());
        described.filter(|text| !text.is_empty()).map_or(name.clone(), str::to_owned)
    };
    Ok(Some(names.into_iter().map(describe).collect()))
}
