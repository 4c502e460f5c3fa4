//! Training steps of several processes: as they are, and with all gradients sent at the end, which tells what it is
//! worth that they are sent while the backward pass goes on.

use resnet_cpu::exchange::{Compute, Exchange, Stepped, Together, Update, tell};
use resnet_cpu::learn::{Batch, Learner, Sgd, Split};
use resnet_cpu::model::{InitOptions, Network, Params, initialize};
use std::cell::RefCell;

use super::super::output::rounded;
use super::stats::measure;
use super::train::{RATE, SEED, SGD, random_batch, specs};
use super::{Args, Row, Table, beside_peak, warn_of_noise};
use crate::cli::error::CliError;
use crate::cli::machine::Machine;

/// What the first process tells the others to do.
const NOTHING: u8 = 0;
const STEP: u8 = 1;
const STEP_SENT_AT_END: u8 = 2;

/// What a step that sends its gradients at the end is called.
const AT_END: &str = "sent at end";

pub(super) fn run(args: &Args, machine: &Machine) -> Result<(), CliError> {
    let specs = specs(args)?;
    let exchange = machine.exchange();
    let processes = exchange.processes();
    machine.note_itself();
    let width = specs.iter().map(|spec| spec.name.len()).max().unwrap_or(0);
    let mut table = Table::new(args, width + 1 + AT_END.len());
    if exchange.rank() == 0 {
        table.write_head()?;
    }
    for spec in &specs {
        let (network, side) = (Network::new(spec), args.side(spec));
        for images in args.batch.iter().map(|&n| n as usize) {
            let micro_batch = args.micro_batch(images, processes)?;
            let mut steps = Steps::new(&network, images, micro_batch, side, args, machine)?;
            steps.step(STEP)?;
            if exchange.rank() > 0 {
                steps.follow()?;
                continue;
            }
            steps.waited = [0.0; 2];
            let steps = RefCell::new(steps);
            let run = |what| {
                say(exchange, what);
                // That this size runs was seen just before.
                let _ = steps.borrow_mut().step(what);
            };
            let (mut usual, mut at_end) = (|| run(STEP), || run(STEP_SENT_AT_END));
            let (times, peak) = beside_peak(machine, machine.threads, || {
                measure(args.seconds, [&mut usual, &mut at_end])
            });
            say(exchange, NOTHING);
            let flops = 6.0 * network.macs(side, side) as f64 * images as f64;
            let names = [spec.name.clone(), format!("{} {AT_END}", spec.name)];
            let waited = steps.into_inner().waited;
            for ((name, times), waited) in names.into_iter().zip(&times).zip(waited) {
                let row = Row::new(machine, "train", name, flops, times);
                let row = row.with_peak(peak * processes as f64);
                let images_per_second = Some(rounded(images as f64 / times.quantile(0.5)));
                let row = Row { batch: images, images_per_second, ..row };
                table.write(&row)?;
                warn_of_noise(machine, &row, times);
                // One more than was timed.
                let waited = 1e3 * waited / (times.count() + 1) as f64;
                machine.note(&format!("{}: process 0 waits {waited:.1} ms a step", row.arch));
            }
        }
    }
    Ok(())
}

/// Tells the other processes what to do.
fn say(exchange: &dyn Exchange, what: u8) {
    tell(exchange, &mut vec![what], &mut || ());
}

/// One process's part of the steps.
struct Steps<'a> {
    machine: &'a Machine,
    images: usize,
    micro_batch: usize,
    side: usize,
    /// Of this process.
    input: Vec<f32>,
    labels: Vec<usize>,
    params: Params,
    learner: Learner,
    sgd: Sgd,
    together: Together<'a>,
    /// Seconds that it waited for others: in usual steps, in the others.
    waited: [f64; 2],
}

impl<'a> Steps<'a> {
    fn new(
        network: &Network,
        images: usize,
        micro_batch: usize,
        side: usize,
        args: &Args,
        machine: &'a Machine,
    ) -> Result<Self, CliError> {
        let together = Together::new(machine.exchange(), network, images / micro_batch);
        let together = together.map_err(CliError::usage)?;
        let own = together.micro_batches().len() * micro_batch;
        let params = initialize(network, SEED, InitOptions::default());
        let (input, labels) = random_batch(network, own, side);
        Ok(Self {
            machine,
            images,
            micro_batch,
            side,
            input,
            labels,
            sgd: Sgd::new(params.table(), SGD),
            learner: Learner::new(network, machine.backend)
                .with_convolutions(args.convolutions.choice()),
            params,
            together,
            waited: [0.0; 2],
        })
    }

    /// Does what the first process says.
    fn follow(&mut self) -> Result<(), CliError> {
        loop {
            let mut what = Vec::new();
            tell(self.machine.exchange(), &mut what, &mut || ());
            match what[..] {
                [what @ (STEP | STEP_SENT_AT_END)] => self.step(what)?,
                _ => return Ok(()),
            }
        }
    }

    fn step(&mut self, what: u8) -> Result<(), CliError> {
        let Self { input, labels, learner, micro_batch, images, side, .. } = self;
        let (height, width) = (*side, *side);
        let batch = Batch { input, labels, height, width, label_smoothing: 0.0 };
        let update = Update { sgd: &self.sgd, isa: self.machine.isa, lr: RATE };
        let stepped = self.together.step(&mut self.params, &update, &|| false, |compute| {
            let Compute { params, blocks, handover, stopped } = compute;
            if what == STEP_SENT_AT_END {
                handover.wait_for_all();
            }
            let split = Split { micro_batch: *micro_batch, blocks, images: *images, shares: &[] };
            learner.blocks_unless(params, &batch, &split, handover, stopped)
        });
        if let Stepped::Done { waited, .. } = stepped.map_err(CliError::usage)? {
            self.waited[usize::from(what == STEP_SENT_AT_END)] += waited;
        }
        Ok(())
    }
}
