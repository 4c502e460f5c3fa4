//! Files as they should be: published ones, ours, other spellings and element types.

use std::borrow::Cow;

use resnet_cpu::model::{Options, ParamSource, Params, Shortcut, StrideIn};
use resnet_cpu::weights::{
    Metadata, NamedTensor, Overrides, TensorFile, WeightsFile, write_safetensors, write_weights,
};
use tempfile::TempDir;

use crate::common::test_data;
use crate::{Entries, Fixture, arch, assert_error};

#[test]
fn a_published_resnet18_loads() {
    let Some(path) = test_data("weights/imagenet/ktb_resnet18_small_blocks.safetensors") else {
        return;
    };
    let weights = WeightsFile::open(&path, &Overrides::default()).unwrap();
    assert_eq!(weights.spec().to_string(), "resnet18, shortcut b");
    assert_eq!((weights.spec().classes, weights.network().parameters()), (1000, 11_689_512));
    assert_eq!(weights.notes().len(), 2, "{:?}", weights.notes());
    assert!(weights.classes().is_none());
    for (id, info) in weights.network().table().iter() {
        assert_eq!(weights.tensor(id).unwrap().len(), info.len(), "{}", info.name);
    }
    let conflict = WeightsFile::open(&path, &arch("resnet34"));
    assert_error(conflict, &["arch 'resnet34' (as requested) contradicts 'resnet18'"]);
    assert_error(WeightsFile::open(&path, &arch("plain18")), &["plain18", "resnet18"]);
    let a = Overrides { shortcut: Some(Shortcut::A), ..Overrides::default() };
    assert_error(WeightsFile::open(&path, &a), &["shortcut 'a'", "contradicts 'b'"]);
}

#[test]
fn a_published_resnet20_loads_as_option_a() {
    let Some(path) = test_data("weights/cifar10/resnet20-12fca82f.safetensors") else { return };
    let weights = WeightsFile::open(&path, &Overrides::default()).unwrap();
    assert_eq!(weights.spec().to_string(), "resnet20, shortcut a");
    assert_eq!((weights.spec().classes, weights.network().parameters()), (10, 269_722));
    assert!(weights.notes().iter().any(|n| n.contains("not a plain one")), "{:?}", weights.notes());
    // The same tensors are a plain network's; only the request can tell.
    let plain = WeightsFile::open(&path, &arch("plain20")).unwrap();
    assert!(plain.spec().is_plain());
    assert!(plain.notes().iter().any(|n| n.contains("downsample conv")), "{:?}", plain.notes());
}

#[test]
fn what_is_written_is_read_back() {
    let options =
        Options { stride_in: Some(StrideIn::Conv1x1), classes: Some(3), ..Options::default() };
    let fixture = Fixture::new("resnet50", options);
    let mut metadata = Metadata::of_spec(&fixture.network.spec);
    metadata.preprocess.mean = Some([0.1, 0.2, 1.0 / 3.0]);
    metadata.preprocess.std = Some([1.0, 0.2, 0.5]);
    metadata.preprocess.resize = Some(256);
    metadata.preprocess.crop = Some(224);
    metadata.classes = Some(vec!["a, \"b\"".to_owned(), "ü".to_owned(), String::new()]);
    let mut entries = metadata.entries();
    entries.insert("other".to_owned(), "left alone".to_owned());
    write_weights(fixture.path(), &fixture.network, &fixture.params, None, &entries).unwrap();
    let bytes = std::fs::read(fixture.path()).unwrap();

    let weights = WeightsFile::open(fixture.path(), &Overrides::default()).unwrap();
    assert_eq!(weights.spec(), &fixture.network.spec);
    assert_eq!(weights.metadata(), &metadata);
    assert_eq!(weights.notes(), [""; 0]);
    assert_eq!(weights.file().metadata()["other"], "left alone");
    let read = Params::from_source(weights.network(), &weights).unwrap();
    assert_eq!(read.learnable(), fixture.params.learnable());
    assert_eq!(read.statistics(), fixture.params.statistics());

    // Replacing the file under an open one is fine, the bytes are the same, and nothing is left.
    write_weights(
        fixture.path(),
        weights.network(),
        &weights,
        weights.pixel_mean().as_ref(),
        &entries,
    )
    .unwrap();
    assert!(std::fs::read(fixture.path()).unwrap() == bytes);
    assert_eq!(std::fs::read_dir(fixture.folder.path()).unwrap().count(), 1);
    let nowhere = fixture.folder.path().join("missing").join("w.safetensors");
    let written = write_weights(&nowhere, &fixture.network, &fixture.params, None, &entries);
    assert_error(written, &["missing", "cannot write"]);
}

#[test]
fn names_of_others_and_state_of_training_are_understood() {
    let options = Options { shortcut: Some(Shortcut::B), ..Options::default() };
    let fixture = Fixture::new("resnet20", options);
    let result = fixture.open_changed(
        |tensors| {
            for tensor in tensors.iter_mut() {
                let name = tensor.name.replace("fc.", "linear.").replace("downsample", "shortcut");
                tensor.name = format!("module.{name}");
            }
            for name in ["module.bn1.num_batches_tracked", "optimizer.conv1.weight"] {
                let values = vec![1.0].into();
                tensors.push(NamedTensor { name: name.to_owned(), shape: vec![], values });
            }
        },
        &Entries::new(),
        &Overrides::default(),
    );
    let weights = result.unwrap();
    assert!(weights.notes().iter().any(|n| n.starts_with("1 tensor of training state")));
    let read = Params::from_source(weights.network(), &weights).unwrap();
    assert_eq!(read.learnable(), fixture.params.learnable());
}

