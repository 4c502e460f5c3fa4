//! What does this folder hold? Finds the kind of a data set by the names in its folder and opens its
//! training and validation images.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::image_folder::{ImageFolder, subfolders};
use super::memory::MemoryDataset;
use super::{CifarRecords, CifarSplit, Dataset, Error, Limits, Subset, idx};

/// Images of the demo set for training; those for validation follow them.
const DEMO_TRAIN: u64 = 4_000;
const DEMO_VAL: u64 = 1_000;
const DEMO_SEED: u64 = 1;

const LOOKED_FOR: &str = "data_batch_1.bin and test_batch.bin (CIFAR-10 binary, also in \
    cifar-10-batches-bin), train*.bin and test*.bin (such records under other names), \
    train-images-idx3-ubyte with or without .gz (MNIST), train/CLASS/image and \
    val/CLASS/image, CLASS/image";

/// The kind of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The built-in set, 32 x 32.
    Demo,
    /// CIFAR-10 binary records, 32 x 32.
    Cifar10,
    /// idx files, padded to 32 x 32, such as MNIST.
    Idx,
    /// A folder a class, images of any size.
    ClassFolders,
}

impl Kind {
    /// Whether the mirror image of an image is of the same class. It is not for digits.
    pub fn may_flip(self) -> bool {
        self != Self::Idx
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Demo => "demo set",
            Self::Cifar10 => "CIFAR-10 binary",
            Self::Idx => "idx",
            Self::ClassFolders => "class folders",
        })
    }
}

/// Where the images that a run is measured on come from. By a test set nothing may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValidationOrigin {
    /// Held out of the training images.
    HeldOut,
    /// The data's own images for validation.
    Val,
    /// The data's test set.
    Test,
}

/// A data set as it was found.
pub struct Splits {
    /// Images to train on.
    pub train: Box<dyn Dataset>,
    /// Images to validate on, of the same classes, if there are any.
    pub val: Option<Box<dyn Dataset>>,
    /// Where those come from, or would.
    pub origin: ValidationOrigin,
    /// What it is.
    pub kind: Kind,
    /// What the user should know, a sentence each: choices that were made where the data leaves
    /// them open.
    pub notes: Vec<String>,
}

/// Opens the data set in the folder `path`; without a path, the built-in demo set.
///
/// Small sets are read and checked entirely, folders of images are listed.
///
/// # Errors
/// [`Error`] if the folder holds no known kind of data, or something in it is wrong.
pub fn open(path: Option<&Path>) -> Result<Splits, Error> {
    let Some(path) = path else { return Ok(open_demo()) };
    let metadata = std::fs::metadata(path).map_err(|e| Error::io(path, e))?;
    if !metadata.is_dir() {
        return Err(Error::IsFile { path: path.to_path_buf() });
    }
    for folder in [path.to_path_buf(), path.join("cifar-10-batches-bin")] {
        let [train, test] = [CifarSplit::Train, CifarSplit::Test].map(|split| split.files(&folder));
        if train.iter().chain(&test).any(|file| file.is_file()) {
            let test = if test[0].is_file() { test } else { Vec::new() };
            return open_cifar(&folder, &train, &test);
        }
    }
    if let Some(images) = idx::find(path, "train-images", 3) {
        return open_idx(path, &images);
    }
    if has_subfolders(&path.join("train")) {
        return open_class_splits(path);
    }
    let [train, test] = ["train", "test"].map(|prefix| binaries(path, prefix));
    let (train, test) = (train?, test?);
    if !train.is_empty() {
        return open_cifar(path, &train, &test);
    }
    if has_subfolders(path) {
        return hold_out(ImageFolder::open(path, Limits::default())?, path);
    }
    Err(Error::UnknownData { path: path.to_path_buf(), looked_for: LOOKED_FOR.into() })
}

fn open_demo() -> Splits {
    let set = |range| Box::new(MemoryDataset::demo(DEMO_SEED, range));
    Splits {
        train: set(0..DEMO_TRAIN),
        val: Some(set(DEMO_TRAIN..DEMO_TRAIN + DEMO_VAL)),
        origin: ValidationOrigin::Val,
        kind: Kind::Demo,
        notes: Vec::new(),
    }
}

