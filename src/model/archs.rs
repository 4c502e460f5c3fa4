//! The table of known architectures. Names are torchvision's and timm's, which agree.

use super::variant::Variant;
use BlockKind::{Basic, Bottleneck};
use Family::{Cifar, ImageNet};

/// The two families of networks of the paper; they differ in stem, widths and number of stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Table 1: 7x7/2 stem with max-pooling, four stages of width 64, 128, 256, 512.
    ImageNet,
    /// Section 4.2: 3x3 stem, three stages of width 16, 32, 64.
    Cifar,
}

/// The block a network is built of (figure 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockKind {
    /// Two 3x3 convolutions.
    Basic,
    /// 1x1, 3x3, 1x1, the last four times as wide.
    Bottleneck,
}

/// An architecture.
pub(super) struct Arch {
    pub(super) name: &'static str,
    pub(super) family: Family,
    pub(super) block: BlockKind,
    /// Blocks of each stage.
    pub(super) stages: &'static [usize],
    pub(super) residual: bool,
    pub(super) variant: Variant,
}

const fn plain(
    name: &'static str,
    family: Family,
    block: BlockKind,
    stages: &'static [usize],
) -> Arch {
    Arch { name, family, block, stages, residual: false, variant: Variant::NONE }
}

const fn residual(
    name: &'static str,
    family: Family,
    block: BlockKind,
    stages: &'static [usize],
) -> Arch {
    Arch { residual: true, ..plain(name, family, block, stages) }
}

const fn variant(
    name: &'static str,
    block: BlockKind,
    stages: &'static [usize],
    variant: Variant,
) -> Arch {
    Arch { variant, ..residual(name, ImageNet, block, stages) }
}

/// A wider 3x3 in bottleneck blocks.
const fn wide(width: usize) -> Variant {
    grouped(1, width)
}

/// ResNeXt.
const fn grouped(groups: usize, width_per_group: usize) -> Variant {
    Variant { groups, width_per_group, ..Variant::NONE }
}

/// ResNet-C: three 3x3 convolutions as the stem.
const fn c(stem: [usize; 3]) -> Variant {
    Variant { deep_stem: Some(stem), ..Variant::NONE }
}

/// ResNet-D: also pools in the shortcuts.
const fn d(stem: [usize; 3]) -> Variant {
    Variant { pooled_shortcut: true, ..c(stem) }
}

/// The stems of timm's networks, by the letter at the end of their names.
const C: [usize; 3] = [32, 32, 64];
const S: [usize; 3] = [64, 64, 128];
const T: [usize; 3] = [24, 32, 64];

pub(super) const ARCHS: &[Arch] = &[
    residual("resnet18", ImageNet, Basic, &[2, 2, 2, 2]),
    residual("resnet34", ImageNet, Basic, &[3, 4, 6, 3]),
    residual("resnet50", ImageNet, Bottleneck, &[3, 4, 6, 3]),
    residual("resnet101", ImageNet, Bottleneck, &[3, 4, 23, 3]),
    residual("resnet152", ImageNet, Bottleneck, &[3, 8, 36, 3]),
    plain("plain18", ImageNet, Basic, &[2, 2, 2, 2]),
    plain("plain34", ImageNet, Basic, &[3, 4, 6, 3]),
    residual("resnet20", Cifar, Basic, &[3; 3]),
    residual("resnet32", Cifar, Basic, &[5; 3]),
    residual("resnet44", Cifar, Basic, &[7; 3]),
    residual("resnet56", Cifar, Basic, &[9; 3]),
    residual("resnet110", Cifar, Basic, &[18; 3]),
    residual("resnet1202", Cifar, Basic, &[200; 3]),
    plain("plain20", Cifar, Basic, &[3; 3]),
    plain("plain32", Cifar, Basic, &[5; 3]),
    plain("plain44", Cifar, Basic, &[7; 3]),
    plain("plain56", Cifar, Basic, &[9; 3]),
    plain("plain110", Cifar, Basic, &[18; 3]),
    residual("resnet26", ImageNet, Bottleneck, &[2, 2, 2, 2]),
    residual("resnet200", ImageNet, Bottleneck, &[3, 24, 36, 3]),
    variant("wide_resnet50_2", Bottleneck, &[3, 4, 6, 3], wide(128)),
    variant("wide_resnet101_2", Bottleneck, &[3, 4, 23, 3], wide(128)),
    variant("resnext50_32x4d", Bottleneck, &[3, 4, 6, 3], grouped(32, 4)),
    variant("resnext101_32x4d", Bottleneck, &[3, 4, 23, 3], grouped(32, 4)),
    variant("resnext101_32x8d", Bottleneck, &[3, 4, 23, 3], grouped(32, 8)),
    variant("resnext101_32x16d", Bottleneck, &[3, 4, 23, 3], grouped(32, 16)),
    variant("resnext101_32x32d", Bottleneck, &[3, 4, 23, 3], grouped(32, 32)),
    variant("resnext101_64x4d", Bottleneck, &[3, 4, 23, 3], grouped(64, 4)),
    variant(
        "resnext50d_32x4d",
        Bottleneck,
        &[3, 4, 6, 3],
        Variant { groups: 32, width_per_group: 4, ..d(C) },
    ),
    variant("resnet50c", Bottleneck, &[3, 4, 6, 3], c(C)),
    variant("resnet101c", Bottleneck, &[3, 4, 23, 3], c(C)),
    variant("resnet152c", Bottleneck, &[3, 8, 36, 3], c(C)),
    variant("resnet50s", Bottleneck, &[3, 4, 6, 3], c(S)),
    variant("resnet101s", Bottleneck, &[3, 4, 23, 3], c(S)),
    variant("resnet152s", Bottleneck, &[3, 8, 36, 3], c(S)),
    variant("resnet18d", Basic, &[2, 2, 2, 2], d(C)),
    variant("resnet34d", Basic, &[3, 4, 6, 3], d(C)),
    variant("resnet26d", Bottleneck, &[2, 2, 2, 2], d(C)),
    variant("resnet50d", Bottleneck, &[3, 4, 6, 3], d(C)),
    variant("resnet101d", Bottleneck, &[3, 4, 23, 3], d(C)),
    variant("resnet152d", Bottleneck, &[3, 8, 36, 3], d(C)),
    variant("resnet200d", Bottleneck, &[3, 24, 36, 3], d(C)),
    variant("resnet10t", Basic, &[1, 1, 1, 1], d(T)),
    variant("resnet14t", Bottleneck, &[1, 1, 1, 1], d(T)),
    variant("resnet26t", Bottleneck, &[2, 2, 2, 2], d(T)),
    variant("resnet50t", Bottleneck, &[3, 4, 6, 3], d(T)),
];

/// The architecture that `text` means, whatever its case and the marks in it.
pub(super) fn find(text: &str) -> Option<&'static Arch> {
    let letters = |text: &str| -> String {
        let letters = text.trim().chars().filter(|c| !matches!(c, '-' | '_' | ' '));
        letters.map(|c| c.to_ascii_lowercase()).collect()
    };
    let name = letters(text);
    ARCHS.iter().find(|arch| letters(arch.name) == name)
}
