//! Names of classes: those built in for the standard data sets, and label files.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::model::ModelSpec;
use crate::weights::{DataSet, NotOpened, START, open_regular, other};

/// CIFAR-10's classes, in label order.
pub const CIFAR10: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// ImageNet-1k (ILSVRC 2012), in the order of sorted WordNet ids, with torchvision's names.
static IMAGENET: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| include_str!("imagenet_classes.txt").lines().collect());

/// The largest size of a file of labels, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// The class names of a data set, in order of index.
pub fn names_of(set: DataSet) -> &'static [&'static str] {
    match set {
        DataSet::ImageNet => &IMAGENET,
        DataSet::Cifar10 => &CIFAR10,
    }
}

/// A file of labels that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("{}: cannot read labels: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The content is not a list of class names.
    #[error("{}: cannot read labels: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What was expected and what found.
        reason: String,
    },
    /// A line without a name.
    #[error("{}: expected a label on each line, found line {line} empty", path.display())]
    EmptyLine {
        /// The file.
        path: PathBuf,
        /// Its number, from 1.
        line: usize,
    },
}

/// Reads class names from a UTF-8 file: text with one name per line, in index order, or JSON if it begins
/// with `[` or `{`. JSON is an array of names, an object of names by index (`{"0": "tench"}`) or of indices
/// by name (`{"tench": 0}`), or a configuration with such an object as `id2label`. Where a name is an array
/// itself (`["n01440764", "tench"]`), its last item counts.
///
/// Names may repeat, as ImageNet's do, but not be empty. Empty lines at the end do not count. The caller
/// checks that there are as many names as classes.
///
/// # Errors
/// [`Error`] if the file cannot be read, is not a regular file or too large, or is not of that form.
pub fn read_labels(path: impl AsRef<Path>) -> Result<Vec<String>, Error> {
    let path = path.as_ref();
    let wrong = |reason: String| Error::Format { path: path.to_owned(), reason };
    let io = |error| Error::Io { path: path.to_owned(), error };
    let (file, _) = open_regular(path).map_err(|error| match error {
        NotOpened::Io(error) => io(error),
        NotOpened::Kind(kind) => wrong(format!("it is {kind}")),
    })?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(wrong(format!("it has more than {MAX_BYTES} bytes")));
    }
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) if !text.contains('\0') => text,
        _ if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") => {
            return Err(wrong("it is UTF-16 text; save it as UTF-8".to_owned()));
        }
        _ => {
            let what = other(&bytes[..bytes.len().min(START)]);
            let what = what.filter(|what| !what.contains("text"));
            return Err(wrong(what.unwrap_or("it is not UTF-8 text".to_owned())));
        }
    };
    let text = text.trim_start_matches('\u{feff}').trim_end();
    let json = text.trim_start();
    if let Some(what) = instead(text) {
        return Err(wrong(what));
    }
    let names = match json.chars().next() {
        None => return Err(Error::EmptyLine { path: path.to_owned(), line: 1 }),
        Some('[' | '{') => from_json(json).map_err(wrong)?,
        Some(_) => {
            from_lines(text).map_err(|line| Error::EmptyLine { path: path.to_owned(), line })?
        }
    };
    if names.is_empty() {
        return Err(wrong("it has no names".to_owned()));
    }
    if names.len() > ModelSpec::MAX_CLASSES {
        let (found, most) = (names.len(), ModelSpec::MAX_CLASSES);
        return Err(wrong(format!("it has {found} names; at most {most} are read")));
    }
    Ok(names)
}

/// What text is that was not meant to be labels.
fn instead(text: &str) -> Option<String> {
    let what = other(text.as_bytes().get(..START).unwrap_or(text.as_bytes()))?;
    ["LFS", "HTML", "XML"].iter().any(|kind| what.contains(kind)).then_some(what)
}

/// One name per line; else the number of the first empty line.
fn from_lines(text: &str) -> Result<Vec<String>, usize> {
    let names = text.lines().enumerate().map(|(i, line)| match line.trim() {
        "" => Err(i + 1),
        name => Ok(name.to_owned()),
    });
    names.collect()
}

fn from_json(text: &str) -> Result<Vec<String>, String> {
    if text.starts_with('[') {
        let values: Vec<Value> = serde_json::from_str(text).map_err(not_json)?;
        return values.iter().enumerate().map(|(i, value)| name(i, value)).collect();
    }
    let Entries(mut entries) = serde_json::from_str(text).map_err(not_json)?;
    if let Some(at) = entries.iter().position(|(key, _)| key == "id2label") {
        let Value::Object(inner) = entries.swap_remove(at).1 else {
            return Err("id2label: expected an object of names by index".to_owned());
        };
        entries = inner.into_iter().collect();
    }
    let mut names = BTreeMap::new();
    let count = entries.len();
    for (key, value) in &entries {
        // Either names by index, or indices by name.
        let (index, name) = match (key.trim().parse(), value.as_u64()) {
            (_, Some(index)) => (index as usize, name(index as usize, &Value::from(key.clone()))?),
            (Ok(index), None) => (index, name(index, value)?),
            (Err(_), None) => {
                let key = key.escape_debug();
                return Err(format!(
                    "expected names by index (\"0\", \"1\", ...), found key \"{key}\""
                ));
            }
        };
        if index >= count {
            let last = count - 1;
            return Err(format!("expected indices 0 to {last} for {count} names, found {index}"));
        }
        if names.insert(index, name).is_some() {
            return Err(format!("index {index} has two names"));
        }
    }
    Ok(names.into_values().collect())
}

