//! Weights that have a short name here: torchvision's, with what their publisher states of them.

/// Weights with a short name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PublishedWeights {
    /// The short name, which is the network's.
    pub name: &'static str,
    /// The full name.
    pub source: &'static str,
    /// The file, with eight digits of its SHA-256.
    pub file: &'static str,
    /// Its size in MiB.
    pub mebibytes: f32,
    /// Top-1 accuracy on ImageNet's validation images as published, one centre crop, in percent.
    pub top1: f32,
    /// Pixels of the shorter side and of the crop.
    pub sides: [usize; 2],
    /// The licence of torchvision.
    pub licence: &'static str,
}

/// The short names; each is the best that torchvision has of the network.
pub const PUBLISHED: [PublishedWeights; 5] = [
    of("resnet18", "torchvision:resnet18.V1", "resnet18-f37072fd.pth", 44.7, 69.758, 256),
    of("resnet34", "torchvision:resnet34.V1", "resnet34-b627a593.pth", 83.3, 73.314, 256),
    of("resnet50", "torchvision:resnet50.V2", "resnet50-11ad3fa6.pth", 97.8, 80.858, 232),
    of("resnet101", "torchvision:resnet101.V2", "resnet101-cd907fc2.pth", 170.5, 81.886, 232),
    of("resnet152", "torchvision:resnet152.V2", "resnet152-f82ba261.pth", 230.5, 82.284, 232),
];

/// The first versions of those that have a second.
pub(super) const FIRST: [(&str, &str); 3] = [
    ("resnet50", "resnet50-0676ba61.pth"),
    ("resnet101", "resnet101-63fe2227.pth"),
    ("resnet152", "resnet152-394f9c45.pth"),
];

/// What is offered to those who name none: good, and fast enough everywhere.
pub const DEFAULT: PublishedWeights = PUBLISHED[2];

const fn of(
    name: &'static str,
    source: &'static str,
    file: &'static str,
    mebibytes: f32,
    top1: f32,
    resize: usize,
) -> PublishedWeights {
    let (sides, licence) = ([resize, 224], "BSD-3-Clause");
    PublishedWeights { name, source, file, mebibytes, top1, sides, licence }
}
