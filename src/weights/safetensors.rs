//! The header of a safetensors file: 8 bytes of length, JSON, then the tensors without gaps.
//!
//! It is read in one pass that counts as it goes, so that a hostile header takes neither memory nor time
//! beyond its own size; the crate of the format keeps a tree of values of it. What users meet most, a
//! file that was cut short, is told apart.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::limits::{
    MAX_DIMENSIONS, MAX_ENTRIES, MAX_HEADER, MAX_NAME, MAX_TENSORS, shortened, shown,
};
use super::source::Source;
use super::stored::{Contents, Dtype, Fault, StoredTensor};

/// Bytes of the length at the start of the file.
const PREFIX: usize = 8;
/// The key of the metadata among the tensors' names.
const METADATA: &str = "__metadata__";

/// Types of elements, and bits of one.
const TYPES: [(&str, usize); 22] = [
    ("F32", 32),
    ("F16", 16),
    ("BF16", 16),
    ("F64", 64),
    ("I64", 64),
    ("U64", 64),
    ("C64", 64),
    ("I32", 32),
    ("U32", 32),
    ("I16", 16),
    ("U16", 16),
    ("I8", 8),
    ("U8", 8),
    ("BOOL", 8),
    ("F8_E5M2", 8),
    ("F8_E4M3", 8),
    ("F8_E8M0", 8),
    ("F8_E4M3FNUZ", 8),
    ("F8_E5M2FNUZ", 8),
    ("F6_E2M3", 6),
    ("F6_E3M2", 6),
    ("F4", 4),
];

/// Reads and checks the header of the file; every byte range returned lies within it.
pub(super) fn parse(source: &Source) -> Result<Contents, Fault> {
    let len = source.len();
    if len < PREFIX {
        return Err(format!("expected at least {PREFIX} bytes, found {len}").into());
    }
    let mut prefix = [0; PREFIX];
    source.read_at(0, &mut prefix)?;
    let header_len = u64::from_le_bytes(prefix);
    if header_len > MAX_HEADER as u64 {
        return Err(format!("its header takes {header_len} bytes, more than {MAX_HEADER}").into());
    }
    let start = PREFIX + header_len as usize;
    let Some(data_len) = len.checked_sub(start) else {
        let left = len - PREFIX;
        return Err(
            format!("cut short: the header takes {header_len} bytes, {left} are left").into()
        );
    };
    let text = source.read(PREFIX..start)?;
    let mut json = serde_json::Deserializer::from_slice(&text);
    let header =
        Header::deserialize(&mut json).and_then(|header| json.end().map(|()| header)).map_err(
            |error| format!("the header is damaged: {}", shortened(&error.to_string(), 300)),
        )?;
    Ok(contents(header, start, data_len)?)
}

/// The tensors in the order of their bytes, which fill the file from `start` without gaps.
fn contents(mut header: Header, start: usize, data_len: usize) -> Result<Contents, String> {
    header.tensors.sort_by(|a, b| (a.bytes.start, &a.name).cmp(&(b.bytes.start, &b.name)));
    let mut end = 0;
    for tensor in &mut header.tensors {
        if tensor.bytes.start != end {
            let how = if tensor.bytes.start < end { "overlap" } else { "leave a gap" };
            return Err(format!(
                "the header is damaged: data_offsets {how}: tensor {} begins at {}, the one before it \
                 ends at {end}",
                shown(&tensor.name),
                tensor.bytes.start
            ));
        }
        end = tensor.bytes.end;
        tensor.bytes = start.saturating_add(tensor.bytes.start)..start.saturating_add(end);
    }
    if end != data_len {
        let what = if data_len < end { "cut short" } else { "bytes left over" };
        return Err(format!("{what}: the tensors take {end} bytes, {data_len} follow the header"));
    }
    Ok(Contents { tensors: header.tensors, metadata: header.metadata, notes: Vec::new() })
}

/// The header as it stands: byte ranges count from its end.
#[derive(Default)]
struct Header {
    tensors: Vec<StoredTensor>,
    metadata: BTreeMap<String, String>,
}

/// A tensor's entry.
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    dtype: Cow<'a, str>,
    shape: Shape,
    data_offsets: [usize; 2],
}

impl Entry<'_> {
    /// The tensor, unless its type, shape and place contradict each other.
    fn tensor(self, name: &str) -> Result<StoredTensor, String> {
        let wrong = |reason: String| format!("tensor {}: {reason}", shown(name));
        let &(dtype, bits) = TYPES
            .iter()
            .find(|(name, _)| *name == self.dtype)
            .ok_or_else(|| wrong(format!("unknown element type '{}'", shown(&self.dtype))))?;
        let (shape, [start, end]) = (self.shape.0, self.data_offsets);
        let elements = shape.iter().try_fold(1, |len: usize, &n| len.checked_mul(n));
        let bits = elements.and_then(|len| len.checked_mul(bits));
        let bytes = bits.filter(|bits| bits % 8 == 0).map(|bits| bits / 8);
        if bytes.is_none() || end.checked_sub(start) != bytes {
            return Err(wrong(format!(
                "its shape {shape:?} of {dtype} does not fit its data_offsets [{start}, {end}]"
            )));
        }
        let (name, dtype) = (name.to_owned(), Dtype::named(dtype));
        Ok(StoredTensor { name, dtype, shape, bytes: start..end, strides: None })
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let (mut header, mut names) = (Header::default(), HashSet::new());
                let mut has_metadata = false;
                while let Some(Text(name)) = map.next_key()? {
                    if name == METADATA {
                        if std::mem::replace(&mut has_metadata, true) {
                            return Err(A::Error::custom("two entries __metadata__"));
                        }
                        header.metadata =
                            map.next_value::<Option<Strings>>()?.unwrap_or_default().0;
                        continue;
                    }
                    if name.len() > MAX_NAME {
                        return Err(A::Error::custom(format!(
                            "a tensor's name is longer than {MAX_NAME} bytes"
                        )));
                    }
                    if names.len() == MAX_TENSORS {
                        return Err(A::Error::custom(format!("more than {MAX_TENSORS} tensors")));
                    }
                    let tensor = map.next_value::<Entry>()?.tensor(&name);
                    header.tensors.push(tensor.map_err(A::Error::custom)?);
                    if let Some(name) = names.replace(name) {
                        let name = shown(&name);
                        return Err(A::Error::custom(format!("two tensors are called {name}")));
                    }
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Text, borrowed from the header where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The metadata: text by key.
#[derive(Default)]
struct Strings(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Strings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Strings;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("metadata: an object of text")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strings, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    if entries.len() == MAX_ENTRIES {
                        let error = format!("more than {MAX_ENTRIES} entries of metadata");
                        return Err(A::Error::custom(error));
                    }
                    let value = map.next_value::<String>()?;
                    if entries.contains_key(&key) {
                        let key = shown(&key);
                        return Err(A::Error::custom(format!("two entries of metadata {key}")));
                    }
                    entries.insert(key, value);
                }
                Ok(Strings(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Dimensions, not many.
struct Shape(Vec<usize>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Dimensions;
        impl<'de> Visitor<'de> for Dimensions {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a shape: an array of whole numbers")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Shape, A::Error> {
                let mut shape = Vec::new();
                while let Some(n) = items.next_element()? {
                    if shape.len() == MAX_DIMENSIONS {
                        let error = format!("a tensor has more than {MAX_DIMENSIONS} dimensions");
                        return Err(A::Error::custom(error));
                    }
                    shape.push(n);
                }
                Ok(Shape(shape))
            }
        }
        deserializer.deserialize_seq(Dimensions)
    }
}
