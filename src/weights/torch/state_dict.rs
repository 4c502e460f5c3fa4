//! The state dict in what a pickle made: which dictionary it is, and where its tensors lie.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::values::{Pickle, Tuple, Value, View};
use super::{Storages, shown};
use crate::runtime::team;
use crate::weights::error::listed;
use crate::weights::limits::{MAX_DIMENSIONS, MAX_NAME, MAX_TENSORS};
use crate::weights::source::Source;
use crate::weights::stored::{Contents, Dtype, Fault, StoredTensor};

/// Under which training scripts keep the state dict of the model, in order of precedence.
const WRAPPERS: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];

/// Dictionaries in one another that are looked through for a network.
const MAX_DEPTH: usize = 4;

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
    let Found { path, outer, entries: state } = find(pickle, root)?;

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
    if let Some(outer) = outer {
        let beside = root.iter().filter(|(key, _)| !matches!(key, Value::Text(k) if *k == outer));
        ignored.extend(beside.map(|&(key, _)| key));
        contents.notes.push(format!("the weights are those under {path}"));
    }
    if !ignored.is_empty() {
        contents.notes.push(listed("entries ignored", ignored.into_iter().map(key_text)));
    }
    let used: Vec<&str> = used.into_iter().collect();
    let check = |key: &str| storages[key].check(source, &format!("storage {}", shown(key)));
    let checked = team(|team| team.map(used.len(), |i, _| check(used[i])));
    checked.into_iter().collect::<Result<(), Fault>>()?;
    Ok(contents)
}

/// A dictionary of tensors in what a pickle made.
struct Found<'p, 'a> {
    /// The keys that lead to it, fit for an error.
    path: String,
    /// The first of them; none if it is at the top.
    outer: Option<&'a str>,
    entries: &'p [(Value<'a>, Value<'a>)],
}

/// The state dict: under the first of [`WRAPPERS`] that has tensors, else at the top, else the only
/// network that there is, however deep.
fn find<'p, 'a>(
    pickle: &'p Pickle<'a>,
    root: &'p [(Value<'a>, Value<'a>)],
) -> Result<Found<'p, 'a>, Fault> {
    let tensors_of = |value| {
        let entries = pickle.dict(value)?;
        entries.iter().any(|(_, value)| matches!(value, Value::Tensor(_))).then_some(entries)
    };
    for key in WRAPPERS {
        if let Some(entries) = pickle.get(pickle.root, key).and_then(tensors_of) {
            return Ok(Found { path: key.to_owned(), outer: Some(key), entries });
        }
    }
    if let Some(entries) = tensors_of(pickle.root) {
        return Ok(Found { path: String::new(), outer: None, entries });
    }
    let mut networks = networks(pickle);
    match networks.len() {
        1 => Ok(networks.remove(0)),
        0 => {
            let entries = listed("entries", root.iter().map(|&(key, _)| key_text(key)));
            let wrappers = WRAPPERS.join(", ");
            Err(format!("no state dict at the top or under {wrappers}; it has {entries}").into())
        }
        _ => {
            let under = listed("under", networks.iter().map(|found| &found.path));
            Err(format!("it holds several networks, {under}; save one of them alone").into())
        }
    }
}

/// The dictionaries inside others that have a network's tensors. Each is looked at once, so that those
/// that hold themselves do no harm.
fn networks<'p, 'a>(pickle: &'p Pickle<'a>) -> Vec<Found<'p, 'a>> {
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    let top = pickle.dict(pickle.root).unwrap_or_default();
    let mut next = vec![Found { path: String::new(), outer: None, entries: top }];
    for _ in 0..MAX_DEPTH {
        for Found { path, outer, entries } in std::mem::take(&mut next) {
            for &(key, value) in entries {
                let (Value::Text(key), Value::Dict(dict)) = (key, value) else { continue };
                if seen.len() == MAX_TENSORS || !seen.insert(dict) {
                    continue;
                }
                let dot = if path.is_empty() { "" } else { "." };
                let path = format!("{path}{dot}{}", shown(key));
                let entries = pickle.dict(value).unwrap_or_default();
                let inner = Found { path, outer: outer.or(Some(key)), entries };
                if is_network(entries) { found.push(inner) } else { next.push(inner) }
            }
        }
    }
    found
}

/// Whether the entries have the tensor that every network has.
fn is_network(entries: &[(Value<'_>, Value<'_>)]) -> bool {
    const FIRST: [&str; 2] = ["conv1.weight", "convolution.weight"];
    entries.iter().any(|entry| match entry {
        (Value::Text(key), Value::Tensor(_)) => FIRST.iter().any(|first| key.ends_with(first)),
        _ => false,
    })
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
