//! The entries of a zip archive whose content is stored as it is, as `torch.save` stores it.
//!
//! Only the central directory counts. What a sound archive never has is refused: compressed or
//! encrypted entries, two of one name, entries that overlap or reach beyond the entries' part of the
//! file. So nothing can be larger than the file, and no two readers see different things. Archives of
//! 4 GiB and more (zip64) are refused too: no weights of these networks take as much.

use std::collections::HashMap;
use std::ops::Range;

use super::{Region, shown};

const END: [u8; 4] = *b"PK\x05\x06";
const END_LEN: usize = 22;
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const CENTRAL_LEN: usize = 46;
const LOCAL: [u8; 4] = *b"PK\x03\x04";
const LOCAL_LEN: usize = 30;

/// The entries of the archive `file` by their names.
///
/// # Errors
/// It is cut short, damaged, or has what is refused.
pub(super) fn entries(file: &[u8]) -> Result<HashMap<&str, Region>, String> {
    let (count, directory) = directory(file)?;
    let (mut headers, data_end) = (&file[directory.clone()], directory.start);
    let mut entries = HashMap::new();
    let mut taken = Vec::new();
    for _ in 0..count {
        let (header, rest) = split(headers, CENTRAL_LEN)?;
        if header[..4] != CENTRAL {
            return Err(damaged("an entry of the directory has no signature"));
        }
        let (name, rest) = split(rest, u16_at(header, 28).into())?;
        let (_extra, rest) = split(rest, u16_at(header, 30).into())?;
        (_, headers) = split(rest, u16_at(header, 32).into())?;
        let name = str::from_utf8(name).map_err(|_| damaged("a name that is not UTF-8"))?;
        let (start, region) = entry(&file[..data_end], header, name)
            .map_err(|reason| format!("entry {}: {reason}", shown(name)))?;
        taken.push((start..region.bytes.end, name));
        if entries.insert(name, region).is_some() {
            return Err(format!("the archive has two entries {}", shown(name)));
        }
    }
    if !headers.is_empty() {
        return Err(damaged("its directory has bytes left over"));
    }
    taken.sort_by_key(|(range, _)| range.start);
    if let Some(pair) = taken.windows(2).find(|pair| pair[0].0.end > pair[1].0.start) {
        return Err(format!("entries {} and {} overlap", shown(pair[0].1), shown(pair[1].1)));
    }
    Ok(entries)
}

/// Where the entry that `header` describes starts, and its content. `data` is all before the directory.
fn entry(data: &[u8], header: &[u8], name: &str) -> Result<(usize, Region), String> {
    let (flags, method, crc) = (u16_at(header, 8), u16_at(header, 10), u32_at(header, 16));
    if flags & 1 != 0 {
        return Err("it is encrypted".to_owned());
    }
    if method != 0 {
        return Err("it is compressed, as torch.jit.save (TorchScript) and other programs do it; \
                    torch.save does not"
            .to_owned());
    }
    let (stored, size, start) = (u32_at(header, 20), u32_at(header, 24), u32_at(header, 42));
    if size != stored {
        return Err(damaged("its two sizes differ"));
    }
    let beyond = || "it lies beyond the end of the archive's data".to_owned();
    let start = start as usize;
    let (local, rest) =
        data.get(start..).and_then(|data| data.split_at_checked(LOCAL_LEN)).ok_or_else(beyond)?;
    let name_len = usize::from(u16_at(local, 26));
    if local[..4] != LOCAL || rest.get(..name_len) != Some(name.as_bytes()) {
        return Err(damaged("directory and entry contradict each other"));
    }
    let first = start + LOCAL_LEN + name_len + usize::from(u16_at(local, 28));
    let last = first.checked_add(size as usize).filter(|&last| last <= data.len());
    let last = last.ok_or_else(beyond)?;
    // Zero if PyTorch was told to do without.
    let crc = Some(crc).filter(|&crc| crc != 0);
    Ok((start, Region { bytes: first..last, crc }))
}

/// The number of entries, and where their directory is.
fn directory(file: &[u8]) -> Result<(u16, Range<usize>), String> {
    // The end record is last, but for a comment of up to 64 KiB.
    let first = file.len().saturating_sub(END_LEN + usize::from(u16::MAX));
    let is_end = |at: &usize| {
        let end = &file[*at..];
        end.starts_with(&END) && end.len() - END_LEN == usize::from(u16_at(end, 20))
    };
    let last = file.len().checked_sub(END_LEN);
    let at = last.and_then(|last| (first..=last).rev().find(is_end)).ok_or_else(|| {
        "cut short: a zip archive (PyTorch 1.6 or newer) without its directory".to_owned()
    })?;
    let end = &file[at..];
    let (count, len, start) = (u16_at(end, 10), u32_at(end, 12), u32_at(end, 16));
    if count == u16::MAX || len == u32::MAX || start == u32::MAX {
        return Err("a zip archive of 4 GiB or more (zip64)".to_owned());
    }
    let range = (start as usize).checked_add(len as usize).map(|end| start as usize..end);
    let range = range.filter(|range| range.end <= at);
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
