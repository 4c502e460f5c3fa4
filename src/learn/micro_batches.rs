//! A process's part of a batch: its micro-batches, in blocks whose gradients are added up alone.

use super::backward::Taker;
use super::handover::Handover;
use super::step::{Batch, Learner, TooSmall, micro_batches};
use crate::model::{ConvBn, Params};
use crate::ops::Loss;
use crate::ops::batch_norm::Statistics;
use crate::runtime::{AlignedBuf, Team};
use crate::simd::Isa;

/// What a micro-batch gives, beside its gradients.
#[derive(Clone, Debug)]
pub struct MicroBatch {
    /// Of its images.
    pub loss: Loss,
    /// What each batch norm saw.
    pub statistics: Vec<(ConvBn, Statistics)>,
}

/// How a part of a batch is cut up.
#[derive(Clone, Copy, Debug)]
pub struct Split<'a> {
    /// Images of a micro-batch.
    pub micro_batch: usize,
    /// How many micro-batches are in each block.
    pub blocks: &'a [usize],
    /// Images of the whole batch: the loss is a mean over them.
    pub images: usize,
    /// As for [`Learner::mixed_unless`], of these micro-batches; none if images are not mixed.
    pub shares: &'a [f64],
}

impl Learner {
    /// Loss and statistics of each micro-batch of `batch`, a part of a larger one. Their gradients are added up in
    /// blocks and given to `handover`, bucket by bucket while the last micro-batch's backward pass goes on. None if it
    /// was `stopped`; then what was given away is meaningless, and some of it is still to be given.
    ///
    /// # Errors
    /// If the images are too small for the network.
    ///
    /// # Panics
    /// If a size does not fit, or a label is not a class.
    pub fn blocks_unless(
        &mut self,
        params: &Params,
        batch: &Batch,
        split: &Split,
        handover: &mut Handover,
        stopped: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Vec<MicroBatch>>, TooSmall> {
        let count: usize = split.blocks.iter().sum();
        assert_eq!(batch.labels.len(), count * split.micro_batch, "images of whole micro-batches");
        let mut tree = std::mem::take(&mut self.tree);
        let mut parts = micro_batches(batch, split.micro_batch).enumerate();
        let mut done = Vec::with_capacity(count);
        let mut result = Ok(());
        'all: for (block, &count) in split.blocks.iter().enumerate() {
            tree.begin();
            for nth in 1..=count {
                let (i, part) = parts.next().expect("as many as the blocks have");
                let share = split.shares.get(i).copied();
                let loss = if nth == count && block + 1 == split.blocks.len() {
                    let before = tree.last(params.learnable().len());
                    self.last_part(params, &part, share, split.images, before, handover, stopped)
                } else {
                    let sum = handover.sum(block);
                    let mut to = tree.next(sum);
                    let loss =
                        self.part(params, &part, share, split.images, &mut to, None, stopped);
                    if let Ok(Some(_)) = loss {
                        tree.add(&mut self.crew, self.isa, sum, nth == count);
                    }
                    loss
                };
                match loss {
                    Ok(Some(loss)) => done.push(MicroBatch { loss, statistics: self.statistics() }),
                    Ok(None) => break 'all,
                    Err(error) => {
                        result = Err(error);
                        break 'all;
                    }
                }
            }
        }
        self.tree = tree;
        result.map(|()| (done.len() == count).then_some(done))
    }

    /// The last micro-batch. What comes `before` it in its block, if anything, is added on the way.
    fn last_part(
        &mut self,
        params: &Params,
        part: &Batch,
        share: Option<f64>,
        images: usize,
        before: Option<(&mut [AlignedBuf], &mut [f32])>,
        handover: &mut Handover,
        stopped: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Loss>, TooSmall> {
        if let Some((before, mut values)) = before {
            let taker = &mut Added { handover, before, isa: self.isa };
            return self.part(params, part, share, images, &mut values, Some(taker), stopped);
        }
        let block = handover.last_block();
        let mut values = std::mem::take(handover.sum(block));
        let taker = &mut Whole { handover: &mut *handover };
        let loss = self.part(params, part, share, images, &mut values, Some(taker), stopped);
        *handover.sum(block) = values;
        loss
    }
}

/// Takes the gradients of a block's last micro-batch, and adds them to those before it.
struct Added<'a, 'h, 's> {
    handover: &'a mut Handover<'h, 's>,
    before: &'a mut [AlignedBuf],
    isa: Isa,
}

impl Taker<'_> for Added<'_, '_, '_> {
    fn finished(&mut self, team: &mut Team, values: &mut &mut [f32], start: usize) {
        self.handover.finished((team, self.isa), self.before, values, start);
    }
}

/// Takes the gradients of a block's only micro-batch.
struct Whole<'a, 'h, 's> {
    handover: &'a mut Handover<'h, 's>,
}

impl<'s> Taker<'s> for Whole<'_, '_, 's> {
    fn finished(&mut self, _: &mut Team, values: &mut &'s mut [f32], start: usize) {
        self.handover.finished_alone(values, start);
    }
}
