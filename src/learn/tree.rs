//! The sum of the micro-batches' gradients: a binary tree over their numbers, and nothing else.
//!
//! Blocks of 2, 4, 8, … micro-batches that begin at a multiple of their size are added up for themselves, and then
//! what is left, the smallest first. So whoever computes such a block, say one of several machines, adds it up alone,
//! and the sum has the same bits.

use crate::ops::add_assign;
use crate::runtime::{AlignedBuf, Crew};
use crate::simd::Isa;

/// Gradients that wait for others, beside the ones that the sum will be in.
#[derive(Default)]
pub(super) struct Tree {
    /// Kept from batch to batch.
    waiting: Vec<AlignedBuf>,
    /// Blocks of which there are sums: the first is in the caller's buffer, the others in `waiting`.
    blocks: usize,
    /// Micro-batches in them.
    count: usize,
}

impl Tree {
    /// Before the first micro-batch of a batch.
    pub(super) fn begin(&mut self) {
        (self.blocks, self.count) = (0, 0);
    }

    /// Where the gradients of the next micro-batch go. `sum` is where those of the batch will be.
    pub(super) fn next<'a>(&'a mut self, sum: &'a mut [f32]) -> &'a mut [f32] {
        let Some(i) = self.blocks.checked_sub(1) else { return sum };
        if i == self.waiting.len() {
            self.waiting.push(AlignedBuf::zeroed(sum.len()));
        }
        &mut self.waiting[i]
    }

    /// Where the gradients of the last micro-batch go, and the sums of blocks that they are added to, the nearest last:
    /// all but the first, which is the caller's. None if there is no block before it.
    pub(super) fn last(&mut self, len: usize) -> Option<(&mut [AlignedBuf], &mut [f32])> {
        let i = self.blocks.checked_sub(1)?;
        if i == self.waiting.len() {
            self.waiting.push(AlignedBuf::zeroed(len));
        }
        let (before, rest) = self.waiting.split_at_mut(i);
        Some((before, &mut rest[0]))
    }

    /// The gradients of the next micro-batch are where [`next`](Self::next) said; `last` if it is the batch's last: then `sum`
    /// holds the sum. Returns how many additions that took.
    pub(super) fn add(&mut self, crew: &mut Crew, isa: Isa, sum: &mut [f32], last: bool) -> usize {
        let complete = self.count.trailing_ones() as usize;
        (self.blocks, self.count) = (self.blocks + 1, self.count + 1);
        let additions = if last { self.blocks - 1 } else { complete };
        for _ in 0..additions {
            self.blocks -= 1;
            let (before, rest) = self.waiting.split_at_mut(self.blocks - 1);
            let to = before.last_mut().map_or(&mut *sum, |block| &mut **block);
            crew.run(|team| add_assign(team, isa, to, &rest[0]));
        }
        additions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Rng;

    /// By definition: the largest aligned block first, the others added to each other before.
    fn expected(parts: &[f32]) -> f32 {
        if parts.len() == 1 {
            return parts[0];
        }
        let half = parts.len().next_power_of_two() / 2;
        expected(&parts[..half]) + expected(&parts[half..])
    }

    #[test]
    fn the_sum_is_a_tree_over_the_numbers() {
        let (mut rng, mut tree, mut crew) =
            (Rng::named(0, "tree"), Tree::default(), Crew::default());
        for count in (1..40).rev().chain([64, 1]) {
            let parts: Vec<f32> = (0..count).map(|_| rng.normal()).collect();
            let mut sum = vec![f32::NAN; 3];
            tree.begin();
            for (i, &part) in parts.iter().enumerate() {
                tree.next(&mut sum).fill(part);
                tree.add(&mut crew, Isa::best(), &mut sum, i + 1 == count);
            }
            assert_eq!(sum, [expected(&parts); 3], "{count} micro-batches");
            assert!(tree.waiting.len() <= count.max(40).ilog2() as usize + 1);
        }
    }
}
