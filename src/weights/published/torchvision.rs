//! torchvision's weights, known by the eight hexadecimal digits in their files' names.

use std::path::Path;

use super::Published;
use crate::data::{CropMode, Interpolation};
use crate::model::ModelSpec;
use crate::weights::StatedPreprocess;

/// Network, digits, and the length to which the shorter side is resized: 256 for its first weights
/// (`IMAGENET1K_V1`, and those before them), 232 for its second. Crop and normalisation are the same.
const PUBLISHED: [(&str, &str, usize); 13] = [
    ("resnet18", "f37072fd", 256),
    ("resnet18", "5c106cde", 256),
    ("resnet34", "b627a593", 256),
    ("resnet34", "333f7ec4", 256),
    ("resnet50", "0676ba61", 256),
    ("resnet50", "19c8e357", 256),
    ("resnet50", "11ad3fa6", 232),
    ("resnet101", "63fe2227", 256),
    ("resnet101", "5d3b4d8f", 256),
    ("resnet101", "cd907fc2", 232),
    ("resnet152", "394f9c45", 256),
    ("resnet152", "b121ed2d", 256),
    ("resnet152", "f82ba261", 232),
];

/// What the name of the file at `path` says, if it is torchvision's.
pub(super) fn read(path: &Path, spec: &ModelSpec, found: &mut Published) {
    let Some(stem) = path.file_stem().and_then(|name| name.to_str()) else { return };
    let Some((_, _, resize)) = PUBLISHED.iter().find(|(name, digits, _)| {
        *name == spec.name
            && stem.strip_prefix(name).and_then(|s| s.strip_prefix('-')) == Some(digits)
    }) else {
        return;
    };
    found.preprocess = StatedPreprocess {
        mean: Some([0.485, 0.456, 0.406]),
        std: Some([0.229, 0.224, 0.225]),
        pad: None,
        resize: Some(*resize),
        crop: Some(224),
        interpolation: Some(Interpolation::Bilinear),
        crop_mode: Some(CropMode::Center),
    };
    let which = if *resize == 256 { "first" } else { "second" };
    found.notes.push(format!("torchvision's {which} weights, by the digits in the file's name"));
}
