//! The first frame of a GIF, as Pillow shows it.
//!
//! The decoder is asked for indices instead of colours: where the frame does not cover the screen,
//! Pillow shows the transparent index, or else index 0, in the colour that the palette has for it.

use std::path::Path;

use gif::{ColorOutput, DecodeOptions, DecodingError};

use super::Limits;
use super::limits::check_size;
use crate::data::{Error, RgbImage};

/// Decodes `bytes`; `path` is only the name that errors carry.
pub(super) fn decode(bytes: &[u8], path: &Path, limits: &Limits) -> Result<RgbImage, Error> {
    let translate = |error: DecodingError| {
        let (path, detail) = (path.to_path_buf(), error.to_string());
        match error {
            DecodingError::UnexpectedEof => Error::Truncated { path, detail },
            _ => Error::Damaged { path, detail },
        }
    };
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    let mut decoder = options.read_info(bytes).map_err(translate)?;
    check_size(decoder.width().into(), decoder.height().into(), RGB, path, limits)?;
    let Some(frame) = decoder.next_frame_info().map_err(translate)? else {
        let detail = "expected a frame, found none".to_owned();
        return Err(Error::Damaged { path: path.to_path_buf(), detail });
    };
    let [left, top, across, down] =
        [frame.left, frame.top, frame.width, frame.height].map(usize::from);
    let blank = frame.transparent.unwrap_or(0);
    let local = frame.palette.clone();

    // A frame that reaches beyond the screen enlarges it.
    let width = usize::from(decoder.width()).max(left + across);
    let height = usize::from(decoder.height()).max(top + down);
    check_size(width as u32, height as u32, RGB, path, limits)?;
    let mut part = vec![0; across * down];
    decoder.read_into_buffer(&mut part).map_err(translate)?;

    // What the palette does not have is black.
    let mut colours = [[0; 3]; 256];
    let palette = local.as_deref().or(decoder.global_palette()).unwrap_or_default();
    colours.iter_mut().zip(palette.as_chunks().0).for_each(|(to, from)| *to = *from);
    let mut pixels = colours[usize::from(blank)].repeat(width * height);
    for (y, row) in part.chunks_exact(across.max(1)).enumerate() {
        let at = ((top + y) * width + left) * 3;
        let to = pixels[at..at + across * 3].as_chunks_mut().0;
        to.iter_mut().zip(row).for_each(|(to, &index)| *to = colours[usize::from(index)]);
    }
    Ok(RgbImage::new(width, height, pixels))
}

/// Bytes of a pixel.
const RGB: u64 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    const GIF: &[u8] = include_bytes!("../../../tests/data/formats/gif/part-transparent.gif");

    fn decode(bytes: &[u8]) -> Result<RgbImage, Error> {
        super::decode(bytes, Path::new("a.gif"), &Limits::default())
    }

    #[test]
    fn a_cut_or_damaged_file_never_panics() {
        assert!(decode(GIF).is_ok());
        // The last byte says that no other frame follows.
        for length in 0..GIF.len() - 3 {
            assert!(decode(&GIF[..length]).is_err(), "{length} of {} bytes", GIF.len());
        }
        for at in 0..GIF.len() {
            for byte in 0..=255 {
                let mut bytes = GIF.to_vec();
                bytes[at] = byte;
                let _ = decode(&bytes);
            }
        }
    }
}
