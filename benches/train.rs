//! Whole training steps on all threads: forward, loss, backward, update. `elem/s` is images per second. The three
//! directions of every convolution are in `conv.rs`.

#![allow(missing_docs, reason = "criterion's macros make a public function")]

#[path = "common/steps.rs"]
mod steps;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use steps::Steps;

fn training(c: &mut Criterion) {
    let mut group = c.benchmark_group("train");
    for (name, images) in [("resnet20", 128), ("resnet18", 32)] {
        group.throughput(Throughput::Elements(images as u64));
        let mut steps = Steps::new(name, images);
        group.bench_function(BenchmarkId::new(name, images), |bench| bench.iter(|| steps.step()));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = training
}
criterion_main!(benches);
