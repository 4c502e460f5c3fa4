//! What does this folder hold? Finds the kind of a data set by the names in its folder and opens its
//! training and validation images.

use std::path::{Path, PathBuf};

use super::image_folder::ImageFolder;
use super::memory::MemoryDataset;
use super::parts::{Parts, Wanted, hold_out, whole};
use super::paths::Search;
use super::shards::ShardSet;
use super::splits::{Kind, Splits, ValidationOrigin};
use super::{CifarRecords, CifarSplit, idx, kinds, shards};
use crate::data::decode::{Limits, regular};
use crate::data::{Dataset, Error};
use crate::runtime::{Cache, Unwatched, Watch};

/// Images of the demo set for training; those for validation follow them.
const DEMO_TRAIN: u64 = 4_000;
const DEMO_VAL: u64 = 1_000;
const DEMO_SEED: u64 = 1;

const LOOKED_FOR: &str = "a folder of images for each class (CLASS/..., or train/CLASS/... and \
    val/CLASS/...), shards (*.tar with images and labels as WebDataset has them), CIFAR-10 binary files (data_batch_1.bin and test_batch.bin, also in \
    cifar-10-batches-bin, or train*.bin and test*.bin), idx files (train-images-idx3-ubyte with or \
    without .gz, as MNIST has, also in MNIST/raw)";

/// Opens the data set in the folder `path`; without a path, the built-in demo set.
///
/// Small sets are read and checked entirely, folders of images are listed.
///
/// # Errors
/// [`Error`] if the folder holds no known kind of data, or something in it is wrong.
pub fn open(path: Option<&Path>) -> Result<Splits, Error> {
    open_with(path, Limits::default(), &Unwatched)
}

/// As [`open`], for images up to `limits`. `watch` is told how far it is, and may stop it.
///
/// # Errors
/// As for [`open`], and [`Error::Interrupted`] if it was stopped.
pub fn open_with(path: Option<&Path>, limits: Limits, watch: &dyn Watch) -> Result<Splits, Error> {
    open_cached(path, limits, &Cache::of_user(), watch)
}

/// As [`open_with`], where what has to be made of a data set and cannot be kept beside it is kept in
/// `cache`: the indexes of other people's shards.
///
/// # Errors
/// As for [`open_with`].
pub fn open_cached(
    path: Option<&Path>,
    limits: Limits,
    cache: &Cache,
    watch: &dyn Watch,
) -> Result<Splits, Error> {
    open_as(path, Wanted::default(), limits, cache, watch)
}

/// As [`open_cached`], for who wants something else of class folders.
///
/// # Errors
/// As for [`open_cached`]. Of the test images that are wanted, a class that there are no training images of is an
/// error; one that is missing is none.
pub fn open_as(
    path: Option<&Path>,
    wanted: Wanted,
    limits: Limits,
    cache: &Cache,
    watch: &dyn Watch,
) -> Result<Splits, Error> {
    let Some(path) = path else { return Ok(open_demo()) };
    match open_files(path, watch)? {
        Some(Files::Splits(splits)) => return Ok(splits),
        Some(Files::Shards(set)) => return shards::open_splits(&set, path, limits, cache, watch),
        None => {}
    }
    let mut search = Search::new(watch);
    let parts = Parts::find(path, &mut search)?;
    let [train, test] = ["train", "test"].map(|prefix| binaries(path, prefix));
    let (train, test) = (train?, test?);
    let mut splits = if let Some(parts) = parts {
        parts.open(path, wanted, limits, &mut search)?
    } else if !train.is_empty() {
        return open_cifar(path, &train, &test, watch);
    } else if !search.quietly(|search| search.subfolders(path))?.is_empty() {
        let data = ImageFolder::search(path, limits, &mut search)?;
        if wanted.whole { whole(data, Vec::new()) } else { hold_out(data, path, Vec::new()) }
    } else {
        return Err(unknown(path, &mut search)?);
    };
    splits.notes.extend(search.passed.notes());
    Ok(splits)
}

/// A data set of files that hold many images each.
pub(super) enum Files {
    /// It is opened.
    Splits(Splits),
    /// Its parts can be opened.
    Shards(ShardSet),
}

