//! As much of MATLAB's files (version 5) as the devkit's `meta.mat` needs: an array of structures called
//! `synsets`, of which two fields are read, a number and a text.
//!
//! A file is a header of 128 bytes and elements: a type, a length, data up to a multiple of eight bytes.
//! Arrays are elements made of elements; each may be compressed by zlib.

use std::collections::HashMap;
use std::io::Read;

use flate2::read::ZlibDecoder;

const HEADER: usize = 128;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;
/// Classes of arrays.
const STRUCT: u32 = 2;
/// Bytes of an array when it is no longer compressed; that of the devkit has under a million.
const MOST: u64 = 64 << 20;

/// The WordNet id of each class's number (`ILSVRC2012_ID`, `WNID`).
///
/// # Errors
/// What was expected, and what was found.
pub(super) fn synsets(bytes: &[u8]) -> Result<HashMap<u32, String>, String> {
    let version = bytes.get(124..HEADER);
    if !bytes.starts_with(b"MATLAB 5.0") || version.is_none_or(|v| v != [0, 1, b'I', b'M']) {
        return Err("expected a MATLAB 5.0 file (little-endian), found another".to_owned());
    }
    let mut rest = &bytes[HEADER..];
    while !rest.is_empty() {
        let (kind, data) = element(&mut rest)?;
        let inflated;
        let array = match kind {
            COMPRESSED => {
                inflated = inflate(data)?;
                let mut inner = &inflated[..];
                match element(&mut inner)? {
                    (MATRIX, data) => data,
                    (other, _) => return Err(format!("expected an array, found type {other}")),
                }
            }
            MATRIX => data,
            other => return Err(format!("expected an array, found type {other}")),
        };
        let mut array = Array::of(array)?;
        if array.name == b"synsets" && array.class == STRUCT {
            return array.synsets();
        }
    }
    Err("expected an array of structures called synsets, found none".to_owned())
}

fn inflate(data: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let inflated = ZlibDecoder::new(data).take(MOST).read_to_end(&mut bytes);
    inflated.map_err(|error| format!("damaged: {error}"))?;
    Ok(bytes)
}

/// Takes an element: its type and its data.
fn element<'a>(rest: &mut &'a [u8]) -> Result<(u32, &'a [u8]), String> {
    let cut = || "truncated".to_owned();
    let ([kind, length], after) = split_words(rest).ok_or_else(cut)?;
    if kind >> 16 != 0 {
        // Up to four bytes stand in place of the length.
        let data = rest[4..8].get(..(kind >> 16) as usize).ok_or_else(cut)?;
        *rest = after;
        return Ok((kind & 0xFFFF, data));
    }
    let length = length as usize;
    let data = after.get(..length).ok_or_else(cut)?;
    // Compressed data have no padding, and the last element may lack it.
    let padded = if kind == COMPRESSED { length } else { length.next_multiple_of(8) };
    *rest = &after[padded.min(after.len())..];
    Ok((kind, data))
}

fn split_words(bytes: &[u8]) -> Option<([u32; 2], &[u8])> {
    let (words, after) = bytes.split_first_chunk::<8>()?;
    let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| words[at + i]));
    Some(([word(0), word(4)], after))
}

