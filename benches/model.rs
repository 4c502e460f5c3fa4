//! Whole networks, inference on all threads. `elem/s` is images per second.

#![allow(missing_docs, reason = "criterion's macros make a public function")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use resnet_cpu::gemm::Backend;
use resnet_cpu::infer::Session;
use resnet_cpu::model::{InitOptions, ModelSpec, Network, Options, initialize};
use resnet_cpu::simd::Isa;

fn inference(c: &mut Criterion) {
    let mut group = c.benchmark_group("infer");
    for (name, batch) in
        [("resnet18", 1), ("resnet18", 16), ("resnet50", 1), ("resnet50", 16), ("resnet20", 128)]
    {
        let spec = ModelSpec::new(name, Options::default()).expect("a known name");
        let network = Network::new(&spec);
        let params = initialize(&network, 1, InitOptions::default());
        let mut session = Session::new(&network, &params, Backend::Native(Isa::best()));
        let side = spec.input_side();
        let input = vec![0.5; batch * side * side * 3];
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(BenchmarkId::new(name, batch), |bench| {
            bench.iter(|| session.run(&input, batch, side, side).map(|logits| logits[0]));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = inference
}
criterion_main!(benches);