/// The data set of `path` if it is one of files that hold many images each; `None` if it is not, or there is
/// none.
pub(super) fn open_files(path: &Path, watch: &dyn Watch) -> Result<Option<Files>, Error> {
    let metadata = std::fs::metadata(path).map_err(|e| Error::io(path, e))?;
    if !metadata.is_dir() {
        regular::check(path, &metadata)?;
        if let Some(set) = ShardSet::find(path, watch)? {
            return Ok(Some(Files::Shards(set)));
        }
        return Err(Error::IsFile { path: path.to_path_buf(), found: kinds::describe(path) });
    }
    for folder in [path.to_path_buf(), path.join("cifar-10-batches-bin")] {
        let [train, test] = [CifarSplit::Train, CifarSplit::Test].map(|split| split.files(&folder));
        if train.iter().chain(&test).any(|file| file.is_file()) {
            let test = if test[0].is_file() { test } else { Vec::new() };
            let splits = open_cifar(&folder, &train, &test, watch)?;
            return Ok(Some(Files::Splits(splits)));
        }
    }
    kinds::refuse_other_cifar(path)?;
    match idx::locate(path)? {
        Some((folder, images)) => {
            open_idx(&folder, &images, watch).map(|splits| Some(Files::Splits(splits)))
        }
        None => Ok(ShardSet::find(path, watch)?.map(Files::Shards)),
    }
}

/// The error for a folder without data, with what is there instead.
fn unknown(path: &Path, search: &mut Search<'_>) -> Result<Error, Error> {
    let archives = kinds::archives(path, search)?;
    let found = match &archives[..] {
        [] => {
            search.folder(path)?;
            match search.found.iter().filter(|image| image.is_ok()).count() {
                0 => "none".to_owned(),
                count => {
                    let images = if count == 1 { "image" } else { "images" };
                    format!(
                        "{count} {images} without a folder for each class; put those of each class \
                         into a folder of its own"
                    )
                }
            }
        }
        [archive, ..] => format!("{}, {}", archive.display(), kinds::describe(archive)),
    };
    Ok(Error::UnknownData { path: path.to_path_buf(), found, looked_for: LOOKED_FOR })
}

fn open_demo() -> Splits {
    let set = |range| Box::new(MemoryDataset::demo(DEMO_SEED, range));
    Splits {
        train: set(0..DEMO_TRAIN),
        val: Some(set(DEMO_TRAIN..DEMO_TRAIN + DEMO_VAL)),
        test: None,
        origin: ValidationOrigin::Val,
        kind: Kind::Demo,
        notes: Vec::new(),
    }
}

fn open_cifar(
    folder: &Path,
    train: &[PathBuf],
    test: &[PathBuf],
    watch: &dyn Watch,
) -> Result<Splits, Error> {
    let read = |files: &[PathBuf]| -> Result<MemoryDataset, Error> {
        Ok(CifarRecords::open_watched(files, watch)?.into_dataset())
    };
    let train = read(train)?;
    let test = if test.is_empty() { None } else { Some(read(test)?) };
    in_memory(folder, train, test, Kind::Cifar10)
}

fn open_idx(folder: &Path, images: &Path, watch: &dyn Watch) -> Result<Splits, Error> {
    let labels = |stem: &str| {
        let plain = || folder.join(format!("{stem}-idx1-ubyte"));
        idx::find(folder, stem, 1).unwrap_or_else(plain)
    };
    let train = idx::open(images, &labels("train-labels"), None, watch)?;
    let test = ["t10k", "test"].into_iter().find_map(|name| {
        let images = idx::find(folder, &format!("{name}-images"), 3)?;
        Some((images, labels(&format!("{name}-labels"))))
    });
    let classes = Some(train.classes());
    let test = test.map(|(images, labels)| idx::open(&images, &labels, classes, watch));
    in_memory(folder, train, test.transpose()?, Kind::Idx)
}

fn in_memory(
    folder: &Path,
    train: MemoryDataset,
    test: Option<MemoryDataset>,
    kind: Kind,
) -> Result<Splits, Error> {
    let first = train.label(0);
    if train.labels().iter().all(|&label| usize::from(label) == first) {
        let class = train.class_names().map_or_else(|| first.to_string(), |n| n[first].clone());
        return Err(Error::SingleClass { path: folder.to_path_buf(), class });
    }
    let notes = match test {
        Some(_) => Vec::new(),
        None => {
            vec![format!("{}: no test files, so there is nothing to validate on", folder.display())]
        }
    };
    let val = test.map(|test| Box::new(test) as Box<dyn Dataset>);
    // Both kinds come with a test set and nothing else.
    let origin = ValidationOrigin::Test;
    Ok(Splits { train: Box::new(train), val, test: None, origin, kind, notes })
}

/// The `.bin` files of `folder` whose names begin with `prefix`, sorted.
pub(super) fn binaries(folder: &Path, prefix: &str) -> Result<Vec<PathBuf>, Error> {
    let entries = std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| Error::io(folder, e))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(prefix) && name.ends_with(".bin") && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
