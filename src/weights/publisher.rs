//! Which data set weights without metadata of ours were trained on, where their publisher's layout shows it.
//!
//! As many classes as a data set has are no evidence: ten may be digits.

use super::file::TensorFile;
use super::stored::FileFormat;
use crate::model::{Family, ModelSpec};

/// A data set whose class names are built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DataSet {
    /// ILSVRC 2012, a thousand classes.
    ImageNet,
    /// CIFAR-10.
    Cifar10,
}

/// The data set that the network in `file` was trained on, if its publisher is known for that:
///
/// - torchvision, timm and Hugging Face: an ImageNet network of 1000 classes;
/// - akamaster/pytorch_resnet_cifar10: a PyTorch file of a CIFAR network of 10 classes that DataParallel
///   trained (`module.`) and whose classifier is called `linear`;
/// - chenyaofo/pytorch-cifar-models: a file called like `cifar10_resnet20-4118986f.pt`.
pub(super) fn data_set(file: &TensorFile, spec: &ModelSpec) -> Option<DataSet> {
    // This program states the class names that it knows.
    if file.metadata().keys().any(|key| key.starts_with("resnet_cpu.")) {
        return None;
    }
    let akamaster = || {
        file.format() == FileFormat::PyTorch
            && file.tensors().iter().any(|tensor| tensor.name == "module.linear.weight")
    };
    match (spec.family, spec.classes) {
        (Family::ImageNet, 1000) => Some(DataSet::ImageNet),
        (Family::Cifar, 10) if akamaster() || is_chenyaofo(file) => Some(DataSet::Cifar10),
        _ => None,
    }
}

/// Whether the file is called as the publisher calls it: the data set, the network, a digest.
fn is_chenyaofo(file: &TensorFile) -> bool {
    let name = file.path().file_stem().map(|name| name.to_string_lossy());
    let parts =
        name.as_deref().and_then(|name| name.strip_prefix("cifar10_resnet")?.split_once('-'));
    let all =
        |text: &str, len, is: fn(&char) -> bool| text.len() == len && text.chars().all(|c| is(&c));
    parts.is_some_and(|(depth, digest)| {
        all(depth, 2, char::is_ascii_digit) && all(digest, 8, char::is_ascii_hexdigit)
    })
}
