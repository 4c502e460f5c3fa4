//! Any bytes as CIFAR-10 records; every image is read.

use resnet_cpu::data::{CifarRecords, cifar};

use super::scratch;

/// One input.
pub fn run(bytes: &[u8]) {
    let path = scratch(|scratch| scratch.put("test.bin", bytes));
    let Ok(records) = CifarRecords::open(&path) else { return };
    assert!(!records.is_empty());
    for index in 0..records.len() {
        assert!(records.label(index) < cifar::CLASSES.len());
        assert_eq!(records.image(index).pixels().len(), 32 * 32 * 3);
    }
    let _ = records.into_dataset();
}
