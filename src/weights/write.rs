//! Writing safetensors files whole or not at all: beside the target, synced, then renamed.
//!
//! The bytes depend on the arguments only (the `safetensors` crate would order metadata at random),
//! and tensors start on cache lines as far as their sizes allow.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::WeightsError;
use crate::model::{Network, ParamSource};

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

/// Writes the tensors of `network` under torchvision's names, with `metadata` (usually
/// [`Metadata::entries`](super::Metadata::entries)).
///
/// # Errors
/// The file cannot be written. A file of that name is then whole: as it was, or (if only making the
/// new name durable failed) the new one.
pub fn write_weights(
    path: &Path,
    network: &Network,
    source: &dyn ParamSource,
    metadata: &BTreeMap<String, String>,
) -> Result<(), WeightsError> {
    let tensor = |(id, info): (_, &crate::model::TensorInfo)| NamedTensor {
        name: info.name.clone(),
        shape: info.shape.clone(),
        values: source.tensor(id),
    };
    let tensors: Vec<NamedTensor<'_>> = network.table().iter().map(tensor).collect();
    write_safetensors(path, &tensors, metadata)
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
    let header = header(tensors, metadata);
    let result = replace(path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        tensors.iter().try_for_each(|tensor| write_values(out, &tensor.values))
    });
    result.map_err(|source| WeightsError::Io { path: path.to_owned(), action: "write", source })
}

/// The header's JSON, padded with spaces as the format allows.
fn header(tensors: &[NamedTensor<'_>], metadata: &BTreeMap<String, String>) -> String {
    let mut entries = Map::new();
    if !metadata.is_empty() {
        entries.insert("__metadata__".to_owned(), json!(metadata));
    }
    let mut start = 0;
    for NamedTensor { name, shape, values } in tensors {
        assert_eq!(values.len(), shape.iter().product::<usize>(), "values of {name}");
        let end = start + size_of_val::<[f32]>(values);
        let entry = json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, end] });
        assert!(entries.insert(name.clone(), entry).is_none(), "two tensors named {name}");
        start = end;
    }
    let mut text = Value::Object(entries).to_string();
    let prefix = size_of::<u64>();
    let padded = (prefix + text.len()).next_multiple_of(ALIGN) - prefix;
    text.extend(std::iter::repeat_n(' ', padded - text.len()));
    text
}

fn write_values(out: &mut impl Write, values: &[f32]) -> io::Result<()> {
    if cfg!(target_endian = "little") {
        out.write_all(bytemuck::cast_slice(values))
    } else {
        values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))
    }
}

/// Fills a new file with `fill`, then gives it the name `path`.
fn replace(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let beside = partial(folder, name.to_owned());
    let write = || {
        let mut out = BufWriter::new(File::create(&beside)?);
        fill(&mut out)?;
        out.into_inner()?.sync_all()?;
        fs::rename(&beside, path)
    };
    if let Err(error) = write() {
        // The error that matters is the first; a file left behind is harmless.
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    sync_folder(folder)
}

/// `.name.1234.partial`: hidden, and not that of another process.
fn partial(folder: &Path, name: OsString) -> PathBuf {
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.partial", std::process::id()));
    folder.join(hidden)
}

/// Makes the new name durable.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
