//! How images are decoded: how large one may be, and by which decoder.

use std::path::Path;

use super::JpegDecoder;
use crate::data::Error;

/// How large an image may be, checked against the header, before memory is allocated; and who decodes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Pixels of the longer side.
    pub side: u32,
    /// Bytes of the decoded image, in the file's own depth and channels, and of the file itself.
    pub bytes: u64,
    /// Which decoder reads JPEGs.
    pub decoder: JpegDecoder,
}

impl Default for Limits {
    fn default() -> Self {
        Self { side: 16_384, bytes: 256 << 20, decoder: JpegDecoder::Rust }
    }
}

/// Refuses an image without pixels, and one beyond `limits`; `depth` is bytes a pixel.
pub(in crate::data) fn check_size(
    width: u32,
    height: u32,
    depth: u64,
    path: &Path,
    limits: &Limits,
) -> Result<(), Error> {
    let path = || path.to_path_buf();
    if width == 0 || height == 0 {
        let detail = format!("expected pixels, found {width}x{height}");
        return Err(Error::Damaged { path: path(), detail });
    }
    if width.max(height) > limits.side {
        let limit = format!("at most {} pixels per side", limits.side);
        return Err(Error::TooLarge { path: path(), limit, found: format!("{width}x{height}") });
    }
    let bytes = u128::from(width) * u128::from(height) * u128::from(depth);
    if bytes > limits.bytes.into() {
        let limit = format!("at most {} bytes decoded", limits.bytes);
        let found = format!("{width}x{height}, {bytes} bytes");
        return Err(Error::TooLarge { path: path(), limit, found });
    }
    Ok(())
}
