//! What PyTorch wrote is read as PyTorch reads it.

use std::path::{Path, PathBuf};

use resnet_cpu::weights::TensorFile;
use serde_json::Value;

use crate::values;

pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torch_files/data").join(name)
}

/// The files of `make.py`, with what is in them.
pub(crate) fn expected() -> serde_json::Map<String, Value> {
    let text = std::fs::read_to_string(data("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn every_file_has_the_tensors_that_pytorch_put_in() {
    let expected = expected();
    assert_eq!(expected.len(), 16);
    for (name, content) in expected {
        let path = data(&name);
        let file = TensorFile::open(&path).unwrap();
        let tensors = content["tensors"].as_array().unwrap();
        assert_eq!(file.tensors().len(), tensors.len(), "{name}");
        for (found, expected) in file.tensors().iter().zip(tensors) {
            assert_eq!(found.name, expected["name"].as_str().unwrap(), "{name}");
            assert_eq!(found.dtype.to_string(), expected["dtype"].as_str().unwrap(), "{name}");
            let shape: Vec<usize> = serde_json::from_value(expected["shape"].clone()).unwrap();
            assert_eq!(found.shape, shape, "{name}: {}", found.name);
            if let Some(values) = file.values(found).unwrap() {
                let expected: Vec<f32> =
                    serde_json::from_value(expected["values"].clone()).unwrap();
                assert_eq!(values[..], expected, "{name}: {}", found.name);
            }
        }
        let notes: Vec<String> = serde_json::from_value(content["notes"].clone()).unwrap();
        assert_eq!(file.notes(), notes, "{name}");
        let bytes = std::fs::read(&path).unwrap();
        let owned = TensorFile::from_bytes(bytes, Path::new("bytes")).unwrap();
        assert_eq!(values(&owned), values(&file), "{name}");
    }
}