/// A safetensors file of resnet20 whose every tensor has another element type.
pub(crate) fn with_dtype(
    fixture: &Fixture,
    dtype: &str,
    encode: impl Fn(f32) -> Vec<u8>,
    pad: usize,
) -> Vec<u8> {
    let (mut entries, mut data) = (serde_json::Map::new(), Vec::new());
    for tensor in fixture.tensors() {
        let start = data.len();
        data.extend(tensor.values.iter().flat_map(|&x| encode(x)));
        let entry = serde_json::json!({
            "dtype": dtype, "shape": tensor.shape, "data_offsets": [start, data.len()]
        });
        entries.insert(tensor.name, entry);
    }
    let mut header = serde_json::Value::Object(entries).to_string();
    while header.len() % 4 != pad {
        header.push(' ');
    }
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.into_bytes());
    file.extend(data);
    file
}

#[test]
fn other_float_types_and_unaligned_tensors_are_converted() {
    let fixture = Fixture::new("resnet20", Options::default());
    type Encode = fn(f32) -> Vec<u8>;
    let cases: [(&str, usize, f32, Encode); 5] = [
        ("F32", 0, 0.0, |x| x.to_le_bytes().to_vec()),
        ("F32", 1, 0.0, |x| x.to_le_bytes().to_vec()),
        ("F64", 0, 0.0, |x| f64::from(x).to_le_bytes().to_vec()),
        ("F16", 3, 5e-4, |x| half::f16::from_f32(x).to_le_bytes().to_vec()),
        ("BF16", 0, 4e-3, |x| half::bf16::from_f32(x).to_le_bytes().to_vec()),
    ];
    for (dtype, pad, tolerance, encode) in cases {
        let bytes = with_dtype(&fixture, dtype, encode, pad);
        std::fs::write(fixture.path(), &bytes).unwrap();
        let weights = WeightsFile::open(fixture.path(), &Overrides::default()).unwrap();
        let memory = WeightsFile::from_bytes(bytes, "bytes", &Overrides::default()).unwrap();
        for (id, info) in weights.network().table().iter() {
            let values = weights.tensor(id).unwrap();
            for (&a, &b) in values.iter().zip(fixture.params.get(id)) {
                assert!((a - b).abs() <= tolerance * (b.abs() + 1e-4), "{dtype} {a} {b}");
            }
            let in_memory = memory.tensor(id).unwrap();
            assert_eq!(values, in_memory, "{}", info.name);
            let borrowed = matches!(in_memory, Cow::Borrowed(_));
            assert_eq!(borrowed, dtype == "F32" && pad == 0, "{}", info.name);
        }
        assert_eq!(weights.file().tensors()[0].dtype.to_string(), dtype);
    }
    let integers = with_dtype(&fixture, "I32", |_| vec![0; 4], 0);
    std::fs::write(fixture.path(), integers).unwrap();
    let result = WeightsFile::open(fixture.path(), &Overrides::default());
    assert_error(result, &["0 of", "conv1.weight (expected F32, F16, BF16 or F64, found I32)"]);
}

#[test]
fn parts_are_those_of_the_tensor() {
    let fixture = Fixture::new("resnet20", Options::default());
    for (dtype, pad) in [("F32", 0), ("F32", 1), ("F64", 0)] {
        let encode = |x: f32| match dtype {
            "F64" => f64::from(x).to_le_bytes().to_vec(),
            _ => x.to_le_bytes().to_vec(),
        };
        std::fs::write(fixture.path(), with_dtype(&fixture, dtype, encode, pad)).unwrap();
        let weights = WeightsFile::open(fixture.path(), &Overrides::default()).unwrap();
        for (id, info) in weights.network().table().iter() {
            let (all, third) = (info.len(), info.len() / 3);
            for part in [0..0, 0..all, third..all, third..2 * third] {
                let mut read = Vec::new();
                let mut part_of = |values: &[f32]| read.extend_from_slice(values);
                weights.read(id, part.clone(), &mut part_of).unwrap();
                assert!(read == fixture.params.get(id)[part], "{dtype} {pad}: {}", info.name);
            }
        }
    }
}

#[test]
fn any_file_of_tensors_can_be_listed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("other.safetensors");
    let tensor = |name: &str, n: usize| NamedTensor {
        name: name.to_owned(),
        shape: vec![n, 2],
        values: vec![1.5; 2 * n].into(),
    };
    let entries = Entries::from([("made by".to_owned(), "hand".to_owned())]);
    write_safetensors(&path, &[tensor("b", 3), tensor("a", 0)], &entries).unwrap();
    let file = TensorFile::open(&path).unwrap();
    let list: Vec<_> = file.tensors().iter().map(|t| (t.name.as_str(), t.byte_len())).collect();
    assert_eq!(list, [("b", 24), ("a", 0)]);
    assert_eq!(file.metadata(), &entries);
    assert_eq!(file.values(&file.tensors()[0]).unwrap().unwrap()[..], [1.5; 6]);
    assert_error(WeightsFile::open(&path, &Overrides::default()), &["found 2 others, e.g. b, a"]);

    assert_error(TensorFile::open(folder.path().join("none")), &["none", "cannot open"]);
    assert_error(TensorFile::open(folder.path()), &["folder"]);
    std::fs::write(&path, b"").unwrap();
    assert_error(TensorFile::open(&path), &["empty"]);
    std::fs::write(&path, b"some text that is no weights at all").unwrap();
    assert_error(TensorFile::open(&path), &["it is text"]);
}
