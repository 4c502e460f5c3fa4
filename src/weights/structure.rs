//! What names and shapes alone say about a network: blocks per stage, kind of block, projections, what differs
//! from the paper's, channels of its images.
//!
//! They do not tell residual networks with option A from plain ones, nor where a bottleneck's
//! stride is, nor how a plain network downsamples; `resolve` has the rules for those.

use std::collections::{BTreeMap, BTreeSet};

use super::stored::StoredTensor;
use crate::model::{BlockKind, ModelSpec, Shortcut, Variant};

/// The skeleton of a network.
#[derive(Debug)]
pub(super) struct Structure {
    /// Kind of block: three convolutions in some block make it a bottleneck.
    pub(super) block: BlockKind,
    /// Blocks in each stage.
    pub(super) stages: Vec<usize>,
    /// What differs from the paper's network.
    pub(super) variant: Variant,
    /// Channels of the images.
    pub(super) in_channels: Option<usize>,
    /// Blocks with a projection, `(stage, block)` from 0.
    projections: BTreeSet<(usize, usize)>,
}

impl Structure {
    /// Reads the skeleton off tensor names (ours); `None` without any `layer1.0.*`-like name.
    pub(super) fn of(tensors: &BTreeMap<String, &StoredTensor>) -> Option<Self> {
        let mut blocks = BTreeSet::new();
        let mut projections = BTreeSet::new();
        let mut block = BlockKind::Basic;
        for name in tensors.keys() {
            let Some((stage, index, rest)) = split(name) else { continue };
            blocks.insert((stage, index));
            if rest.starts_with("downsample.") {
                projections.insert((stage, index));
            }
            if rest.starts_with("conv3.") {
                block = BlockKind::Bottleneck;
            }
        }
        let last_stage = blocks.last()?.0;
        // Not more stages than names: a huge number in a name must not size anything.
        let count = last_stage.checked_add(1)?.min(blocks.len());
        let mut stages = vec![0; count];
        for &(stage, _) in &blocks {
            if let Some(blocks_in_stage) = stages.get_mut(stage) {
                *blocks_in_stage += 1;
            }
        }
        let variant = variant(tensors, block, &stages);
        Some(Self { block, stages, variant, in_channels: in_channels(tensors), projections })
    }

    /// The residual architecture with these blocks.
    pub(super) fn arch(&self) -> Option<&'static str> {
        ModelSpec::residual_name(self.block, &self.stages, self.variant)
    }

    /// True if the file has any projection.
    pub(super) fn has_projections(&self) -> bool {
        !self.projections.is_empty()
    }

    /// The kind of shortcut whose projections are exactly those found.
    pub(super) fn shortcut(&self) -> Option<Shortcut> {
        if self.projections.is_empty() {
            // For bottleneck blocks there is no option A: then projections are missing.
            (self.block == BlockKind::Basic).then_some(Shortcut::A)
        } else if self.projections == self.changes() {
            Some(Shortcut::B)
        } else if self.projections.len() == self.stages.iter().sum::<usize>() {
            Some(Shortcut::C)
        } else {
            None
        }
    }

    /// The kind of shortcut that comes closest, so that a report of missing tensors makes sense.
    pub(super) fn closest_shortcut(&self) -> Shortcut {
        let beyond_b = self.projections.difference(&self.changes()).next().is_some();
        if beyond_b { Shortcut::C } else { Shortcut::B }
    }

    /// Blocks whose output has another shape than their input: the first of each stage, except the
    /// first stage's if blocks do not widen.
    fn changes(&self) -> BTreeSet<(usize, usize)> {
        let first = if self.block == BlockKind::Basic { 1 } else { 0 };
        (first..self.stages.len()).map(|stage| (stage, 0)).collect()
    }

    /// `[2, 2, 2, 2] basic blocks`, and what else there is.
    pub(super) fn describe(&self) -> String {
        let kind = match self.block {
            BlockKind::Basic => "basic",
            BlockKind::Bottleneck => "bottleneck",
        };
        let mut text = format!("{:?} {kind} blocks", self.stages);
        let Variant { groups, width_per_group, deep_stem, pooled_shortcut } = self.variant;
        if groups != 1 {
            text += &format!(", {groups} groups of {width_per_group} channels");
        }
        if let Some([first, second, last]) = deep_stem {
            text +=
                &format!(", a stem of three convolutions, {first}, {second} and {last} channels");
        }
        if pooled_shortcut {
            text += ", pools in the shortcuts";
        }
        text
    }
}

/// What differs from the paper's network of these blocks.
fn variant(
    tensors: &BTreeMap<String, &StoredTensor>,
    block: BlockKind,
    stages: &[usize],
) -> Variant {
    let filters = |name: &str| <[usize; 4]>::try_from(&tensors.get(name)?.shape[..]).ok();
    let out = |name: &str| filters(name).map(|[out, ..]| out);
    let pooled = |(name, tensor): (&String, &&StoredTensor)| {
        name.ends_with(".downsample.1.weight") && tensor.shape.len() == 4
    };
    let stem = Variant {
        deep_stem: out("conv1.0.weight")
            .and_then(|first| Some([first, out("conv1.3.weight")?, out("conv1.6.weight")?])),
        pooled_shortcut: tensors.iter().any(pooled),
        ..Variant::NONE
    };
    let middle = filters("layer1.0.conv2.weight").filter(|_| block == BlockKind::Bottleneck);
    match middle {
        Some([width, seen, ..]) if seen > 0 && width > 0 && width.is_multiple_of(seen) => {
            let groups = width / seen;
            let inner = Variant { groups, width_per_group: seen, ..stem };
            // A width that nothing has is a tensor of a wrong shape, more likely than a network.
            let is_known = ModelSpec::residual_name(block, stages, inner).is_some();
            if is_known || groups > 1 { inner } else { stem }
        }
        _ => stem,
    }
}

/// Channels that the first convolution sees.
fn in_channels(tensors: &BTreeMap<String, &StoredTensor>) -> Option<usize> {
    let first = tensors.get("conv1.weight").or_else(|| tensors.get("conv1.0.weight"))?;
    match first.shape[..] {
        [_, channels, height, width] if height == width => Some(channels),
        _ => None,
    }
}

/// `layer2.0.conv1.weight` to `(1, 0, "conv1.weight")`.
fn split(name: &str) -> Option<(usize, usize, &str)> {
    let (stage, rest) = name.strip_prefix("layer")?.split_once('.')?;
    let (index, rest) = rest.split_once('.')?;
    let stage = stage.parse::<usize>().ok()?.checked_sub(1)?;
    Some((stage, index.parse().ok()?, rest))
}
