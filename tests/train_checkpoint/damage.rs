//! Files that are no checkpoint, or one no more: each refused with its reason, none a panic.

use std::collections::BTreeMap;

use resnet_cpu::model::Shortcut;
use resnet_cpu::train::checkpoint;
use resnet_cpu::weights::{NamedTensor, TensorFile, write_safetensors};

use crate::{save, state};

/// What `load` says of these bytes.
fn refusal(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.safetensors");
    std::fs::write(&path, bytes).unwrap();
    let Err(error) = checkpoint::load(&path) else { panic!("it was loaded") };
    let text = error.to_string();
    assert!(text.contains("last.safetensors"), "{text}");
    text
}

fn good() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.safetensors");
    save(&state(1, Shortcut::A), &path);
    std::fs::read(&path).unwrap()
}

#[test]
fn cut_short_or_foreign() {
    let bytes = good();
    for len in [0, 1, 7, 8, 100, 5000, bytes.len() / 2, bytes.len() - 1] {
        let text = refusal(&bytes[..len]);
        let known = ["empty", "bytes", "cut short", "text, not weights"];
        assert!(known.iter().any(|part| text.contains(part)), "{len}: {text}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.safetensors");
    std::fs::write(&path, &bytes).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for len in (0..header).chain((header..bytes.len()).step_by(65_521)).rev() {
        file.set_len(len as u64).unwrap();
        assert!(checkpoint::load(&path).is_err(), "{len}");
    }
    assert!(refusal(b"PK\x03\x04 and so on").contains("PyTorch"));
    assert!(refusal(b"a text of some length").contains("it is text"));
}

#[test]
fn any_changed_byte_is_noticed() {
    let bytes = good();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for i in (0..400).map(|i| i * header / 400).chain((0..40).map(|i| header + i * 5003)) {
        // Spaces that fill up the header mean nothing.
        if bytes[i] == b' ' && i < header {
            continue;
        }
        let mut changed = bytes.clone();
        changed[i] ^= 1;
        refusal(&changed);
    }
    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    let text = refusal(&changed);
    assert!(text.contains("damaged: expected checksum"), "{text}");
}

/// The good checkpoint with other tensors or metadata, and a checksum that fits.
fn refusal_of_changed(
    change: impl FnOnce(&mut Vec<NamedTensor<'_>>, &mut BTreeMap<String, String>),
) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.safetensors");
    save(&state(1, Shortcut::A), &path);
    let file = TensorFile::open(&path).unwrap();
    let floats = file.tensors().iter().filter(|tensor| tensor.dtype.to_string() == "F32");
    let mut tensors: Vec<NamedTensor<'_>> = floats
        .map(|tensor| NamedTensor {
            name: tensor.name.clone(),
            shape: tensor.shape.clone(),
            values: file.values(tensor).unwrap().unwrap().into(),
        })
        .collect();
    let mut metadata = file.metadata().clone();
    metadata.remove("resnet_cpu.train.crc32");
    change(&mut tensors, &mut metadata);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(serde_json::to_string(&metadata).unwrap().as_bytes());
    for tensor in &tensors {
        hasher.update(format!("{} F32 {:?}", tensor.name, tensor.shape).as_bytes());
        tensor.values.iter().for_each(|value| hasher.update(&value.to_le_bytes()));
    }
    let checksum = format!("{:08x}", hasher.finalize());
    metadata.insert("resnet_cpu.train.crc32".to_owned(), checksum);
    write_safetensors(&path, &tensors, &metadata).unwrap();
    refusal(&std::fs::read(&path).unwrap())
}

#[track_caller]
fn assert_parts(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[test]
fn well_formed_but_wrong() {
    let find = |tensors: &mut Vec<NamedTensor<'_>>, name: &str| {
        tensors.iter().position(|tensor| tensor.name == name).unwrap()
    };
    let text = refusal_of_changed(|tensors, _| {
        let i = find(tensors, "optimizer.momentum.fc.bias");
        tensors.remove(i);
        let i = find(tensors, "ema.bn1.weight");
        tensors[i].shape = vec![4, 4];
        let i = find(tensors, "optimizer.momentum.conv1.weight");
        tensors[i].values.to_mut()[3] = f32::NAN;
        let i = find(tensors, "ema.bn1.bias");
        tensors[i].name = "ema.bn1.extra".to_owned();
    });
    assert_parts(
        &text,
        &[
            "the training state of resnet20, shortcut a",
            "missing (2): optimizer.momentum.fc.bias, ema.bn1.bias",
            "unexpected (1): ema.bn1.extra",
            "ema.bn1.weight (expected [16], found [4, 4])",
            "optimizer.momentum.conv1.weight (expected finite values",
        ],
    );
    let entry = |key: &'static str, from: &'static str, to: &'static str| {
        refusal_of_changed(move |_, metadata| {
            let key = format!("resnet_cpu.train.{key}");
            let value = metadata[&key].clone();
            assert!(value.contains(from), "{value}");
            metadata.insert(key, value.replace(from, to));
        })
    };
    assert_parts(&entry("format", "1", "2"), &["format", "expected version 1, found 2"]);
    assert_parts(&entry("config", "resnet20", "resnet32"), &["resnet20", "resnet32"]);
    assert_parts(&entry("config", "resnet20", "resnet21"), &["unknown architecture 'resnet21'"]);
    assert_parts(&entry("config", "\"batch\":128", "\"batch\":0"), &["batch: expected 1"]);
    let this = format!("resnet-cpu {}", env!("CARGO_PKG_VERSION"));
    let unknown = entry("config", "\"seed\"", "\"mixup\":0.2,\"seed\"");
    assert_parts(&unknown, &["train.config", "unknown field `mixup`", "was written by", &this]);
    let text = refusal_of_changed(|_, metadata| {
        metadata.insert("resnet_cpu.train.program".to_owned(), "9.1.0".to_owned());
        let config = metadata.get_mut("resnet_cpu.train.config").unwrap();
        *config = config.replace("\"seed\"", "\"mixup\":0.2,\"seed\"");
    });
    assert_parts(&text, &["unknown field `mixup`", "written by resnet-cpu 9.1.0", &this]);
    assert_parts(&entry("progress", "512", "512000"), &["cursor up to 50000, found 512000"]);
    assert_parts(&entry("progress", "512", "-1"), &["train.progress"]);
    let text = refusal_of_changed(|_, metadata| {
        metadata.remove("resnet_cpu.train.schedule");
    });
    assert_parts(&text, &["train.schedule"]);
    let text = refusal_of_changed(|tensors, _| {
        let i = find(tensors, "resnet_cpu.pixel_mean");
        tensors[i].shape = vec![3, 32, 32];
    });
    assert_parts(&text, &["resnet_cpu.pixel_mean", "[32, 32, 3]", "[3, 32, 32]"]);
}
