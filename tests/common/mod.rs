//! What several tests need: the networks of the golden files, filled by the rule they share with
//! PyTorch (`data-tools/pytorch/fill.py`), and the folder of real data.

#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod fixture;
pub(crate) mod program;
pub(crate) mod schema;
pub(crate) mod shards;

use resnet_cpu::model::{ModelSpec, Network, Options, Params, Role};
use resnet_cpu::runtime::Rng;
use resnet_cpu::simd::Isa;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A golden file of `tests/golden/`.
pub(crate) fn golden(name: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).expect("a golden file is JSON")
}

/// The instruction sets to test: all that this CPU has, or the one that `RESNET_CPU_ISA` forces.
pub(crate) fn isas() -> Vec<Isa> {
    match std::env::var("RESNET_CPU_ISA") {
        Ok(name) => vec![Isa::named(&name).expect("RESNET_CPU_ISA names a set of this CPU")],
        Err(_) => Isa::available(),
    }
}

/// The network that a case of a golden file names.
pub(crate) fn network(case: &Value) -> Network {
    let name = case["arch"].as_str().unwrap();
    let text = |field: &str| case[field].as_str().unwrap().to_owned();
    let number = |field: &str| case[field].as_u64().map(|n| n as usize);
    let mut options = Options {
        classes: number("classes"),
        in_channels: number("channels"),
        ..Options::default()
    };
    if name.starts_with("plain") {
        let imagenet = ["plain18", "plain34"].contains(&name);
        options.downsample = imagenet.then(|| text("downsample").parse().unwrap());
    } else {
        options.shortcut = Some(text("shortcut").parse().unwrap());
        if ["resnet50", "resnet101", "resnet152"].contains(&name) {
            options.stride_in = Some(text("stride_in").parse().unwrap());
        }
    }
    let mut spec = ModelSpec::new(name, options).unwrap();
    if let Some(blocks) = case["blocks"].as_array() {
        spec.stages = blocks.iter().map(|n| n.as_u64().unwrap() as usize).collect();
    }
    Network::new(&spec)
}

/// The values of `data-tools/pytorch/fill.py`, which states the rule.
pub(crate) fn fill(network: &Network, seed: u64) -> Params {
    let mut params = Params::zeros(network);
    let residual = network.spec.shortcut.is_some();
    let last_gammas: Vec<_> = network
        .blocks
        .iter()
        .filter(|_| residual)
        .map(|block| network.tensor(block.convs.last().unwrap().gamma).name.clone())
        .collect();
    for info in network.tensors() {
        let mut rng = Rng::named(seed, &info.name);
        let shape = &info.shape;
        let bound = match info.role {
            Role::ConvWeight => (6.0 / (shape[2] * shape[3] * shape[0]) as f64).sqrt() as f32,
            Role::LinearWeight => (3.0 / shape[1] as f64).sqrt() as f32,
            _ => 0.0,
        };
        let scaled = last_gammas.contains(&info.name);
        for value in params.by_name_mut(&info.name).unwrap() {
            let u = rng.uniform();
            *value = match info.role {
                Role::ConvWeight | Role::LinearWeight => (2.0 * u - 1.0) * bound,
                Role::LinearBias | Role::Beta | Role::RunningMean => (u - 0.5) * 0.2,
                Role::Gamma if scaled => (0.5 + u) * 0.25,
                Role::Gamma | Role::RunningVar => 0.5 + u,
            };
        }
    }
    params
}

/// A batch of `len` values, NHWC, of the stream `name`.
pub(crate) fn images(seed: u64, name: &str, len: usize) -> Vec<f32> {
    let mut rng = Rng::named(seed, name);
    (0..len).map(|_| 4.0 * rng.uniform() - 2.0).collect()
}

/// The folder of real data: `$RESNET_CPU_TEST_DATA`, else `../shared/data`. Says so when a test must
/// skip because `file` is not in it.
///
/// # Panics
/// If it is not there although `$RESNET_CPU_REQUIRE_DATA` is set (to anything but nothing or 0).
pub(crate) fn test_data(file: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("RESNET_CPU_TEST_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    let path = folder.join(file);
    if path.exists() {
        return Some(path);
    }
    let required = std::env::var_os("RESNET_CPU_REQUIRE_DATA");
    let required = required.is_some_and(|value| !value.is_empty() && value != "0");
    assert!(!required, "no {}, and RESNET_CPU_REQUIRE_DATA is set", path.display());
    eprintln!(
        "SKIPPED: no {} (set RESNET_CPU_TEST_DATA to the folder of test data)",
        path.display()
    );
    None
}

/// A version 1 `.npy` file of little-endian f32 in C order: shape and values.
pub(crate) fn read_npy(path: &Path) -> (Vec<usize>, Vec<f32>) {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert!(bytes.starts_with(b"\x93NUMPY\x01"), "{}", path.display());
    let header_len = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..10 + header_len]).unwrap();
    assert!(header.contains("'<f4'") && header.contains("'fortran_order': False"), "{header}");
    let (_, shape) = header.split_once('(').unwrap();
    let (shape, _) = shape.split_once(')').unwrap();
    let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
    let shape: Vec<usize> = sizes.map(|size| size.parse().unwrap()).collect();
    let floats = bytes[10 + header_len..].as_chunks::<4>().0;
    let values: Vec<f32> = floats.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    assert_eq!(values.len(), shape.iter().product::<usize>(), "{header}");
    (shape, values)
}
