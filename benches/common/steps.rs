//! What benches of training share: a network and all that a step of it needs.

use resnet_cpu::gemm::Backend;
use resnet_cpu::learn::{Batch, Learner, Sgd, SgdOptions};
use resnet_cpu::model::{InitOptions, ModelSpec, Network, Options, Params, initialize};
use resnet_cpu::runtime::{AlignedBuf, Crew, Rng};
use resnet_cpu::simd::Isa;

/// A rate at which random weights stay put.
const RATE: f32 = 1e-6;

/// A network, a batch that stays in memory, and what a step needs besides.
pub(crate) struct Steps {
    images: usize,
    side: usize,
    input: Vec<f32>,
    labels: Vec<usize>,
    isa: Isa,
    pub(crate) params: Params,
    learner: Learner,
    sgd: Sgd,
    gradients: AlignedBuf,
    momentum: AlignedBuf,
    crew: Crew,
}

impl Steps {
    /// Steps of the network `name`, which has random weights, with `images` random images.
    pub(crate) fn new(name: &str, images: usize) -> Self {
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

    /// One of them; its loss.
    pub(crate) fn step(&mut self) -> f64 {
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
