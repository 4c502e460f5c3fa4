//! PyTorch's files: those that `torch.save` wrote (`make.py`), damaged ones, hostile ones, and whole
//! networks through the command.

mod build;
mod command;
#[path = "../common/mod.rs"]
mod common;
mod damage;
mod golden;
mod hostile_archives;
mod hostile_pickles;
mod old;

use std::path::Path;
use std::time::{Duration, Instant};

use resnet_cpu::weights::TensorFile;

fn open(bytes: &[u8]) -> Result<TensorFile, String> {
    TensorFile::from_bytes(bytes.to_vec(), Path::new("w.pth")).map_err(|error| error.to_string())
}

/// Names and values of the tensors of floats.
fn values(file: &TensorFile) -> Vec<(String, Vec<f32>)> {
    let tensors = file.tensors().iter();
    tensors.filter_map(|t| Some((t.name.clone(), file.values(t).unwrap()?))).collect()
}

/// In a second, and with an error that names the file and says all of `parts`.
#[track_caller]
fn assert_refused(bytes: &[u8], parts: &[&str]) {
    let mut error = String::new();
    // Again if the machine was busy with something else.
    let soon = (0..5).any(|_| {
        let start = Instant::now();
        error = open(bytes).expect_err("an error");
        start.elapsed() < Duration::from_secs(1)
    });
    assert!(soon, "more than a second: {error}");
    assert!(error.starts_with("w.pth: not a readable file of weights: "), "{error}");
    assert!(error.len() < 1000, "{error}");
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}
