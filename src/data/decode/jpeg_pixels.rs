//! The pixels of a JPEG. Usual layouts go to a decoder that is fast; the others, about which it may be
//! wrong, to `jpeg-decoder`, which is right about them or says so. Either way a file whose end marker is
//! missing is read if nothing of the image is missing besides.

use std::path::Path;

use image::metadata::Orientation;
use jpeg_decoder::{ColorTransform, Decoder, Error as DecoderError, PixelFormat};

#[cfg(feature = "libjpeg-turbo")]
use super::JpegDecoder;
use super::Limits;
use super::jpeg::{Colours, Survey, truncated};
use super::jpeg_usual;
use super::library::upright;
use super::limits::check_size;
use crate::data::{Error, RgbImage, Window};

/// Decodes `bytes`; `path` is only the name that errors carry.
pub(super) fn decode(bytes: &[u8], path: &Path, limits: &Limits) -> Result<RgbImage, Error> {
    let survey = Survey::of(bytes, path)?;
    let pixels = match survey.open_end {
        None => pixels(&survey, bytes, None, path, limits)?,
        Some(end) => pixels_without_end(&survey, bytes, end, path, limits)?,
    };
    Ok(upright(pixels, orientation(&survey)))
}

/// As [`decode`], of which only a part is wanted, and may be all that is computed. `choose` says of the size which; it
/// is called again where the size turns out to be another.
pub(super) fn decode_part(
    bytes: &[u8],
    path: &Path,
    limits: &Limits,
    choose: &mut dyn FnMut([usize; 2]) -> Window,
) -> Result<RgbImage, Error> {
    let survey = Survey::of(bytes, path)?;
    let size = [survey.width, survey.height].map(usize::from);
    let upright = orientation(&survey) == Orientation::NoTransforms;
    let chosen = upright && survey.open_end.is_none() && !size.contains(&0);
    let image = if chosen {
        let pixels = pixels(&survey, bytes, Some(choose(size)), path, limits)?;
        RgbImage::new(pixels.width() as usize, pixels.height() as usize, pixels.into_raw())
    } else {
        decode(bytes, path, limits)?
    };
    let found = [image.width(), image.height()];
    if !chosen || found != size {
        choose(found);
    }
    Ok(image)
}

/// A damaged EXIF block is no reason to refuse the image.
fn orientation(survey: &Survey<'_>) -> Orientation {
    let stated = survey.exif.and_then(Orientation::from_exif_chunk);
    stated.unwrap_or(Orientation::NoTransforms)
}

/// Whether `bytes` are a JPEG that every program shows alike: whole, upright, grey or of three components, in
/// one of the usual layouts. Its pixels may still be damaged.
pub fn is_plain_jpeg(bytes: &[u8]) -> bool {
    const START: &[u8] = b"\xFF\xD8\xFF";
    let Ok(survey) = Survey::of(bytes, Path::new("")) else { return false };
    bytes.starts_with(START)
        && survey.open_end.is_none()
        && survey.width > 0
        && survey.is_usual()
        && !matches!(survey.colours(), Colours::Cmyk | Colours::Ycck)
        && orientation(&survey) == Orientation::NoTransforms
}

/// All pixels, or at least those in `wanted`.
fn pixels(
    survey: &Survey<'_>,
    bytes: &[u8],
    wanted: Option<Window>,
    path: &Path,
    limits: &Limits,
) -> Result<image::RgbImage, Error> {
    if !survey.is_usual() || survey.is_of_disputed_colours() {
        return unusual(survey, bytes, path, limits);
    }
    #[cfg(feature = "libjpeg-turbo")]
    if limits.decoder == JpegDecoder::LibjpegTurbo && !survey.is_in_inks() {
        return jpeg_usual::by_turbo(survey, bytes, path, limits);
    }
    jpeg_usual::by_rust(survey, bytes, wanted, path, limits)
}

