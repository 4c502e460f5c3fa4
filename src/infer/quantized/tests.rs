//! Networks in 8 bits: the same bits by every kernel, for every batch and number of threads.

use crate::gemm::Backend;
use crate::infer::{Model, Session};
use crate::int8::kernels::Kernel;
use crate::model::{
    InitOptions, InputScale, ModelSpec, Network, Options, Params, Quantized, QuantizedConv,
    QuantizedLinear, Scale, Shortcut, Weights, initialize,
};
use crate::runtime::Rng;
use crate::simd::Isa;
use rayon::ThreadPoolBuilder;
use std::sync::Arc;

/// `network` in 8 bits with guessed scales; the layers of `kept` in f32.
fn rough(network: &Network, params: &Params, kept: &[&str]) -> Quantized {
    let rounded = |name: &str, values: &[f32], out: usize| {
        if kept.contains(&name) {
            return Weights::F32(values.to_vec());
        }
        let (mut integers, mut scales) = (Vec::new(), Vec::new());
        for filter in values.chunks_exact(values.len() / out) {
            let largest = filter.iter().fold(1e-6_f32, |most, x| most.max(x.abs()));
            scales.push(largest / 127.0);
            integers.extend(filter.iter().map(|x| (x / largest * 127.0).round() as i8));
        }
        Weights::I8 { values: integers, scales }
    };
    const FACTOR: [f32; 3] = [48.4, 47.1, 47.4];
    let conv = |conv: &crate::model::ConvBn| QuantizedConv {
        weights: if conv.name == network.stem.name && !kept.contains(&&conv.name[..]) {
            let taps = conv.kernel * conv.kernel;
            let values = params.get(conv.weight).iter().enumerate();
            let divided: Vec<f32> = values.map(|(i, x)| x / FACTOR[i / taps % 3]).collect();
            rounded(&conv.name, &divided, conv.out_channels)
        } else {
            rounded(&conv.name, params.get(conv.weight), conv.out_channels)
        },
        bias: (0..conv.out_channels).map(|i| (i % 7) as f32 * 0.05 - 0.1).collect(),
        output: match conv.name.contains("downsample") {
            true => Scale { scale: 8.0 / 255.0, zero_point: 120 },
            false => Scale { scale: 5.0 / 255.0, zero_point: 0 },
        },
    };
    let fc = params.get(network.fc.weight);
    Quantized {
        input: InputScale {
            factor: FACTOR.to_vec(),
            offset: vec![123.7, 116.3, 103.5],
            padding: vec![124, 116, 104],
        },
        convs: network.convs().map(conv).collect(),
        fc: QuantizedLinear {
            weights: rounded("fc", fc, network.fc.out_features),
            bias: vec![0.5; network.fc.out_features],
            input: Scale { scale: 3.0 / 255.0, zero_point: 0 },
        },
    }
}

struct Case {
    network: Network,
    quantized: Quantized,
    side: usize,
    input: Vec<f32>,
}

impl Case {
    fn new(name: &str, options: Options, side: usize, batch: usize, kept: &[&str]) -> Self {
        let network = Network::new(&ModelSpec::new(name, options).unwrap());
        let params = initialize(&network, 3, InitOptions::default());
        let quantized = rough(&network, &params, kept);
        let mut rng = Rng::named(3, "input");
        let input = (0..batch * side * side * 3).map(|_| rng.normal()).collect();
        Self { network, quantized, side, input }
    }

    /// The logits, `batch` images at a time.
    fn logits(&self, isa: Isa, kernel: Kernel, threads: usize, batch: usize) -> Vec<u32> {
        let backend = Backend::Native(isa);
        let Self { network, quantized, side, input } = self;
        let model = Model::quantized_with(network, quantized.clone(), backend, kernel).unwrap();
        let mut session = Session::of(&Arc::new(model));
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let images = input.chunks(batch * side * side * 3);
        pool.install(|| {
            images
                .flat_map(|images| {
                    let count = images.len() / (side * side * 3);
                    session.run(images, count, *side, *side).unwrap().to_vec()
                })
                .map(f32::to_bits)
                .collect()
        })
    }
}