/// The name of class `index`.
fn name(index: usize, value: &Value) -> Result<String, String> {
    let text = match value {
        Value::String(text) => Some(text),
        Value::Array(items) => match items.last() {
            Some(Value::String(text)) => Some(text),
            _ => None,
        },
        _ => None,
    };
    let text =
        text.ok_or_else(|| format!("label {index}: expected a name, found {}", kind(value)))?;
    match text.trim() {
        "" => Err(format!("label {index}: expected a name, found an empty one")),
        name => Ok(name.to_owned()),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "an array that does not end with a name",
        Value::Object(_) => "an object",
    }
}

fn not_json(error: serde_json::Error) -> String {
    let error: String = error.to_string().chars().take(200).collect();
    format!("it begins like JSON, but is not valid JSON: {error}")
}

/// The entries of an object in their order, also those of one key.
struct Entries(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: impl AsRef<[u8]>) -> Result<Vec<String>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let name = file.path().display().to_string();
        read_labels(file.path()).map_err(|error| {
            let error = error.to_string();
            assert!(error.contains(&name) && error.len() < 500, "{error}");
            error
        })
    }

    #[track_caller]
    fn refused(bytes: impl AsRef<[u8]>, part: &str) {
        let error = read(bytes).unwrap_err();
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }

    #[test]
    fn built_in_names() {
        let imagenet = names_of(DataSet::ImageNet);
        assert_eq!((imagenet.len(), imagenet[0], imagenet[999]), (1000, "tench", "toilet tissue"));
        assert_eq!(names_of(DataSet::Cifar10), CIFAR10);
    }

    #[test]
    fn label_files_are_one_name_a_line() {
        assert_eq!(read("\u{feff}ant\r\nbee\n\n").unwrap(), ["ant", "bee"]);
        assert_eq!(read("crane\ncrane\n").unwrap(), ["crane", "crane"]);
        refused("ant\n\nbee", "line 2 empty");
        refused("\n", "line 1 empty");
        refused("", "line 1 empty");
        refused([0xff, 0xfe, b'a', 0], "UTF-16");
        refused([b'a', 0xc0, b'\n'], "not UTF-8");
        refused(b"a\0b", "not UTF-8");
        refused(b"\x89PNG\r\n\x1a\n\0", "a PNG image");
        refused("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "Git LFS");
        refused("<!DOCTYPE html>\n<html></html>", "HTML page");
    }

    #[test]
    fn json_files_are_arrays_or_objects() {
        for text in [
            r#"["a", "b b"]"#,
            " \n[\n\"a\",\n\"b b\"\n]\n",
            r#"[["n1", "a"], ["n2", "b b"]]"#,
            r#"{"1": "b b", "0": "a"}"#,
            r#"{"0": ["n1", "a"], "1": ["n2", "b b"]}"#,
            r#"{"b b": 1, "a": 0}"#,
            r#"{"architectures": ["X"], "id2label": {"0": "a", "1": "b b"}, "label2id": {}}"#,
        ] {
            assert_eq!(read(text).unwrap(), ["a", "b b"], "{text}");
        }
        for (text, part) in [
            ("[\"a\", 1]", "label 1: expected a name, found a number"),
            ("[\"a\", \" \"]", "label 1: expected a name, found an empty one"),
            ("[\"a\",", "not valid JSON: EOF"),
            ("[]", "no names"),
            ("{}", "no names"),
            ("{\"0\": \"a\", \"2\": \"b\"}", "0 to 1 for 2 names, found 2"),
            ("{\"0\": \"a\", \"0\": \"b\"}", "index 0 has two names"),
            ("{\"a\": 0, \"b\": 0}", "index 0 has two names"),
            ("{\"a\": \"b\"}", "key \"a\""),
            ("{\"id2label\": 3}", "id2label"),
            ("{0: 'tench'}", "not valid JSON: "),
        ] {
            refused(text, part);
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_not_read() {
        for (path, kind) in [("/dev/zero", "a device"), ("/", "a folder")] {
            let error = read_labels(path).unwrap_err().to_string();
            assert!(error.starts_with(path) && error.contains(kind), "{error}");
        }
        refused("a\n".repeat(3 << 20), "more than 4194304 bytes");
    }
}
