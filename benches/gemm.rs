//! The blocked product beside the `matrixmultiply` crate, and products of integers, one thread. `Gelem/s` is
//! GFLOP/s, or as many operations on integers.
//!
//! `cargo bench --bench gemm`; the microkernel alone and percentages of the peak are printed by
//! `resnet-cpu bench --mode gemm`.

#![allow(missing_docs, reason = "criterion's macros make a public function")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use resnet_cpu::conv::ConvShape;
use resnet_cpu::gemm::{Backend, Epilogue, Matrix, PackedB, gemm};
use resnet_cpu::int8::kernels::Kernel;
use resnet_cpu::int8::{Filter, Finish, Output, forward};
use resnet_cpu::runtime::{AlignedBuf, Crew, Rng, team};
use resnet_cpu::simd::Isa;

fn random(len: usize) -> AlignedBuf {
    let mut rng = Rng::new(1, &[len as u64]);
    let mut values = AlignedBuf::zeroed(len);
    values.fill_with(|| rng.uniform_in(-1.0, 1.0));
    values
}

fn products(c: &mut Criterion) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("one thread");
    let mut group = c.benchmark_group("gemm");
    for size in [256, 512, 1024] {
        let (m, n, k) = (size, size, size);
        let (a, b) = (random(m * k), random(k * n));
        group.throughput(Throughput::Elements(2 * (m * n * k) as u64));
        let natives = Isa::available().into_iter().map(Backend::Native);
        for backend in natives.chain([Backend::Matrixmultiply]) {
            let name = match backend {
                Backend::Native(isa) => isa.name(),
                Backend::Matrixmultiply => "matrixmultiply",
            };
            let packed = team(|team| PackedB::from_rows(team, backend, k, n, &b));
            let mut crew = Crew::default();
            let mut output = AlignedBuf::zeroed(m * n);
            group.bench_function(BenchmarkId::new(name, size), |bench| {
                let a = Matrix::new(&a, m, k);
                bench.iter(|| {
                    pool.install(|| {
                        crew.run(|team| gemm(team, &a, &packed, &mut output, &Epilogue::default()));
                    });
                });
            });
        }
    }
    group.finish();
}

/// The same products of integers, by every kernel of this CPU.
fn integers(c: &mut Criterion) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("one thread");
    let mut group = c.benchmark_group("int8");
    for size in [256, 512, 1024] {
        // A pixel a row.
        let shape = ConvShape {
            batch: 1,
            height: 1,
            width: size,
            in_channels: size,
            out_channels: size,
            kernel: 1,
            stride: 1,
            padding: 0,
        };
        let mut rng = Rng::new(1, &[size as u64]);
        let a: Vec<u8> = (0..size * size).map(|_| rng.below(256) as u8).collect();
        let b: Vec<i8> = (0..size * size).map(|_| (rng.below(255) as i32 - 127) as i8).collect();
        let finish = Finish::new(vec![1e-3; size], vec![0.0; size]);
        group.throughput(Throughput::Elements(2 * shape.macs() as u64));
        for kernel in Kernel::all() {
            let mut filter = Filter::zeros(kernel, &shape);
            team(|team| filter.pack_from(&b).run(team));
            let mut crew = Crew::default();
            let mut values = vec![0; size * size];
            group.bench_function(BenchmarkId::new(kernel.name(), size), |bench| {
                bench.iter(|| {
                    pool.install(|| {
                        crew.run(|team| {
                            let output = Output::U8 { values: &mut values, residual: None };
                            forward(team, &shape, &a, &[], &filter, &finish, output);
                        });
                    });
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, products, integers);
criterion_main!(benches);
