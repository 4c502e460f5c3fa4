//! Can this JPEG be decoded whole? The markers are walked before the decoder runs: it fills what is
//! missing with grey and reports success, and it gives wrong reasons for the kinds it does not know.

use std::path::Path;

use super::Error;

/// Scans of an image that are decoded. Encoders write about ten; every one of them is a pass over
/// all pixels, for which a file needs only a few bytes.
const MAX_SCANS: usize = 100;

/// Refuses a file that ends before an end-of-image marker, and kinds of JPEG that are not decoded.
///
/// Segments are skipped by their length (a thumbnail inside one has markers of its own), entropy
/// coded data up to the next marker that is neither a stuffed zero nor a restart.
pub(super) fn check(bytes: &[u8], path: &Path) -> Result<(), Error> {
    const START: u8 = 0xD8;
    const END: u8 = 0xD9;
    const SCAN: u8 = 0xDA;
    let path = || path.to_path_buf();
    let truncated = || {
        let detail = format!("{} bytes without an end-of-image marker", bytes.len());
        Error::Truncated { path: path(), detail }
    };
    let mut at = 0;
    let mut scans = 0;
    loop {
        // To the next marker: 0xFF bytes, as many as there are, then a code.
        at += bytes[at..].iter().position(|&b| b == 0xFF).ok_or_else(truncated)?;
        at += bytes[at..].iter().position(|&b| b != 0xFF).ok_or_else(truncated)?;
        let code = bytes[at];
        at += 1;
        match code {
            END => return Ok(()),
            // Stuffed zero, TEM, restarts, start: no segment follows.
            0x00 | 0x01 | 0xD0..=0xD7 | START => continue,
            SCAN => scans += 1,
            _ => {}
        }
        let segment = bytes.get(at..at + 3).ok_or_else(truncated)?;
        if let Some(found) = unsupported(code, segment[2]) {
            let detail =
                format!("expected a baseline or progressive JPEG of 8 bits, found {found}");
            return Err(Error::Unsupported { path: path(), detail });
        }
        if scans > MAX_SCANS {
            let detail = format!("expected at most {MAX_SCANS} scans, found more");
            return Err(Error::Damaged { path: path(), detail });
        }
        at += usize::from(u16::from_be_bytes([segment[0], segment[1]])).max(2);
        if at >= bytes.len() {
            return Err(truncated());
        }
    }
}

/// What is not decoded about a frame that starts with marker `code` and has `bits` a sample.
fn unsupported(code: u8, bits: u8) -> Option<String> {
    match code {
        0xC0..=0xC2 if bits != 8 => Some(format!("{bits} bits")),
        0xC3 | 0xCB => Some("lossless coding".to_owned()),
        0xC9 | 0xCA => Some("arithmetic coding".to_owned()),
        0xC5..=0xC7 | 0xCD..=0xCF => Some("hierarchical coding".to_owned()),
        _ => None,
    }
}
