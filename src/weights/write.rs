//! Writing safetensors files whole or not at all: beside the target, synced, then renamed.
//!
//! The bytes depend on the arguments only (the `safetensors` crate would order metadata at random),
//! and tensors start on cache lines as far as their sizes allow.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{PIXEL_MEAN, PixelMean, WeightsError};
use crate::model::{Network, ParamSource, Params, SourceError, TensorId, TensorInfo, TensorTable};
use crate::runtime::{Disk, Storage, write_durably};

/// The data start at a multiple of this many bytes.
const ALIGN: usize = 64;
/// Values that are read from a source and written at a time.
const TOGETHER: usize = 256 * 1024;

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
/// [`Metadata::entries`](super::Metadata::entries)). Values go from `source` to the file piece by piece.
///
/// # Errors
/// The source cannot be read or the file cannot be written. A file of that name is whole even then: the old
/// one, or the new one if only making its name durable failed.
pub fn write_weights(
    path: impl AsRef<Path>,
    network: &Network,
    source: &dyn ParamSource,
    pixel_mean: Option<&PixelMean<'_>>,
    metadata: &BTreeMap<String, String>,
) -> Result<(), WeightsError> {
    write_weights_to(&Disk, path.as_ref(), network, source, pixel_mean, metadata)
}

/// As [`write_weights`], on any storage.
///
/// # Errors
/// As for [`write_weights`].
pub fn write_weights_to(
    storage: &dyn Storage,
    path: &Path,
    network: &Network,
    source: &dyn ParamSource,
    pixel_mean: Option<&PixelMean<'_>>,
    metadata: &BTreeMap<String, String>,
) -> Result<(), WeightsError> {
    let table = network.table();
    let mut shapes: Vec<(&str, &[usize])> =
        table.infos().iter().map(|info| (info.name.as_str(), &info.shape[..])).collect();
    let mean_shape = pixel_mean.map(|mean| [mean.height, mean.width, 3]);
    shapes.extend(mean_shape.as_ref().map(|shape| (PIXEL_MEAN, &shape[..])));
    let header = header(&[], &floats(&shapes), metadata);
    let failed: RefCell<Option<SourceError>> = RefCell::default();
    let written = write_file(storage, path, &header, |out| {
        for (id, info) in table.iter() {
            for start in (0..info.len()).step_by(TOGETHER) {
                let part = start..info.len().min(start + TOGETHER);
                let mut written = Ok(());
                let read = source.read(id, part, &mut |values| written = write_values(out, values));
                if let Err(error) = read {
                    let told = io::Error::other(error.to_string());
                    *failed.borrow_mut() = Some(error);
                    return Err(told);
                }
                written?;
            }
        }
        pixel_mean.map_or(Ok(()), |mean| write_values(out, &mean.values))
    });
    match failed.into_inner() {
        Some(error) => Err(error.into()),
        None => written,
    }
}

/// The tensors of `table` with their values in `params`, under torchvision's names.
pub fn network_tensors<'a>(table: &TensorTable, params: &'a Params) -> Vec<NamedTensor<'a>> {
    let tensor = |(id, info): (TensorId, &TensorInfo)| NamedTensor {
        name: info.name.clone(),
        shape: info.shape.clone(),
        values: Cow::Borrowed(params.get(id)),
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
    path: impl AsRef<Path>,
    tensors: &[NamedTensor<'_>],
    metadata: &BTreeMap<String, String>,
) -> Result<(), WeightsError> {
    write_safetensors_to(&Disk, path.as_ref(), &[], tensors, metadata)
}

/// As [`write_safetensors`], on any storage and with `counters`: scalars of type I64, which come
/// before the tensors so that all are aligned to their size.
///
/// # Errors
/// As for [`write_safetensors`].
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
    let shapes = tensors.iter().map(|NamedTensor { name, shape, values }| {
        assert_eq!(values.len(), shape.iter().product::<usize>(), "values of {name}");
        (name.as_str(), &shape[..])
    });
    let header = header(counters, &floats(&shapes.collect::<Vec<_>>()), metadata);
    write_file(storage, path, &header, |out| {
        counters.iter().try_for_each(|(_, value)| out.write_all(&value.to_le_bytes()))?;
        tensors.iter().try_for_each(|tensor| write_values(out, &tensor.values))
    })
}

