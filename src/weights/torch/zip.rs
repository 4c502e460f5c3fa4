//! The entries of a zip archive whose content is stored as it is, as `torch.save` stores it.
//!
//! Only the central directory counts. What a sound archive never has is refused: compressed or
//! encrypted entries, two of one name, entries that overlap or reach beyond the entries' part of the
//! file. So nothing can be larger than the file, and no two readers see different things. Archives of
//! 4 GiB and more (zip64) are refused too: no weights of these networks take as much.

use std::collections::HashMap;
use std::ops::Range;

use super::{Region, shown};
use crate::weights::limits::MAX_HEADER;
use crate::weights::source::Source;
use crate::weights::stored::Fault;

const END: [u8; 4] = *b"PK\x05\x06";
const END_LEN: usize = 22;
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const CENTRAL_LEN: usize = 46;
const LOCAL: [u8; 4] = *b"PK\x03\x04";
const LOCAL_LEN: usize = 30;

/// The central directory of an archive.
pub(super) struct Directory {
    bytes: Vec<u8>,
    /// Entries that it should have.
    count: u16,
    /// Where it starts in the file, which is where the data end.
    start: usize,
}

/// A record of the directory and the name in it.
type Record<'a> = (&'a [u8], &'a str);

impl Directory {
    /// That of the archive in `source`.
    ///
    /// # Errors
    /// It is cut short or damaged.
    pub(super) fn read(source: &Source) -> Result<Self, Fault> {
        let (count, range) = locate(source)?;
        if range.len() > MAX_HEADER {
            let len = range.len();
            return Err(format!("its directory takes {len} bytes, more than {MAX_HEADER}").into());
        }
        let start = range.start;
        Ok(Self { bytes: source.read(range)?, count, start })
    }

    /// The names of all entries.
    pub(super) fn names(&self) -> Result<Vec<&str>, String> {
        Ok(self.records()?.into_iter().map(|(_, name)| name).collect())
    }

    fn records(&self) -> Result<Vec<Record<'_>>, String> {
        let mut headers = &self.bytes[..];
        let mut records = Vec::new();
        for _ in 0..self.count {
            let (header, rest) = split(headers, CENTRAL_LEN)?;
            if header[..4] != CENTRAL {
                return Err(damaged("an entry of the directory has no signature"));
            }
            let (name, rest) = split(rest, u16_at(header, 28).into())?;
            let (_extra, rest) = split(rest, u16_at(header, 30).into())?;
            (_, headers) = split(rest, u16_at(header, 32).into())?;
            let name = str::from_utf8(name).map_err(|_| damaged("a name that is not UTF-8"))?;
            records.push((header, name));
        }
        match headers {
            [] => Ok(records),
            _ => Err(damaged("its directory has bytes left over")),
        }
    }

    /// The entries by their names.
    ///
    /// # Errors
    /// The archive is damaged, or has what is refused.
    pub(super) fn entries(&self, source: &Source) -> Result<HashMap<String, Region>, Fault> {
        let mut entries = HashMap::new();
        let mut taken = Vec::new();
        for (header, name) in self.records()? {
            let (start, region) = match entry(source, self.start, header, name) {
                Err(Fault::Content(reason)) => {
                    return Err(format!("entry {}: {reason}", shown(name)).into());
                }
                found => found?,
            };
            taken.push((start..region.bytes.end, name));
            if entries.insert(name.to_owned(), region).is_some() {
                return Err(format!("the archive has two entries {}", shown(name)).into());
            }
        }
        taken.sort_by_key(|(range, _)| range.start);
        if let Some(pair) = taken.windows(2).find(|pair| pair[0].0.end > pair[1].0.start) {
            let [one, other] = [shown(pair[0].1), shown(pair[1].1)];
            return Err(format!("entries {one} and {other} overlap").into());
        }
        Ok(entries)
    }
}

/// Where the entry that `header` describes starts, and its content. The data end at `data_end`.
fn entry(
    source: &Source,
    data_end: usize,
    header: &[u8],
    name: &str,
) -> Result<(usize, Region), Fault> {
    let (flags, method, crc) = (u16_at(header, 8), u16_at(header, 10), u32_at(header, 16));
    if flags & 1 != 0 {
        return Err("it is encrypted".into());
    }
    if method != 0 {
        return Err("it is compressed, as torch.jit.save (TorchScript) and other programs do it; \
                    torch.save does not"
            .into());
    }
    let (stored, size, start) = (u32_at(header, 20), u32_at(header, 24), u32_at(header, 42));
    if size != stored {
        return Err(damaged("its two sizes differ").into());
    }
    let beyond = "it lies beyond the end of the archive's data";
    let start = start as usize;
    // The fixed part and the name, which the directory has, too.
    let len = LOCAL_LEN + name.len();
    if data_end.checked_sub(start).is_none_or(|left| left < LOCAL_LEN) {
        return Err(beyond.into());
    }
    let local = source.read(start..data_end.min(start + len))?;
    if local[..4] != LOCAL
        || usize::from(u16_at(&local, 26)) != name.len()
        || local[LOCAL_LEN..] != *name.as_bytes()
    {
        return Err(damaged("directory and entry contradict each other").into());
    }
    let first = start + len + usize::from(u16_at(&local, 28));
    let last = first.checked_add(size as usize).filter(|&last| last <= data_end).ok_or(beyond)?;
    // Zero if PyTorch was told to do without.
    let crc = Some(crc).filter(|&crc| crc != 0);
    Ok((start, Region { bytes: first..last, crc }))
}

/// The number of entries, and where their directory is.
fn locate(source: &Source) -> Result<(u16, Range<usize>), Fault> {
    // The end record is last, but for a comment of up to 64 KiB.
    let first = source.len().saturating_sub(END_LEN + usize::from(u16::MAX));
    let tail = source.read(first..source.len())?;
    let is_end = |at: &usize| {
        let end = &tail[*at..];
        end.starts_with(&END) && end.len() - END_LEN == usize::from(u16_at(end, 20))
    };
    let last = tail.len().checked_sub(END_LEN);
    let at = last
        .and_then(|last| (0..=last).rev().find(is_end))
        .ok_or("cut short: a zip archive (PyTorch 1.6 or newer) without its directory")?;
    let end = &tail[at..];
    let (count, len, start) = (u16_at(end, 10), u32_at(end, 12), u32_at(end, 16));
    if count == u16::MAX || len == u32::MAX || start == u32::MAX {
        return Err("a zip archive of 4 GiB or more (zip64)".into());
    }
    let range = (start as usize).checked_add(len as usize).map(|end| start as usize..end);
    let range = range.filter(|range| range.end <= first + at);
    Ok((count, range.ok_or_else(|| damaged("its directory is not before its end"))?))
}

fn split(bytes: &[u8], at: usize) -> Result<(&[u8], &[u8]), String> {
    bytes.split_at_checked(at).ok_or_else(cut)
}

fn damaged(reason: &str) -> String {
    format!("the zip archive is damaged: {reason}")
}

fn cut() -> String {
    damaged("a record is cut short")
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}
