//! The tensors of a file under our names: what is common to all names goes, and what belongs to a run's
//! state of training or was named to be left out is set aside.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::error::listed;
use super::names::{Canonical, PIXEL_MEAN, canonical, is_root, is_training_state};
use super::stored::StoredTensor;

/// What every network has, as torchvision and Hugging Face call it.
const ANCHORS: [&str; 2] =
    ["layer1.0.conv1.weight", "encoder.stages.0.layers.0.layer.0.convolution.weight"];
/// A moving average of the weights; state of training where the weights are there, too.
const AVERAGE: &str = "ema.";

/// The tensors of a file under our names.
#[derive(Default)]
pub(super) struct Sorted<'a> {
    pub(super) tensors: BTreeMap<String, &'a StoredTensor>,
    /// Tensors that mean the same as another one, with that one's name.
    pub(super) repeated: Vec<(&'a StoredTensor, String)>,
    pub(super) pixel_mean: Option<&'a StoredTensor>,
    /// How many belong to a checkpoint's state of training.
    pub(super) training_state: usize,
    /// Tensors that are left out as asked.
    pub(super) extra: Vec<&'a StoredTensor>,
    pub(super) notes: Vec<String>,
}

/// Sorts the tensors of a file; those whose names match a pattern of `extras` may be left out.
///
/// # Errors
/// There are several networks: a reason for the user.
pub(super) fn sort<'a>(
    stored: &'a [StoredTensor],
    extras: &[String],
) -> Result<Sorted<'a>, String> {
    let mut sorted = Sorted::default();
    let tensors: Vec<&StoredTensor> = stored.iter().filter(|t| t.name != PIXEL_MEAN).collect();
    sorted.pixel_mean = stored.iter().find(|t| t.name == PIXEL_MEAN);
    let (extra, needed) = set_aside(tensors, extras);
    let (state, needed) = training_state(needed);
    sorted.training_state = state;
    let prefix = prefix(&needed)?;
    if !prefix.is_empty() {
        sorted.notes.push(format!("the prefix {prefix} of the tensors' names is ignored"));
    }
    for tensor in needed {
        let name = tensor.name.strip_prefix(&*prefix).unwrap_or(&tensor.name);
        match canonical(name) {
            Canonical::Tensor(name) => match sorted.tensors.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(tensor);
                }
                Entry::Occupied(place) => {
                    sorted.repeated.push((tensor, place.get().name.clone()));
                }
            },
            Canonical::BatchCount | Canonical::PixelMean => {}
            Canonical::TrainingState => sorted.training_state += 1,
        }
    }
    sorted.extra = extra;
    Ok(sorted)
}

/// Those that match a pattern, and the others. Where no network would be left (`*`), all are needed, and
/// patterns say only what it may do without.
fn set_aside<'a>(
    tensors: Vec<&'a StoredTensor>,
    patterns: &[String],
) -> (Vec<&'a StoredTensor>, Vec<&'a StoredTensor>) {
    let (extra, needed): (Vec<_>, Vec<_>) =
        tensors.iter().partition(|tensor| is_extra(patterns, &tensor.name));
    if has_network(&extra) && !has_network(&needed) {
        (Vec::new(), tensors)
    } else {
        (extra, needed)
    }
}

/// Whether a tensor of this name may be left out.
pub(super) fn is_extra(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| is_match(pattern, name))
}

/// How many tensors are a run's state of training, and the others. A moving average without the weights
/// stands for them.
fn training_state(tensors: Vec<&StoredTensor>) -> (usize, Vec<&StoredTensor>) {
    let (state, others): (Vec<_>, Vec<_>) =
        tensors.into_iter().partition(|tensor| is_training_state(&tensor.name));
    if has_network(&others) {
        return (state.len(), others);
    }
    let (average, state): (Vec<_>, Vec<_>) =
        state.into_iter().partition(|tensor| tensor.name.starts_with(AVERAGE));
    (state.len(), others.into_iter().chain(average).collect())
}

fn has_network(tensors: &[&StoredTensor]) -> bool {
    tensors.iter().any(|tensor| ANCHORS.iter().any(|anchor| tensor.name.ends_with(anchor)))
}

