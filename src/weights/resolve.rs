//! Which network a file holds: what was asked for, what the metadata say, what the shapes say.
//!
//! Metadata decide. For bare weights the request decides, then names and shapes, then these rules:
//! residual rather than plain; a bottleneck's stride in the 3x3; downsampling by convolution; zero
//! channels of option A evenly on both sides. Each rule that was needed leaves a note. Two
//! statements that cannot both be true are an error, whichever they are.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use super::WeightsError;
use super::limits::shown;
use super::metadata::{ARCH, DOWNSAMPLE, INPUT_CHANNELS, Metadata, SHORTCUT, STRIDE_IN};
use super::stored::StoredTensor;
use super::structure::Structure;
use crate::model::{BlockKind, Downsample, ModelSpec, Options, Shortcut, StrideIn};

/// What the user says about a file of weights. It must not contradict the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Name of the architecture, e.g. `plain18`.
    pub arch: Option<String>,
    /// Kind of shortcut.
    pub shortcut: Option<Shortcut>,
    /// Where a bottleneck's stride is.
    pub stride_in: Option<StrideIn>,
    /// How a plain network downsamples.
    pub downsample: Option<Downsample>,
    /// Names of tensors that are not the network's and may be ignored, e.g. `criterion.weight`; `*` stands for
    /// any text.
    pub ignore_extra: Vec<String>,
}

/// Who asks, if the user does.
const REQUEST: &str = "as requested";
/// Who says so, if names and shapes do.
const SHAPES: &str = "by names and shapes of the tensors";

/// The network that the file at `path` holds, and notes of what had to be assumed. `tensors` are
/// keyed by our names, `stored` are all that the file has.
pub(super) fn resolve(
    path: &Path,
    asked: &Overrides,
    stated: &Metadata,
    tensors: &BTreeMap<String, &StoredTensor>,
    stored: &[StoredTensor],
) -> Result<(ModelSpec, Vec<String>), WeightsError> {
    let spec_error = |error| WeightsError::Spec { path: path.to_owned(), error };
    let structure = Structure::of(tensors);
    let arch = agree(path, "arch", &known(&asked.arch), &known(&stated.arch), ARCH)?;
    let shortcut = agree(path, "shortcut", &asked.shortcut, &stated.shortcut, SHORTCUT)?;
    let stride_in = agree(path, "stride-in", &asked.stride_in, &stated.stride_in, STRIDE_IN)?;
    let downsample = agree(path, "downsample", &asked.downsample, &stated.downsample, DOWNSAMPLE)?;
    let mut notes = Vec::new();

    let name = match &arch {
        Some((name, _)) => name.as_str(),
        None => {
            let name = infer_arch(path, structure.as_ref(), stored)?;
            notes.push(format!("architecture {name} inferred from names and shapes"));
            name
        }
    };
    let default = ModelSpec::new(name, Options::default()).map_err(spec_error)?;
    if let (Some((_, by)), Some(structure)) = (&arch, &structure) {
        check_arch(path, &default, by, structure)?;
    }
    let mut options = Options {
        shortcut: shortcut.map(|s| s.0),
        stride_in: stride_in.map(|s| s.0),
        downsample: downsample.map(|d| d.0),
        classes: classes(&default, tensors),
        in_channels: structure.as_ref().and_then(|structure| structure.in_channels),
    };
    if let (Some(stated), Some(found)) = (stated.in_channels, options.in_channels) {
        same(path, "input channels", (stated, INPUT_CHANNELS), (found, SHAPES))?;
    }
    options.in_channels = options.in_channels.or(stated.in_channels);
    // What does not fit the architecture is refused before it is compared with the shapes.
    ModelSpec::new(name, options).map_err(spec_error)?;

    if let (false, Some(structure)) = (default.is_plain(), &structure) {
        let found = structure.shortcut();
        if let (Some((stated, by)), Some(found)) = (shortcut, found) {
            same(path, "shortcut", (stated, by), (found, SHAPES))?;
        }
        options.shortcut = shortcut.map(|s| s.0).or(found).or(Some(structure.closest_shortcut()));
        if found == Some(Shortcut::A) && shortcut.is_none() {
            let whether =
                if arch.is_none() { "a residual network (not a plain one) with " } else { "" };
            notes.push(format!(
                "assumed {whether}shortcut a, with its zero channels evenly on both sides"
            ));
        }
    }
    if default.block == BlockKind::Bottleneck && stride_in.is_none() {
        notes.push("assumed stride-in 3x3 (v1.5)".to_owned());
    }
    if default.is_plain() && downsample.is_none() {
        notes.push("assumed downsample conv".to_owned());
    }
    Ok((ModelSpec::new(name, options).map_err(spec_error)?, notes))
}

