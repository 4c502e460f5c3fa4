//! What a run shows of its layers to whoever watches it.

use super::plan::convs;
use super::steps::{Op, Step};
use crate::model::Network;

/// What a layer has made of some images of a run.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The convolution's name, the name of the [stem's pool](Self::STEM_POOL), or `avgpool` for the pool over all
    /// pixels. Where the stem's pool is computed with the convolution before it, what it makes is shown under that
    /// one's name.
    pub name: &'a str,
    /// The values of an activation, `[images, height, width, channels]`; of a convolution in groups, bundle by bundle.
    pub values: SeenValues<'a>,
}

/// The values of an activation.
#[derive(Clone, Copy, Debug)]
pub enum SeenValues<'a> {
    /// Of a network in f32.
    F32(&'a [f32]),
    /// Of a network in 8 bits.
    U8(&'a [u8]),
}

impl Seen<'_> {
    /// The max-pool after the stem.
    pub const STEM_POOL: &'static str = "maxpool";
}

/// The names of a network's convolutions, as plans number them.
pub(super) struct Names<'n>(Vec<&'n str>);

impl<'n> Names<'n> {
    pub(super) fn of(network: &'n Network) -> Self {
        Self(convs(network).map(|conv| &conv.name[..]).collect())
    }

    /// The name of what `step` makes, if it is shown.
    pub(super) fn of_step<'s>(&'s self, step: &'s Step) -> Option<&'s str> {
        match step.op {
            Op::Conv { layer, .. } | Op::ConvMaxPool { layer, .. } => Some(self.0[layer]),
            Op::MaxPool(_) => Some(&*step.name).filter(|&name| name == Seen::STEM_POOL),
            Op::GlobalAvgPool { .. } => Some(&step.name),
            _ => None,
        }
    }
}