/// What stands before all names, or before those of the only network.
fn prefix(tensors: &[&StoredTensor]) -> Result<String, String> {
    let common = common(tensors);
    let inner = |tensor: &StoredTensor| tensor.name[common.len()..].to_owned();
    let mut found = BTreeSet::new();
    for tensor in tensors {
        let name = inner(tensor);
        if let Some(before) = ANCHORS.iter().find_map(|anchor| name.strip_suffix(anchor)) {
            // Wrappers' prefixes are known without this one.
            let is_known = canonical(&name) == Canonical::Tensor(ANCHORS[0].to_owned());
            found.insert(if is_known { String::new() } else { before.to_owned() });
        }
    }
    let several: Vec<&String> = found.iter().collect();
    match several[..] {
        // The plain names are the network's; what else there is will be reported.
        [] => Ok(common.to_owned()),
        [first, ..] if first.is_empty() => Ok(common.to_owned()),
        [one] => Ok(format!("{common}{one}")),
        _ => {
            let under = several.iter().map(|before| format!("{common}{before}"));
            Err(format!(
                "it holds several networks, {}; ignore all but one, e.g. --ignore-extra '{common}{}*'",
                listed("under", under.collect::<Vec<_>>().into_iter()),
                several[0]
            ))
        }
    }
}

/// The longest prefix of whole words that all names have, up to where a network's own names begin.
fn common<'a>(tensors: &[&'a StoredTensor]) -> &'a str {
    let Some(first) = tensors.first().map(|tensor| tensor.name.as_str()) else { return "" };
    let mut len = 0;
    while let Some((word, _)) = first[len..].split_once('.') {
        let longer = len + word.len() + 1;
        let all = tensors.iter().all(|tensor| tensor.name.starts_with(&first[..longer]));
        if !all || is_root(word) {
            break;
        }
        len = longer;
    }
    &first[..len]
}

/// Whether `name` is like `pattern`, in which `*` stands for any text.
fn is_match(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(start) else { return false };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        let Some(at) = name.find(part) else { return false };
        name = &name[at + part.len()..];
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::stored::Dtype;

    fn stored(names: &[&str]) -> Vec<StoredTensor> {
        let tensor = |name: &&str| StoredTensor {
            name: (*name).to_owned(),
            dtype: Dtype::named("F32"),
            shape: Vec::new(),
            bytes: 0..4,
            strides: None,
        };
        names.iter().map(tensor).collect()
    }

    fn sorted(names: &[&str], extras: &[&str]) -> Result<(Vec<String>, Vec<String>), String> {
        let extras: Vec<String> = extras.iter().map(|&pattern| pattern.to_owned()).collect();
        let stored = stored(names);
        let sorted = sort(&stored, &extras)?;
        let extra = sorted.extra.iter().map(|tensor| tensor.name.clone()).collect();
        Ok((sorted.tensors.into_keys().collect(), extra))
    }

    #[test]
    fn prefixes_of_all_names_are_removed() {
        let ours = ["conv1.weight", "fc.bias", "layer1.0.conv1.weight"];
        for prefix in [
            "",
            "module.",
            "ema.",
            "student.",
            "a.b.c.",
            "ema.module.",
            "model.net.x.",
            "optimizer_.",
        ] {
            let names = ours.map(|name| format!("{prefix}{name}"));
            let (found, _) = sorted(&names.each_ref().map(String::as_str), &[]).unwrap();
            assert_eq!(found, ours, "{prefix}");
        }
        // Of the only network, beside something else.
        let (found, _) =
            sorted(&["s.layer1.0.conv1.weight", "s.conv1.weight", "loss.weight"], &[]).unwrap();
        assert_eq!(found, ["conv1.weight", "layer1.0.conv1.weight", "loss.weight"]);
        let (found, _) =
            sorted(&["ema.layer1.0.conv1.weight", "optimizer.x", "loss.w"], &[]).unwrap();
        assert_eq!(found, ["layer1.0.conv1.weight", "loss.w"]);
    }

    #[test]
    fn several_networks_are_told_apart_by_what_is_left_out() {
        let names = ["s.layer1.0.conv1.weight", "t.layer1.0.conv1.weight", "t.fc.bias", "x"];
        let error = sorted(&names, &[]).unwrap_err();
        assert!(error.contains("under (2): s., t.") && error.contains("'s.*'"), "{error}");
        let (found, extra) = sorted(&names, &["s.*"]).unwrap();
        assert_eq!((found.len(), extra.len()), (3, 1));
        assert!(found.contains(&"fc.bias".to_owned()), "{found:?}");
    }

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.bc", false),
            ("a.*", "a.b.c", true),
            ("a.*", "ba.b", false),
            ("*.weight", "a.weight", true),
            ("*", "anything", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c", false),
            ("a*a", "a", false),
            ("**", "", true),
        ] {
            assert_eq!(is_match(pattern, name), expected, "{pattern} {name}");
        }
    }
}
