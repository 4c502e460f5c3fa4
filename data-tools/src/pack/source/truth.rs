//! The labels of ImageNet's validation images. The lists that are about look alike and mean different things,
//! so each form says which it is:
//!
//! | a line | means |
//! |---|---|
//! | `n01751748` | the WordNet id of the class; lines are in the order of the images' names |
//! | `ILSVRC2012_val_00000001.JPEG n01751748` | the same with the name of the image; in any order |
//! | `ILSVRC2012_val_00000001.JPEG 65` | the rank of the class among the sorted WordNet ids, from 0 (Caffe's `val.txt`) |
//! | `490` | the devkit's own number of the class, 1 to 1000, whose order is that of its `meta.mat` |
//!
//! A bare number is never taken for a rank: the devkit's file has the same look.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::devkit::{Devkit, GROUND_TRUTH};
use crate::error::ToolError;

/// Where the labels may be in the folder of the tars, the first that is there.
const PLACES: [&str; 6] = [
    "ILSVRC2012_devkit_t12.tar.gz",
    "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt",
    "data/ILSVRC2012_validation_ground_truth.txt",
    GROUND_TRUTH,
    "imagenet_2012_validation_synset_labels.txt",
    "val.txt",
];

/// A list of labels.
#[derive(Debug)]
pub(super) struct Truth {
    path: PathBuf,
    text: String,
    /// The WordNet id of each of the devkit's numbers, where the devkit is.
    wnids: Option<HashMap<u32, String>>,
}

impl Truth {
    /// Reads the list at `path`, or the one that is in `folder`.
    pub(super) fn find(folder: &Path, path: Option<&Path>) -> Result<Self, ToolError> {
        let found = PLACES.iter().map(|name| folder.join(name)).find(|path| path.is_file());
        let Some(path) = path.map(Path::to_path_buf).or(found) else {
            return Err(ToolError::failed(format!(
                "{}: expected the labels of the validation images, found none; looked for {} (--val-labels FILE)",
                folder.display(),
                PLACES.join(", ")
            )));
        };
        let Devkit { text, wnids } = Devkit::read(&path)?;
        Ok(Self { path, text, wnids })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The label of each of the images called `names`, which are sorted; `classes` are sorted WordNet ids.
    pub(super) fn labels(&self, names: &[&str], classes: &[String]) -> Result<Vec<u32>, ToolError> {
        let lines: Vec<(usize, Vec<&str>)> = self
            .text
            .lines()
            .enumerate()
            .map(|(number, line)| (number + 1, line.split_whitespace().collect()))
            .filter(|(_, words): &(_, Vec<_>)| !words.is_empty())
            .collect();
        if lines.len() != names.len() {
            let (images, found) = (names.len(), lines.len());
            let reason = format!("expected a label for each of {images} images, found {found}");
            return Err(self.wrong(&reason));
        }
        let mut labels = vec![None; names.len()];
        for (position, (number, words)) in lines.iter().enumerate() {
            let at = |reason: String| self.wrong(&format!("line {number}: {reason}"));
            let (position, label) = match words[..] {
                [label] => (position, self.label(label, classes)),
                [name, label] => {
                    let position = names.binary_search(&name);
                    let missing = |_| at(format!("expected the name of an image, found {name:?}"));
                    (position.map_err(missing)?, ranked(label, classes))
                }
                _ => {
                    let found = words.join(" ");
                    return Err(at(format!("expected [IMAGE] LABEL, found {found:?}")));
                }
            };
            let label = label.map_err(at)?;
            if labels[position].replace(label).is_some() {
                return Err(at(format!("a second label for {}", names[position])));
            }
        }
        // As many lines as images, and none twice: none is missing.
        Ok(labels.into_iter().flatten().collect())
    }

    /// The label that a line of one word says.
    fn label(&self, word: &str, classes: &[String]) -> Result<u32, String> {
        if is_wnid(word) {
            return rank(word, classes);
        }
        let number: u32 = word
            .parse()
            .map_err(|_| format!("expected a WordNet id or a number, found {word:?}"))?;
        let Some(wnids) = &self.wnids else {
            return Err(format!(
                "{number} is the devkit's number of a class, not its rank, and the devkit's meta.mat, which has \
                 their WordNet ids, is not beside it; put it there, or give ILSVRC2012_devkit_t12.tar.gz or a \
                 list of WordNet ids"
            ));
        };
        let wnid = wnids.get(&number);
        let wnid = wnid.ok_or_else(|| format!("expected a number of meta.mat, found {number}"))?;
        rank(wnid, classes)
    }

    fn wrong(&self, reason: &str) -> ToolError {
        ToolError::failed(format!("{}: {reason}", self.path.display()))
    }
}

/// The label that a line with the name of an image says.
fn ranked(word: &str, classes: &[String]) -> Result<u32, String> {
    match word.parse() {
        Ok(number) if (number as usize) < classes.len() => Ok(number),
        Ok(number) => {
            let last = classes.len().saturating_sub(1);
            Err(format!("expected a class of 0 to {last}, found {number}"))
        }
        Err(_) => rank(word, classes),
    }
}

/// The rank of a WordNet id among the classes.
fn rank(wnid: &str, classes: &[String]) -> Result<u32, String> {
    let rank = classes.binary_search_by(|class| class.as_str().cmp(wnid));
    rank.map(|rank| rank as u32)
        .map_err(|_| format!("expected a class of the training images, found {wnid:?}"))
}

/// Whether a name is a WordNet id: n and eight digits.
pub(super) fn is_wnid(name: &str) -> bool {
    let digits = name.strip_prefix('n').unwrap_or_default();
    digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str, wnids: &[(u32, &str)]) -> Result<Vec<u32>, String> {
        let wnids = (!wnids.is_empty())
            .then(|| wnids.iter().map(|&(id, wnid)| (id, wnid.to_owned())).collect());
        let truth = Truth { path: "list.txt".into(), text: text.to_owned(), wnids };
        let classes = ["n00000001", "n00000005", "n00000009"].map(String::from);
        truth.labels(&["a.JPEG", "b.JPEG"], &classes).map_err(|error| error.to_string())
    }

