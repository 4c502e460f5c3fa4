//! The pixels of JPEGs of usual layouts, by the decoder that was asked for. All are fed with the file's
//! bytes as they lie and write to where the pixels stay.

use std::path::Path;

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::errors::DecodeErrors;

use super::jpeg::{Colours, Survey};
use super::limits::check_size;
use super::{Limits, baseline};
use crate::data::{Error, Window};

/// The pixels of `bytes`, which `Survey::is_usual`: all of them, or those in `wanted`.
pub(super) fn by_rust(
    survey: &Survey<'_>,
    bytes: &[u8],
    wanted: Option<Window>,
    path: &Path,
    limits: &Limits,
) -> Result<image::RgbImage, Error> {
    let (width, height) = (survey.width.into(), survey.height.into());
    let depth = if survey.colours() == Colours::Grey { 1 } else { 3 };
    let fits = check_size(width, height, depth, path, limits).is_ok();
    if fits && survey.is_plain_in_colour() {
        let size = [survey.width, survey.height].map(usize::from);
        let pixels = baseline::decode(bytes, size, wanted);
        if let Some(image) = pixels.and_then(|p| image::RgbImage::from_raw(width, height, p)) {
            return Ok(image);
        }
    }
    by_zune(bytes, path, limits)
}

/// The same, all of them, by the decoder that knows every usual layout.
pub(super) fn by_zune(
    bytes: &[u8],
    path: &Path,
    limits: &Limits,
) -> Result<image::RgbImage, Error> {
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX);
    let translate = |error| translate(error, path, limits);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(translate)?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let (width, height) = (width as u32, height as u32);
    let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    check_size(width, height, if grey { 1 } else { 3 }, path, limits)?;
    let colours = if grey { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(options.jpeg_set_out_colorspace(colours));
    let pixels = decoder.decode().map_err(translate)?;
    let pixels = if grey { in_three(&pixels) } else { pixels };
    whole(width, height, pixels, path)
}

/// The same by libjpeg-turbo, which knows no CMYK: always all of them. What it complains of it leaves to the other
/// decoder, so that both read the same files: a warning may be of bytes that do no harm, or of data that end early,
/// which Pillow takes, too.
#[cfg(feature = "libjpeg-turbo")]
pub(super) fn by_turbo(
    survey: &Survey<'_>,
    bytes: &[u8],
    path: &Path,
    limits: &Limits,
) -> Result<image::RgbImage, Error> {
    let (width, height) = (usize::from(survey.width), usize::from(survey.height));
    let depth = if survey.colours() == Colours::Grey { 1 } else { 3 };
    check_size(survey.width.into(), survey.height.into(), depth, path, limits)?;
    let mut pixels = vec![0; width * height * 3];
    let format = turbojpeg::PixelFormat::RGB;
    let image =
        turbojpeg::Image { pixels: &mut pixels[..], width, height, pitch: width * 3, format };
    let decoder = turbojpeg::Decompressor::new();
    match decoder.and_then(|mut decoder| decoder.decompress(bytes, image)) {
        Ok(()) => whole(survey.width.into(), survey.height.into(), pixels, path),
        Err(_) => by_rust(survey, bytes, None, path, limits),
    }
}

/// Every byte three times.
fn in_three(grey: &[u8]) -> Vec<u8> {
    let mut pixels = vec![0; grey.len() * 3];
    pixels.as_chunks_mut::<3>().0.iter_mut().zip(grey).for_each(|(to, &grey)| *to = [grey; 3]);
    pixels
}

fn whole(width: u32, height: u32, pixels: Vec<u8>, path: &Path) -> Result<image::RgbImage, Error> {
    image::RgbImage::from_raw(width, height, pixels).ok_or_else(|| Error::Damaged {
        path: path.to_path_buf(),
        detail: format!("expected {width}x{height} pixels, found others"),
    })
}

fn translate(error: DecodeErrors, path: &Path, limits: &Limits) -> Error {
    // Some messages have several lines.
    let detail = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    let path = path.to_path_buf();
    match error {
        DecodeErrors::Unsupported(_) => Error::Unsupported { path, detail },
        DecodeErrors::LargeDimensions(_) => {
            let limit = format!("at most {} pixels per side", limits.side);
            Error::TooLarge { path, limit, found: detail }
        }
        _ => Error::Damaged { path, detail },
    }
}
