//! A step of several processes: each computes its micro-batches, and all have the same new weights afterwards.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::buckets::Buckets;
use super::conclude::{Concluded, Failed, ToldLoss, conclude};
use super::share::{Share, TooMany};
use super::slices::Slices;
use super::summing::{Parts, Summing, Update};
use super::transport::{Exchange, Incoming, Kind, Outgoing};
use crate::learn::{Handover, MicroBatch, follow};
use crate::model::{Network, Params};
use crate::ops::Loss;
use crate::ops::batch_norm::Statistics;
use crate::runtime::AlignedBuf;

/// What a process computes its part of a step with.
pub struct Compute<'c, 'h, 's> {
    /// The weights before the step.
    pub params: &'c Params,
    /// How many of its micro-batches are in each block, in order.
    pub blocks: &'c [usize],
    /// Where their gradients go.
    pub handover: &'c mut Handover<'h, 's>,
    /// Whether to stop: this process or another one was asked to.
    pub stopped: &'c (dyn Fn() -> bool + Sync),
}

/// How a step ended, on all processes alike.
#[derive(Clone, Debug, PartialEq)]
pub enum Stepped {
    /// The weights are those after the step, unless the loss is not finite: then they are those before it.
    Done {
        /// The loss of the whole batch.
        loss: Loss,
        /// Seconds that this process waited for others after it had computed its part.
        waited: f64,
        /// The process whose part took longest.
        slowest: usize,
    },
    /// A process was asked to stop; the weights are those before the step.
    Stopped,
    /// Another process cannot go on; the weights are those before the step.
    Failed(Failed),
}

/// What a process tells the others at the end of a step, beside its statistics.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    /// Of each of its micro-batches.
    losses: Vec<ToldLoss>,
    /// Seconds that its part took.
    seconds: f64,
}

/// One of several processes that train a network.
pub struct Together<'a> {
    exchange: &'a dyn Exchange,
    buckets: Buckets,
    parts: Parts,
    /// Micro-batches of each of this process's blocks.
    blocks: Vec<usize>,
    /// Their gradients.
    sums: Vec<AlignedBuf>,
    /// The velocity of this process's slices, and that after the step under way.
    momentum: [AlignedBuf; 2],
}

impl<'a> Together<'a> {
    /// One of the processes of `exchange`, which share `micro_batches` of each batch. The velocity is 0.
    ///
    /// # Errors
    /// If there are fewer micro-batches than processes.
    pub fn new(
        exchange: &'a dyn Exchange,
        network: &Network,
        micro_batches: usize,
    ) -> Result<Self, TooMany> {
        let (rank, processes) = (exchange.rank(), exchange.processes());
        let share = Share::new(micro_batches, processes)?;
        let buckets = Buckets::new(network);
        let slices = Slices::new(&buckets, processes);
        let blocks: Vec<usize> = share.blocks(rank).iter().map(|block| block.len()).collect();
        let gradients = || AlignedBuf::zeroed(network.table().learnable_len());
        let mine = || AlignedBuf::zeroed(slices.total(rank));
        Ok(Self {
            sums: blocks.iter().map(|_| gradients()).collect(),
            momentum: [mine(), mine()],
            parts: Parts::new(share, slices, exchange),
            exchange,
            buckets,
            blocks,
        })
    }

