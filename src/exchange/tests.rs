//! Steps of several processes, by threads in their place: the bits are those of one.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::testing::together;
use super::{Compute, Exchange, Failed, Stepped, Together, Update};
use crate::gemm::Backend;
use crate::learn::{Batch, Learner, Sgd, SgdOptions, Split};
use crate::model::{InitOptions, ModelSpec, Network, Options, Params, initialize};
use crate::ops::Loss;
use crate::runtime::{AlignedBuf, Rng, team};
use crate::simd::Isa;

const SIDE: usize = 16;
const IMAGE: usize = 3 * SIDE * SIDE;
const OPTIONS: SgdOptions =
    SgdOptions { momentum: 0.9, nesterov: true, weight_decay: 1e-4, decay_bn: true };
const BACKEND: fn() -> Backend = || Backend::Native(Isa::best());

/// A network, and batches of two images a micro-batch.
struct Case {
    network: Network,
    micro_batches: usize,
    input: Vec<f32>,
    labels: Vec<usize>,
    shares: Vec<f64>,
}

/// What there is after some steps.
#[derive(Debug, PartialEq)]
struct State {
    learnable: Vec<f32>,
    statistics: Vec<f32>,
    momentum: Vec<f32>,
    losses: Vec<Loss>,
}

impl Case {
    fn new(name: &str, micro_batches: usize) -> Self {
        let spec = ModelSpec::new(name, Options { classes: Some(7), ..Options::default() });
        let mut rng = Rng::named(3, "exchange");
        Self {
            network: Network::new(&spec.unwrap()),
            micro_batches,
            input: (0..2 * micro_batches * IMAGE).map(|_| rng.normal()).collect(),
            labels: (0..2 * micro_batches).map(|_| rng.below(7)).collect(),
            shares: (0..micro_batches).map(|_| rng.normal().abs().min(1.0).into()).collect(),
        }
    }

    fn batch(&self, images: std::ops::Range<usize>) -> Batch<'_> {
        let input = &self.input[images.start * IMAGE..images.end * IMAGE];
        let labels = &self.labels[images];
        Batch { input, labels, height: SIDE, width: SIDE, label_smoothing: 0.1 }
    }

    fn start(&self) -> (Params, Learner, Sgd) {
        let params = initialize(&self.network, 5, InitOptions::default());
        let sgd = Sgd::new(params.table(), OPTIONS);
        (params, Learner::new(&self.network, BACKEND()), sgd)
    }

    fn alone(&self, steps: usize) -> State {
        let (mut params, mut learner, sgd) = self.start();
        let mut momentum = AlignedBuf::zeroed(params.learnable().len());
        let mut gradients = momentum.clone();
        let mut losses = Vec::new();
        for _ in 0..steps {
            let (batch, gradients) = (self.batch(0..self.labels.len()), &mut gradients);
            let loss =
                learner.mixed_unless(&mut params, &batch, 2, &self.shares, gradients, &|| false);
            losses.push(loss.unwrap().unwrap());
            team(|team| {
                let weights = params.learnable_mut();
                sgd.step(team, Isa::best(), weights, &mut momentum, gradients, 0.05);
            });
        }
        let (learnable, statistics) = (params.learnable().to_vec(), params.statistics().to_vec());
        State { learnable, statistics, momentum: momentum.to_vec(), losses }
    }

    /// As one of several processes, which is `stopped` or fails, perhaps.
    fn step(
        &self,
        together: &mut Together,
        (params, learner, sgd): &mut (Params, Learner, Sgd),
        stopped: &(dyn Fn() -> bool + Sync),
        fails: bool,
    ) -> Result<Stepped, String> {
        let update = Update { sgd, isa: Isa::best(), lr: 0.05 };
        let own = together.micro_batches();
        together.step(params, &update, stopped, |compute| {
            let Compute { params, blocks, handover, stopped } = compute;
            if fails {
                return Err("no such image".to_owned());
            }
            let batch = self.batch(2 * own.start..2 * own.end);
            let shares = &self.shares[own.clone()];
            let split = Split { micro_batch: 2, blocks, images: self.labels.len(), shares };
            let done = learner.blocks_unless(params, &batch, &split, handover, stopped);
            done.map_err(|error| error.to_string())
        })
    }

    fn one_of_several(&self, exchange: &dyn Exchange, steps: usize) -> State {
        let mut together = Together::new(exchange, &self.network, self.micro_batches).unwrap();
        let mut all = self.start();
        let mut losses = Vec::new();
        for _ in 0..steps {
            match self.step(&mut together, &mut all, &|| false, false) {
                Ok(Stepped::Done { loss, .. }) => losses.push(loss),
                other => panic!("{other:?}"),
            }
        }
        let params = &all.0;
        let mut momentum = AlignedBuf::zeroed(params.learnable().len());
        together.collect_momentum(&mut momentum);
        let (learnable, statistics) = (params.learnable().to_vec(), params.statistics().to_vec());
        State { learnable, statistics, momentum: momentum.to_vec(), losses }
    }
}

#[test]
fn any_number_of_processes_has_the_bits_of_one() {
    for (name, micro_batches, processes) in
        [("resnet20", 8, &[2, 3, 4, 8][..]), ("resnet20", 5, &[2, 3, 5]), ("resnet18", 3, &[2, 3])]
    {
        let case = Case::new(name, micro_batches);
        let expected = case.alone(3);
        for &processes in processes {
            let found = together(processes, |exchange| case.one_of_several(exchange, 3));
            for (rank, mut state) in found.into_iter().enumerate() {
                if rank > 0 {
                    // Only the first gathers it.
                    state.momentum.clone_from(&expected.momentum);
                }
                assert!(state == expected, "{name}, {processes} processes, process {rank}");
            }
        }
    }
}

#[test]
fn a_step_that_one_ends_or_fails_leaves_no_trace_on_any() {
    let case = Case::new("resnet20", 4);
    let expected = case.alone(2);
    for stops in (0..36).step_by(7) {
        let found = together(3, |exchange| {
            let mut together = Together::new(exchange, &case.network, 4).unwrap();
            let mut all = case.start();
            let mut step = |stops: Option<usize>, fails| {
                let asked = AtomicUsize::new(0);
                let stopped =
                    || stops.is_some_and(|stops| asked.fetch_add(1, Ordering::Relaxed) >= stops);
                case.step(&mut together, &mut all, &stopped, fails)
            };
            let second = exchange.rank() == 1;
            let done = |stepped| matches!(stepped, Ok(Stepped::Done { .. }));
            let first = done(step(None, false));
            let stopped = step(second.then_some(stops), false);
            let failed = step(None, second);
            // Nobody asked in vain.
            while exchange.asked_to_stop() {}
            // All have ended the step that failed before anyone begins another.
            super::gather(exchange, &[], &mut || ());
            let last = done(step(None, false));
            (first, stopped, failed, last, all.0.learnable().to_vec())
        });
        for (rank, (first, stopped, failed, last, learnable)) in found.into_iter().enumerate() {
            assert!(first && last, "{rank}");
            assert_eq!(stopped, Ok(Stepped::Stopped), "{rank}");
            let (host, reason) = ("host1".to_owned(), "no such image".to_owned());
            let expected_failure =
                Stepped::Failed(Failed { rank: 1, host, reason: reason.clone() });
            assert_eq!(failed, if rank == 1 { Err(reason) } else { Ok(expected_failure) });
            assert!(learnable == expected.learnable, "stop {stops}, process {rank}");
        }
    }
}
