//! What is to be packed, in which order.

use std::sync::Arc;

use resnet_cpu::data::{Dataset, epoch_order};

use super::source::Source;

/// A part of a set, and the order in which it is packed.
pub(super) struct PartPlan {
    /// `train`, `val` or `test`.
    pub(super) name: &'static str,
    pub(super) data: Arc<dyn Dataset>,
    /// Numbers of the images.
    pub(super) order: Vec<usize>,
}

impl PartPlan {
    /// The parts of `source`. Images to train on are shuffled by `seed`, since neighbours in a shard should not be
    /// of one class; the others keep their order.
    pub(super) fn of(source: &Source, seed: u64) -> Vec<Self> {
        let part = |(name, data): &(&'static str, Arc<dyn Dataset>)| {
            let order = match *name {
                "train" => epoch_order(seed, 0, data.len()),
                _ => (0..data.len()).collect(),
            };
            Self { name, data: Arc::clone(data), order }
        };
        source.parts.iter().map(part).collect()
    }
}
