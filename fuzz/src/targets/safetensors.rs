//! Any bytes as a file of tensors, as weights and as a checkpoint; the values are read.

use std::borrow::Cow;

use resnet_cpu::train::checkpoint;
use resnet_cpu::weights::{Overrides, TensorFile, WeightsFile};

use super::scratch;

/// One input.
pub fn run(bytes: &[u8]) {
    let path = scratch(|scratch| scratch.put("w.safetensors", bytes));
    let Ok(file) = TensorFile::open(&path) else { return };
    for tensor in file.tensors() {
        let count = tensor.shape.iter().product::<usize>();
        if let Some(values) = file.values(tensor) {
            assert_eq!(values.len(), count);
            assert!(matches!(values, Cow::Borrowed(_)) || count * 8 <= tensor.byte_len() * 8);
        }
        assert!(file.bytes(tensor).len() <= bytes.len());
    }
    let _ = WeightsFile::open(&path, &Overrides::default());
    let _ = checkpoint::load(&path);
}
