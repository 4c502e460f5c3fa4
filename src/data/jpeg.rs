//! Is a JPEG whole? The decoder fills what is missing with grey and reports success, so the markers
//! are walked first: a file that stops before its end-of-image marker is truncated.

/// Whether the bytes of a JPEG file run up to an end-of-image marker.
///
/// Segments are skipped by their length (a thumbnail inside one has markers of its own), entropy
/// coded data up to the next marker that is neither a stuffed zero nor a restart.
pub(super) fn is_complete(bytes: &[u8]) -> bool {
    const START: u8 = 0xD8;
    const END: u8 = 0xD9;
    let mut at = 0;
    loop {
        // To the next marker: 0xFF bytes, as many as there are, then a code.
        let Some(skip) = bytes[at..].iter().position(|&b| b == 0xFF) else { return false };
        at += skip;
        let Some(skip) = bytes[at..].iter().position(|&b| b != 0xFF) else { return false };
        let code = bytes[at + skip];
        at += skip + 1;
        match code {
            END => return true,
            // Stuffed zero, TEM, restarts, start: no segment follows.
            0x00 | 0x01 | 0xD0..=0xD7 | START => {}
            _ => {
                let Some(length) = bytes.get(at..at + 2) else { return false };
                at += usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
                if at >= bytes.len() {
                    return false;
                }
            }
        }
    }
}
