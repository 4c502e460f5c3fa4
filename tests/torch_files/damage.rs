//! Every small file cut at every length and with every byte flipped: an error or the same numbers,
//! never a panic.

use crate::golden::{data, expected};
use crate::{open, values};

/// The files without numbers that are the same in all protocols.
fn files() -> impl Iterator<Item = (String, Vec<u8>)> {
    let names = expected().into_iter().map(|(name, _)| name);
    let names = names.filter(|name| !name.contains("protocol3") && !name.contains("protocol5"));
    names.map(|name| (name.clone(), std::fs::read(data(&name)).unwrap()))
}

#[test]
fn a_cut_file_is_refused() {
    for (name, bytes) in files() {
        for len in 0..bytes.len() {
            let error = open(&bytes[..len]).err().unwrap_or_else(|| panic!("{name} cut to {len}"));
            assert!(error.starts_with("w.pth: "), "{name} cut to {len}: {error}");
        }
    }
}

#[test]
fn a_flipped_byte_is_an_error_or_changes_nothing() {
    for (name, bytes) in files() {
        let whole = values(&open(&bytes).unwrap());
        // Only the checksums of archives tell that numbers have changed.
        let checked = name.starts_with("zip") && name != "zip_without_crc.pth";
        for at in 0..bytes.len() {
            for flip in [1 << (at % 8), 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] ^= flip;
                let Ok(file) = open(&bytes) else { continue };
                let found = values(&file);
                assert!(!checked || found == whole, "{name}: byte {at}");
            }
        }
    }
}
