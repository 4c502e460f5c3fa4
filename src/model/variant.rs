//! What differs between a residual network of the paper and those that came after it.
//!
//! Wide networks (Zagoruyko and Komodakis, 2016) have wider 3x3 convolutions, ResNeXt (Xie et al., 2016) has
//! them in groups, and ResNet-C and -D (He et al., "Bag of Tricks", 2018) have three 3x3 convolutions in the
//! place of the 7x7, and (D) a 2x2 average before the projections.

/// What differs from the paper's network of the same blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// Groups of the 3x3 convolutions in bottleneck blocks: 32 in `resnext50_32x4d`.
    pub groups: usize,
    /// Channels of each group in the first stage, which double from stage to stage.
    pub width_per_group: usize,
    /// Channels of the three 3x3 convolutions that stand for the stem's 7x7.
    pub deep_stem: Option<[usize; 3]>,
    /// A projection that halves the resolution is a 2x2 average pool with stride 2 and a 1x1 convolution of
    /// stride 1.
    pub pooled_shortcut: bool,
}

impl Variant {
    /// Nothing.
    pub const NONE: Self =
        Self { groups: 1, width_per_group: 64, deep_stem: None, pooled_shortcut: false };

    /// Channels of the 3x3 convolution in a bottleneck block whose width is `width` in the paper.
    pub(super) fn inner(&self, width: usize) -> usize {
        width / 64 * self.width_per_group * self.groups
    }
}