    #[test]
    fn each_form_is_known_by_its_look() {
        assert_eq!(labels("n00000009\nn00000001\n", &[]).unwrap(), [2, 0]);
        assert_eq!(labels("b.JPEG n00000005\n\na.JPEG n00000009", &[]).unwrap(), [2, 1]);
        assert_eq!(labels("b.JPEG 0\na.JPEG 2\n", &[]).unwrap(), [2, 0]);
        let ids = [(1, "n00000009"), (2, "n00000001"), (3, "n00000005")];
        assert_eq!(labels("1\n3\n", &ids).unwrap(), [2, 1]);
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        for (text, expected) in [
            ("1\n2", "list.txt: line 1: 1 is the devkit's number of a class"),
            ("n00000001", "expected a label for each of 2 images, found 1"),
            ("n00000001\nn00000002", "line 2: expected a class of the training images"),
            ("a.JPEG 0\nc.JPEG 1", "line 2: expected the name of an image, found \"c.JPEG\""),
            ("a.JPEG 0\na.JPEG 1", "line 2: a second label for a.JPEG"),
            ("a.JPEG 0\nb.JPEG 3", "line 2: expected a class of 0 to 2, found 3"),
            ("cat\ndog", "line 1: expected a WordNet id or a number, found \"cat\""),
            ("a b c\n1", "line 1: expected [IMAGE] LABEL"),
        ] {
            let error = labels(text, &[]).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let error = labels("7\n1", &[(1, "n00000001")]).unwrap_err();
        assert!(error.contains("line 1: expected a number of meta.mat, found 7"), "{error}");
    }
}