fn open_cifar(folder: &Path, train: &[PathBuf], test: &[PathBuf]) -> Result<Splits, Error> {
    let train = CifarRecords::open_files(train)?.into_dataset();
    let test = match test {
        [] => None,
        files => Some(CifarRecords::open_files(files)?.into_dataset()),
    };
    in_memory(folder, train, test, Kind::Cifar10)
}

fn open_idx(folder: &Path, images: &Path) -> Result<Splits, Error> {
    let labels = |stem: &str| {
        let plain = || folder.join(format!("{stem}-idx1-ubyte"));
        idx::find(folder, stem, 1).unwrap_or_else(plain)
    };
    let train = idx::open(images, &labels("train-labels"), None)?;
    let test = ["t10k", "test"].into_iter().find_map(|name| {
        let images = idx::find(folder, &format!("{name}-images"), 3)?;
        Some((images, labels(&format!("{name}-labels"))))
    });
    let test = test.map(|(images, labels)| idx::open(&images, &labels, Some(train.classes())));
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
        None => vec![format!("{}: no test files, nothing to validate on", folder.display())],
    };
    let val = test.map(|test| Box::new(test) as Box<dyn Dataset>);
    // Both kinds come with a test set and nothing else.
    Ok(Splits { train: Box::new(train), val, origin: ValidationOrigin::Test, kind, notes })
}

/// `train/CLASS/image` and the same in a folder for validation.
fn open_class_splits(folder: &Path) -> Result<Splits, Error> {
    let train = ImageFolder::open(&folder.join("train"), Limits::default())?;
    use ValidationOrigin::{Test, Val};
    let names = [("val", Val), ("validation", Val), ("test", Test)];
    let folders = names.into_iter().map(|(name, origin)| (folder.join(name), origin));
    let Some((path, origin)) = folders.into_iter().find(|(path, _)| has_subfolders(path)) else {
        return hold_out(train, folder);
    };
    let val = ImageFolder::open(&path, Limits::default())?;
    if let Some(difference) = difference(train.class_names(), val.class_names()) {
        return Err(Error::ClassesDiffer { path, difference });
    }
    Ok(Splits {
        train: Box::new(train),
        val: Some(Box::new(val)),
        origin,
        kind: Kind::ClassFolders,
        notes: Vec::new(),
    })
}

/// Splits class folders that come without images for validation.
fn hold_out(data: ImageFolder, folder: &Path) -> Result<Splits, Error> {
    let (train, val) = data.hold_out_a_tenth();
    let note = format!(
        "{}: no folder for validation; {} of {} images are held out, a tenth of each class, \
         chosen by a hash of their names",
        folder.display(),
        val.len(),
        data.len()
    );
    let data: Arc<dyn Dataset> = Arc::new(data);
    Ok(Splits {
        train: Box::new(Subset::new(data.clone(), train)),
        val: Some(Box::new(Subset::new(data, val))),
        origin: ValidationOrigin::HeldOut,
        kind: Kind::ClassFolders,
        notes: vec![note],
    })
}

/// What `found` has less and more than `expected`.
fn difference(expected: Option<&[String]>, found: Option<&[String]>) -> Option<String> {
    let (expected, found) = (expected.unwrap_or_default(), found.unwrap_or_default());
    let without = |a: &[String], b: &[String]| {
        let names = a.iter().filter(|name| !b.contains(name)).map(String::as_str);
        names.collect::<Vec<_>>().join(", ")
    };
    let parts = [("no", without(expected, found)), ("also", without(found, expected))];
    let parts = parts.iter().filter(|(_, names)| !names.is_empty());
    let parts: Vec<String> = parts.map(|(word, names)| format!("{word} {names}")).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn has_subfolders(folder: &Path) -> bool {
    subfolders(folder).is_ok_and(|folders| !folders.is_empty())
}

/// The `.bin` files of `folder` whose names begin with `prefix`, sorted.
fn binaries(folder: &Path, prefix: &str) -> Result<Vec<PathBuf>, Error> {
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
