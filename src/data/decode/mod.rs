//! Bytes of a file to an [`RgbImage`]: JPEG, PNG, GIF, WebP, BMP and TIFF, told apart by content.
//!
//! Every kind of image becomes 8-bit RGB by a rule: grey is replicated; alpha is dropped and the
//! colour below it kept, as Pillow's `convert("RGB")` does; palettes are expanded; 16-bit values are
//! divided by 257 and rounded; floats are clamped to [0, 1]; CMYK and YCCK become RGB in the decoder,
//! without a colour profile. Of an animation the first frame counts, of several pages the first. The
//! EXIF orientation is applied. `docs/formats.md` has all of it, with the differences to Pillow.

mod baseline;
mod decoder;
mod foreign;
mod gif;
mod jpeg;
mod jpeg_pixels;
mod jpeg_usual;
mod library;
pub(super) mod limits;
pub(super) mod regular;
mod webp;

use std::io::Read;
use std::path::Path;

use image::ImageFormat;

use super::{Error, RgbImage, Window};
pub use decoder::{JpegDecoder, NoDecoder};
pub use jpeg_pixels::is_plain_jpeg;
use library::{by_library, upright};
pub use limits::Limits;

/// Reads and decodes the file at `path`.
///
/// # Errors
/// [`Error`] if the file cannot be read, is not an image, is of an unsupported kind, truncated,
/// damaged or beyond `limits`.
pub fn read_image(path: impl AsRef<Path>, limits: &Limits) -> Result<RgbImage, Error> {
    let path = path.as_ref();
    read_image_from(regular::open(path)?, path, limits)
}

/// Reads `reader` to its end and decodes what it gives; `path` is only the name that errors carry.
///
/// # Errors
/// As for [`read_image`].
pub fn read_image_from(reader: impl Read, path: &Path, limits: &Limits) -> Result<RgbImage, Error> {
    decode(&read_bytes(reader, path, limits)?, path, limits)
}

/// What `reader` gives, if it is no more than `limits` allow for a file.
pub(super) fn read_bytes(
    reader: impl Read,
    path: &Path,
    limits: &Limits,
) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut reader = reader.take(limits.bytes.saturating_add(1));
    reader.read_to_end(&mut bytes).map_err(|e| Error::io(path, e))?;
    if bytes.len() as u64 > limits.bytes {
        let limit = format!("a file of at most {} bytes", limits.bytes);
        return Err(Error::TooLarge { path: path.to_path_buf(), limit, found: "more".to_owned() });
    }
    Ok(bytes)
}

/// Decodes `bytes`; `path` is only the name that errors carry.
///
/// # Errors
/// As for [`read_image`].
pub fn decode(bytes: &[u8], path: impl AsRef<Path>, limits: &Limits) -> Result<RgbImage, Error> {
    let path = path.as_ref();
    let format = format_of(bytes, path)?;
    let bytes = match format {
        ImageFormat::Gif => return gif::decode(bytes, path, limits),
        ImageFormat::Jpeg => return jpeg_pixels::decode(bytes, path, limits),
        ImageFormat::WebP => {
            webp::overwriting(webp::image(bytes).ok_or_else(|| Error::Truncated {
                path: path.to_path_buf(),
                detail: format!("{} bytes, fewer than its chunks announce", bytes.len()),
            })?)
        }
        _ => bytes.into(),
    };
    let (rgb, orientation) = by_library(bytes, format, path, limits)?;
    Ok(upright(rgb, orientation))
}

/// As [`decode`], of which only a part is wanted: `choose` says of the size (width, height) which. Pixels outside may be
/// black instead, where decoding less takes less time. `choose` is called once, and again if the size turns out to
/// be another; the last call counts.
///
/// # Errors
/// As for [`read_image`]; `choose` may have been called.
///
/// # Panics
/// If `choose` returns a window that is empty or not inside the image.
pub fn decode_part(
    bytes: &[u8],
    path: impl AsRef<Path>,
    limits: &Limits,
    choose: &mut dyn FnMut([usize; 2]) -> Window,
) -> Result<RgbImage, Error> {
    let path = path.as_ref();
    if format_of(bytes, path)? == ImageFormat::Jpeg {
        return jpeg_pixels::decode_part(bytes, path, limits, choose);
    }
    let image = decode(bytes, path, limits)?;
    choose([image.width(), image.height()]);
    Ok(image)
}