/// The name as we spell it, if it is known.
fn known(name: &Option<String>) -> Option<String> {
    let name = name.as_ref()?;
    Some(ModelSpec::name_of(name).map_or_else(|| name.clone(), str::to_owned))
}

/// The statement of the request or of the metadata, with who made it; both must agree.
fn agree<T: Clone + Display + PartialEq>(
    path: &Path,
    field: &'static str,
    asked: &Option<T>,
    stated: &Option<T>,
    key: &'static str,
) -> Result<Option<(T, &'static str)>, WeightsError> {
    match (asked.clone(), stated.clone()) {
        (Some(asked), Some(stated)) => {
            same(path, field, (asked, REQUEST), (stated, key)).map(|asked| Some((asked, REQUEST)))
        }
        (Some(asked), None) => Ok(Some((asked, REQUEST))),
        (None, stated) => Ok(stated.map(|stated| (stated, key))),
    }
}

fn same<T: Display + PartialEq>(
    path: &Path,
    field: &'static str,
    (asked, asked_by): (T, &'static str),
    (found, found_by): (T, &'static str),
) -> Result<T, WeightsError> {
    if asked == found {
        return Ok(asked);
    }
    let (asked, found) = (asked.to_string(), found.to_string());
    Err(WeightsError::Conflict { path: path.to_owned(), field, asked, asked_by, found, found_by })
}

fn infer_arch(
    path: &Path,
    structure: Option<&Structure>,
    stored: &[StoredTensor],
) -> Result<&'static str, WeightsError> {
    let reason = match structure {
        Some(structure) => match structure.arch() {
            Some(name) => return Ok(name),
            None => format!("its stages have {}, which no known network has", structure.describe()),
        },
        None => {
            let first: Vec<String> = stored.iter().take(3).map(|t| shown(&t.name)).collect();
            let first = if first.is_empty() {
                String::new()
            } else {
                format!(", e.g. {}", first.join(", "))
            };
            format!(
                "expected a ResNet's tensors, such as layer1.0.conv1.weight, found {} others{first}",
                stored.len()
            )
        }
    };
    Err(WeightsError::Unrecognised { path: path.to_owned(), reason })
}

/// The architecture that was named must have the blocks found, unless those are no known network's
/// (then the report of missing and unexpected tensors says more).
fn check_arch(
    path: &Path,
    spec: &ModelSpec,
    by: &'static str,
    structure: &Structure,
) -> Result<(), WeightsError> {
    let Some(found) = structure.arch() else { return Ok(()) };
    let same_blocks =
        ModelSpec::residual_name(spec.block, &spec.stages, spec.variant) == Some(found);
    if same_blocks && !(spec.is_plain() && structure.has_projections()) {
        return Ok(());
    }
    same(path, "arch", (spec.name.as_str(), by), (found, SHAPES)).map(|_| ())
}

/// Rows of the classifier, if its columns are the network's features.
fn classes(spec: &ModelSpec, tensors: &BTreeMap<String, &StoredTensor>) -> Option<usize> {
    match tensors.get("fc.weight")?.shape[..] {
        [classes, features] if features == spec.features() => Some(classes),
        _ => None,
    }
}
