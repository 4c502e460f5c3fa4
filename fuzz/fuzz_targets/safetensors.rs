//! Any bytes as a file of tensors, as weights and as a checkpoint; the values are read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use resnet_cpu::train::checkpoint;
use resnet_cpu::weights::{Overrides, TensorFile, WeightsFile};
use resnet_cpu_fuzz::Scratch;

thread_local!(static SCRATCH: Scratch = Scratch::default());

fuzz_target!(|bytes: &[u8]| {
    let path = SCRATCH.with(|scratch| scratch.put("w.safetensors", bytes));
    let Ok(file) = TensorFile::open(&path) else { return };
    for tensor in file.tensors() {
        let count = tensor.shape.iter().product::<usize>();
        if let Some(values) = file.values(tensor).expect("nobody writes to it") {
            assert_eq!(values.len(), count);
        }
        assert!(tensor.byte_len() <= bytes.len());
    }
    let _ = WeightsFile::open(&path, &Overrides::default());
    let _ = checkpoint::load(&path);
});
