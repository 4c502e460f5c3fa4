//! What the WebP decoder needs to show the first frame of an animation as others do.

use std::borrow::Cow;

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