/// An array whose data are still to be read.
struct Array<'a> {
    class: u32,
    count: usize,
    name: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Array<'a> {
    fn of(mut rest: &'a [u8]) -> Result<Self, String> {
        let (_, flags) = element(&mut rest)?;
        let class = u32::from(*flags.first().ok_or("truncated")?);
        let (_, sides) = element(&mut rest)?;
        let sides = sides.as_chunks::<4>().0.iter().map(|&side| u32::from_le_bytes(side) as usize);
        let count = sides.fold(1_usize, usize::saturating_mul);
        let (_, name) = element(&mut rest)?;
        Ok(Self { class, count, name, rest })
    }

    fn synsets(&mut self) -> Result<HashMap<u32, String>, String> {
        let (_, length) = element(&mut self.rest)?;
        let length = length.first_chunk().map_or(0, |&length| u32::from_le_bytes(length) as usize);
        let (_, names) = element(&mut self.rest)?;
        let names: Vec<&[u8]> = names
            .chunks_exact(length.max(1))
            .map(|name| name.split(|&byte| byte == 0).next().unwrap_or_default())
            .collect();
        let position = |wanted: &str| {
            let found = names.iter().position(|name| *name == wanted.as_bytes());
            found.ok_or_else(|| format!("expected a field {wanted}, found none"))
        };
        let (id, wnid) = (position("ILSVRC2012_ID")?, position("WNID")?);
        let mut found = HashMap::new();
        for _ in 0..self.count {
            let (mut number, mut text) = (None, None);
            for field in 0..names.len() {
                let (_, data) = element(&mut self.rest)?;
                if field == id {
                    number = Array::of(data)?.number();
                } else if field == wnid {
                    text = Some(Array::of(data)?.text()?);
                }
            }
            let (Some(number), Some(text)) = (number, text) else {
                return Err("expected a number and a WordNet id for each class".to_owned());
            };
            found.insert(number, text);
        }
        Ok(found)
    }

    /// The first value, a whole number of any type that MATLAB stores one in.
    fn number(&mut self) -> Option<u32> {
        let (kind, data) = element(&mut self.rest).ok()?;
        match (kind, data) {
            (1 | 2, &[a, ..]) => Some(a.into()),
            (3 | 4, &[a, b, ..]) => Some(u16::from_le_bytes([a, b]).into()),
            (5 | 6, &[a, b, c, d, ..]) => Some(u32::from_le_bytes([a, b, c, d])),
            (9, data) => {
                let value = f64::from_le_bytes(*data.first_chunk()?);
                (value.fract() == 0.0 && (0.0..1e9).contains(&value)).then_some(value as u32)
            }
            _ => None,
        }
    }

    fn text(&mut self) -> Result<String, String> {
        let (kind, data) = element(&mut self.rest)?;
        let characters: Vec<u8> = match kind {
            // 16 bits a character.
            4 | 17 => data.as_chunks::<2>().0.iter().map(|pair| pair[0]).collect(),
            _ => data.to_vec(),
        };
        String::from_utf8(characters).map_err(|_| "expected a text, found other bytes".to_owned())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io::Write;

    /// An element of `kind` with `data`, in the small form if it fits.
    fn element_of(kind: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        if (1..=4).contains(&data.len()) {
            bytes.extend((kind | (data.len() as u32) << 16).to_le_bytes());
            bytes.extend(data);
            bytes.resize(8, 0);
        } else {
            bytes.extend(kind.to_le_bytes());
            bytes.extend((data.len() as u32).to_le_bytes());
            bytes.extend(data);
            bytes.resize(bytes.len().next_multiple_of(8), 0);
        }
        bytes
    }

    fn array(class: u32, count: i32, name: &str, rest: &[Vec<u8>]) -> Vec<u8> {
        let flags = [class.to_le_bytes(), [0; 4]].concat();
        let sides = [count.to_le_bytes(), 1_i32.to_le_bytes()].concat();
        let head =
            [element_of(6, &flags), element_of(5, &sides), element_of(1, name.as_bytes())].concat();
        element_of(MATRIX, &[head, rest.concat()].concat())
    }

    /// A file in which 1 is n00000007 and 1000 is n00000003.
    pub(in crate::pack::source) fn file(compressed: bool) -> Vec<u8> {
        let mut names = vec![0; 3 * 32];
        for (i, name) in ["ILSVRC2012_ID", "words", "WNID"].iter().enumerate() {
            names[i * 32..][..name.len()].copy_from_slice(name.as_bytes());
        }
        let text = |text: &str| {
            let wide: Vec<u8> = text.bytes().flat_map(|byte| [byte, 0]).collect();
            array(4, text.len() as i32, "", &[element_of(4, &wide)])
        };
        let mut fields = vec![element_of(5, &32_u32.to_le_bytes()), element_of(1, &names)];
        for (id, wnid) in
            [(element_of(2, &[1]), "n00000007"), (element_of(4, &[0xE8, 3]), "n00000003")]
        {
            fields.extend([array(6, 1, "", &[id]), text("cat, feline"), text(wnid)]);
        }
        let mut bytes = b"MATLAB 5.0 MAT-file".to_vec();
        bytes.resize(124, b' ');
        bytes.extend([0, 1, b'I', b'M']);
        bytes.extend(array(6, 1, "other", &[element_of(9, &1.0_f64.to_le_bytes())]));
        let synsets = array(STRUCT, 2, "synsets", &fields);
        if compressed {
            let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), Default::default());
            zlib.write_all(&synsets).unwrap();
            let zlib = zlib.finish().unwrap();
            bytes.extend(COMPRESSED.to_le_bytes());
            bytes.extend((zlib.len() as u32).to_le_bytes());
            bytes.extend(zlib);
        } else {
            bytes.extend(synsets);
        }
        bytes
    }

    #[test]
    fn numbers_and_ids_are_read_plain_and_compressed() {
        for compressed in [false, true] {
            let found = synsets(&file(compressed)).unwrap();
            let expected = [(1, "n00000007".to_owned()), (1000, "n00000003".to_owned())];
            assert_eq!(found, HashMap::from(expected), "{compressed}");
        }
    }

    #[test]
    fn damage_is_an_error_never_a_panic() {
        for whole in [file(false), file(true)] {
            for length in 0..whole.len() - 8 {
                assert!(synsets(&whole[..length]).is_err(), "{length}");
            }
            for at in 0..whole.len() {
                for change in [1, 0x80, 0xFF] {
                    let mut bytes = whole.clone();
                    bytes[at] ^= change;
                    let _ = synsets(&bytes);
                }
            }
        }
    }
}
