//! Training steps with random weights on random images, which are already in memory: forward and
//! backward pass, and the optimiser.

use resnet_cpu::learn::{Batch, Learner, Sgd, SgdOptions};
use resnet_cpu::model::{InitOptions, Network, initialize};
use resnet_cpu::runtime::{AlignedBuf, Crew, Rng};

use super::stats::measure;
use super::{Args, Row, Table, beside_peak, rounded, warn_of_noise};
use crate::cli::error::CliError;
use crate::cli::machine::Machine;

const SEED: u64 = 1;
/// The paper's momentum and weight decay; a rate at which random weights stay put.
const SGD: SgdOptions =
    SgdOptions { momentum: 0.9, nesterov: false, weight_decay: 1e-4, decay_bn: true };
const RATE: f32 = 1e-6;

pub(super) fn run(args: &Args, machine: &Machine) -> Result<(), CliError> {
    let specs = args.specs(&["resnet18", "resnet20"])?;
    machine.note_itself();
    let mut table = Table::new(args, specs.iter().map(|s| s.name.len()).max().unwrap_or(0));
    table.write_head()?;
    for spec in &specs {
        let network = Network::new(spec);
        let side = args.side(spec);
        let mut params = initialize(&network, SEED, InitOptions::default());
        let sgd = Sgd::new(params.table(), SGD);
        let mut gradients = AlignedBuf::zeroed(params.learnable().len());
        let mut momentum = gradients.clone();
        for images in args.batch.iter().map(|&n| n as usize) {
            let mut rng = Rng::named(SEED, "input");
            let input: Vec<f32> = (0..images * side * side * 3).map(|_| rng.normal()).collect();
            let labels: Vec<usize> = (0..images).map(|_| rng.below(spec.classes)).collect();
            let batch = Batch {
                input: &input,
                labels: &labels,
                height: side,
                width: side,
                label_smoothing: 0.0,
            };
            let mut learner = Learner::new(&network, machine.backend)
                .with_convolutions(args.convolutions.choice());
            let mut crew = Crew::default();
            let mut step = || {
                let loss = learner.batch(&mut params, &batch, images, &mut gradients);
                let weights = params.learnable_mut();
                crew.run(|team| {
                    sgd.step(team, machine.isa, weights, &mut momentum, &gradients, RATE);
                });
                loss
            };
            step().map_err(CliError::usage)?;
            let mut run = || {
                // That this size runs was seen just before.
                let _ = std::hint::black_box(step());
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
        }
    }
    Ok(())
}
