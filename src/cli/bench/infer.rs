//! Whole networks, with random weights or those of a file, on random images, which are already in memory.

use resnet_cpu::infer::{Model, Session};
use resnet_cpu::model::{InitOptions, Network, initialize};
use resnet_cpu::runtime::Rng;
use resnet_cpu::weights::WeightsFile;
use std::path::Path;
use std::sync::Arc;

use super::super::output::rounded;
use super::stats::measure;
use super::{Args, Row, Table, beside_peak, warn_of_noise};
use crate::cli::error::CliError;
use crate::cli::hub::file_of;
use crate::cli::machine::Machine;
use crate::cli::weights::note_weights;

const SEED: u64 = 1;
/// Scale of each block's last batch norm: keeps the activations of the deepest networks in range.
const LAST_GAMMA: f32 = 0.25;

pub(super) fn run(args: &Args, machine: &Machine) -> Result<(), CliError> {
    match &args.weights {
        Some(path) => file(args, machine, path),
        None => random(args, machine),
    }
}

/// The network whose weights are in the file at `path`, or have this name.
fn file(args: &Args, machine: &Machine, path: &Path) -> Result<(), CliError> {
    let overrides = args.network.overrides(args.arch.first().map(|name| name.trim()))?;
    let overrides = args.extra.and(overrides);
    machine.note_itself();
    let path = &file_of(path, machine)?;
    let weights = WeightsFile::open(path, &overrides).map_err(CliError::failed)?;
    note_weights(machine, path, &weights);
    let network = weights.network().clone();
    let mut table = Table::new(args, network.spec.name.len());
    table.write_head()?;
    let model = Model::of_weights(weights, machine.backend)
        .map_err(|error| CliError::failed(format!("{}: {error}", path.display())))?;
    rows(args, machine, &mut table, &network, model)
}

/// The networks that are named, with random weights.
fn random(args: &Args, machine: &Machine) -> Result<(), CliError> {
    let specs = args.specs(&["resnet18", "resnet50"])?;
    machine.note_itself();
    let mut table = Table::new(args, specs.iter().map(|s| s.name.len()).max().unwrap_or(0));
    table.write_head()?;
    for spec in &specs {
        let network = Network::new(spec);
        let mut params = initialize(&network, SEED, InitOptions::default());
        for last in network.blocks.iter().filter_map(|block| block.convs.last()) {
            params.get_mut(last.gamma).fill(LAST_GAMMA);
        }
        rows(args, machine, &mut table, &network, Model::new(&network, &params, machine.backend))?;
    }
    Ok(())
}

/// A row for each batch.
fn rows(
    args: &Args,
    machine: &Machine,
    table: &mut Table,
    network: &Network,
    model: Model,
) -> Result<(), CliError> {
    let side = args.side(&network.spec);
    let model = model.with_convolutions(args.convolutions.choice());
    let mut session = Session::of(&Arc::new(model));
    for batch in args.batch.iter().map(|&n| n as usize) {
        // The rule of data-tools/pytorch/fill.py, so that others can run on the same images.
        let mut rng = Rng::named(SEED, "input");
        let input: Vec<f32> =
            (0..batch * side * side * 3).map(|_| rng.uniform_in(-2.0, 2.0)).collect();
        let logits = session.run(&input, batch, side, side).map_err(CliError::usage)?;
        let logits = args.weights.is_some().then(|| logits.to_vec());
        let mut run = || {
            // That this size runs was seen just before.
            let _ = std::hint::black_box(session.run(&input, batch, side, side));
        };
        let ([times], peak) =
            beside_peak(machine, machine.threads, || measure(args.seconds, [&mut run]));
        let flops = 2.0 * network.macs(side, side) as f64 * batch as f64;
        let row = Row::new(machine, "infer", network.spec.name.clone(), flops, &times);
        let images_per_second = Some(rounded(batch as f64 / times.quantile(0.5)));
        let row = Row { batch, images_per_second, logits, ..row.with_peak(peak) };
        table.write(&row)?;
        warn_of_noise(machine, &row, &times);
    }
    Ok(())
}
