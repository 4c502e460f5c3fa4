//! The blocked product beside the `matrixmultiply` crate, one thread. `Gelem/s` is GFLOP/s.
//!
//! `cargo bench --bench gemm`; the microkernel alone and percentages of the peak are printed by
//! `resnet-cpu bench --mode gemm`.

#![allow(missing_docs, reason = "criterion's macros make a public function")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use resnet_cpu::gemm::{Backend, Epilogue, Matrix, PackedB, gemm};
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

criterion_group!(benches, products);
criterion_main!(benches);
