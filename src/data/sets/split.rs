//! One split of a data set, to measure a network on: the validation images, else the test images, else
//! all, or the split that is asked for.
//!
//! It differs from [`open`](super::open()) for class folders and shards. Only those that are wanted are listed or
//! opened, a set may be validation images alone, and its classes may be fewer than those of training, even one.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::image_folder::ImageFolder;
use super::names::Part;
use super::open::{Files, binaries, open_cached, open_files};
use super::parts::Sorted;
use super::paths::Search;
use super::shards::ShardSet;
use super::splits::{Kind, Splits, ValidationOrigin};
use crate::data::decode::Limits;
use crate::data::{Dataset, Error, Subset};
use crate::runtime::{Cache, Watch};

/// Which images of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Those for training.
    Train,
    /// Those for validation. Of class folders that nobody has split, the tenth that training holds out.
    Val,
    /// Those of the test set.
    Test,
    /// All, of a set that nobody has split.
    All,
}

impl Split {
    const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
            Self::All => "all",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A split of a data set.
pub struct Labelled {
    /// The images; their labels are in the order of the data's own classes.
    pub data: Box<dyn Dataset>,
    /// What the set is.
    pub kind: Kind,
    /// Which images they are.
    pub split: Split,
    /// What the user should know, one sentence each.
    pub notes: Vec<String>,
}

/// Opens `split` of the data set at `path` (without a path, of the built-in demo set); by default the
/// validation images, else the test images, else all. `cache` is that of
/// [`open_cached`](super::open_cached()). `watch` is told how far it is, and may stop it.
///
/// # Errors
/// As for [`open`](super::open()), and [`Error::NoSplit`] if there is no such split. A class that the
/// training folder has is not missed.
pub fn open_split(
    path: Option<&Path>,
    split: Option<Split>,
    limits: Limits,
    cache: &Cache,
    watch: &dyn Watch,
) -> Result<Labelled, Error> {
    let Some(folder) = path else {
        return of_splits(
            open_cached(None, limits, cache, watch)?,
            Path::new("the demo set"),
            split,
        );
    };
    match open_files(folder, watch)? {
        Some(Files::Splits(splits)) => return of_splits(splits, folder, split),
        Some(Files::Shards(set)) => return of_shards(&set, folder, split, limits, cache, watch),
        None => {}
    }
    let mut search = Search::new(watch);
    let sorted = Sorted::find(folder, &mut search)?;
    let has_parts = sorted.parts.iter().any(Option::is_some);
    if !has_parts && (sorted.is_empty() || !binaries(folder, "train")?.is_empty()) {
        return of_splits(open_cached(path, limits, cache, watch)?, folder, split);
    }
    let mut found = match has_parts {
        true => of_parts(sorted, folder, split, limits, &mut search)?,
        false => unsplit(ImageFolder::list(folder, limits, &mut search)?, folder, split)?,
    };
    found.notes.extend(search.passed.notes());
    Ok(found)
}

/// The split of a set that was opened as a whole.
fn of_splits(splits: Splits, path: &Path, split: Option<Split>) -> Result<Labelled, Error> {
    let Splits { train, val, origin, kind, notes, .. } = splits;
    let measured = match origin {
        ValidationOrigin::Test => Split::Test,
        ValidationOrigin::Val | ValidationOrigin::HeldOut => Split::Val,
    };
    let chosen = split.unwrap_or(if val.is_some() { measured } else { Split::All });
    let labelled = |data| Ok(Labelled { data, kind, split: chosen, notes });
    match val {
        Some(val) if chosen == measured => labelled(val),
        Some(_) if chosen == Split::Train => labelled(train),
        Some(_) => Err(no_split(path, chosen, &[Split::Train, measured])),
        None if matches!(chosen, Split::Train | Split::All) => labelled(train),
        None => Err(no_split(path, chosen, &[Split::Train])),
    }
}

/// The split of shards.
fn of_shards(
    set: &ShardSet,
    path: &Path,
    split: Option<Split>,
    limits: Limits,
    cache: &Cache,
    watch: &dyn Watch,
) -> Result<Labelled, Error> {
    let is_there =
        |split: &Split| set.parts().any(|(name, tars)| name == split.name() && !tars.is_empty());
    let there: Vec<Split> =
        [Split::Train, Split::Val, Split::Test].into_iter().filter(is_there).collect();
    let usual = [Split::Val, Split::Test].into_iter().find(is_there).unwrap_or(Split::All);
    let chosen = split.unwrap_or(usual);
    let part = match chosen {
        Split::All if matches!(there[..], [] | [Split::Train]) => Split::Train,
        chosen if there.contains(&chosen) => chosen,
        chosen => return Err(no_split(path, chosen, &there)),
    };
    let open = |part: Split| set.open(part.name(), limits, cache, watch);
    let mut data = open(part)?;
    if !set.has_names() && part != Split::Train && is_there(&Split::Train) {
        data = data.with_classes(open(Split::Train)?.class_names().unwrap_or_default())?;
    }
    let (data, notes) = (Box::new(data), set.notes().to_vec());
    Ok(Labelled { data, kind: Kind::Shards, split: chosen, notes })
}

/// The split of a set whose parts have folders of their own.
fn of_parts(
    sorted: Sorted,
    folder: &Path,
    split: Option<Split>,
    limits: Limits,
    search: &mut Search<'_>,
) -> Result<Labelled, Error> {
    let rest = sorted.rest();
    let [train, val, test] = sorted.parts;
    let measured = val.is_some() || test.is_some();
    if let (false, Some(train), Some(rest)) = (measured, &train, &rest) {
        let found = format!(
            "a folder of training images, and beside it {rest}; give {} as the data, or move it elsewhere",
            train.display()
        );
        return Err(Error::Ambiguous { path: folder.to_path_buf(), found });
    }
    if let (Some(train), false) = (&train, measured) {
        return unsplit(ImageFolder::list(train, limits, search)?, train, split);
    }
    let chosen = split.unwrap_or(if val.is_some() { Split::Val } else { Split::Test });
    let found = [(Split::Train, Part::Train), (Split::Val, Part::Val), (Split::Test, Part::Test)];
    let mut parts = [train, val, test];
    let there: Vec<Split> =
        found.iter().filter(|(_, part)| parts[*part as usize].is_some()).map(|f| f.0).collect();
    let part = found.iter().find(|(split, _)| *split == chosen).map(|(_, part)| *part);
    let Some(path) = part.and_then(|part| parts[part as usize].take()) else {
        return Err(no_split(folder, chosen, &there));
    };
    let data = ImageFolder::list(&path, limits, search)?;
    let mut notes = Vec::new();
    notes.extend(rest.map(|rest| format!("{}: not used: {rest}", folder.display())));
    Ok(Labelled { data: Box::new(data), kind: Kind::ClassFolders, split: chosen, notes })
}

/// The split of class folders that nobody has split.
fn unsplit(data: ImageFolder, folder: &Path, split: Option<Split>) -> Result<Labelled, Error> {
    let kind = Kind::ClassFolders;
    let chosen = split.unwrap_or(Split::All);
    let (train, val) = match chosen {
        Split::All => {
            let note = (split.is_none()).then(|| {
                format!(
                    "{}: not split, so all its images are taken (--split val takes the tenth that \
                     training holds out of such a folder)",
                    folder.display()
                )
            });
            let notes = note.into_iter().collect();
            return Ok(Labelled { data: Box::new(data), kind, split: chosen, notes });
        }
        Split::Test => return Err(no_split(folder, chosen, &[Split::All])),
        Split::Train | Split::Val => data.hold_out_a_tenth(),
    };
    let indices = if chosen == Split::Val { val } else { train };
    if indices.is_empty() {
        return Err(Error::NoSplit {
            path: folder.to_path_buf(),
            asked: chosen.name(),
            found: "classes of a single image, of which training holds none out".to_owned(),
        });
    }
    let data = Box::new(Subset::new(Arc::new(data), indices));
    Ok(Labelled { data, kind, split: chosen, notes: Vec::new() })
}

fn no_split(path: &Path, asked: Split, found: &[Split]) -> Error {
    let names: Vec<&str> = found.iter().map(|split| split.name()).collect();
    Error::NoSplit { path: path.to_path_buf(), asked: asked.name(), found: names.join(" and ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Unwatched;

    /// A folder with a file called as an image at each of the `paths`; listing reads none.
    fn folder(paths: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for path in paths {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"x").unwrap();
        }
        root
    }

    /// Split, number of images and classes.
    fn open(
        root: &tempfile::TempDir,
        split: Option<Split>,
    ) -> Result<(Split, usize, usize), String> {
        let found =
            open_split(Some(root.path()), split, Limits::default(), &Cache::none(), &Unwatched);
        let found = found.map_err(|error| error.to_string())?;
        Ok((found.split, found.data.len(), found.data.classes()))
    }

    #[test]
    fn validation_comes_before_test_and_both_before_training() {
        let root = folder(&["train/a/1.png", "train/b/1.png", "val/a/1.png", "test/b/1.png"]);
        assert_eq!(open(&root, None), Ok((Split::Val, 1, 1)));
        assert_eq!(open(&root, Some(Split::Test)), Ok((Split::Test, 1, 1)));
        assert_eq!(open(&root, Some(Split::Train)), Ok((Split::Train, 2, 2)));
        let error = open(&root, Some(Split::All)).unwrap_err();
        assert!(error.contains("expected all images, found train and val and test"), "{error}");
        let root = folder(&["test/a/1.png", "val/1.png", "notes/c/1.png"]);
        assert_eq!(open(&root, None), Ok((Split::Test, 1, 1)));
        let error = open(&root, Some(Split::Val)).unwrap_err();
        assert!(error.contains("expected val images, found test"), "{error}");
        let found =
            open_split(Some(root.path()), None, Limits::default(), &Cache::none(), &Unwatched)
                .unwrap();
        assert!(found.notes[0].contains("not used: notes, val"), "{:?}", found.notes);
        let error = open(&folder(&["train/a/1.png", "car/1.png"]), None).unwrap_err();
        assert!(error.contains("beside it car"), "{error}");
    }

    #[test]
    fn a_set_without_splits_is_taken_whole_or_as_training_splits_it() {
        let paths: Vec<String> =
            (0..20).map(|i| format!("{}/{i}.png", ["a", "b"][i % 2])).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let root = folder(&paths);
        assert_eq!(open(&root, None), Ok((Split::All, 20, 2)));
        assert_eq!(open(&root, Some(Split::Val)), Ok((Split::Val, 2, 2)));
        assert_eq!(open(&root, Some(Split::Train)), Ok((Split::Train, 18, 2)));
        let held_out = super::super::open(Some(root.path())).unwrap().val.unwrap();
        let found = open_split(
            Some(root.path()),
            Some(Split::Val),
            Limits::default(),
            &Cache::none(),
            &Unwatched,
        );
        let found = found.unwrap().data;
        assert_eq!(found.fingerprint(), held_out.fingerprint());
        assert!(found.name(0).ends_with(".png"), "{}", found.name(0));
        let error = open(&root, Some(Split::Test)).unwrap_err();
        assert!(error.contains("expected test images, found all"), "{error}");
        let error = open(&folder(&["a/1.png", "b/1.png"]), Some(Split::Val)).unwrap_err();
        assert!(error.contains("a single image"), "{error}");
        assert_eq!(open(&folder(&["train/a/1.png"]), None), Ok((Split::All, 1, 1)));
    }

    #[test]
    fn the_demo_set_has_validation_images() {
        let found = open_split(None, None, Limits::default(), &Cache::none(), &Unwatched).unwrap();
        assert_eq!((found.split, found.data.len()), (Split::Val, 1000));
        let train =
            open_split(None, Some(Split::Train), Limits::default(), &Cache::none(), &Unwatched)
                .unwrap();
        assert_eq!(train.data.len(), 4000);
        assert!(
            open_split(None, Some(Split::Test), Limits::default(), &Cache::none(), &Unwatched)
                .is_err()
        );
        let error = open(&folder(&["notes.txt"]), None).unwrap_err();
        assert!(error.contains("expected a data set"), "{error}");
    }
}