#[test]
fn bits_are_those_of_every_kernel_batch_and_number_of_threads() {
    let shortcut = |shortcut| Options { shortcut: Some(shortcut), ..Options::default() };
    let names = [
        ("resnet20", Options::default(), 32),
        ("resnet20", shortcut(Shortcut::C), 32),
        ("plain20", Options::default(), 32),
        ("resnet18", Options::default(), 33),
        ("resnet18d", Options::default(), 33),
        ("resnet50", Options::default(), 33),
        ("resnext50_32x4d", Options::default(), 33),
    ];
    for (name, options, side) in names {
        let case = Case::new(name, options, side, 5, &[]);
        let mut first: Option<Vec<u32>> = None;
        for isa in Isa::available() {
            for kernel in Kernel::all_of(isa) {
                for (threads, batch) in [(1, 1), (3, 5), (2, 2)] {
                    let logits = case.logits(isa, kernel, threads, batch);
                    let same = *first.get_or_insert(logits.clone()) == logits;
                    assert!(same, "{name} by {}, {threads} threads", kernel.name());
                }
            }
        }
        let first = first.unwrap();
        let distinct: std::collections::BTreeSet<_> = first.iter().collect();
        assert!(distinct.len() > first.len() / 2, "{name}: nothing but the same numbers");
    }
}

/// Layers in f32 between integers: of every exact instruction set, with any batch.
#[test]
fn layers_kept_in_f32_fit_in() {
    let kept = ["conv1", "layer2.0.conv2", "layer2.0.downsample.0", "fc"];
    let options = Options { shortcut: Some(Shortcut::B), ..Options::default() };
    let case = Case::new("resnet20", options, 32, 3, &kept);
    let all = Case::new("resnet20", options, 32, 3, &[]);
    let isa = Isa::best();
    let expected = case.logits(isa, Kernel::of(isa), 1, 1);
    for isa in Isa::available().into_iter().filter(|isa| isa.is_exact()) {
        assert_eq!(case.logits(isa, Kernel::of(isa), 2, 3), expected, "{isa}");
    }
    // Near the network with all layers in integers: the weights differ by their rounding.
    let integers = all.logits(isa, Kernel::of(isa), 1, 1);
    let real = |bits: &[u32]| bits.iter().map(|&x| f32::from_bits(x)).collect::<Vec<_>>();
    let (a, b) = (real(&expected), real(&integers));
    let error: f32 = a.iter().zip(&b).map(|(a, b)| (a - b).powi(2)).sum();
    let size: f32 = b.iter().map(|b| b.powi(2)).sum();
    assert!(a != b && error < 0.01 * size, "{error} of {size}");
}

/// Numbers on record: they change with no instruction set, batch or version.
#[test]
fn logits_are_those_on_record() {
    for (name, side, expected) in [("resnet20", 32, 1_049_493_891), ("resnet18", 65, 1_211_256_317)]
    {
        let case = Case::new(name, Options::default(), side, 2, &[]);
        let isa = Isa::best();
        let logits = case.logits(isa, Kernel::of(isa), 1, 2);
        let bytes: Vec<u8> = logits.iter().flat_map(|bits| bits.to_le_bytes()).collect();
        assert_eq!(crc32c::crc32c(&bytes), expected, "{name}");
    }
}

#[test]
fn scales_that_overflow_are_refused() {
    let mut case = Case::new("resnet20", Options::default(), 32, 1, &[]);
    case.quantized.convs[3].output.scale = 1e-12;
    case.quantized.convs[2].output.scale = 1e12;
    if let Weights::I8 { scales, .. } = &mut case.quantized.convs[3].weights {
        scales.fill(1e12);
    }
    let backend = Backend::Native(Isa::best());
    let error = Model::quantized(&case.network, case.quantized, backend).unwrap_err();
    assert!(error.to_string().contains("layer1.1.conv1"), "{error}");
}
