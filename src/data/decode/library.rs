//! Decoding by the `image` crate, which knows most formats: its errors in our words, its pixels as ours.

use std::borrow::Cow;
use std::io::Cursor;
use std::path::Path;

use image::error::{ImageError, UnsupportedErrorKind};
use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageFormat, ImageReader};

use super::Limits;
use super::limits::check_size;
use crate::data::{Error, RgbImage};

/// What the `image` crate makes of `bytes`, and the orientation that they state.
pub(super) fn by_library(
    bytes: Cow<'_, [u8]>,
    format: ImageFormat,
    path: &Path,
    limits: &Limits,
) -> Result<(image::RgbImage, Orientation), Error> {
    let translate = |error| translate(error, path, limits);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits.of_memory());
    let mut decoder = reader.into_decoder().map_err(translate)?;
    let (width, height) = decoder.dimensions();
    check_size(width, height, decoder.color_type().bytes_per_pixel().into(), path, limits)?;
    // A damaged EXIF block is no reason to refuse the image.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    Ok((DynamicImage::from_decoder(decoder).map_err(translate)?.into_rgb8(), orientation))
}

/// The image turned as `orientation` says.
pub(super) fn upright(rgb: image::RgbImage, orientation: Orientation) -> RgbImage {
    let mut image = DynamicImage::from(rgb);
    image.apply_orientation(orientation);
    let rgb = image.into_rgb8();
    RgbImage::new(rgb.width() as usize, rgb.height() as usize, rgb.into_raw())
}

impl Limits {
    /// What the decoder is held to. The sides are checked here, where a message can name them.
    fn of_memory(&self) -> image::Limits {
        let mut limits = image::Limits::no_limits();
        limits.max_alloc = Some(self.bytes);
        limits
    }
}

fn translate(error: ImageError, path: &Path, limits: &Limits) -> Error {
    // Some decoders' messages have several lines.
    let detail = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    let path = path.to_path_buf();
    match error {
        ImageError::Limits(_) => {
            let limit = format!(
                "at most {} pixels per side and {} bytes decoded",
                limits.side, limits.bytes
            );
            Error::TooLarge { path, limit, found: detail }
        }
        ImageError::Unsupported(error) => match error.kind() {
            UnsupportedErrorKind::Color(ExtendedColorType::Unknown(bits)) => Error::Unsupported {
                path,
                detail: format!("{} pixels of {bits} bits", error.format_hint()),
            },
            _ => Error::Unsupported { path, detail },
        },
        ImageError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            Error::Truncated { path, detail }
        }
        _ => Error::Damaged { path, detail },
    }
}
