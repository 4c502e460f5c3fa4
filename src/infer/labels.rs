//! Names of classes: those built in for the standard data sets, and label files.

use crate::model::Family;
use std::path::Path;
use std::sync::LazyLock;

/// CIFAR-10's classes, in label order.
pub const CIFAR10: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// ImageNet-1k (ILSVRC 2012), in the order of sorted WordNet ids, with torchvision's names.
static IMAGENET: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| include_str!("imagenet_classes.txt").lines().collect());

/// The class names of `family`, if it has `classes` classes; otherwise the network was trained on
/// something else, whose names are unknown.
pub fn builtin(classes: usize, family: Family) -> Option<&'static [&'static str]> {
    let names: &[&str] = match family {
        Family::ImageNet => &IMAGENET,
        Family::Cifar => &CIFAR10,
    };
    (names.len() == classes).then_some(names)
}

/// A file of labels that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read, or is not UTF-8.
    #[error("{}: cannot read labels: {source}", path.display())]
    Io {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line without a name.
    #[error("{}: expected a label on each line, found line {line} empty", path.display())]
    EmptyLine {
        /// The file.
        path: std::path::PathBuf,
        /// Its number, from 1.
        line: usize,
    },
}

/// Reads class names from a UTF-8 text file, one a line in index order. Whether there are as many
/// as classes is for the caller to check.
///
/// # Errors
/// [`Error`] if the file cannot be read, is not UTF-8, or has an empty line before its end.
pub fn read_labels(path: &Path) -> Result<Vec<String>, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::Io { path: path.to_path_buf(), source })?;
    let text = text.trim_start_matches('\u{feff}').trim_end();
    if text.is_empty() {
        return Err(Error::EmptyLine { path: path.to_path_buf(), line: 1 });
    }
    text.lines()
        .enumerate()
        .map(|(i, line)| match line.trim() {
            "" => Err(Error::EmptyLine { path: path.to_path_buf(), line: i + 1 }),
            name => Ok(name.to_string()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_names_need_the_right_count() {
        let imagenet = builtin(1000, Family::ImageNet).unwrap();
        assert_eq!((imagenet[0], imagenet[999]), ("tench", "toilet tissue"));
        assert_eq!(builtin(10, Family::Cifar), Some(&CIFAR10[..]));
        assert_eq!(builtin(10, Family::ImageNet), None);
        assert_eq!(builtin(100, Family::Cifar), None);
    }

    #[test]
    fn label_files_are_one_name_a_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |text: &[u8]| {
            std::fs::write(file.path(), text).unwrap();
            read_labels(file.path())
        };
        assert_eq!(read("\u{feff}ant\r\nbee\n\n".as_bytes()).unwrap(), ["ant", "bee"]);
        assert!(matches!(read(b"ant\n\nbee"), Err(Error::EmptyLine { line: 2, .. })));
        assert!(matches!(read(b"\n"), Err(Error::EmptyLine { line: 1, .. })));
        assert!(matches!(read(&[0xFF, 0xFE]), Err(Error::Io { .. })));
    }
}