/// As [`write_safetensors`], of tensors whose elements are bytes or floats. Those of floats come first, so that they
/// are aligned.
///
/// # Errors
/// As for [`write_safetensors`].
///
/// # Panics
/// As [`write_safetensors`].
pub(super) fn write_typed(
    storage: &dyn Storage,
    path: &Path,
    tensors: &[TypedTensor<'_>],
    metadata: &BTreeMap<String, String>,
) -> Result<(), WeightsError> {
    let is_float = |tensor: &&TypedTensor| matches!(tensor.elements, Elements::F32(_));
    let (floats, bytes): (Vec<_>, Vec<_>) = tensors.iter().partition(is_float);
    let ordered = [floats, bytes].concat();
    let described: Vec<_> = ordered
        .iter()
        .map(|TypedTensor { name, shape, elements }| {
            assert_eq!(elements.len(), shape.iter().product::<usize>(), "values of {name}");
            (name.as_str(), elements.kind(), &shape[..])
        })
        .collect();
    let header = header(&[], &described, metadata);
    write_file(storage, path, &header, |out| {
        ordered.iter().try_for_each(|tensor| match tensor.elements {
            Elements::F32(values) => write_values(out, values),
            Elements::I8(values) => out.write_all(bytemuck::cast_slice(values)),
            Elements::U8(values) => out.write_all(values),
        })
    })
}

/// A tensor to write.
pub(super) struct TypedTensor<'a> {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) elements: Elements<'a>,
}

/// The elements of a tensor.
#[derive(Clone, Copy)]
pub(super) enum Elements<'a> {
    F32(&'a [f32]),
    I8(&'a [i8]),
    U8(&'a [u8]),
}

impl Elements<'_> {
    fn len(self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::I8(values) => values.len(),
            Self::U8(values) => values.len(),
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::F32(_) => F32,
            Self::I8(_) => ("I8", 1),
            Self::U8(_) => ("U8", 1),
        }
    }
}

/// What safetensors calls a type of elements, and the bytes of one.
type Kind = (&'static str, usize);
const F32: Kind = ("F32", size_of::<f32>());

/// Tensors of floats.
fn floats<'a>(shapes: &[(&'a str, &'a [usize])]) -> Vec<(&'a str, Kind, &'a [usize])> {
    shapes.iter().map(|&(name, shape)| (name, F32, shape)).collect()
}

/// Writes a file of `header` and what `write` adds.
fn write_file(
    storage: &dyn Storage,
    path: &Path,
    header: &str,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), WeightsError> {
    let written = write_durably(storage, path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        write(out)
    });
    written.map_err(|error| WeightsError::Io { path: path.to_owned(), action: "write", error })
}

/// The header's JSON, padded with spaces as the format allows.
fn header(
    counters: &[(String, i64)],
    tensors: &[(&str, Kind, &[usize])],
    metadata: &BTreeMap<String, String>,
) -> String {
    let mut entries = Map::new();
    if !metadata.is_empty() {
        entries.insert("__metadata__".to_owned(), json!(metadata));
    }
    let mut start = 0;
    let mut entry = |name: &str, dtype: &str, shape: &[usize], bytes: usize| {
        let entry =
            json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, start + bytes] });
        assert!(entries.insert(name.to_owned(), entry).is_none(), "two tensors named {name}");
        start += bytes;
    };
    for (name, _) in counters {
        entry(name, "I64", &[], size_of::<i64>());
    }
    for &(name, (dtype, size), shape) in tensors {
        entry(name, dtype, shape, shape.iter().product::<usize>() * size);
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
