//! Files in 8 bits: back as they were, and every wrong number refused by name.

use super::*;
use crate::model::{ModelSpec, Options, ParamSource, TensorId};
use crate::weights::{Metadata, Overrides, WeightsFile};

/// Made-up numbers for `network`.
fn numbers(network: &Network) -> Quantized {
    let weights = |len: usize, out: usize| Weights::I8 {
        values: (0..len).map(|i| (i * 37 % 255) as u8 as i8).map(|w| w.max(-127)).collect(),
        scales: (0..out).map(|i| 0.001 * (1 + i) as f32).collect(),
    };
    let convs = network.convs().map(|conv| {
        let signed = conv.name.contains("downsample");
        QuantizedConv {
            weights: match &conv.name[..] {
                "layer1.0.conv2" => Weights::F32(vec![0.5; network.tensor(conv.weight).len()]),
                _ => weights(network.tensor(conv.weight).len(), conv.out_channels),
            },
            bias: vec![-0.25; conv.out_channels],
            output: Scale { scale: 0.02, zero_point: if signed { 128 } else { 0 } },
        }
    });
    let (classes, features) = (network.fc.out_features, network.fc.in_features);
    Quantized {
        input: InputScale {
            factor: vec![58.4, 57.1, 57.4],
            offset: vec![123.7, 116.3, 103.5],
            padding: vec![124, 116, 104],
        },
        convs: convs.collect(),
        fc: QuantizedLinear {
            weights: weights(classes * features, classes),
            bias: vec![0.125; classes],
            input: Scale { scale: 0.01, zero_point: 0 },
        },
    }
}

fn network() -> Network {
    let options = Options { shortcut: Some(crate::model::Shortcut::B), ..Options::default() };
    Network::new(&ModelSpec::new("resnet20", options).unwrap())
}

/// The bytes of a file of `quantized`, and with another mark.
fn file(network: &Network, quantized: &Quantized, mark: Option<&str>) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let entries = Metadata::of_spec(&network.spec).entries();
    write_quantized(&path, network, quantized, None, &entries).unwrap();
    let bytes = std::fs::read(path).unwrap();
    let Some(mark) = mark else { return bytes };
    let text = String::from_utf8_lossy(&bytes[8..]).find(MARK).unwrap() + 8;
    [&bytes[..text], mark.as_bytes(), &bytes[text + mark.len()..]].concat()
}

fn opened(bytes: Vec<u8>) -> Result<WeightsFile, String> {
    WeightsFile::from_bytes(bytes, "w.safetensors", &Overrides::default())
        .map_err(|error| error.to_string())
}

#[test]
fn what_was_written_is_read() {
    let network = network();
    let numbers = numbers(&network);
    let bytes = file(&network, &numbers, None);
    assert_eq!(bytes, file(&network, &numbers, None), "the same bytes each time");
    let weights = opened(bytes).unwrap();
    assert_eq!(weights.spec(), &network.spec);
    assert_eq!(weights.quantized(), Some(&numbers));
    // It has no numbers in f32.
    let id: TensorId = weights.network().fc.weight;
    let error = weights.tensor(id).unwrap_err().to_string();
    assert!(error.contains("w.safetensors") && error.contains("8 bits"), "{error}");
    assert_eq!(weights.into_quantized().unwrap(), numbers);
}

#[test]
fn another_mark_is_refused() {
    let network = network();
    let bytes = file(&network, &numbers(&network), Some("u4i4"));
    let error = opened(bytes).unwrap_err();
    assert!(error.contains("resnet_cpu.quantized") && error.contains("u4i4"), "{error}");
}

#[test]
fn every_number_is_checked() {
    type Edit = fn(&mut Quantized);
    fn i8s(weights: &mut Weights) -> (&mut Vec<i8>, &mut Vec<f32>) {
        let Weights::I8 { values, scales } = weights else { panic!("in integers") };
        (values, scales)
    }
    let cases: [(Edit, &str); 14] = [
        (|q| q.input.factor[1] = 0.0, "input.factor (1 not between 1e-12 and 1e12 of 3)"),
        (|q| q.input.factor[2] = f32::NAN, "input.factor"),
        (|q| q.input.offset[0] = 255.5, "input.offset"),
        (|q| q.input.offset[0] = -0.5, "input.offset"),
        (|q| q.input.padding[0] = 7, "input.padding (not the integers nearest"),
        (|q| q.convs[0].bias[3] = f32::INFINITY, "conv1.bias (1 not within ±1e12 of 16)"),
        (|q| q.convs[1].output.zero_point = 3, "layer1.0.conv1.output_zero_point (3, not 0"),
        (|q| q.convs[1].output.scale = -0.1, "layer1.0.conv1.output_scale"),
        (|q| i8s(&mut q.convs[1].weights).0[5] = -128, "layer1.0.conv1.weight (1 not within ±127"),
        (|q| i8s(&mut q.convs[1].weights).1[5] = 1e30, "layer1.0.conv1.weight_scale"),
        (
            |q| q.convs[2].weights = Weights::F32(vec![f32::NAN; 2304]),
            "layer1.0.conv2.weight (2304",
        ),
        (|q| q.fc.input.zero_point = 1, "fc.input_zero_point"),
        (|q| q.fc.input.scale = f32::INFINITY, "fc.input_scale"),
        (|q| q.fc.bias[9] = f32::NAN, "fc.bias"),
    ];
    let network = network();
    for (edit, expected) in cases {
        let mut numbers = numbers(&network);
        edit(&mut numbers);
        let error = opened(file(&network, &numbers, None)).unwrap_err();
        assert!(error.contains(expected) && error.contains("unusable"), "{expected}: {error}");
    }
}

/// Tensors that are missing, too many or of another kind: one error lists all.
#[test]
fn other_tensors_are_refused() {
    let network = network();
    let bytes = file(&network, &numbers(&network), None);
    let len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = String::from_utf8(bytes[8..8 + len].to_vec()).unwrap();
    // Names of the same length, so that the header's stays.
    for (from, to, expected) in [
        ("layer1.0.conv1.bias", "layer1.0.conv1.boas", "missing (1): layer1.0.conv1.bias"),
        ("layer1.0.conv1.bias", "layer1.0.conv1.boas", "unexpected (1): layer1.0.conv1.boas"),
        (
            "\"dtype\":\"U8\",\"shape\":[1]",
            "\"dtype\":\"I8\",\"shape\":[1]",
            "(expected U8 [1], found I8 [1])",
        ),
    ] {
        assert!(header.contains(from), "{from}");
        let edited = header.replacen(from, to, 1);
        let bytes = [&bytes[..8], edited.as_bytes(), &bytes[8 + len..]].concat();
        let error = opened(bytes).unwrap_err();
        assert!(error.contains(expected) && error.contains("in 8 bits"), "{expected}: {error}");
    }
}
