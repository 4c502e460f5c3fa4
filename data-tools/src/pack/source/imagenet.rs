//! ImageNet (ILSVRC 2012) as it is handed out: a tar of tars for training, one tar a class, named by its
//! WordNet id; a flat tar of validation images; and their labels, in the devkit or in a list.

use std::path::Path;
use std::sync::Arc;

use resnet_cpu::data::{Dataset, Error};
use resnet_cpu::runtime::Watch;

use super::Source;
use super::tar_images::{Entry, TarImages, list};
use super::truth::{Truth, is_wnid};
use crate::error::ToolError;
use crate::machine::Machine;

/// The names of its tars.
pub(super) const TRAIN: &str = "ILSVRC2012_img_train.tar";
const VAL: &str = "ILSVRC2012_img_val.tar";

/// Opens the tars in the folder `path`; none if it is no folder with them.
pub(super) fn open(
    path: &Path,
    labels: Option<&Path>,
    machine: &Machine,
    watch: &dyn Watch,
) -> Result<Option<Source>, ToolError> {
    let (train, val) = (path.join(TRAIN), path.join(VAL));
    if path.is_file() && path.file_name().is_some_and(|name| name == TRAIN || name == VAL) {
        let path = path.display();
        return Err(ToolError::usage(format!("{path}: give the folder that it is in")));
    }
    if !train.is_file() && !val.is_file() {
        return Ok(None);
    }
    if !train.is_file() {
        return Err(ToolError::failed(format!(
            "{}: expected it beside {VAL}, found nothing: the classes are those of its tars",
            train.display()
        )));
    }
    let images = training(&train, machine, watch)?;
    let classes = images.classes.clone();
    let mut notes = Vec::new();
    let mut parts: Vec<(&'static str, Arc<dyn Dataset>)> = vec![("train", Arc::new(images))];
    if val.is_file() {
        let truth = Truth::find(path, labels)?;
        notes.push(format!("labels of the validation images: {}", truth.path().display()));
        let images = validation(&val, &truth, &classes, machine, watch)?;
        parts.push(("val", Arc::new(images)));
    } else if labels.is_some() {
        let reason = format!("--val-labels: expected {}, found nothing", val.display());
        return Err(ToolError::usage(reason));
    } else {
        notes.push(format!("{}: no such file, so there are no validation images", val.display()));
    }
    let kind = "ImageNet's tars".to_owned();
    Ok(Some(Source { kind, parts, classes, notes, of_pixels: false, unsplit: false }))
}

/// The images of a tar of tars.
fn training(path: &Path, machine: &Machine, watch: &dyn Watch) -> Result<TarImages, Error> {
    let bytes = length(path)?;
    let wrong = |detail: String| Error::Tar { path: path.to_path_buf(), detail };
    let mut tars = Vec::new();
    for tar in list(path, [0, bytes], 0, watch)? {
        let base = tar.name.rsplit('/').next().unwrap_or_default();
        let Some(wnid) = base.strip_suffix(".tar").filter(|name| is_wnid(name)) else {
            return Err(wrong(format!(
                "expected a tar for each class, named by its WordNet id (n01440764.tar), found {}",
                tar.name
            )));
        };
        tars.push((wnid.to_owned(), tar));
    }
    // The order of the labels.
    tars.sort_by(|(a, _), (b, _)| a.cmp(b));
    if let Some(pair) = tars.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(wrong(format!("expected one tar a class, found two of {}", pair[0].0)));
    }
    if let [] | [_] = &tars[..] {
        return Err(wrong(format!("expected two classes or more, found {}", tars.len())));
    }
    let (mut entries, mut labels, mut classes) = (Vec::new(), Vec::new(), Vec::new());
    for (label, (wnid, Entry { offset, length, .. })) in tars.into_iter().enumerate() {
        let images = list(path, [offset, offset + length], entries.len() as u64, watch)
            .map_err(|error| within(error, &wnid))?;
        if images.is_empty() {
            return Err(wrong(format!("{wnid}.tar: expected images, found none")));
        }
        labels.extend(images.iter().map(|_| label as u32));
        entries.extend(images);
        classes.push(wnid);
    }
    let (path, limits) = (path.to_path_buf(), machine.limits);
    Ok(TarImages { path, bytes, entries, labels, classes, limits })
}

/// The images of a flat tar, sorted by name, which is the order of the labels.
fn validation(
    path: &Path,
    truth: &Truth,
    classes: &[String],
    machine: &Machine,
    watch: &dyn Watch,
) -> Result<TarImages, ToolError> {
    let bytes = length(path)?;
    let mut entries = list(path, [0, bytes], 0, watch)?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let names: Vec<&str> =
        entries.iter().map(|entry| entry.name.rsplit('/').next().unwrap_or_default()).collect();
    let labels = truth.labels(&names, classes)?;
    let (path, classes, limits) = (path.to_path_buf(), classes.to_vec(), machine.limits);
    Ok(TarImages { path, bytes, entries, labels, classes, limits })
}

fn length(path: &Path) -> Result<u64, Error> {
    let metadata = std::fs::metadata(path);
    Ok(metadata.map_err(|source| Error::Io { path: path.to_path_buf(), source })?.len())
}

/// The error with the name of the inner tar in it.
fn within(error: Error, wnid: &str) -> Error {
    match error {
        Error::Tar { path, detail } => Error::Tar { path, detail: format!("{wnid}.tar: {detail}") },
        error => error,
    }
}
