//! Writing safetensors files whole or not at all: beside the target, synced, then renamed.
//!
//! The bytes depend on the arguments only (the `safetensors` crate would order metadata at random),
//! and tensors start on cache lines as far as their sizes allow.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{PIXEL_MEAN, PixelMean, WeightsError};
use crate::model::{Network, ParamSource, TensorId, TensorInfo, TensorTable};
use crate::runtime::{Disk, Storage, write_durably};

/// The data start at a multiple of this many bytes.
const ALIGN: usize = 64;

/// A tensor to write as F32.
#[derive(Clone, Debug)]
pub struct NamedTensor<'a> {
    /// Unique in the file.
    pub name: String,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// As many as the shape says, the last dimension varying fastest.
    pub values: Cow<'a, [f32]>,
}

/// Writes the tensors of `network` under torchvision's names, the per-pixel mean that inputs have
/// subtracted if there is one, and `metadata` (usually
/// [`Metadata::entries`](super::Metadata::entries)).
///
/// # Errors
/// The file cannot be written. A file of that name is then whole: as it was, or (if only making the
/// new name durable failed) the new one.
pub fn write_weights(
    path: &Path,
    network: &Network,
    source: &dyn ParamSource,
    pixel_mean: Option<&PixelMean<'_>>,
    metadata: &BTreeMap<String, String>,
) -> Result<(), WeightsError> {
    write_weights_to(&Disk, path, network, source, pixel_mean, metadata)
}

/// As [`write_weights`], on any storage.
///
/// # Errors
/// As of [`write_weights`].
pub fn write_weights_to(
    storage: &dyn Storage,
    path: &Path,
    network: &Network,
    source: &dyn ParamSource,
    pixel_mean: Option<&PixelMean<'_>>,
    metadata: &BTreeMap<String, String>,
) -> Result<(), WeightsError> {
    let mut tensors = network_tensors(network.table(), source);
    tensors.extend(pixel_mean.map(|mean| NamedTensor {
        name: PIXEL_MEAN.to_owned(),
        shape: vec![mean.height, mean.width, 3],
        values: Cow::Borrowed(&*mean.values),
    }));
    write_safetensors_to(storage, path, &[], &tensors, metadata)
}

/// The tensors of `table` with the values that `source` has for them, under torchvision's names.
pub fn network_tensors<'a>(
    table: &TensorTable,
    source: &'a dyn ParamSource,
) -> Vec<NamedTensor<'a>> {
    let tensor = |(id, info): (TensorId, &TensorInfo)| NamedTensor {
        name: info.name.clone(),
        shape: info.shape.clone(),
        values: source.tensor(id),
    };
    table.iter().map(tensor).collect()
}

/// Writes a safetensors file with `tensors` in this order; replaces a file of that name only when
/// all is on disk.
///
/// # Errors
/// The file cannot be written. A file of that name is then whole: as it was, or (if only making the
/// new name durable failed) the new one.
///
/// # Panics
/// A tensor's values are not as many as its shape says, or two have one name.
pub fn write_safetensors(
    path: &Path,
    tensors: &[NamedTensor<'_>],
    metadata: &BTreeMap<String, String>,
) -> Result<(), WeightsError> {
    write_safetensors_to(&Disk, path, &[], tensors, metadata)
}

/// As [`write_safetensors`], on any storage and with `counters`: scalars of type I64, which come
/// before the tensors so that all are aligned to their size.
///
/// # Errors
/// As of [`write_safetensors`].
///
/// # Panics
/// As [`write_safetensors`]; the names of counters count too.
pub fn write_safetensors_to(
    storage: &dyn Storage,
    path: &Path,
    counters: &[(String, i64)],
    tensors: &[NamedTensor<'_>],
    metadata: &BTreeMap<String, String>,
) -> Result<(), WeightsError> {
    let header = header(counters, tensors, metadata);
    let result = write_durably(storage, path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        counters.iter().try_for_each(|(_, value)| out.write_all(&value.to_le_bytes()))?;
        tensors.iter().try_for_each(|tensor| write_values(out, &tensor.values))
    });
    result.map_err(|source| WeightsError::Io { path: path.to_owned(), action: "write", source })
}

/// The header's JSON, padded with spaces as the format allows.
fn header(
    counters: &[(String, i64)],
    tensors: &[NamedTensor<'_>],
    metadata: &BTreeMap<String, String>,
) -> String {
    let mut entries = Map::new();
    if !metadata.is_empty() {
        entries.insert("__metadata__".to_owned(), json!(metadata));
    }
    let mut start = 0;
    let mut entry = |name: &String, dtype: &str, shape: &[usize], bytes: usize| {
        let entry =
            json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, start + bytes] });
        assert!(entries.insert(name.clone(), entry).is_none(), "two tensors named {name}");
        start += bytes;
    };
    for (name, _) in counters {
        entry(name, "I64", &[], size_of::<i64>());
    }
    for NamedTensor { name, shape, values } in tensors {
        assert_eq!(values.len(), shape.iter().product::<usize>(), "values of {name}");
        entry(name, "F32", shape, size_of_val::<[f32]>(values));
    }
    let mut text = Value::Object(entries).to_string();
    let prefix = size_of::<u64>();
    let padded = (prefix + text.len()).next_multiple_of(ALIGN) - prefix;
    text.extend(std::iter::repeat_n(' ', padded - text.len()));
    text
}

fn write_values(out: &mut dyn Write, values: &[f32]) -> io::Result<()> {
    if cfg!(target_endian = "little") {
        out.write_all(bytemuck::cast_slice(values))
    } else {
        values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))
    }
}
