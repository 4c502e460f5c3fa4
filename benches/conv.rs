//! Every distinct convolution of ResNet-18 and ResNet-50 at 224 px, forward and both gradients, batch
//! 1, one thread. `Gelem/s` is GFLOP/s.

#![allow(missing_docs, reason = "criterion's macros make a public function")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use resnet_cpu::conv::{self, Algorithm, BackwardFilter, ConvShape, Filter};
use resnet_cpu::gemm::{Backend, Epilogue};
use resnet_cpu::model::{Layer, ModelSpec, Network, Options};
use resnet_cpu::runtime::{AlignedBuf, Buffers, Rng, Team};
use resnet_cpu::simd::Isa;

fn random(len: usize) -> AlignedBuf {
    let mut rng = Rng::new(1, &[len as u64]);
    let mut values = AlignedBuf::zeroed(len);
    values.fill_with(|| rng.uniform_in(-1.0, 1.0));
    values
}

/// The distinct shapes of the networks, in the order in which they first appear.
fn shapes() -> Vec<ConvShape> {
    let mut shapes = Vec::new();
    for name in ["resnet18", "resnet50"] {
        let spec = ModelSpec::new(name, Options::default()).expect("a known name");
        for layer in Network::new(&spec).layers(224, 224) {
            let Layer::Conv(conv) = layer.layer else { continue };
            let shape = conv.shape(1, layer.input.0, layer.input.1);
            if !shapes.contains(&shape) {
                shapes.push(shape);
            }
        }
    }
    shapes
}

fn convolutions(c: &mut Criterion) {
    let mut buffers = Buffers::default();
    let team = &mut Team::alone(buffers.scratch());
    let backend = Backend::Native(Isa::best());
    let mut group = c.benchmark_group("conv");
    for shape in shapes() {
        let name = format!(
            "{k}x{k}/{} {}->{} {}px",
            shape.stride,
            shape.in_channels,
            shape.out_channels,
            shape.height,
            k = shape.kernel
        );
        let (input, weights) = (random(shape.input_len()), random(shape.weight_len()));
        let gradient = random(shape.output_len());
        group.throughput(Throughput::Elements(2 * shape.macs() as u64));
        let mut filter = Filter::zeros(backend, &shape);
        filter.pack(team, &weights, None);
        let mut output = AlignedBuf::zeroed(shape.output_len());
        group.bench_function(BenchmarkId::new("forward", &name), |bench| {
            let epilogue = Epilogue { relu: true, ..Epilogue::default() };
            bench.iter(|| conv::forward(team, &shape, &input, &filter, &epilogue, &mut output));
        });
        let mut filter = BackwardFilter::zeros(backend, &shape);
        filter.pack(team, &weights);
        let mut input_gradient = AlignedBuf::zeroed(shape.input_len());
        group.bench_function(BenchmarkId::new("backward_data", &name), |bench| {
            bench.iter(|| {
                conv::backward_data(team, &shape, &gradient, &filter, &mut input_gradient);
            });
        });
        let by = Algorithm::of_weight_gradient(backend, &shape);
        let mut weight_gradient = AlignedBuf::zeroed(shape.weight_len());
        group.bench_function(BenchmarkId::new("backward_weights", &name), |bench| {
            bench.iter(|| {
                let (input, gradient) = (&input, &gradient);
                let to = &mut weight_gradient;
                conv::backward_weights(team, by, backend, &shape, input, gradient, to);
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = convolutions
}
criterion_main!(benches);
