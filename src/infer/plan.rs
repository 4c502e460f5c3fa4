//! The plan of a run: the steps in order, and which buffer each reads and writes.
//!
//! Made once for each size of input. The first blocks of a network have large activations and small
//! filters, the last ones the reverse; so with a batch that occupies all threads, each takes a few
//! images at a time through the front of the network, whose activations then stay in its caches, and
//! only the rest runs with the whole batch. How a layer is computed depends on the whole batch alone,
//! so neither results nor filters depend on the cut.

use super::InferError;
use super::grouped::bundles;
use super::planner::Planner;
use super::steps::{Means, Op, Section};
use crate::conv::{Algorithm, ConvShape};
use crate::model::{Block, BlockShortcut, ConvBn, Network};

/// What a session does for a batch.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) batch: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    /// Threads it was made for.
    pub(super) threads: usize,
    /// What each thread does for its own images first.
    pub(super) front: Option<Section>,
    /// What all do together then.
    pub(super) rest: Section,
}

/// The convolutions of a network in the order in which plans number them.
pub(super) fn convs(network: &Network) -> impl Iterator<Item = &ConvBn> {
    let stem = std::iter::once(&network.stem).chain(&network.deep_stem);
    stem.chain(network.blocks.iter().flat_map(|block| {
        let projection = match &block.shortcut {
            BlockShortcut::Project(conv) => Some(conv),
            _ => None,
        };
        projection.into_iter().chain(&block.convs)
    }))
}

/// Bytes of the largest activation of the images that a thread takes through the front together: a
/// layer's input, output and filters are in its second-level cache then.
const FRONT: usize = 512 * 1024;

impl Plan {
    /// The plan for `batch` images of `height` x `width` by `means`, run by `threads` threads.
    pub(super) fn new(
        network: &Network,
        means: Means,
        [batch, height, width]: [usize; 3],
        threads: usize,
    ) -> Result<Plan, InferError> {
        let mut rest = Planner::new(means, batch, batch);
        let (images, blocks) = front(network, means, [batch, height, width]);
        let plan_front = batch > images && batch / images >= threads;
        let mut x = rest.image(network, height, width);
        let front = plan_front.then(|| {
            let mut planner = Planner::new(means, images, batch);
            let mut y = planner.stem(network, planner.image(network, height, width));
            for block in &network.blocks[..blocks] {
                y = planner.block(block, y);
            }
            x = rest.follow(&planner, y);
            planner.section()
        });
        let blocks = match front {
            Some(_) => &network.blocks[blocks..],
            None => {
                x = rest.stem(network, x);
                &network.blocks[..]
            }
        };
        for block in blocks {
            x = rest.block(block, x);
        }
        if x.height == 0 || x.width == 0 {
            return Err(InferError::TooSmall { height, width });
        }
        rest.head(network, x);
        Ok(Plan { batch, height, width, threads, front, rest: rest.section() })
    }

    /// Images, height and width that it is for.
    pub(super) fn size(&self) -> [usize; 3] {
        [self.batch, self.height, self.width]
    }

    /// Which steps run, and of how many images each.
    pub(super) fn sections(&self) -> impl Iterator<Item = &Section> {
        self.front.iter().chain([&self.rest])
    }

    /// The algorithms of the convolutions, in the order of [`convs`], each with a shape that it is for.
    pub(super) fn convs(&self) -> impl Iterator<Item = (Algorithm, &ConvShape)> {
        self.sections().flat_map(|section| &section.steps).filter_map(|step| match &step.op {
            Op::Conv { shape, algorithm, .. } => Some((*algorithm, shape)),
            Op::ConvMaxPool { shape, .. } => Some((Algorithm::Strip, shape)),
            _ => None,
        })
    }
}

/// How many images the front takes at a time, a divisor of the batch, and how many blocks it has: those
/// whose filters are smaller than the activations that they make.
fn front(network: &Network, means: Means, [batch, height, width]: [usize; 3]) -> (usize, usize) {
    let mut probe = Planner::new(means, 1, batch);
    let mut x = probe.stem(network, probe.image(network, height, width));
    let mut after = Vec::with_capacity(network.blocks.len());
    for block in &network.blocks {
        x = probe.block(block, x);
        after.push(x.height * x.width * x.channels);
    }
    let largest = probe.section().steps.iter().map(|step| step.len).max().unwrap_or(1);
    let most = (FRONT / (largest * means.bytes).max(1)).clamp(1, batch.max(1));
    let images = (1..=most).rev().find(|images| batch.is_multiple_of(*images)).unwrap_or(1);
    let weights = |block: &Block| -> usize {
        let len = |conv: &ConvBn| conv.shape(1, 1, 1).weight_len() / bundles(conv);
        block.convs.iter().map(len).sum()
    };
    let small = |(block, len): &(&Block, usize)| weights(block) <= images * len;
    (images, network.blocks.iter().zip(after).take_while(small).count())
}
