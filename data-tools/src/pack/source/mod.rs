//! Where the images come from: what the library opens (class folders, shards, CIFAR-10, idx files), and
//! ImageNet's own tars. A source is a set of images for each part, all with the same classes.

mod devkit;
mod imagenet;
mod matlab;
mod tar_images;
mod truth;

use std::path::Path;
use std::sync::Arc;

use resnet_cpu::data::shards::ShardSet;
use resnet_cpu::data::{Dataset, Kind, Splits, Subset, ValidationOrigin, Wanted, open_as};
use resnet_cpu::runtime::Watch;

use crate::error::ToolError;
use crate::machine::Machine;

/// The parts of a set, in the order in which they are packed.
const PARTS: [&str; 3] = ["train", "val", "test"];

/// A data set to be packed.
pub(super) struct Source {
    /// What it is.
    pub(super) kind: String,
    /// Its parts (`train`, `val`, `test`), of which `train` is the first.
    pub(super) parts: Vec<(&'static str, Arc<dyn Dataset>)>,
    /// Names of the classes, in the order of labels.
    pub(super) classes: Vec<String>,
    /// What the user should know, one sentence each.
    pub(super) notes: Vec<String>,
    /// Whether its images are pixels, not files.
    pub(super) of_pixels: bool,
    /// Whether it is class folders that nobody has split.
    pub(super) unsplit: bool,
}

/// What to hold out of the training images for validation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HoldOut {
    /// What `train` would hold out: of class folders without validation images a tenth of each class, of
    /// other sets nothing.
    Usual,
    /// This many images; the set's own validation images, if there are any, are an error.
    Images(usize),
}

/// Opens the data set at `path`. `labels` are those of ImageNet's validation images, if they are not at one of
/// the usual places.
pub(super) fn open(
    path: &Path,
    labels: Option<&Path>,
    hold_out: HoldOut,
    machine: &Machine,
    watch: &dyn Watch,
) -> Result<Source, ToolError> {
    let source = match imagenet::open(path, labels, machine, watch)? {
        Some(source) => source,
        None if labels.is_some() => {
            return Err(ToolError::usage(format!(
                "--val-labels: expected ImageNet's tars ({}) in {}, found another data set, which has labels",
                imagenet::TRAIN,
                path.display()
            )));
        }
        None => by_library(path, hold_out, machine, watch)?,
    };
    held_out(source, path, hold_out)
}

/// What the library opens.
fn by_library(
    path: &Path,
    hold_out: HoldOut,
    machine: &Machine,
    watch: &dyn Watch,
) -> Result<Source, ToolError> {
    let wanted = Wanted { whole: hold_out != HoldOut::Usual, test: true };
    let Splits { train, val, test, origin, kind, notes } =
        open_as(Some(path), wanted, machine.limits, &machine.cache, watch)?;
    if kind == Kind::Shards {
        return shards(path, machine, watch);
    }
    let classes = names(&*train);
    let name = if origin == ValidationOrigin::Test { "test" } else { "val" };
    let unsplit = kind == Kind::ClassFolders && origin == ValidationOrigin::HeldOut;
    let mut parts: Vec<(&'static str, Arc<dyn Dataset>)> = vec![("train", Arc::from(train))];
    parts.extend(val.map(|val| (name, Arc::from(val))));
    parts.extend(test.map(|test| ("test", Arc::from(test))));
    let of_pixels = matches!(kind, Kind::Cifar10 | Kind::Idx | Kind::Demo);
    Ok(Source { kind: kind.to_string(), parts, classes, notes, of_pixels, unsplit })
}

/// All parts of a set of shards.
fn shards(path: &Path, machine: &Machine, watch: &dyn Watch) -> Result<Source, ToolError> {
    let missing = || ToolError::failed(format!("{}: expected shards, found none", path.display()));
    let set = ShardSet::find(path, watch)?.ok_or_else(missing)?;
    let mut source = Source {
        kind: Kind::Shards.to_string(),
        parts: Vec::new(),
        classes: Vec::new(),
        notes: set.notes().to_vec(),
        of_pixels: false,
        unsplit: false,
    };
    for name in PARTS {
        if set.parts().any(|(part, tars)| part == name && !tars.is_empty()) {
            let part = set.open(name, machine.limits, &machine.cache, watch)?;
            let classes = names(&part);
            // Without names, a part has as many classes as its largest label says.
            if classes.len() > source.classes.len() {
                source.classes = classes;
            }
            source.parts.push((name, Arc::new(part)));
        }
    }
    Ok(source)
}

/// The source with images held out for validation, if that is asked for.
fn held_out(mut source: Source, path: &Path, hold_out: HoldOut) -> Result<Source, ToolError> {
    let HoldOut::Images(images) = hold_out else { return Ok(source) };
    if images == 0 {
        return Ok(source);
    }
    let position = source.parts.iter().position(|(name, _)| *name == "train");
    let has_val = source.parts.iter().any(|(name, _)| *name == "val");
    let (Some(position), false) = (position, has_val) else {
        let found = if has_val { "it has validation images" } else { "no images for training" };
        return Err(ToolError::usage(format!("--val-split: {}: {found}", path.display())));
    };
    let train = Arc::clone(&source.parts[position].1);
    let hold_out = match source.unsplit {
        true => Subset::hold_out_of_each_class,
        false => Subset::hold_out,
    };
    let (train, val) = hold_out(train, images)
        .map_err(|error| ToolError::usage(format!("--val-split: {error}")))?;
    source.parts[position].1 = Arc::new(train);
    source.parts.insert(position + 1, ("val", Arc::new(val)));
    Ok(source)
}

/// The names of a set's classes; numbers if it has none.
fn names(data: &dyn Dataset) -> Vec<String> {
    let numbers = || (0..data.classes()).map(|class| class.to_string()).collect();
    data.class_names().map_or_else(numbers, <[String]>::to_vec)
}
