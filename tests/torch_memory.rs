//! What the most demanding of hostile pickles take: the peak memory of this whole process.
#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "each test uses a part of it")]
#[path = "torch_files/build.rs"]
mod build;

use std::path::Path;

use build::{dict, legacy, pair, pair_storage, text, zip};
use resnet_cpu::weights::TensorFile;

#[test]
fn hostile_pickles_stay_below_100_megabytes() {
    let million = 1 << 20;
    let lists = [b"]".to_vec(), b"}NNsa".repeat(million)].concat();
    let tuples = [b"N".to_vec(), b"\x85".repeat(million)].concat();
    let memo = [b"N".to_vec(), b"\x94".repeat(million)].concat();
    let mut tensors = [&b"}"[..], &text("0"), &pair(), b"q\0s"].concat();
    for i in 1..200_000 {
        tensors.extend(text(&i.to_string()));
        tensors.extend(b"h\0s");
    }
    let (key, data) = pair_storage();
    let state = dict(&[("weight", pair()), ("lists", lists[..5 * 150_000 + 1].to_vec())]);
    for bytes in [
        zip(&lists, &[]),
        zip(&tuples, &[]),
        zip(&memo, &[]),
        zip(&tensors, &[pair_storage()]),
        legacy(&state, &[(key, 2, data)]),
    ] {
        let _ = TensorFile::from_bytes(bytes, Path::new("w.pth"));
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
    println!("peak {} MB", peak >> 10);
    assert!(peak < 100 << 10, "{peak} kB");
}
