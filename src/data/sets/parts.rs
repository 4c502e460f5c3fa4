//! Data sets of class folders: which folder is trained on and which validated on, or what is held out
//! where nobody has split them.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::image_folder::ImageFolder;
use super::names::{Part, name_of, part};
use super::paths::Search;
use super::splits::{Kind, Splits, ValidationOrigin};
use crate::data::decode::Limits;
use crate::data::{Dataset, Error, Subset};

/// What is wanted of class folders, if not what training takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Those that nobody has split whole, all of them to train on: for who holds images out himself.
    pub whole: bool,
    /// Of those with images for validation and for a test, the latter, too: [`Splits::test`].
    pub test: bool,
}

/// Folders of the parts of a data set.
pub(super) struct Parts {
    train: PathBuf,
    /// Validation images, or where there are none the test set.
    val: Option<(PathBuf, ValidationOrigin)>,
    /// The test set beside validation images.
    test: Option<PathBuf>,
    /// What is beside them.
    others: Vec<PathBuf>,
}

/// The subfolders of a folder, sorted into parts of a data set and others.
pub(super) struct Sorted {
    /// Those of training, validation and test that hold folders, by [`Part`].
    pub(super) parts: [Option<PathBuf>; 3],
    /// Those that are called like a part, but hold images alone.
    flat: Vec<(Part, PathBuf)>,
    /// The rest.
    others: Vec<PathBuf>,
}

impl Sorted {
    /// Sorts the subfolders of `folder`.
    ///
    /// # Errors
    /// [`Error::Ambiguous`] if several could be the same part.
    pub(super) fn find(folder: &Path, search: &mut Search<'_>) -> Result<Self, Error> {
        let (mut parts, mut flat, mut others) = ([vec![], vec![], vec![]], vec![], vec![]);
        // Not counted: what is looked at here is looked at again.
        for path in search.quietly(|search| search.subfolders(folder))? {
            match part(&path) {
                None => others.push(path),
                Some(part) if !search.quietly(|s| s.subfolders(&path))?.is_empty() => {
                    parts[part as usize].push(path);
                }
                Some(part) => flat.push((part, path)),
            }
        }
        if let Some(paths) = parts.iter().find(|paths| paths.len() > 1) {
            let advice = "name one of them differently, or move it elsewhere";
            let found = format!("{}; {advice}", names(paths, " and "));
            return Err(Error::Ambiguous { path: folder.to_path_buf(), found });
        }
        Ok(Self { parts: parts.map(|mut paths| paths.pop()), flat, others })
    }

    /// The names of what is no part; at most five.
    pub(super) fn rest(&self) -> Option<String> {
        let flat = self.flat.iter().map(|(_, path)| path);
        let rest: Vec<PathBuf> = self.others.iter().chain(flat).cloned().collect();
        (!rest.is_empty()).then(|| names(&rest, ", "))
    }

    /// Whether there are no folders at all.
    pub(super) fn is_empty(&self) -> bool {
        self.rest().is_none() && self.parts.iter().all(Option::is_none)
    }
}

impl Parts {
    /// The parts in `folder`, if it has a folder of training images. One that holds folders is a part;
    /// one of images alone may be a class that happens to be called so.
    ///
    /// # Errors
    /// Several folders could be the same part, or it cannot be told whether they are parts or classes.
    pub(super) fn find(folder: &Path, search: &mut Search<'_>) -> Result<Option<Self>, Error> {
        let Sorted { parts: [train, val, test], flat, others } = Sorted::find(folder, search)?;
        let ambiguous = |found: String| Error::Ambiguous { path: folder.to_path_buf(), found };
        let flat_train = flat.iter().find(|(part, _)| *part == Part::Train);
        let flat_others = flat.iter().any(|(part, _)| *part != Part::Train);
        match (train, flat_train) {
            (Some(train), _) => {
                if val.is_none() && test.is_none() && flat.is_empty() && !others.is_empty() {
                    return Err(ambiguous(format!(
                        "{} looks like a folder of training images, but beside it are {}; give {} as \
                         the data, or move it elsewhere",
                        name_of(&train),
                        names(&others, ", "),
                        train.display()
                    )));
                }
                let flat = flat.into_iter().map(|(_, path)| path);
                let others = others.into_iter().chain(flat).collect();
                let (val, test) = match (val, test) {
                    (Some(val), test) => (Some((val, ValidationOrigin::Val)), test),
                    (None, Some(test)) => (Some((test, ValidationOrigin::Test)), None),
                    (None, None) => (None, None),
                };
                Ok(Some(Self { train, val, test, others }))
            }
            // Images for training without classes, and others to test on.
            (None, Some((_, train))) if flat_others || val.is_some() || test.is_some() => {
                Err(Error::NoClasses { path: train.clone() })
            }
            (None, _) if val.is_some() || test.is_some() => {
                let found: Vec<PathBuf> = val.into_iter().chain(test).collect();
                Err(ambiguous(format!(
                    "{} without a folder of training images (train, training, training_set, trn)",
                    names(&found, " and ")
                )))
            }
            (None, _) => Ok(None),
        }
    }