/// The pixels of a file that ends, or goes on with something else, where the end marker should be.
///
/// A decoder does not say where the data of a scan end, and fills up what is missing. So what is there
/// is decoded twice, followed by different bits: where they make a difference, something is missing.
fn pixels_without_end(
    survey: &Survey<'_>,
    bytes: &[u8],
    end: usize,
    path: &Path,
    limits: &Limits,
) -> Result<image::RgbImage, Error> {
    /// Enough that a decoder that is short of data takes some of them for pixels.
    const FILL: usize = 64;
    /// Bytes that must follow the data: a file that merely ends there was cut off, to Pillow, too.
    const TRAILER: usize = 8;
    // Zeros at the end of a file count as no data, even if they could be: a copy that was cut off may be
    // filled up with them.
    let zeros = bytes.iter().rev().take_while(|&&byte| byte == 0).count();
    let zeros = if end == bytes.len() { zeros } else { 0 };
    let follow = bytes.len() - end + zeros;
    let data = &bytes[..(end - zeros).saturating_sub(TRAILER.saturating_sub(follow))];
    let followed_by = |fill: &[u8]| [data, fill, &[0xFF, 0xD9]].concat();
    let decoded =
        [0x00, 0xFE].map(|fill| unusual(survey, &followed_by(&[fill; FILL]), path, limits));
    match decoded {
        [Ok(image), Ok(other)] if image == other => {
            pixels(survey, &followed_by(&[]), None, path, limits)
        }
        [Err(error @ (Error::TooLarge { .. } | Error::Unsupported { .. })), _] => Err(error),
        _ => Err(truncated(bytes, path)),
    }
}

/// The pixels of any layout, by the decoder for those that are rare.
fn unusual(
    survey: &Survey<'_>,
    bytes: &[u8],
    path: &Path,
    limits: &Limits,
) -> Result<image::RgbImage, Error> {
    let colours = survey.colours();
    let (width, height) = (u32::from(survey.width), u32::from(survey.height));
    let depth = if survey.is_in_inks() { 4 } else { 3 };
    check_size(width, height, depth, path, limits)?;
    let unsupported = || {
        let detail = format!("JPEG with sampling factors {}", survey.sampling());
        Error::Unsupported { path: path.to_path_buf(), detail }
    };
    if survey.is_uneven() {
        return Err(unsupported());
    }
    let mut decoder = Decoder::new(bytes);
    decoder.set_max_decoding_buffer_size(limits.bytes.try_into().unwrap_or(usize::MAX));
    decoder.set_color_transform(match colours {
        Colours::Grey => ColorTransform::Grayscale,
        Colours::Rgb => ColorTransform::RGB,
        Colours::YCbCr => ColorTransform::YCbCr,
        Colours::Cmyk => ColorTransform::CMYK,
        Colours::Ycck => ColorTransform::YCCK,
    });
    let translate = |error: DecoderError| {
        let (path, detail) = (path.to_path_buf(), error.to_string());
        match error {
            DecoderError::Unsupported(_) => unsupported(),
            DecoderError::Io(_) => Error::Truncated { path, detail },
            _ => Error::Damaged { path, detail },
        }
    };
    let pixels = decoder.decode().map_err(translate)?;
    let rgb = match decoder.info().map(|info| info.pixel_format) {
        Some(PixelFormat::RGB24) => pixels,
        Some(PixelFormat::L8) => pixels.into_iter().flat_map(|grey| [grey; 3]).collect(),
        // The decoder has turned the inks, which are stored inverted.
        Some(PixelFormat::CMYK32) => {
            let white = |ink: u8| u32::from(255 - ink);
            let pixels = pixels.as_chunks::<4>().0.iter();
            let rgb = pixels.map(|&[c, m, y, k]| {
                [c, m, y].map(|ink| ((white(ink) * white(k) + 127) / 255) as u8)
            });
            rgb.collect::<Vec<_>>().into_flattened()
        }
        _ => {
            let detail = "JPEG of more than 8 bits".to_owned();
            return Err(Error::Unsupported { path: path.to_path_buf(), detail });
        }
    };
    image::RgbImage::from_raw(width, height, rgb).ok_or_else(|| Error::Damaged {
        path: path.to_path_buf(),
        detail: format!("expected {width}x{height} pixels, found others"),
    })
}
