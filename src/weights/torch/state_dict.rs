//! The state dict in what a pickle made: which dictionary it is, and where its tensors lie.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use rayon::prelude::*;

use super::values::{Pickle, Tuple, Value, View};
use super::{Storages, shown};
use crate::weights::error::listed;
use crate::weights::limits::{MAX_DIMENSIONS, MAX_NAME, MAX_TENSORS};
use crate::weights::source::Source;
use crate::weights::stored::{Contents, Dtype, Fault, StoredTensor};

/// Under which training scripts keep the state dict of the model, in order of precedence.
const WRAPPERS: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];

/// The tensors of the state dict, and a note of what is ignored.
///
/// # Errors
/// There is none, a tensor does not fit its storage, or a storage is damaged.
pub(super) fn read(
    source: &Source,
    pickle: &Pickle<'_>,
    storages: &Storages,
) -> Result<Contents, Fault> {
    let root = pickle.dict(pickle.root).ok_or("what torch.save wrote is not a state dict")?;
    let tensors_of = |value| {
        let entries = pickle.dict(value)?;
        entries.iter().any(|(_, value)| matches!(value, Value::Tensor(_))).then_some(entries)
    };
    let wrapped = WRAPPERS.iter().find_map(|&key| {
        let entries = tensors_of(pickle.get(pickle.root, key)?)?;
        Some((key, entries))
    });
    let (wrapper, state) = match (wrapped, tensors_of(pickle.root)) {
        (Some((key, entries)), _) => (Some(key), entries),
        (None, Some(entries)) => (None, entries),
        (None, None) => {
            let entries = listed("entries", root.iter().map(|&(key, _)| key_text(key)));
            let wrappers = WRAPPERS.join(", ");
            return Err(
                format!("no state dict at the top or under {wrappers}; it has {entries}").into()
            );
        }
    };

    let mut contents =
        Contents { tensors: Vec::new(), metadata: BTreeMap::new(), notes: Vec::new() };
    let (mut names, mut used, mut ignored) = (HashSet::new(), BTreeSet::new(), Vec::new());
    for &(key, value) in state {
        let (Value::Text(name), Value::Tensor(tensor)) = (key, value) else {
            ignored.push(key);
            continue;
        };
        if names.len() == MAX_TENSORS {
            return Err(format!("the state dict has more than {MAX_TENSORS} tensors").into());
        }
        if name.len() > MAX_NAME {
            return Err(format!("a tensor's name is longer than {MAX_NAME} bytes").into());
        }
        if !names.insert(name) {
            return Err(format!("two tensors are called {}", shown(name)).into());
        }
        let view = pickle.view(tensor);
        let tensor = stored(name, view, pickle, storages)
            .map_err(|reason| format!("tensor {}: {reason}", shown(name)))?;
        contents.tensors.push(tensor);
        used.insert(pickle.storages[view.storage].key);
    }
    if let Some(wrapper) = wrapper {
        let beside = root.iter().filter(|(key, _)| !matches!(key, Value::Text(k) if *k == wrapper));
        ignored.extend(beside.map(|&(key, _)| key));
        contents.notes.push(format!("the weights are those under {wrapper}"));
    }
    if !ignored.is_empty() {
        contents.notes.push(listed("entries ignored", ignored.into_iter().map(key_text)));
    }
    let check = |key: &&str| storages[*key].check(source, &format!("storage {}", shown(key)));
    match used.par_iter().find_map_first(|key| check(key).err()) {
        Some(fault) => Err(fault),
        None => Ok(contents),
    }
}

fn key_text(key: Value<'_>) -> String {
    match key {
        Value::Text(key) => shown(key),
        Value::Int(key) => key.to_string(),
        _ => "(a key that is not text)".to_owned(),
    }
}

/// The tensor that is `view`, after checking that it lies within its storage.
fn stored(
    name: &str,
    view: View,
    pickle: &Pickle<'_>,
    storages: &Storages,
) -> Result<StoredTensor, String> {
    let storage = pickle.storages[view.storage];
    let (key, size) = (shown(storage.key), storage.element.size);
    let region = storages.get(storage.key).ok_or_else(|| format!("storage {key} is missing"))?;
    let elements = usize::try_from(storage.len).ok();
    let elements = elements.filter(|len| len.checked_mul(size) == Some(region.bytes.len()));
    let elements = elements.ok_or_else(|| {
        let (len, bytes) = (storage.len, region.bytes.len());
        format!("storage {key} should have {len} elements of {size} bytes, it has {bytes} bytes")
    })?;

    let (shape, strides) = (numbers(pickle, view.shape)?, numbers(pickle, view.strides)?);
    let beyond = || format!("its shape or strides do not fit storage {key} of {elements} elements");
    if strides.len() != shape.len() {
        return Err(beyond());
    }
    let len = shape.iter().try_fold(1, |len: usize, &n| len.checked_mul(n)).ok_or_else(beyond)?;
    // Elements from the first to behind the last.
    let span = || {
        let steps = shape.iter().zip(&strides).map(|(n, stride)| (n - 1).checked_mul(*stride));
        steps.chain([Some(1)]).try_fold(0, |span: usize, step| span.checked_add(step?))
    };
    let span = if len == 0 { Some(0) } else { span() };
    let first = usize::try_from(view.offset).ok();
    let end = first.zip(span).and_then(|(first, span)| first.checked_add(span));
    // Fewer than `len` elements would be one number used many times: 4 bytes could mean terabytes.
    let end = end.filter(|&end| end <= elements && len <= elements).ok_or_else(beyond)?;
    let (start, span) = (region.bytes.start, span.unwrap_or_default());
    Ok(StoredTensor {
        name: name.to_owned(),
        dtype: Dtype::named(storage.element.name),
        bytes: start + (end - span) * size..start + end * size,
        strides: (len > 0 && !is_contiguous(&shape, &strides)).then_some(strides),
        shape,
    })
}

/// Dimensions or strides.
fn numbers(pickle: &Pickle<'_>, tuple: Tuple) -> Result<Vec<usize>, String> {
    let items = pickle.tuple(tuple);
    if items.len() > MAX_DIMENSIONS {
        return Err(format!("it has {} dimensions, more than {MAX_DIMENSIONS}", items.len()));
    }
    let number = |item: &Value<'_>| match *item {
        Value::Int(n) => usize::try_from(n).ok(),
        _ => None,
    };
    items
        .iter()
        .map(number)
        .collect::<Option<_>>()
        .ok_or_else(|| "its dimensions and strides are not all numbers from zero up".to_owned())
}

/// Whether elements lie in order without gaps; dimensions of one element have any stride.
fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut next = 1;
    shape.iter().zip(strides).rev().all(|(&n, &stride)| {
        let fits = n == 1 || stride == next;
        next *= n;
        fits
    })
}
