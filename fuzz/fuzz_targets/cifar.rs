//! Any bytes as CIFAR-10 records; every image is read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use resnet_cpu::data::{CifarRecords, cifar};
use resnet_cpu_fuzz::Scratch;

thread_local!(static SCRATCH: Scratch = Scratch::default());

fuzz_target!(|bytes: &[u8]| {
    let path = SCRATCH.with(|scratch| scratch.put("test.bin", bytes));
    let Ok(records) = CifarRecords::open(&path) else { return };
    assert!(!records.is_empty());
    for index in 0..records.len() {
        assert!(records.label(index) < cifar::CLASSES.len());
        assert_eq!(records.image(index).pixels().len(), 32 * 32 * 3);
    }
    let _ = records.into_dataset();
});
