//! Bytes of a file to an [`RgbImage`]: JPEG, PNG, GIF, WebP, BMP and TIFF, told apart by content.
//!
//! Every kind of picture becomes 8-bit RGB by a rule: grey is replicated; alpha is dropped and the
//! colour below it kept, as Pillow's `convert("RGB")` does (only the transparent pixels of a GIF are
//! black); palettes are expanded; 16-bit values
//! are divided by 257 and rounded; floats are clamped to [0, 1]; CMYK and YCCK become RGB in the
//! decoder, without a colour profile. Of an animation the first frame counts. The EXIF orientation
//! is applied.

use std::io::Cursor;
use std::path::Path;

use image::error::ImageError;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};

use super::{Error, RgbImage, jpeg};

/// How large a picture may be; checked against the header, before memory is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Pixels of the longer side.
    pub side: u32,
    /// Bytes of the decoded picture, in the file's own depth and channels.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { side: 16_384, bytes: 256 << 20 }
    }
}

/// Reads and decodes the file at `path`.
///
/// # Errors
/// [`Error`] if the file cannot be read, is not a picture, is truncated, damaged or beyond `limits`.
pub fn read_image(path: &Path, limits: &Limits) -> Result<RgbImage, Error> {
    let metadata = std::fs::metadata(path).map_err(|e| Error::io(path, e))?;
    if metadata.is_dir() {
        return Err(Error::IsFolder { path: path.to_path_buf() });
    }
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    decode(&bytes, path, limits)
}

/// Decodes `bytes`; `path` is only the name that errors carry.
///
/// # Errors
/// As for [`read_image`].
pub fn decode(bytes: &[u8], path: &Path, limits: &Limits) -> Result<RgbImage, Error> {
    let format = format_of(bytes, path)?;
    if format == ImageFormat::Jpeg && !jpeg::is_complete(bytes) {
        let detail = format!("{} bytes without an end-of-image marker", bytes.len());
        return Err(Error::Truncated { path: path.to_path_buf(), detail });
    }
    let translate = |error| translate(error, path, limits);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits.of_memory());
    let mut decoder = reader.into_decoder().map_err(translate)?;
    check_size(&decoder, path, limits)?;
    // A damaged EXIF block is no reason to refuse the picture.
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(translate)?;
    picture.apply_orientation(orientation);
    let rgb = picture.into_rgb8();
    Ok(RgbImage::new(rgb.width() as usize, rgb.height() as usize, rgb.into_raw()))
}

impl Limits {
    /// What the decoder is held to. The sides are checked here, where a message can name them.
    fn of_memory(&self) -> image::Limits {
        let mut limits = image::Limits::no_limits();
        limits.max_alloc = Some(self.bytes);
        limits
    }
}

fn format_of(bytes: &[u8], path: &Path) -> Result<ImageFormat, Error> {
    if bytes.is_empty() {
        return Err(Error::Empty { path: path.to_path_buf() });
    }
    let Ok(format) = image::guess_format(bytes) else {
        let found = bytes[..bytes.len().min(8)].escape_ascii().to_string();
        return Err(Error::NotAPicture { path: path.to_path_buf(), found: format!("\"{found}\"") });
    };
    if !format.reading_enabled() {
        return Err(Error::Unsupported {
            path: path.to_path_buf(),
            detail: format!("expected JPEG, PNG, GIF, WebP, BMP or TIFF, found {format:?}"),
        });
    }
    Ok(format)
}

fn check_size(decoder: &impl ImageDecoder, path: &Path, limits: &Limits) -> Result<(), Error> {
    let (width, height) = decoder.dimensions();
    let path = || path.to_path_buf();
    if width == 0 || height == 0 {
        let detail = format!("expected pixels, found {width}x{height}");
        return Err(Error::Damaged { path: path(), detail });
    }
    if width.max(height) > limits.side {
        let limit = format!("at most {} pixels a side", limits.side);
        return Err(Error::TooLarge { path: path(), limit, found: format!("{width}x{height}") });
    }
    if decoder.total_bytes() > limits.bytes {
        let limit = format!("at most {} bytes decoded", limits.bytes);
        let found = format!("{width}x{height}, {} bytes", decoder.total_bytes());
        return Err(Error::TooLarge { path: path(), limit, found });
    }
    Ok(())
}

fn translate(error: ImageError, path: &Path, limits: &Limits) -> Error {
    let (path, detail) = (path.to_path_buf(), error.to_string());
    match error {
        ImageError::Limits(_) => {
            let limit =
                format!("at most {} pixels a side and {} bytes decoded", limits.side, limits.bytes);
            Error::TooLarge { path, limit, found: detail }
        }
        ImageError::Unsupported(_) => Error::Unsupported { path, detail },
        ImageError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            Error::Truncated { path, detail }
        }
        _ => Error::Damaged { path, detail },
    }
}
