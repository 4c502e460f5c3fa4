//! PNG files, each written whole or not at all.

use resnet_cpu::data::RgbImage;
use resnet_cpu::runtime::{Disk, write_durably};
use std::fmt::Display;
use std::io::Cursor;
use std::path::Path;

use super::error::CliError;

/// Writes `image` to `path`, in the place of a file that is there.
///
/// # Errors
/// The file cannot be written.
pub(super) fn write_png(path: &Path, image: &RgbImage) -> Result<(), CliError> {
    let failed = |error: &dyn Display| {
        CliError::failed(format!("{}: cannot write: {error}", path.display()))
    };
    let mut png = Cursor::new(Vec::new());
    image::write_buffer_with_format(
        &mut png,
        image.pixels(),
        image.width() as u32,
        image.height() as u32,
        image::ExtendedColorType::Rgb8,
        image::ImageFormat::Png,
    )
    .map_err(|error| failed(&error))?;
    write_durably(&Disk, path, |out| out.write_all(png.get_ref())).map_err(|error| failed(&error))
}
