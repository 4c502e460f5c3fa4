//! Networks quantised whole: the integers stand for what the network computes.

use super::*;
use crate::data::{MemoryDataset, Normalizer};
use crate::infer::Session;
use crate::model::{BlockShortcut, InitOptions, ModelSpec, Options, Params, Shortcut, initialize};
use crate::runtime::{Interrupt, Unwatched};
use crate::simd::Isa;
use std::collections::BTreeSet;

fn network(name: &str, shortcut: Shortcut) -> (Network, Params) {
    let options = Options { shortcut: Some(shortcut), ..Options::default() };
    let network = Network::new(&ModelSpec::new(name, options).unwrap());
    let params = initialize(&network, 3, InitOptions::default());
    (network, params)
}

/// The convolutions without a ReLU after them.
fn signed(network: &Network) -> BTreeSet<&str> {
    let shortcuts = network.blocks.iter().map(|block| &block.shortcut);
    let projections = shortcuts.filter_map(|shortcut| match shortcut {
        BlockShortcut::Project(conv) => Some(&conv.name[..]),
        _ => None,
    });
    projections.collect()
}

fn run(
    (network, params): &(Network, Params),
    options: &QuantizeOptions,
    preprocess: &Preprocess,
    watch: &dyn Watch,
) -> Result<Outcome, QuantizeError> {
    let data = MemoryDataset::demo(3, 0..100);
    quantize(network, params, &data, preprocess, options, Backend::Native(Isa::best()), watch)
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Logits in 8 bits and in f32 are nearly the same, by every method, shortcut and preparation.
#[test]
fn a_quantised_network_computes_what_it_did() {
    let pixel = Mean::Pixel((0..3072).map(|i| (i % 100) as f32 / 200.0).collect());
    let backend = Backend::Native(Isa::best());
    for (shortcut, method, mean) in [
        (Shortcut::A, RangeMethod::Mse, Mean::IMAGENET),
        (Shortcut::B, RangeMethod::MinMax, Mean::IMAGENET),
        (Shortcut::C, RangeMethod::Percentile(99.99), Mean::IMAGENET),
        (Shortcut::B, RangeMethod::Mse, pixel),
    ] {
        let of = network("resnet20", shortcut);
        let preprocess = Preprocess { mean, ..Preprocess::cifar() };
        let options = QuantizeOptions { images: 64, method, ..QuantizeOptions::default() };
        let found = run(&of, &options, &preprocess, &Unwatched).unwrap();
        let (network, params) = &of;
        let mut input = vec![0.0; 8 * 3072];
        let data = MemoryDataset::demo(9, 0..8);
        for (i, input) in input.chunks_exact_mut(3072).enumerate() {
            preprocess.apply(&data.image(i).unwrap(), input);
        }
        let mut exact = Session::new(network, params, backend);
        let exact = exact.run(&input, 8, 32, 32).unwrap().to_vec();
        let model = Model::quantized(network, found.quantized, backend).unwrap();
        let mut integers = Session::of(&Arc::new(model));
        let integers = integers.run(&input, 8, 32, 32).unwrap();
        let cosine = cosine(&exact, integers);
        assert!(cosine > 0.995, "{shortcut} {method}: {cosine}");
        assert_eq!(found.report.images, 64);
        let Agreement { images, same_top1, cosine } = found.report.agreement;
        assert!(images == 32 && same_top1 >= 28 && cosine > 0.995, "{:?}", found.report.agreement);
        assert_eq!(found.report.layers.len(), network.convs().count() + 1);
        assert_eq!(found.seen.len(), found.report.layers.len());
        let signed = signed(network);
        for layer in &found.report.layers {
            assert!(layer.total_snr_db.unwrap() > 15.0, "{layer:?}");
            let ActivationReport { zero_point, snr_db, .. } = layer.activation;
            assert_eq!(zero_point != 0, signed.contains(&layer.name[..]), "{layer:?}");
            assert!(snr_db.unwrap() > 20.0 && layer.weights_snr_db.unwrap() > 30.0, "{layer:?}");
        }
    }
}

#[test]
fn neither_threads_nor_a_second_run_change_anything() {
    let of = network("resnet20", Shortcut::B);
    let options = QuantizeOptions { images: 40, ..QuantizeOptions::default() };
    let mut first: Option<Outcome> = None;
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let found = pool.install(|| run(&of, &options, &Preprocess::cifar(), &Unwatched).unwrap());
        let first = first.get_or_insert_with(|| Outcome {
            quantized: found.quantized.clone(),
            report: found.report.clone(),
            seen: found.seen.clone(),
            skipped: Vec::new(),
        });
        assert!(first.quantized == found.quantized && first.seen == found.seen, "{threads}");
        assert_eq!(first.report.layers, found.report.layers);
    }
}

