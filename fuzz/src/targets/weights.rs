//! Any JSON as the header of a file of tensors, which are all zero and as long as the header says: so
//! that names, shapes and metadata are reached without guessing lengths and checksums.

use std::fs::File;

use resnet_cpu::model::{ParamSource, Params};
use resnet_cpu::train::checkpoint;
use resnet_cpu::weights::{Overrides, TensorFile, WeightsFile};
use serde_json::Value;

use super::scratch;

/// Files are not made larger than this.
const LARGEST: u64 = 16 << 20;
const CHECKSUM: &str = "resnet_cpu.train.crc32";

/// One input.
pub fn run(header: &[u8]) {
    let Ok(mut json) = serde_json::from_slice::<Value>(header) else { return };
    let Some(entries) = json.as_object() else { return };
    let end = |entry: &Value| entry["data_offsets"][1].as_u64();
    let data_len = entries.values().filter_map(end).max().unwrap_or(0);
    if data_len > LARGEST {
        return;
    }
    let put = |header: &[u8]| {
        let bytes = [&(header.len() as u64).to_le_bytes(), header].concat();
        let path = scratch(|scratch| scratch.put("w.safetensors", &bytes));
        let file = File::options().write(true).open(&path).expect("it was just written");
        file.set_len(bytes.len() as u64 + data_len).expect("room for a temporary file");
        path
    };
    let path = put(header);
    let Ok(file) = TensorFile::open(&path) else { return };
    for tensor in file.tensors() {
        if let Some(values) = file.values(tensor).expect("nobody writes to it") {
            assert_eq!(values.len(), tensor.shape.iter().product::<usize>());
        }
    }
    if let Ok(weights) = WeightsFile::open(&path, &Overrides::default())
        && weights.quantized().is_none()
    {
        let params = Params::from_source(weights.network(), &weights).expect("nobody writes");
        for (id, _) in params.table().iter() {
            assert_eq!(params.get(id).len(), weights.tensor(id).expect("nobody writes").len());
        }
    }
    if let Some(entry) = json["__metadata__"].get_mut(CHECKSUM) {
        *entry = checksum(&file).into();
        let path = put(json.to_string().as_bytes());
        let _ = checkpoint::load(&path);
    }
}

/// What `train::checkpoint` computes over metadata and tensors.
fn checksum(file: &TensorFile) -> String {
    let mut metadata = file.metadata().clone();
    metadata.remove(CHECKSUM);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(serde_json::to_string(&metadata).expect("text").as_bytes());
    for tensor in file.tensors() {
        let (name, dtype, shape) = (&tensor.name, &tensor.dtype, &tensor.shape);
        hasher.update(format!("{name} {dtype} {shape:?}").as_bytes());
        file.read_bytes(tensor, |bytes| hasher.update(bytes)).expect("nobody writes to it");
    }
    format!("{:08x}", hasher.finalize())
}
