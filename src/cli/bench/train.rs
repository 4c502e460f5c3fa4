//! Training steps with random weights on random images, which are already in memory: forward and
//! backward pass, and the optimiser.

use resnet_cpu::learn::{Batch, Learner, Sgd, SgdOptions, StepTime, TooSmall};
use resnet_cpu::model::{InitOptions, ModelSpec, Network, Params, initialize};
use resnet_cpu::ops::Loss;
use resnet_cpu::runtime::{AlignedBuf, Crew, Rng};
use std::time::{Duration, Instant};

use super::super::output::rounded;
use super::stats::measure;
use super::{Args, Row, Table, beside_peak, warn_of_noise};
use crate::cli::error::CliError;
use crate::cli::machine::Machine;
use crate::cli::step_times::{self, Timed};

pub(super) const SEED: u64 = 1;
/// The paper's momentum and weight decay; a rate at which random weights stay put.
pub(super) const SGD: SgdOptions =
    SgdOptions { momentum: 0.9, nesterov: false, weight_decay: 1e-4, decay_bn: true };
pub(super) const RATE: f32 = 1e-6;

pub(super) fn run(args: &Args, machine: &Machine) -> Result<(), CliError> {
    let specs = specs(args)?;
    machine.note_itself();
    let mut table = Table::new(args, specs.iter().map(|s| s.name.len()).max().unwrap_or(0));
    table.write_head()?;
    for spec in &specs {
        let (network, side) = (Network::new(spec), args.side(spec));
        for images in args.batch.iter().map(|&n| n as usize) {
            let micro_batch = args.micro_batch(images, 1)?;
            let mut steps = Steps::new(&network, (images, micro_batch), side, args, machine);
            steps.step().map_err(CliError::usage)?;
            steps.profile(args.profile);
            let mut run = || {
                // That this size runs was seen just before.
                let _ = std::hint::black_box(steps.step());
            };
            let ([times], peak) =
                beside_peak(machine, machine.threads, || measure(args.seconds, [&mut run]));
            // Backward is two products of the forward's size; the stem lacks one of them.
            let flops = 6.0 * network.macs(side, side) as f64 * images as f64;
            let row = Row::new(machine, "train", spec.name.clone(), flops, &times).with_peak(peak);
            let images_per_second = Some(rounded(images as f64 / times.quantile(0.5)));
            let row = Row { batch: images, images_per_second, ..row };
            table.write(&row)?;
            warn_of_noise(machine, &row, &times);
            if args.profile {
                let of = Timed {
                    arch: &row.arch,
                    batch: images,
                    threads: machine.threads,
                    peak_gflops: peak,
                };
                step_times::print(&of, &steps.times(), args.json)?;
            }
        }
    }
    Ok(())
}

/// The networks to train.
pub(super) fn specs(args: &Args) -> Result<Vec<ModelSpec>, CliError> {
    let specs = args.specs(&["resnet18", "resnet20"])?;
    match specs.iter().find(|spec| !spec.is_trainable()) {
        Some(ModelSpec { name, .. }) => {
            Err(CliError::usage(format!("{name} can be run; training all of it is not supported")))
        }
        None => Ok(specs),
    }
}

/// Random images of `side` pixels, and their classes.
pub(super) fn random_batch(
    network: &Network,
    images: usize,
    side: usize,
) -> (Vec<f32>, Vec<usize>) {
    let mut rng = Rng::named(SEED, "input");
    let input = (0..images * side * side * 3).map(|_| rng.normal()).collect();
    (input, (0..images).map(|_| rng.below(network.spec.classes)).collect())
}

/// Everything that a step needs, and where the time of steps went.
struct Steps<'a> {
    machine: &'a Machine,
    micro_batch: usize,
    side: usize,
    input: Vec<f32>,
    labels: Vec<usize>,
    params: Params,
    learner: Learner,
    crew: Crew,
    sgd: Sgd,
    gradients: AlignedBuf,
    momentum: AlignedBuf,
    updates: (u32, Duration),
}

impl<'a> Steps<'a> {
    fn new(
        network: &Network,
        (images, micro_batch): (usize, usize),
        side: usize,
        args: &Args,
        machine: &'a Machine,
    ) -> Self {
        let params = initialize(network, SEED, InitOptions::default());
        let gradients = AlignedBuf::zeroed(params.learnable().len());
        let (input, labels) = random_batch(network, images, side);
        Self {
            machine,
            micro_batch,
            side,
            input,
            labels,
            sgd: Sgd::new(params.table(), SGD),
            learner: Learner::new(network, machine.backend)
                .with_convolutions(args.convolutions.choice()),
            crew: Crew::default(),
            momentum: gradients.clone(),
            gradients,
            params,
            updates: (0, Duration::ZERO),
        }
    }

    fn step(&mut self) -> Result<Loss, TooSmall> {
        let batch = Batch {
            input: &self.input,
            labels: &self.labels,
            height: self.side,
            width: self.side,
            label_smoothing: 0.0,
        };
        let Self { params, gradients, momentum, sgd, .. } = self;
        let loss = self.learner.batch(params, &batch, self.micro_batch, gradients);
        let start = Instant::now();
        let weights = params.learnable_mut();
        self.crew.run(|team| {
            sgd.step(team, self.machine.isa, weights, momentum, gradients, RATE);
        });
        let (count, time) = self.updates;
        self.updates = (count + 1, time + start.elapsed());
        loss
    }

    /// Whether to note from now on where the time goes.
    fn profile(&mut self, on: bool) {
        self.learner.set_profiling(on);
        self.updates = (0, Duration::ZERO);
    }

    /// The means of the steps since then.
    fn times(&self) -> Vec<StepTime> {
        let mut times = self.learner.step_times();
        let (count, time) = self.updates;
        times.push(StepTime::update(self.gradients.len(), time / count.max(1)));
        times
    }
}