    /// The processes.
    pub fn exchange(&self) -> &'a dyn Exchange {
        self.exchange
    }

    /// The numbers of this process's micro-batches.
    pub fn micro_batches(&self) -> std::ops::Range<usize> {
        self.parts.share.of(self.exchange.rank())
    }

    /// Takes this process's slices of the velocity `all`, laid out as [`Params::learnable`].
    ///
    /// # Panics
    /// If the length is another one.
    pub fn set_momentum(&mut self, all: &[f32]) {
        self.parts.slices.take(self.exchange.rank(), all, &mut self.momentum[0]);
    }

    /// Gathers the velocity in `all`, on the first process; the others need no buffer. All must call this.
    pub fn collect_momentum(&self, all: &mut [f32]) {
        let (rank, slices) = (self.exchange.rank(), &self.parts.slices);
        let mine = &self.momentum[0];
        if rank > 0 {
            let bytes = bytemuck::cast_slice(mine);
            let outgoing = Outgoing { to: 0, kind: Kind::Words, bytes };
            return self.exchange.swap(&[outgoing], &mut [], &mut || ());
        }
        slices.put(0, mine, all);
        for from in 1..self.exchange.processes() {
            let mut theirs = AlignedBuf::zeroed(slices.total(from));
            let bytes = bytemuck::cast_slice_mut(&mut theirs);
            let incoming = Incoming { from, kind: Kind::Words, bytes };
            self.exchange.swap(&[], &mut [incoming], &mut || ());
            slices.put(from, &theirs, all);
        }
    }

    /// A step. `compute` computes this process's micro-batches, or gives none if it was stopped; meanwhile the
    /// gradients that it hands over are exchanged. All processes must call this, and all end it alike.
    ///
    /// # Errors
    /// Those of `compute`; the other processes hear of them.
    pub fn step<E: Display>(
        &mut self,
        params: &mut Params,
        update: &Update,
        stopped: &(dyn Fn() -> bool + Sync),
        compute: impl FnOnce(Compute) -> Result<Option<Vec<MicroBatch>>, E>,
    ) -> Result<Stepped, E> {
        let start = Instant::now();
        let Self { exchange, buckets, parts, blocks, sums, momentum, .. } = self;
        let exchange = *exchange;
        let [before, after] = momentum;
        after.copy_from_slice(before);
        let (stop, failed) = (AtomicBool::new(false), AtomicBool::new(false));
        let mut told = false;
        let mut look = || {
            if exchange.asked_to_stop() {
                stop.store(true, Ordering::Relaxed);
                told = true;
            }
            if !told && (failed.load(Ordering::Relaxed) || stopped()) {
                exchange.ask_to_stop();
                stop.store(true, Ordering::Relaxed);
                told = true;
            }
        };
        let old = &*params;
        let (result, computed) = std::thread::scope(|scope| {
            let _guard = EndOnPanic;
            let (sender, ready) = mpsc::channel();
            let (weights, look) = (old.learnable(), &mut look);
            let summing = Summing { exchange, parts, update, weights, momentum: after, look };
            let others = scope.spawn(move || summing.run(&ready));
            let mut ready = |bucket| {
                // It is gone only if it panicked, which is seen when it is joined.
                let _ = sender.send(bucket);
            };
            let sums = sums.iter_mut().map(|sum| &mut sum[..]).collect();
            let mut handover = Handover::new(sums, buckets.starts(), &mut ready);
            let stopped = || stop.load(Ordering::Relaxed) || stopped();
            let (handover, stopped) = (&mut handover, &stopped);
            let result =
                compute(Compute { params: old, blocks, handover: &mut *handover, stopped });
            failed.store(result.is_err(), Ordering::Relaxed);
            let computed = start.elapsed().as_secs_f64();
            handover.rest();
            if let Err(panic) = others.join() {
                std::panic::resume_unwind(panic);
            }
            (result, computed)
        });
        let said = match &result {
            Ok(own) => Ok(own.as_deref().map(|own| said_of(own, computed))),
            Err(error) => Err(error),
        };
        // An error is this process's own, which is in the result, too.
        let concluded = conclude(exchange, said, &mut look).unwrap_or(Concluded::Stopped);
        let waited = start.elapsed().as_secs_f64() - computed;
        match (result?, concluded) {
            (Some(own), Concluded::Found(all)) => {
                let loss = self.commit(&own, &all, params);
                let seconds = all.iter().map(|(told, _)| told.seconds).enumerate();
                let slowest = seconds.max_by(|(_, a), (_, b)| a.total_cmp(b));
                let slowest = slowest.map_or(0, |(rank, _)| rank);
                Ok(Stepped::Done { loss, waited, slowest })
            }
            (_, Concluded::Failed(failed)) => Ok(Stepped::Failed(failed)),
            _ => Ok(Stepped::Stopped),
        }
    }

    /// Makes the step's numbers the network's, unless the loss is not finite. Returns it.
    fn commit(
        &mut self,
        own: &[MicroBatch],
        all: &[(Told, Vec<f32>)],
        params: &mut Params,
    ) -> Loss {
        let mut total = Loss::default();
        for &told in all.iter().flat_map(|(told, _)| &told.losses) {
            let loss = Loss::from(told);
            total.sum += loss.sum;
            total.top1 += loss.top1;
            total.top5 += loss.top5;
        }
        if !total.sum.is_finite() {
            return total;
        }
        params.learnable_mut().copy_from_slice(&self.sums[0]);
        self.momentum.swap(0, 1);
        // Micro-batches are of one size, so all statistics are laid out as the own ones.
        let layers = &own[0].statistics;
        for (told, floats) in all {
            let mut floats = &floats[..];
            let mut take = |len: usize| {
                let taken;
                (taken, floats) = floats.split_at(len);
                taken.to_vec()
            };
            for _ in &told.losses {
                let statistics = layers.iter().map(|(conv, like)| {
                    let [mean, var] = [&like.mean, &like.var].map(|values| take(values.len()));
                    (conv.clone(), Statistics { pixels: like.pixels, mean, var })
                });
                follow(params, &statistics.collect::<Vec<_>>());
            }
        }
        total
    }
}

/// What a process tells of its micro-batches, whose part took so many seconds: the floats are their statistics.
fn said_of(own: &[MicroBatch], seconds: f64) -> (Told, Vec<f32>) {
    let losses = own.iter().map(|own| own.loss.into()).collect();
    let statistics = own.iter().flat_map(|own| &own.statistics);
    let floats = statistics.flat_map(|(_, Statistics { mean, var, .. })| mean.iter().chain(var));
    (Told { losses, seconds }, floats.copied().collect())
}

/// Ends the process if its computation panics: the thread beside it, and the other processes, would wait for its
/// gradients for ever.
struct EndOnPanic;

impl Drop for EndOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}
