//! Gradients that are given away while the backward pass goes on below them: it finishes the flat buffer from its end.

use crate::ops::add_assign;
use crate::runtime::{AlignedBuf, Team};
use crate::simd::Isa;

/// Who takes the sums of a bucket, one of each block of micro-batches.
type Ready<'h, 's> = &'h mut (dyn FnMut(Vec<&'s mut [f32]>) + Send);

/// The gradients of some blocks of micro-batches, given away bucket by bucket.
pub struct Handover<'h, 's> {
    /// A flat buffer for each block, in the layout of [`Params::learnable`](crate::Params::learnable): what of it is
    /// not given away yet.
    sums: Vec<&'s mut [f32]>,
    /// Where the buckets begin that are not given away, the next first.
    starts: &'h [usize],
    ready: Ready<'h, 's>,
    /// Whether nothing is given away before all is final.
    at_end: bool,
}

impl<'h, 's> Handover<'h, 's> {
    /// Of the buffers `sums`, one a block, to `ready`, in buckets that begin at `starts`: the last of the buffer
    /// first.
    pub fn new(sums: Vec<&'s mut [f32]>, starts: &'h [usize], ready: Ready<'h, 's>) -> Self {
        Self { sums, starts, ready, at_end: false }
    }

    /// Gives nothing away before all is final: to measure what it is worth that others get it earlier.
    pub fn wait_for_all(&mut self) {
        self.at_end = true;
    }

    /// The number of the last block.
    pub(super) fn last_block(&self) -> usize {
        self.sums.len() - 1
    }

    /// The buffer of a block.
    pub(super) fn sum(&mut self, block: usize) -> &mut &'s mut [f32] {
        &mut self.sums[block]
    }

    /// Of the last block, all from `start` on is final. Where it has one micro-batch only, `values` is its buffer; else
    /// that of its last micro-batch, to be added to those `before` it, the nearest last, and then to the block's.
    pub(super) fn finished(
        &mut self,
        (team, isa): (&mut Team, Isa),
        before: &mut [AlignedBuf],
        values: &mut &mut [f32],
        start: usize,
    ) {
        while let Some(cut) = self.next(start) {
            let mut from: &[f32] = cut_off(values, cut);
            for sum in before.iter_mut().rev() {
                let sum = &mut sum[cut..cut + from.len()];
                add_assign(team, isa, sum, from);
                from = sum;
            }
            let mut sums = self.cut(cut);
            let last = sums.last_mut().expect("there are blocks");
            add_assign(team, isa, last, from);
            (self.ready)(sums);
        }
    }

    /// As [`finished`](Self::finished), where the last block's only micro-batch has written `values`, that block's buffer.
    pub(super) fn finished_alone(&mut self, values: &mut &'s mut [f32], start: usize) {
        while let Some(cut) = self.next(start) {
            let last = cut_off(values, cut);
            let mut sums = self.cut(cut);
            *sums.last_mut().expect("there are blocks") = last;
            (self.ready)(sums);
        }
    }

    /// Gives away all that is left, whatever is in it.
    pub fn rest(&mut self) {
        while let Some(cut) = self.next(0) {
            let sums = self.cut(cut);
            (self.ready)(sums);
        }
    }

    /// Where the next bucket begins, if all of it lies from `start` on.
    fn next(&mut self, start: usize) -> Option<usize> {
        let (&cut, rest) = self.starts.split_first()?;
        if cut < start || (self.at_end && start > 0) {
            return None;
        }
        self.starts = rest;
        Some(cut)
    }

    /// All from `cut` on of each sum.
    fn cut(&mut self, cut: usize) -> Vec<&'s mut [f32]> {
        self.sums.iter_mut().map(|sum| cut_off(sum, cut)).collect()
    }
}

/// All from `cut` on, which `values` loses; nothing if it ends before.
fn cut_off<'v>(values: &mut &'v mut [f32], cut: usize) -> &'v mut [f32] {
    let whole = std::mem::take(values);
    let (rest, end) = whole.split_at_mut(cut.min(whole.len()));
    *values = rest;
    end
}
