//! Foreign tensor names to ours, which are torchvision's.
//!
//! Understood: torchvision and timm (the same); wrappers' prefixes (`module.` of DataParallel,
//! `_orig_mod.` of torch.compile, `model.`, `backbone.`, ...), also on some names only; CIFAR
//! repositories (`linear` for the classifier, `shortcut.0`/`.1` for the projection); Hugging Face
//! transformers. A prefix that all names have in common is removed before (`sort`).

/// What a file's tensor is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Canonical {
    /// A tensor of a network, if it has one of this name.
    Tensor(String),
    /// Counts batches; PyTorch writes it and nothing needs it.
    BatchCount,
    /// The mean of each pixel of the training set ([`PIXEL_MEAN`]).
    PixelMean,
    /// State of training in a checkpoint of ours (`optimizer.*`, `ema.*`, `schedule.*`).
    TrainingState,
}

/// The tensor `[height, width, 3]` that is subtracted from an input after all other preprocessing.
pub const PIXEL_MEAN: &str = "resnet_cpu.pixel_mean";

/// Prefixes that wrappers put before all names; may be nested.
const WRAPPERS: [&str; 7] =
    ["module.", "_orig_mod.", "model.", "backbone.", "network.", "net.", "resnet."];

/// What others call the classifier.
const CLASSIFIERS: [&str; 6] =
    ["fc.", "linear.", "classifier.1.", "classifier.", "head.fc.", "last_linear."];

const TRAINING_STATE: [&str; 3] = ["optimizer.", "ema.", "schedule."];

/// Whether the tensor is of a checkpoint's state of training.
pub(super) fn is_training_state(name: &str) -> bool {
    TRAINING_STATE.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether names of a network's own begin with this word, which is no prefix then.
pub(super) fn is_root(word: &str) -> bool {
    const ROOTS: [&str; 11] = [
        "conv1",
        "bn1",
        "fc",
        "linear",
        "classifier",
        "head",
        "last_linear",
        "embedder",
        "encoder",
        "downsample",
        "shortcut",
    ];
    ROOTS.contains(&word) || word.starts_with("layer")
}

/// What the tensor that a file calls `name` is to us.
pub fn canonical(name: &str) -> Canonical {
    if is_training_state(name) {
        return Canonical::TrainingState;
    }
    if name == PIXEL_MEAN {
        return Canonical::PixelMean;
    }
    let mut name = name;
    while let Some(inner) = WRAPPERS.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        name = inner;
    }
    if name == "num_batches_tracked" || name.ends_with(".num_batches_tracked") {
        return Canonical::BatchCount;
    }
    let ours = classifier(name).or_else(|| projection(name)).or_else(|| transformers(name));
    Canonical::Tensor(ours.unwrap_or_else(|| name.to_owned()))
}

fn classifier(name: &str) -> Option<String> {
    let field = CLASSIFIERS.iter().find_map(|prefix| name.strip_prefix(prefix))?;
    matches!(field, "weight" | "bias").then(|| format!("fc.{field}"))
}

/// `layer2.0.shortcut.1.bias` to `layer2.0.downsample.1.bias`.
fn projection(name: &str) -> Option<String> {
    let (block, rest) = name.split_once(".shortcut.")?;
    block.starts_with("layer").then(|| format!("{block}.downsample.{rest}"))
}

/// Hugging Face: `encoder.stages.0.layers.1.layer.2.normalization.bias` to `layer1.1.bn3.bias`.
fn transformers(name: &str) -> Option<String> {
    if let Some(rest) = name.strip_prefix("embedder.embedder.") {
        let (kind, field) = rest.split_once('.')?;
        return Some(format!("{}1.{field}", conv_or_bn(kind)?));
    }
    let (stage, rest) = name.strip_prefix("encoder.stages.")?.split_once(".layers.")?;
    let (block, rest) = rest.split_once('.')?;
    let stage = stage.parse::<usize>().ok()?.checked_add(1)?;
    if let Some(rest) = rest.strip_prefix("shortcut.") {
        let (kind, field) = rest.split_once('.')?;
        let index = if conv_or_bn(kind)? == "conv" { 0 } else { 1 };
        return Some(format!("layer{stage}.{block}.downsample.{index}.{field}"));
    }
    let (index, rest) = rest.strip_prefix("layer.")?.split_once('.')?;
    let (kind, field) = rest.split_once('.')?;
    let index = index.parse::<usize>().ok()?.checked_add(1)?;
    Some(format!("layer{stage}.{block}.{}{index}.{field}", conv_or_bn(kind)?))
}

fn conv_or_bn(kind: &str) -> Option<&'static str> {
    match kind {
        "convolution" => Some("conv"),
        "normalization" => Some("bn"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_spellings() {
        for (theirs, ours) in [
            ("conv1.weight", "conv1.weight"),
            ("module.conv1.weight", "conv1.weight"),
            ("_orig_mod.module.backbone.bn1.running_var", "bn1.running_var"),
            ("model.layer3.5.bn3.bias", "layer3.5.bn3.bias"),
            ("module.linear.bias", "fc.bias"),
            ("head.fc.weight", "fc.weight"),
            ("layer2.0.shortcut.0.weight", "layer2.0.downsample.0.weight"),
            ("module.layer2.0.shortcut.1.running_mean", "layer2.0.downsample.1.running_mean"),
            ("resnet.embedder.embedder.convolution.weight", "conv1.weight"),
            ("resnet.embedder.embedder.normalization.running_mean", "bn1.running_mean"),
            (
                "resnet.encoder.stages.0.layers.0.layer.0.convolution.weight",
                "layer1.0.conv1.weight",
            ),
            ("resnet.encoder.stages.3.layers.2.layer.2.normalization.bias", "layer4.2.bn3.bias"),
            (
                "encoder.stages.1.layers.0.shortcut.convolution.weight",
                "layer2.0.downsample.0.weight",
            ),
            (
                "resnet.encoder.stages.1.layers.0.shortcut.normalization.running_var",
                "layer2.0.downsample.1.running_var",
            ),
            ("classifier.1.weight", "fc.weight"),
            ("encoder.stages.x.layers.0", "encoder.stages.x.layers.0"),
            ("encoder.stages.18446744073709551615.layers.0.layer.0.convolution.weight", {
                "encoder.stages.18446744073709551615.layers.0.layer.0.convolution.weight"
            }),
        ] {
            assert_eq!(canonical(theirs), Canonical::Tensor(ours.to_owned()), "{theirs}");
        }
        assert_eq!(canonical("module.bn1.num_batches_tracked"), Canonical::BatchCount);
        assert_eq!(canonical(PIXEL_MEAN), Canonical::PixelMean);
        assert_eq!(canonical("optimizer.conv1.weight"), Canonical::TrainingState);
    }
}
