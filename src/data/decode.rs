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

use super::{Error, RgbImage, jpeg, webp};

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
    let bytes = whole(bytes, format)
        .map_err(|detail| Error::Truncated { path: path.to_path_buf(), detail })?;
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

/// The bytes of the picture, unless the file is cut where the decoder would not notice.
fn whole(bytes: &[u8], format: ImageFormat) -> Result<&[u8], String> {
    let len = bytes.len();
    match format {
        ImageFormat::Jpeg if !jpeg::is_complete(bytes) => {
            Err(format!("{len} bytes without an end-of-image marker"))
        }
        ImageFormat::WebP => webp::picture(bytes)
            .ok_or_else(|| format!("{len} bytes, fewer than its chunks announce")),
        _ => Ok(bytes),
    }
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
    // Some decoders' messages have several lines.
    let detail = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    let path = path.to_path_buf();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Rng;

    const FORMATS: [ImageFormat; 6] = [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::Gif,
        ImageFormat::WebP,
        ImageFormat::Bmp,
        ImageFormat::Tiff,
    ];

    fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.into().write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn gradient() -> image::RgbImage {
        image::RgbImage::from_fn(23, 17, |x, y| image::Rgb([x as u8 * 9, y as u8 * 11, 99]))
    }

    fn decode(bytes: &[u8]) -> Result<RgbImage, Error> {
        super::decode(bytes, Path::new("a.xyz"), &Limits::default())
    }

    #[test]
    fn content_decides_the_format() {
        for format in FORMATS {
            let image = decode(&encoded(gradient(), format)).unwrap();
            assert_eq!((image.width(), image.height()), (23, 17), "{format:?}");
            if !matches!(format, ImageFormat::Jpeg | ImageFormat::Gif) {
                assert_eq!(image.pixels(), gradient().as_raw(), "{format:?}");
            }
        }
    }

    #[test]
    fn other_channels_and_depths_become_rgb() {
        let pixel = |picture: DynamicImage| {
            decode(&encoded(picture, ImageFormat::Png)).unwrap().pixels().to_vec()
        };
        let grey = image::GrayImage::from_pixel(1, 1, image::Luma([77]));
        assert_eq!(pixel(grey.into()), [77; 3]);
        let grey_alpha = image::GrayAlphaImage::from_pixel(1, 1, image::LumaA([77, 3]));
        assert_eq!(pixel(grey_alpha.into()), [77; 3]);
        let alpha = image::RgbaImage::from_pixel(1, 1, image::Rgba([1, 2, 3, 0]));
        assert_eq!(pixel(alpha.into()), [1, 2, 3]);
        // 257 v is v of 255, and halves of a step are rounded.
        let deep =
            image::ImageBuffer::from_pixel(1, 1, image::Rgb([65535_u16, 257 * 9 + 128, 128]));
        assert_eq!(pixel(DynamicImage::ImageRgb16(deep)), [255, 9, 0]);
    }

    #[test]
    fn what_is_no_picture_is_named() {
        let message = |bytes| decode(bytes).unwrap_err().to_string();
        assert_eq!(message(b""), "a.xyz: expected a picture, found an empty file");
        assert_eq!(
            message(b"hello, world"),
            "a.xyz: expected a picture, found a file that starts with \"hello, w\""
        );
        assert!(matches!(decode(b"P6 1 1 255\n123"), Err(Error::Unsupported { .. })));
    }

    #[test]
    fn limits_hold_before_memory_is_taken() {
        let bytes = encoded(gradient(), ImageFormat::Png);
        let decode = |limits| super::decode(&bytes, Path::new("a.png"), &limits);
        let exact = Limits { side: 23, bytes: 23 * 17 * 3 };
        assert!(decode(exact).is_ok());
        let narrow = decode(Limits { side: 22, ..exact }).unwrap_err();
        assert_eq!(
            narrow.to_string(),
            "a.png: picture too large: expected at most 22 pixels a side, found 23x17"
        );
        let small = decode(Limits { bytes: exact.bytes - 1, ..exact }).unwrap_err();
        assert!(matches!(small, Error::TooLarge { .. }), "{small}");
    }

    #[test]
    fn a_jpeg_cut_anywhere_is_an_error() {
        let bytes = encoded(gradient(), ImageFormat::Jpeg);
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
        }
        // What follows the picture does not matter.
        assert!(decode(&[&bytes[..], b"more"].concat()).is_ok());
    }

    #[test]
    fn damage_never_panics() {
        let mut rng = Rng::named(0, "damage");
        for format in FORMATS {
            let whole = encoded(gradient(), format);
            for _ in 0..300 {
                let mut bytes = whole.clone();
                for _ in 0..=rng.below(4) {
                    let at = rng.below(bytes.len());
                    bytes[at] = rng.next_u64() as u8;
                }
                bytes.truncate(bytes.len() - rng.below(2) * rng.below(bytes.len()));
                let _ = decode(&bytes);
            }
        }
    }
}
