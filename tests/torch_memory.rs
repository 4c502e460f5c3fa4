//! What the most demanding of hostile pickles and headers take: the peak memory of this whole process.
#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "each test uses a part of it")]
#[path = "torch_files/build.rs"]
mod build;

use std::path::Path;

use build::{dict, legacy, pair, pair_storage, text, zip};
use resnet_cpu::weights::TensorFile;

#[test]
fn hostile_files_stay_below_100_megabytes() {
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
    // Headers as long as they may be, full of what takes the most for each byte.
    let most = 16 << 20;
    let full = |start: &str, item: &dyn Fn(usize) -> String, end: &str| {
        let mut header = start.to_owned();
        for i in 0.. {
            let item = item(i);
            if header.len() + item.len() + end.len() > most {
                break;
            }
            header += &item;
        }
        header + end
    };
    let entry = r#"{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"#;
    for header in [
        full("{", &|i| format!("\"{i}\":{entry},"), "}"),
        full("{", &|i| format!("\"{i:0300}\":{entry},"), "}"),
        full("{\"__metadata__\":{", &|i| format!("\"{i}\":\"\","), "}}"),
        full("{\"__metadata__\":{\"a\":\"", &|_| "\\n".to_owned(), "\"}}"),
        full("{\"a\":{\"dtype\":\"", &|_| "\\n".to_owned(), "\"}}"),
        full("{\"a\":{\"shape\":[", &|_| "1,".to_owned(), "1]}}"),
        full("{\"a\":{\"shape\":\"", &|_| "x".repeat(1000), "\"}}"),
        full("{\"a\":{\"other\":", &|_| "[".to_owned(), "}}"),
        full("{\"a\":{\"other\":[", &|_| "{},".to_owned(), "{}]}}"),
    ] {
        let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
        drop(header);
        let _ = TensorFile::from_bytes(bytes, "w.safetensors");
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
    println!("peak {} MB", peak >> 10);
    assert!(peak < 100 << 10, "{peak} kB");
}