fn format_of(bytes: &[u8], path: &Path) -> Result<ImageFormat, Error> {
    if bytes.is_empty() {
        return Err(Error::Empty { path: path.to_path_buf() });
    }
    if let Some(found) = foreign::format(bytes) {
        let detail = format!("{found}, a format that is not read here; convert it to JPEG or PNG");
        return Err(Error::Unsupported { path: path.to_path_buf(), detail });
    }
    if bytes.starts_with(b"II+\0") || bytes.starts_with(b"MM\0+") {
        return Ok(ImageFormat::Tiff); // BigTIFF, whose first bytes the library does not know.
    }
    match image::guess_format(bytes) {
        Ok(format) if format == ImageFormat::Gif || format.reading_enabled() => Ok(format),
        Ok(format) => Err(Error::Unsupported {
            path: path.to_path_buf(),
            detail: format!("expected JPEG, PNG, GIF, WebP, BMP or TIFF, found {format:?}"),
        }),
        Err(_) => Err(Error::NotAImage {
            path: path.to_path_buf(),
            found: foreign::no_image(bytes).map_or_else(
                || {
                    let start = bytes[..bytes.len().min(8)].escape_ascii();
                    format!("a file that starts with \"{start}\"")
                },
                str::to_owned,
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Rng;
    use image::DynamicImage;
    use std::io::Cursor;

    const FORMATS: [ImageFormat; 5] = [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::WebP,
        ImageFormat::Bmp,
        ImageFormat::Tiff,
    ];

    fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.into().write_to(&mut bytes, format).unwrap();
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
            if format != ImageFormat::Jpeg {
                assert_eq!(image.pixels(), gradient().as_raw(), "{format:?}");
            }
        }
    }

    #[test]
    fn other_channels_and_depths_become_rgb() {
        let pixel = |image: DynamicImage| {
            decode(&encoded(image, ImageFormat::Png)).unwrap().pixels().to_vec()
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
    fn what_is_no_image_is_named() {
        let message = |bytes| decode(bytes).unwrap_err().to_string();
        assert_eq!(message(b""), "a.xyz: expected an image, found an empty file");
        assert_eq!(
            message(b"hello, world"),
            "a.xyz: expected an image, found a file that starts with \"hello, w\""
        );
        assert!(matches!(decode(b"P6 1 1 255\n123"), Err(Error::Unsupported { .. })));
    }

    #[test]
    fn limits_hold_before_memory_is_taken() {
        let bytes = encoded(gradient(), ImageFormat::Png);
        let decode = |limits| super::decode(&bytes, Path::new("a.png"), &limits);
        let exact = Limits { side: 23, bytes: 23 * 17 * 3, ..Limits::default() };
        assert!(decode(exact).is_ok());
        let narrow = decode(Limits { side: 22, ..exact }).unwrap_err();
        assert_eq!(
            narrow.to_string(),
            "a.png: image too large: expected at most 22 pixels per side, found 23x17"
        );
        let small = decode(Limits { bytes: exact.bytes - 1, ..exact }).unwrap_err();
        assert!(matches!(small, Error::TooLarge { .. }), "{small}");
    }

    #[test]
    fn what_is_read_is_limited() {
        let bytes = encoded(gradient(), ImageFormat::Jpeg);
        let limits = Limits { bytes: 23 * 17 * 3, ..Limits::default() };
        let read = |reader: &mut dyn Read| read_image_from(reader, Path::new("-"), &limits);
        assert!(bytes.len() < 23 * 17 * 3 && read(&mut &bytes[..]).is_ok());
        assert_eq!(
            read(&mut std::io::repeat(0)).unwrap_err().to_string(),
            "-: image too large: expected a file of at most 1173 bytes, found more"
        );
    }

    #[test]
    fn a_jpeg_of_too_many_scans_is_refused() {
        let bytes = encoded(gradient(), ImageFormat::Jpeg);
        let scan = bytes.windows(2).position(|pair| pair == [0xFF, 0xDA]).unwrap();
        let (head, scan) = bytes[..bytes.len() - 2].split_at(scan);
        let error = decode(&[head, &scan.repeat(101), &[0xFF, 0xD9]].concat()).unwrap_err();
        assert!(error.to_string().contains("at most 100 scans"), "{error}");
    }

    #[test]
    fn a_jpeg_cut_anywhere_is_an_error() {
        let bytes = encoded(gradient(), ImageFormat::Jpeg);
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
        }
        // What follows the image does not matter.
        assert!(decode(&[&bytes[..], b"more"].concat()).is_ok());
    }

    #[test]
    fn a_part_is_that_of_the_whole_image_in_every_format() {
        let mut formats = FORMATS.map(|format| encoded(gradient(), format)).to_vec();
        // A JPEG that is turned by its EXIF block, which stands after the start.
        let jpeg = formats[0].clone();
        let exif = b"\xFF\xE1\0\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        formats.push([&jpeg[..2], exif, &jpeg[2..]].concat());
        for bytes in formats {
            let whole = decode(&bytes).unwrap();
            let mut asked = Vec::new();
            let wanted = Window { left: 3, top: 5, width: 9, height: 11 };
            let part = decode_part(&bytes, "a.xyz", &Limits::default(), &mut |size| {
                asked.push(size);
                wanted
            });
            let part = part.unwrap();
            assert_eq!(asked, [[whole.width(), whole.height()]]);
            for y in wanted.top..wanted.top + wanted.height {
                let [part, whole] = [&part, &whole].map(|image| image.row(y)[9..36].to_vec());
                assert_eq!(part, whole);
            }
        }
        let turned = decode(&[&jpeg[..2], exif, &jpeg[2..]].concat()).unwrap();
        assert_eq!((turned.width(), turned.height()), (17, 23));
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
                let all = |[width, height]: [usize; 2]| Window::all(width, height);
                let _ = decode_part(&bytes, "a.xyz", &Limits::default(), &mut { all });
            }
        }
    }
}
