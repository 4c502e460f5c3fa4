//! Whole networks with random weights on random pictures, which are already in memory.

use resnet_cpu::infer::Session;
use resnet_cpu::model::{InitOptions, Network, initialize};
use resnet_cpu::runtime::Rng;

use super::stats::measure;
use super::{Args, Row, Table, beside_peak, rounded};
use crate::cli::error::CliError;
use crate::cli::machine::Machine;

const SEED: u64 = 1;
/// Scale of each block's last batch norm: keeps the activations of the deepest networks in range.
const LAST_GAMMA: f32 = 0.25;

pub(super) fn run(args: &Args, machine: &Machine) -> Result<(), CliError> {
    let specs = args.specs(&["resnet18", "resnet50"])?;
    machine.note_itself();
    let mut table = Table::new(args, specs.iter().map(|s| s.name.len()).max().unwrap_or(0));
    table.write_head()?;
    for spec in &specs {
        let network = Network::new(spec);
        let side = args.side(spec);
        let mut params = initialize(&network, SEED, InitOptions::default());
        for last in network.blocks.iter().filter_map(|block| block.convs.last()) {
            params.get_mut(last.gamma).fill(LAST_GAMMA);
        }
        let mut session = Session::new(&network, &params, machine.backend);
        for batch in args.batch.iter().map(|&n| n as usize) {
            let mut rng = Rng::named(SEED, "input");
            let input: Vec<f32> = (0..batch * side * side * 3).map(|_| rng.normal()).collect();
            session.run(&input, batch, side, side).map_err(CliError::usage)?;
            let mut run = || {
                // That this size runs was seen just before.
                let _ = std::hint::black_box(session.run(&input, batch, side, side));
            };
            let ([times], peak) =
                beside_peak(machine, machine.threads, || measure(args.seconds, [&mut run]));
            let flops = 2.0 * network.macs(side, side) as f64 * batch as f64;
            let row = Row::new(machine, "infer", spec.name.clone(), flops, &times).with_peak(peak);
            let images_per_second = Some(rounded(batch as f64 / times.quantile(0.5)));
            table.write(&Row { batch, images_per_second, ..row })?;
        }
    }
    Ok(())
}
