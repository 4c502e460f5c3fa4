//! Files that `torch.save` wrote, read without Python: the zip archives of PyTorch 1.6 and newer and
//! the plain sequence of pickles of older ones.
//!
//! A pickle is a program. Here it runs on a machine that can build tensors and plain containers and
//! nothing else (`pickle`); whatever else it asks for is refused by name (`globals`). Nothing is
//! unpacked: tensors stay where they are in the file.

mod calls;
mod globals;
mod legacy;
mod opcodes;
mod pickle;
mod reader;
mod state_dict;
mod values;
mod zip;

use std::collections::HashMap;
use std::ops::Range;

use super::limits::{MAX_HEADER, shown};
use super::source::Source;
use super::stored::{Contents, Fault};

/// Bytes of the file that hold one storage or one entry of an archive.
struct Region {
    bytes: Range<usize>,
    /// CRC-32 of the bytes, where the format has one.
    crc: Option<u32>,
}

/// Bytes that are read at a time to be checked.
const PIECE: usize = 256 << 10;

impl Region {
    /// All bytes, unless their checksum says that they are damaged.
    fn read(&self, source: &Source, name: &str) -> Result<Vec<u8>, Fault> {
        let bytes = source.read(self.bytes.clone())?;
        self.compare(crc32fast::hash(&bytes), name)?;
        Ok(bytes)
    }

    /// Reads the bytes piece by piece to check them, if there is a checksum.
    fn check(&self, source: &Source, name: &str) -> Result<(), Fault> {
        if self.crc.is_none() {
            return Ok(());
        }
        let mut hasher = crc32fast::Hasher::new();
        let mut buffer = vec![0; PIECE.min(self.bytes.len())];
        for start in self.bytes.clone().step_by(PIECE) {
            let piece = &mut buffer[..PIECE.min(self.bytes.end - start)];
            source.read_at(start, piece)?;
            hasher.update(piece);
        }
        self.compare(hasher.finalize(), name)
    }

    fn compare(&self, found: u32, name: &str) -> Result<(), Fault> {
        match self.crc {
            Some(crc) if crc != found => {
                Err(format!("{} is damaged (its CRC-32 differs)", shown(name)).into())
            }
            _ => Ok(()),
        }
    }
}

const BIG_ENDIAN: &str = "its numbers are big-endian; only little-endian ones are read";

/// Storages by their keys.
type Storages = HashMap<String, Region>;

/// Reads and checks all of the file but the values; every byte range returned lies within it.
pub(super) fn parse(source: &Source, start: &[u8]) -> Result<Contents, Fault> {
    if start.starts_with(b"PK") { archive(source) } else { legacy::read(source) }
}

/// The layout since PyTorch 1.6: `NAME/data.pkl`, and a storage a file under `NAME/data/`.
fn archive(source: &Source) -> Result<Contents, Fault> {
    let directory = zip::Directory::read(source)?;
    let names = directory.names()?;
    if names.iter().any(|name| name.ends_with("/constants.pkl")) {
        return Err("a TorchScript archive (torch.jit.save), which holds a program; save the \
                    model's state_dict() with torch.save"
            .into());
    }
    let mut pickles = names.iter().filter(|name| name.ends_with("/data.pkl"));
    let (Some(&name), None) = (pickles.next(), pickles.next()) else {
        return Err(other_archive(&names).into());
    };
    let folder = name.trim_end_matches("data.pkl");
    let mut entries = directory.entries(source)?;
    if let Some(order) = entries.get(&format!("{folder}byteorder")) {
        let len = order.bytes.len();
        if len > 16 || order.read(source, "byteorder")? != b"little" {
            return Err(BIG_ENDIAN.into());
        }
    }
    let region = entries.remove(name).expect("it is one of the names");
    if region.bytes.len() > MAX_HEADER {
        let len = region.bytes.len();
        return Err(format!("its pickle takes {len} bytes, more than {MAX_HEADER}").into());
    }
    let bytes = region.read(source, name)?;
    let pickle = pickle::run(&bytes)?;
    let storages = entries.into_iter().filter_map(|(name, region)| {
        Some((name.strip_prefix(folder)?.strip_prefix("data/")?.to_owned(), region))
    });
    state_dict::read(source, &pickle, &storages.collect())
}

/// What a zip archive is that `torch.save` did not write.
fn other_archive(names: &[&str]) -> String {
    let has = |end: &str| names.iter().find(|name| name.to_ascii_lowercase().ends_with(end));
    if let Some(name) = [".safetensors", ".pth", ".pt", ".th"].iter().find_map(|end| has(end)) {
        return format!("a zip archive with {} in it: unpack it and name that", shown(name));
    }
    let what = if has("saved_model.pb").is_some() {
        "a TensorFlow SavedModel in a zip archive"
    } else if has("model.weights.h5").is_some() {
        "a Keras model"
    } else if has(".npy").is_some() {
        "a NumPy archive (.npz)"
    } else if has("[content_types].xml").is_some() {
        "an Office document"
    } else {
        "a zip archive without one data.pkl"
    };
    format!("{what}: torch.save did not write it")
}
