//! Every fuzz target on its seeds and on what fuzzing found before, without a fuzzer: so a target is
//! known to build and to hold what it asserts wherever the tests run.

#[path = "../fuzz/src/targets/mod.rs"]
#[allow(unreachable_pub, reason = "the package of the fuzz targets makes it public")]
mod targets;

use std::path::Path;
use targets::{cifar, dataset, idx, image, index, safetensors, tar, torch, weights};

/// Runs `target` on every file of its folders; the first must have some.
fn run(target: fn(&[u8]), name: &str, more: &[&str]) {
    let seeds = format!("fuzz/seeds/{name}");
    let found = format!("tests/data/regressions/{name}");
    let mut count = 0;
    for folder in [&*seeds, &*found].iter().chain(more) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let Ok(entries) = std::fs::read_dir(path) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_file() {
                println!("{}", path.display());
                target(&std::fs::read(&path).unwrap());
                count += 1;
            }
        }
        assert!(count > 0, "{folder} has no seeds");
    }
}

#[test]
fn images() {
    run(image::run, "image", &[]);
}

#[test]
fn files_of_tensors() {
    run(safetensors::run, "safetensors", &[]);
}

#[test]
fn headers_of_weights() {
    run(weights::run, "weights", &[]);
}

#[test]
fn cifar_records() {
    run(cifar::run, "cifar", &[]);
}

#[test]
fn idx_files() {
    run(idx::run, "idx", &[]);
}

#[test]
fn files_of_torch() {
    run(torch::run, "torch", &["tests/torch_files/data"]);
}

#[test]
fn descriptions_of_sets() {
    run(dataset::run, "dataset", &[]);
}

#[test]
fn indices_of_shards() {
    run(index::run, "index", &[]);
}

#[test]
fn tars_of_samples() {
    run(tar::run, "tar", &[]);
}

/// A target that is only half registered would be left out by the fuzzer or by this test.
#[test]
fn every_target_has_seeds_a_program_and_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let stems = |folder: &str| {
        let entries = std::fs::read_dir(root.join(folder)).unwrap();
        let mut stems: Vec<String> = entries
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .filter(|stem| stem != "mod")
            .collect();
        stems.sort();
        stems
    };
    let targets =
        ["cifar", "dataset", "idx", "image", "index", "safetensors", "tar", "torch", "weights"];
    for folder in ["seeds", "src/targets", "fuzz_targets"] {
        assert_eq!(stems(folder), targets, "{folder}");
    }
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    for target in targets {
        let line = format!("path = \"fuzz_targets/{target}.rs\"");
        assert_eq!(manifest.matches(&line).count(), 1, "{target} in fuzz/Cargo.toml");
    }
}
