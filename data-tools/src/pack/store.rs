//! What a shard holds for an image: its own bytes where they serve, else the image made smaller and encoded
//! anew. It is a pure function of the image and the settings.

use std::borrow::Cow;
use std::path::Path;

use image::ImageFormat;
use resnet_cpu::RgbImage;
use resnet_cpu::data::shards::{RawImage, Record};
use resnet_cpu::data::{Dataset, Error, Limits, View, Window, decode_part, is_plain_jpeg, resize};

use super::encode::jpeg;

/// How images that are not taken as they are are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// JPEG, in 4:4:4
    Jpeg,
    /// Binary PPM: the pixels themselves, several times as large, which need no decoding
    Raw,
}

/// How the images of a part are stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// The shorter side of larger images is made this long; none if images stay as they are.
    pub(super) shorter_side: Option<usize>,
    pub(super) format: Format,
    /// Of JPEG, 1 to 100.
    pub(super) quality: u8,
    /// What part of the stored image is measured, if any is.
    pub(super) view: Option<View>,
}

/// An image as it goes into a shard.
#[derive(Debug)]
pub(super) struct Stored<'a> {
    pub(super) extension: &'static str,
    pub(super) bytes: Cow<'a, [u8]>,
    /// Those of [`Record`].
    pub(super) flags: u32,
    /// What the view shows of it.
    pub(super) square: Option<RgbImage>,
}

impl Rule {
    /// Image `index` of `data` as it is stored. Its pixels are decoded in any case, so that what is stored is
    /// known to be whole.
    ///
    /// # Errors
    /// [`Error`] naming the image if it cannot be read.
    pub(super) fn store<'a>(
        &self,
        data: &'a dyn Dataset,
        index: usize,
        limits: &Limits,
    ) -> Result<Stored<'a>, Error> {
        match data.stored(index)? {
            Some(bytes) => self.file(bytes, Path::new(&data.name(index)), limits),
            None => {
                let image = data.image(index)?;
                // What a network would see of it, so that other readers of shards see that, too.
                let image = match data.pad() {
                    Some(side) if image.width().max(image.height()) <= side => {
                        View { pad: Some(side), resize: None, ..View::of(side, side) }
                            .center(&image)
                    }
                    _ => image,
                };
                // Without a file there is nothing but the pixels to leave untouched.
                match self.shorter_side {
                    Some(_) => self.anew(image, Path::new(&data.name(index)), limits),
                    None => self.raw(image, Path::new(&data.name(index)), limits),
                }
            }
        }
    }

    fn file<'a>(
        &self,
        bytes: Cow<'a, [u8]>,
        path: &Path,
        limits: &Limits,
    ) -> Result<Stored<'a>, Error> {
        let raw = RawImage::is_raw(&bytes);
        let smaller = |[width, height]: [usize; 2]| {
            self.shorter_side.is_none_or(|side| width.min(height) <= side)
        };
        let extension = match self.shorter_side {
            None => Some(if raw { "ppm" } else { extension(&bytes) }),
            Some(_) => match self.format {
                Format::Jpeg => is_plain_jpeg(&bytes).then_some("jpg"),
                Format::Raw => raw.then_some("ppm"),
            },
        };
        // Of those that are stored as they are, pixels that are not measured are not needed.
        let needed = |size: [usize; 2]| match self.view {
            Some(view) if extension.is_some() && smaller(size) => view.center_square(size).reach(),
            _ => Window::all(size[0], size[1]),
        };
        let image = match raw {
            true => RawImage::parse(&bytes, path, limits)?.view().to_image(),
            false => decode_part(&bytes, path, limits, &mut { needed })?,
        };
        let extension = extension.filter(|_| smaller([image.width(), image.height()]));
        let Some(extension) = extension else { return self.anew(image, path, limits) };
        let flags = Record::UNTOUCHED | if raw { Record::RAW } else { 0 };
        Ok(Stored { extension, bytes, flags, square: self.square(&image) })
    }

    /// The image made smaller, if it is too large, and encoded.
    fn anew(
        &self,
        image: RgbImage,
        path: &Path,
        limits: &Limits,
    ) -> Result<Stored<'static>, Error> {
        let image = match self.shorter_side {
            Some(side) if image.width().min(image.height()) > side => shortened(&image, side),
            _ => image,
        };
        if self.format == Format::Raw {
            return self.raw(image, path, limits);
        }
        let bytes = jpeg(&image, self.quality).map_err(|reason| {
            let (width, height) = (image.width(), image.height());
            let detail = format!("{width}x{height}, which cannot be encoded as JPEG: {reason}");
            Error::Unsupported { path: path.to_path_buf(), detail }
        })?;
        // What is measured is what training will see.
        let square = match self.view {
            Some(view) => {
                let mut needed = |size| view.center_square(size).reach();
                Some(view.center(&decode_part(&bytes, path, limits, &mut needed)?))
            }
            None => None,
        };
        Ok(Stored { extension: "jpg", bytes: Cow::Owned(bytes), flags: 0, square })
    }

    fn raw(&self, image: RgbImage, path: &Path, limits: &Limits) -> Result<Stored<'static>, Error> {
        let bytes = RawImage::encode(&image);
        // Grey ones take three times as much as in their file: whoever reads the set has the same limits.
        RawImage::parse(&bytes, path, limits)?;
        let square = self.square(&image);
        Ok(Stored { extension: "ppm", bytes: Cow::Owned(bytes), flags: Record::RAW, square })
    }

    fn square(&self, image: &RgbImage) -> Option<RgbImage> {
        self.view.map(|view| view.center(image))
    }
}

/// The image with a shorter side of `side`, the longer in proportion, as training resizes.
fn shortened(image: &RgbImage, side: usize) -> RgbImage {
    let (width, height) = (image.width(), image.height());
    if width <= height {
        resize(image, side, side * height / width)
    } else {
        resize(image, side * width / height, side)
    }
}

/// The extension for a file that was decoded.
fn extension(bytes: &[u8]) -> &'static str {
    match image::guess_format(bytes) {
        Ok(ImageFormat::Png) => "png",
        Ok(ImageFormat::Gif) => "gif",
        Ok(ImageFormat::WebP) => "webp",
        Ok(ImageFormat::Bmp) => "bmp",
        Ok(ImageFormat::Jpeg) => "jpg",
        // BigTIFF is not known there.
        _ => "tif",
    }
}
