//! What the WebP decoder does not see to: whether a file is whole, and the colours below the transparent
//! pixels of an animation's first frame.
//!
//! The decoder takes memory for a chunk of metadata before it looks whether the bytes are there, and
//! does without an EXIF orientation that was cut off; so the chunks are walked first.

use std::borrow::Cow;

/// The bytes of the RIFF container, if they and all chunks that are announced in them are there.
pub(super) fn image(bytes: &[u8]) -> Option<&[u8]> {
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

/// The bytes of a WebP file, its first frame marked as one that overwrites the canvas.
///
/// A frame that is blended with the canvas, which is empty at first, comes out of the decoder without
/// the colours below its transparent pixels; elsewhere they are kept.
pub(super) fn overwriting(bytes: &[u8]) -> Cow<'_, [u8]> {
    const FLAGS: usize = 15;
    const DO_NOT_BLEND: u8 = 2;
    let mut bytes = Cow::Borrowed(bytes);
    let mut at = 12;
    // Chunks: a name, the length of what follows, which is filled up to an even length.
    while let Some(&[a, b, c, d, l0, l1, l2, l3]) = bytes.get(at..at + 8) {
        let data = at + 8;
        if [a, b, c, d] == *b"ANMF" {
            if let Some(&flags) = bytes.get(data + FLAGS) {
                bytes.to_mut()[data + FLAGS] = flags | DO_NOT_BLEND;
            }
            break;
        }
        at = data + (u32::from_le_bytes([l0, l1, l2, l3]) as usize).next_multiple_of(2);
    }
    bytes
}

/// The length after a chunk's four letters.
fn length([_, _, _, _, length @ ..]: &[u8; 8]) -> usize {
    u32::from_le_bytes(*length) as usize
}
