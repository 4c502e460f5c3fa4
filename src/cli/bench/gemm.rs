//! Matrix products with B packed before, ours and the `matrixmultiply` crate's in turn.

use resnet_cpu::gemm::{Backend, Epilogue, Matrix, PackedB, gemm, kernels::Kernel};
use resnet_cpu::model::{Layer, Network};
use resnet_cpu::runtime::{AlignedBuf, Crew, Rng, pool};

use super::stats::{Times, measure};
use super::{Args, Row, Table, beside_peak, warn_of_noise};
use crate::cli::error::CliError;
use crate::cli::machine::Machine;

/// C is `m` x `n`, A has `k` columns.
type Size = (usize, usize, usize);

/// Rows of tiles, and steps of K, of the product that is the kernel alone: one panel of B that stays in
/// the first-level cache, beside the tile of A that is in use.
const KERNEL_TILES: usize = 8;
const KERNEL_STEPS: usize = 240;
/// Products a timed run then.
const KERNEL_REPETITIONS: usize = 100;

const SQUARES: [usize; 3] = [512, 1024, 2048];

pub(super) fn run(args: &Args, machine: &Machine) -> Result<(), CliError> {
    let specs = args.specs(&["resnet50"])?;
    let mut sizes = Vec::new();
    for spec in &specs {
        for &batch in &args.batch {
            products(&Network::new(spec), batch as usize, args.side(spec), &mut sizes);
        }
    }
    machine.note_itself();
    let mut table = Table::new(args, "12544x2048x4608".len());
    table.write_head()?;
    table.write(&kernel_alone(args, machine)?)?;
    for side in SQUARES {
        compare(args, machine, &mut table, (side, side, side))?;
    }
    let mut log_ratios = 0.0;
    for &size in &sizes {
        log_ratios += compare(args, machine, &mut table, size)?.ln();
    }
    let mean = (log_ratios / sizes.len() as f64).exp();
    let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    let summary = format!(
        "{} distinct products of {}: {mean:.2} times as fast as matrixmultiply (geometric mean)",
        sizes.len(),
        names.join(", ")
    );
    table.write_summary(machine, &summary)
}

/// Appends the products of a network's convolutions that are not yet among `sizes`.
fn products(network: &Network, batch: usize, side: usize, sizes: &mut Vec<Size>) {
    for layer in network.layers(side, side) {
        let Layer::Conv(conv) = layer.layer else { continue };
        let pixels = batch * layer.output.0 * layer.output.1;
        let size = (pixels, conv.out_channels, conv.kernel * conv.kernel * conv.in_channels);
        if size.0 > 0 && !sizes.contains(&size) {
            sizes.push(size);
        }
    }
}

/// The microkernel on one thread, on operands that stay in its caches.
fn kernel_alone(args: &Args, machine: &Machine) -> Result<Row, CliError> {
    let (rows, columns) = Kernel::of(machine.isa).tile();
    let size = (KERNEL_TILES * rows, columns, KERNEL_STEPS);
    let mut product = Product::new(size, Backend::Native(machine.isa));
    let mut run = || (0..KERNEL_REPETITIONS).for_each(|_| product.run());
    let one = pool(Some(1)).map_err(CliError::failed)?;
    let ([times], peak) =
        one.install(|| beside_peak(machine, 1, || measure(args.seconds, [&mut run])));
    let times = times.per_repetition(KERNEL_REPETITIONS);
    Ok(Row {
        threads: 1,
        ..row(machine, size, Backend::Native(machine.isa), &times).with_peak(peak)
    })
}

/// Writes a row of each backend; how many times as fast ours is.
fn compare(args: &Args, machine: &Machine, table: &mut Table, size: Size) -> Result<f64, CliError> {
    let (native, other) = (Backend::Native(machine.isa), Backend::Matrixmultiply);
    let (mut ours, mut theirs) = (Product::new(size, native), Product::new(size, other));
    let ([ours, theirs], peak) = beside_peak(machine, machine.threads, || {
        measure(args.seconds, [&mut || ours.run(), &mut || theirs.run()])
    });
    for (backend, times) in [(native, &ours), (other, &theirs)] {
        let row = row(machine, size, backend, times).with_peak(peak);
        table.write(&row)?;
        warn_of_noise(machine, &row, times);
    }
    Ok(theirs.quantile(0.5) / ours.quantile(0.5))
}

fn row(machine: &Machine, (m, n, k): Size, backend: Backend, times: &Times) -> Row {
    let flops = 2.0 * m as f64 * n as f64 * k as f64;
    let (backend, kernel) = match backend {
        Backend::Native(isa) => ("native", Kernel::of(isa).name()),
        Backend::Matrixmultiply => ("matrixmultiply", "sgemm"),
    };
    Row { backend, kernel, ..Row::new(machine, "gemm", format!("{m}x{n}x{k}"), flops, times) }
}

/// A product with its operands.
struct Product {
    size: Size,
    a: AlignedBuf,
    b: PackedB,
    c: AlignedBuf,
    crew: Crew,
}

impl Product {
    fn new((m, n, k): Size, backend: Backend) -> Self {
        let mut rng = Rng::named(1, "A");
        let mut a = AlignedBuf::zeroed(m * k);
        a.fill_with(|| rng.uniform_in(-1.0, 1.0));
        let value = |i: usize| ((i / n * 31 + i % n * 17) % 64) as f32 / 32.0 - 1.0;
        let b: Vec<f32> = (0..k * n).map(value).collect();
        let mut crew = Crew::default();
        let b = crew.run(|team| PackedB::from_rows(team, backend, k, n, &b));
        Self { size: (m, n, k), a, b, c: AlignedBuf::zeroed(m * n), crew }
    }

    fn run(&mut self) {
        let Self { size: (m, _, k), a, b, c, crew } = self;
        let a = Matrix::new(&a[..], *m, *k);
        crew.run(|team| gemm(team, &a, b, c, &Epilogue::default()));
    }
}