    /// Opens them.
    pub(super) fn open(
        self,
        folder: &Path,
        wanted: Wanted,
        limits: Limits,
        search: &mut Search<'_>,
    ) -> Result<Splits, Error> {
        let Self { train, val, mut test, mut others } = self;
        if !wanted.test {
            others.extend(test.take());
        }
        let mut notes = Vec::new();
        if !others.is_empty() {
            notes.push(format!("{}: not used: {}", folder.display(), names(&others, ", ")));
        }
        search.subfolders(folder)?;
        let train = ImageFolder::search(&train, limits, search)?;
        let Some((path, origin)) = val else {
            return Ok(if wanted.whole {
                whole(train, notes)
            } else {
                hold_out(train, folder, notes)
            });
        };
        let val = ImageFolder::search(&path, limits, search)?;
        if let Some(difference) = difference(train.class_names(), val.class_names()) {
            return Err(Error::ClassesDiffer { path, difference });
        }
        let test = match test {
            Some(path) => Some(test_images(path, &train, limits, search)?),
            None => None,
        };
        notes.extend(alike(train.class_names()));
        let (val, kind) = (Some(Box::new(val) as _), Kind::ClassFolders);
        Ok(Splits { train: Box::new(train), val, test, origin, kind, notes })
    }
}

/// The test images in `folder`, which may be of some of the classes of `train`.
fn test_images(
    path: PathBuf,
    train: &ImageFolder,
    limits: Limits,
    search: &mut Search<'_>,
) -> Result<Box<dyn Dataset>, Error> {
    let found = ImageFolder::list(&path, limits, search)?;
    let labels = found.with_classes(train.class_names().unwrap_or_default());
    labels.map(|found| Box::new(found) as _).map_err(|unknown| Error::ClassesDiffer {
        path,
        difference: format!("also {}", unknown.join(", ")),
    })
}

/// Class folders that come without images for validation, all of them to train on.
pub(super) fn whole(data: ImageFolder, mut notes: Vec<String>) -> Splits {
    notes.extend(alike(data.class_names()));
    let (origin, kind) = (ValidationOrigin::HeldOut, Kind::ClassFolders);
    Splits { train: Box::new(data), val: None, test: None, origin, kind, notes }
}

/// Splits class folders that come without images for validation.
pub(super) fn hold_out(data: ImageFolder, folder: &Path, mut notes: Vec<String>) -> Splits {
    let (train, val) = data.hold_out_a_tenth();
    let folder = folder.display();
    notes.push(if val.is_empty() {
        format!(
            "{folder}: no validation folder, and every class has a single image, so nothing is held out \
             and nothing is validated"
        )
    } else {
        format!(
            "{folder}: no validation folder; {} of {} images are held out for validation, a tenth of each \
             class, chosen by a hash of their names",
            val.len(),
            data.len()
        )
    });
    notes.extend(alike(data.class_names()));
    let data: Arc<dyn Dataset> = Arc::new(data);
    let held_out = (!val.is_empty()).then(|| Subset::new(data.clone(), val));
    Splits {
        train: Box::new(Subset::new(data, train)),
        val: held_out.map(|val| Box::new(val) as Box<dyn Dataset>),
        test: None,
        origin: ValidationOrigin::HeldOut,
        kind: Kind::ClassFolders,
        notes,
    }
}

/// A note for classes whose names differ in case only: one may be meant, or two (letters).
fn alike(names: Option<&[String]>) -> Vec<String> {
    let mut folded: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in names.unwrap_or_default() {
        folded.entry(name.to_lowercase()).or_default().push(name);
    }
    let alike = folded.into_values().filter(|names| names.len() > 1);
    alike
        .map(|names| format!("classes whose names differ only in case: {}", names.join(", ")))
        .collect()
}

/// What `found` has less and more than `expected`.
fn difference(expected: Option<&[String]>, found: Option<&[String]>) -> Option<String> {
    let (expected, found) = (expected.unwrap_or_default(), found.unwrap_or_default());
    let without = |a: &[String], b: &[String]| {
        let b: HashSet<&String> = b.iter().collect();
        let names = a.iter().filter(|name| !b.contains(name)).map(String::as_str);
        names.collect::<Vec<_>>().join(", ")
    };
    let parts = [("no", without(expected, found)), ("also", without(found, expected))];
    let parts = parts.iter().filter(|(_, names)| !names.is_empty());
    let parts: Vec<String> = parts.map(|(word, names)| format!("{word} {names}")).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// At most five names.
fn names(paths: &[PathBuf], separator: &str) -> String {
    const MOST: usize = 5;
    let names: Vec<String> = paths.iter().take(MOST).map(|path| name_of(path)).collect();
    let more = if paths.len() > MOST { ", ..." } else { "" };
    names.join(separator) + more
}
