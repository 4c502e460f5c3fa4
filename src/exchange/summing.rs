//! What goes on beside a step's computation: sums of gradients to whoever updates their weights, updated weights to
//! all.
//!
//! Bucket after bucket, in the order in which the backward pass finishes them: each process sends its blocks' sums of
//! a slice to the process that the slice belongs to, which adds them up by the tree, takes the optimiser's step and
//! sends the new weights to all. They go where the gradients were, so nothing is lost if the step is given up.

use std::ops::Range;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use super::share::Share;
use super::slices::Slices;
use super::transport::{Exchange, Incoming, Kind, Outgoing};
use crate::learn::Sgd;
use crate::ops::add_assign;
use crate::runtime::{AlignedBuf, alone};
use crate::simd::Isa;

/// Time between two looks whether someone asks to stop, while there is nothing to send.
const LOOK: Duration = Duration::from_millis(5);

/// The optimiser's step.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    /// The optimiser.
    pub sgd: &'a Sgd,
    /// What it runs on.
    pub isa: Isa,
    /// The learning rate.
    pub lr: f32,
}

/// The sums of a bucket: one of each of this process's blocks.
pub(super) type Bucket<'s> = Vec<&'s mut [f32]>;

/// What a process needs for its part of the sums, all of it kept from step to step.
pub(super) struct Parts {
    pub(super) share: Share,
    pub(super) slices: Slices,
    /// The blocks of each process.
    pub(super) blocks: Vec<Vec<Range<usize>>>,
    /// Sums of others for this process's slice of a bucket, each of `largest` floats.
    others: AlignedBuf,
    largest: usize,
    /// The slice's weights.
    weights: AlignedBuf,
}

impl Parts {
    pub(super) fn new(share: Share, slices: Slices, exchange: &dyn Exchange) -> Self {
        let (rank, processes) = (exchange.rank(), exchange.processes());
        let blocks: Vec<_> = (0..processes).map(|rank| share.blocks(rank)).collect();
        let of_others: usize = blocks.iter().map(Vec::len).sum::<usize>() - blocks[rank].len();
        let largest = slices.largest(rank).max(1);
        let others = AlignedBuf::zeroed(of_others * largest);
        Self { share, slices, blocks, others, largest, weights: AlignedBuf::zeroed(largest) }
    }
}

/// One step's exchange.
pub(super) struct Summing<'a> {
    pub(super) exchange: &'a dyn Exchange,
    pub(super) parts: &'a mut Parts,
    pub(super) update: &'a Update<'a>,
    /// The weights before the step.
    pub(super) weights: &'a [f32],
    /// The velocity of this process's slices, bucket after bucket.
    pub(super) momentum: &'a mut [f32],
    /// Looks whether to stop.
    pub(super) look: &'a mut (dyn FnMut() + Send),
}

impl Summing<'_> {
    /// Until all buckets that come by `ready` are exchanged, or their sender is gone.
    pub(super) fn run(mut self, ready: &Receiver<Bucket>) {
        // The bucket before, whose new weights are not sent yet.
        let mut updated = None;
        for bucket in 0..self.parts.slices.count() {
            let mut sums = loop {
                match ready.try_recv() {
                    Ok(sums) => break sums,
                    Err(TryRecvError::Disconnected) => return,
                    Err(TryRecvError::Empty) => {}
                }
                if let Some((before, weights)) = updated.take() {
                    self.swap(None, Some((before, weights)));
                    continue;
                }
                match ready.recv_timeout(LOOK) {
                    Ok(sums) => break sums,
                    Err(RecvTimeoutError::Timeout) => (self.look)(),
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            };
            self.swap(Some((bucket, &sums)), updated.take());
            self.update(bucket, &mut sums);
            updated = Some((bucket, sums.swap_remove(0)));
        }
        if updated.is_some() {
            self.swap(None, updated);
        }
    }

    /// Sends `sums` of a bucket to those who add them up and the new `weights` of another to all, and receives what
    /// the others send of them.
    fn swap(&mut self, sums: Option<(usize, &Bucket)>, weights: Option<(usize, &mut [f32])>) {
        let (rank, processes) = (self.exchange.rank(), self.exchange.processes());
        let Parts { slices, blocks, others, largest, .. } = &mut *self.parts;
        let (mut outgoing, mut incoming) = (Vec::new(), Vec::new());
        if let Some((bucket, sums)) = sums {
            let len = slices.slice(bucket, rank).len();
            let mut buffers = others.chunks_mut(*largest);
            for process in (0..processes).filter(|&process| process != rank) {
                let slice = slices.slice(bucket, process);
                outgoing.extend(sums.iter().map(|sum| {
                    let bytes = bytemuck::cast_slice(&sum[slice.clone()]);
                    Outgoing { to: process, kind: Kind::Sums, bytes }
                }));
                let buffers = buffers.by_ref().take(blocks[process].len());
                incoming.extend(buffers.map(|buffer| {
                    let bytes = bytemuck::cast_slice_mut(&mut buffer[..len]);
                    Incoming { from: process, kind: Kind::Sums, bytes }
                }));
            }
        }
        if let Some((bucket, mut rest)) = weights {
            let mut own: &[f32] = &[];
            for process in 0..processes {
                let slice;
                (slice, rest) = rest.split_at_mut(slices.slice(bucket, process).len());
                if process == rank {
                    own = slice;
                } else {
                    let bytes = bytemuck::cast_slice_mut(slice);
                    incoming.push(Incoming { from: process, kind: Kind::Weights, bytes });
                }
            }
            let bytes = bytemuck::cast_slice(own);
            let others = (0..processes).filter(|&process| process != rank);
            outgoing.extend(others.map(|to| Outgoing { to, kind: Kind::Weights, bytes }));
        }
        self.exchange.swap(&outgoing, &mut incoming, self.look);
    }

    /// Adds up this process's slice of a bucket, and puts its new weights where the first of `sums` was.
    fn update(&mut self, bucket: usize, sums: &mut Bucket) {
        let rank = self.exchange.rank();
        let Parts { share, slices, blocks, others, largest, weights } = &mut *self.parts;
        let slice = slices.slice(bucket, rank);
        let (momentum, rest) = std::mem::take(&mut self.momentum).split_at_mut(slice.len());
        self.momentum = rest;
        let weights = &mut weights[..slice.len()];
        let place = slices.bucket(bucket).start + slice.start;
        weights.copy_from_slice(&self.weights[place..][..slice.len()]);
        let Update { sgd, isa, lr } = *self.update;
        alone(|team| {
            let mut own = sums.iter_mut().map(|sum| &mut sum[slice.clone()]);
            let mut others = others.chunks_mut(*largest).map(|sum| &mut sum[..slice.len()]);
            let all = blocks.iter().enumerate().flat_map(|(process, blocks)| {
                blocks.iter().map(move |block| (process, block.clone()))
            });
            let all = all.map(|(process, block)| {
                let sum = if process == rank { own.next() } else { others.next() };
                (block, sum.expect("a buffer for each block"))
            });
            let sum = share.sum(all, |a, b| add_assign(team, isa, a, b));
            sgd.step_part(team, isa, place, weights, momentum, sum, lr);
        });
        sums[0][slice].copy_from_slice(weights);
    }
}