#[test]
fn layers_are_kept_in_f32_by_name() {
    let of = network("resnet20", Shortcut::B);
    let names = ["conv1", "layer2.0.downsample.0", "fc"].map(str::to_owned);
    let options = QuantizeOptions {
        images: 16,
        keep: Keep::Layers(names.to_vec()),
        ..QuantizeOptions::default()
    };
    let found = run(&of, &options, &Preprocess::cifar(), &Unwatched).unwrap();
    let kept: Vec<&str> =
        found.report.layers.iter().filter(|l| l.kept_f32).map(|l| &l.name[..]).collect();
    assert_eq!(kept, names);
    assert!(matches!(found.quantized.fc.weights, Weights::F32(_)));
    let Weights::F32(stem) = &found.quantized.convs[0].weights else { panic!("in f32") };
    // Of the prepared image, not of its integers.
    let real = Real::folded(&of.0.stem, &of.1).unwrap().values;
    assert!(stem.iter().zip(real).all(|(&kept, real)| kept == real as f32));

    let options = QuantizeOptions {
        keep: Keep::Layers(vec!["layer2.0.conv3".to_owned()]),
        ..QuantizeOptions::default()
    };
    let error = run(&of, &options, &Preprocess::cifar(), &Unwatched).unwrap_err().to_string();
    assert!(error.contains("layer2.0.conv3") && error.contains("is layer2.0.conv"), "{error}");
}

#[test]
fn weights_of_one_large_value_a_channel_are_kept_by_themselves() {
    let mut of = network("resnet20", Shortcut::B);
    let conv = of.0.blocks[0].convs[0].weight;
    for filter in of.1.get_mut(conv).chunks_exact_mut(144) {
        filter
            .iter_mut()
            .enumerate()
            .for_each(|(i, w)| *w = if i % 2 == 0 { 0.004 } else { -0.004 });
        filter[0] = 1.0;
    }
    let options = QuantizeOptions { images: 16, ..QuantizeOptions::default() };
    let found = run(&of, &options, &Preprocess::cifar(), &Unwatched).unwrap();
    for layer in &found.report.layers {
        let low = layer.weights_snr_db.unwrap() < KEEP_BELOW;
        assert_eq!(layer.kept_f32, low, "{layer:?}");
    }
}

#[test]
fn what_cannot_be_quantised_is_said() {
    let of = network("resnet20", Shortcut::B);
    let few = QuantizeOptions { images: 15, ..QuantizeOptions::default() };
    let error = run(&of, &few, &Preprocess::cifar(), &Unwatched).unwrap_err();
    assert!(matches!(error, QuantizeError::TooFew { found: 15 }), "{error}");
    let interrupt = Interrupt::none();
    interrupt.raise();
    let default = QuantizeOptions::default();
    let error = run(&of, &default, &Preprocess::cifar(), &interrupt).unwrap_err();
    assert!(matches!(error, QuantizeError::Data(data::Error::Interrupted)), "{error}");
    let error = run(&of, &default, &Preprocess::cifar().grey(), &Unwatched).unwrap_err();
    assert!(matches!(error, QuantizeError::Channels { expected: 3, found: 1 }), "{error}");
    let mut large = of;
    large.1.get_mut(large.0.stem.weight).fill(f32::MAX);
    let error = run(&large, &default, &Preprocess::cifar(), &Unwatched).unwrap_err();
    assert!(matches!(&error, QuantizeError::NotFinite { layer } if layer == "conv1"), "{error}");
}

#[test]
fn pixels_are_integers_where_channels_have_a_mean() {
    let seen = Histogram::of(&[-0.5, 1.0]);
    let (scale, pixels) = input_scale(&Mean::IMAGENET, &seen);
    assert!(pixels);
    assert_eq!(scale.padding, [124, 116, 104]);
    for (c, byte) in [(0, 17_u8), (1, 200), (2, 255)] {
        let mut input = vec![0.0; 3];
        let mut image = [0; 3];
        image[c] = byte;
        Normalizer::new(&Mean::IMAGENET)
            .apply(&data::RgbImage::new(1, 1, image.to_vec()), &mut input);
        let integer = input[c] * scale.factor[c] + scale.offset[c];
        assert_eq!(integer.round_ties_even() as u8, byte);
    }
    for mean in [
        Mean::Pixel(vec![0.5; 3]),
        Mean::Channel { mean: [-0.5; 3], std: [1.0; 3] },
        Mean::Channel { mean: [0.5; 3], std: [1e-9; 3] },
    ] {
        let (scale, pixels) = input_scale(&mean, &seen);
        assert!(!pixels);
        assert_eq!((&scale.factor[..], &scale.offset[..]), (&[170.0; 3][..], &[85.0; 3][..]));
        assert_eq!(scale.padding, [85; 3]);
    }
}
