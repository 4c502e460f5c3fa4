//! Whole training steps on all threads: forward, loss, backward, update. `elem/s` is images per second. And a step
//! of a network whose activations have died down to where denormal numbers begin, beside the usual one: the two
//! should take the same time.
//!
//! The three directions of every convolution are in `conv.rs`.

#![allow(missing_docs, reason = "criterion's macros make a public function")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use resnet_cpu::gemm::Backend;
use resnet_cpu::learn::{Batch, Learner, Sgd, SgdOptions};
use resnet_cpu::model::{InitOptions, ModelSpec, Network, Options, Params, Role, initialize};
use resnet_cpu::runtime::{AlignedBuf, Crew, Rng};
use resnet_cpu::simd::Isa;

/// A rate at which random weights stay put.
const RATE: f32 = 1e-6;

/// A network, a batch that stays in memory, and what a step needs besides.
struct Steps {
    images: usize,
    side: usize,
    input: Vec<f32>,
    labels: Vec<usize>,
    isa: Isa,
    params: Params,
    learner: Learner,
    sgd: Sgd,
    gradients: AlignedBuf,
    momentum: AlignedBuf,
    crew: Crew,
}

impl Steps {
    fn new(name: &str, images: usize) -> Self {
        let spec = ModelSpec::new(name, Options::default()).expect("a known name");
        let (network, side) = (Network::new(&spec), spec.input_side());
        let isa = Isa::best();
        let mut rng = Rng::named(1, "input");
        let params = initialize(&network, 1, InitOptions::default());
        let options =
            SgdOptions { momentum: 0.9, nesterov: false, weight_decay: 1e-4, decay_bn: true };
        let gradients = AlignedBuf::zeroed(params.learnable().len());
        Self {
            images,
            side,
            input: (0..images * side * side * 3).map(|_| rng.normal()).collect(),
            labels: (0..images).map(|_| rng.below(spec.classes)).collect(),
            isa,
            learner: Learner::new(&network, Backend::Native(isa)),
            sgd: Sgd::new(params.table(), options),
            momentum: gradients.clone(),
            gradients,
            params,
            crew: Crew::default(),
        }
    }

    /// The same with every second channel of each batch norm faded: its scale and shift are such that what comes out
    /// is about the smallest normal number, or below it.
    fn faded(mut self) -> Self {
        let faded: Vec<_> = (self.params.table().iter())
            .filter(|(_, info)| matches!(info.role, Role::Gamma | Role::Beta))
            .map(|(id, _)| id)
            .collect();
        for id in faded {
            self.params.get_mut(id).iter_mut().step_by(2).for_each(|x| *x = f32::MIN_POSITIVE);
        }
        self
    }

    fn step(&mut self) -> f64 {
        let batch = Batch {
            input: &self.input,
            labels: &self.labels,
            height: self.side,
            width: self.side,
            label_smoothing: 0.0,
        };
        let Self { params, learner, sgd, gradients, momentum, .. } = self;
        let loss = learner.batch(params, &batch, self.images, gradients);
        self.crew.run(|team| {
            sgd.step(team, self.isa, params.learnable_mut(), momentum, gradients, RATE);
        });
        loss.expect("large enough images").sum
    }
}

fn steps(c: &mut Criterion) {
    let mut group = c.benchmark_group("train");
    for (name, images) in [("resnet20", 128), ("resnet18", 32)] {
        group.throughput(Throughput::Elements(images as u64));
        let mut steps = Steps::new(name, images);
        group.bench_function(BenchmarkId::new(name, images), |bench| bench.iter(|| steps.step()));
    }
    let mut steps = Steps::new("resnet20", 128).faded();
    group.throughput(Throughput::Elements(128));
    group.bench_function("resnet20, half of the channels faded/128", |bench| {
        bench.iter(|| steps.step());
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = steps
}
criterion_main!(benches);
