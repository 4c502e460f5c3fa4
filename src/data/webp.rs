//! Is a WebP whole? The decoder takes memory for a chunk of metadata before it looks whether the bytes
//! are there, and does without an EXIF orientation that was cut off; so the chunks are walked first.

/// The bytes of the RIFF container, if they and all chunks that are announced in them are there.
pub(super) fn picture(bytes: &[u8]) -> Option<&[u8]> {
    let riff = bytes.get(..length(bytes.first_chunk()?).checked_add(8)?)?;
    let mut rest = riff.get(12..)?;
    while let Some((head, content)) = rest.split_first_chunk() {
        let length = length(head);
        if length > content.len() {
            return None;
        }
        // A frame of an animation is sizes and then chunks.
        let skip = if head.starts_with(b"ANMF") { 16 } else { length.next_multiple_of(2) };
        rest = content.get(skip..).unwrap_or_default();
    }
    Some(riff)
}

/// The length after a chunk's four letters.
fn length([_, _, _, _, length @ ..]: &[u8; 8]) -> usize {
    u32::from_le_bytes(*length) as usize
}
