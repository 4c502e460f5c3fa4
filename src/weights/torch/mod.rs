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

use super::file::Contents;
use super::safetensors::MAX_HEADER;
use values::Pickle;

/// Bytes of the file that hold one storage or one entry of an archive.
struct Region {
    bytes: Range<usize>,
    /// CRC-32 of the bytes, where the format has one.
    crc: Option<u32>,
}

impl Region {
    /// The bytes, unless their checksum says that they are damaged.
    fn read<'a>(&self, file: &'a [u8], name: &str) -> Result<&'a [u8], String> {
        let bytes = &file[self.bytes.clone()];
        match self.crc {
            Some(crc) if crc != crc32fast::hash(bytes) => {
                Err(format!("{} is damaged (its CRC-32 differs)", shown(name)))
            }
            _ => Ok(bytes),
        }
    }
}

/// Bytes that the pickle of an archive may have: sixteen times those of a ResNet-1202.
const MAX_PICKLE: usize = 16 << 20;
const BIG_ENDIAN: &str = "its numbers are big-endian; only little-endian ones are read";

/// Storages by their keys.
type Storages<'a> = HashMap<&'a str, Region>;

/// Whether the file is a zip archive or a pickle, and so for [`parse`].
pub(super) fn is_torch(file: &[u8]) -> bool {
    // A safetensors file starts with the length of its header, which may look like a pickle.
    let header = file.first_chunk().map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes));
    is_zip(file) || (header > MAX_HEADER && matches!(file, [opcodes::PROTO, 2..=5, ..]))
}

/// Whether the file is a zip archive.
fn is_zip(file: &[u8]) -> bool {
    file.starts_with(b"PK\x03\x04")
}

/// Reads and checks all of `file` but the values; every byte range returned lies within `file`. The
/// error is a reason for the user.
pub(super) fn parse(file: &[u8]) -> Result<Contents, String> {
    let (pickle, storages) = if is_zip(file) { archive(file)? } else { legacy::parse(file)? };
    state_dict::read(file, &pickle, &storages)
}

/// The layout since PyTorch 1.6: `NAME/data.pkl`, and a storage a file under `NAME/data/`.
fn archive(file: &[u8]) -> Result<(Pickle<'_>, Storages<'_>), String> {
    let entries = zip::entries(file)?;
    if entries.keys().any(|name| name.ends_with("/constants.pkl")) {
        return Err("a TorchScript archive (torch.jit.save), which holds a program; save the \
                    model's state_dict() with torch.save"
            .to_owned());
    }
    let mut pickles = entries.keys().copied().filter(|name| name.ends_with("/data.pkl"));
    let (Some(name), None) = (pickles.next(), pickles.next()) else {
        return Err("a zip archive without one data.pkl: torch.save did not write it".to_owned());
    };
    let folder = name.trim_end_matches("data.pkl");
    if let Some(order) = entries.get(&*format!("{folder}byteorder"))
        && order.read(file, "byteorder")? != b"little"
    {
        return Err(BIG_ENDIAN.to_owned());
    }
    let region = &entries[name];
    if region.bytes.len() > MAX_PICKLE {
        return Err(format!(
            "its pickle takes {} bytes, more than {MAX_PICKLE}",
            region.bytes.len()
        ));
    }
    let pickle = pickle::run(region.read(file, name)?)?;
    let storages = entries.into_iter().filter_map(|(name, region)| {
        Some((name.strip_prefix(folder)?.strip_prefix("data/")?, region))
    });
    Ok((pickle, storages.collect()))
}

/// Text of the file, fit for an error.
fn shown(text: &str) -> String {
    const SHOWN: usize = 100;
    let mut short: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        short += " ...";
    }
    short
}
