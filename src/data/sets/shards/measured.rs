//! What was measured on a set when it was packed, as `dataset.json` and the file of means beside it have it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{MANIFEST, hexadecimal};
use crate::data::decode::regular;
use crate::data::{Colours, Error, Statistics, View};
use crate::weights::{PIXEL_MEAN, TensorFile};

/// What was measured on the training images *as they are in the shards* (decoded again if they were encoded
/// anew), so that training from the shards finds the same numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// [`View::pad`]; none if images were taken as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pad: Option<usize>,
    /// [`View::resize`]; none if images were not resized.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<usize>,
    /// [`View::crop`].
    pub crop: usize,
    /// Mean of each channel, of values in 0..1.
    pub mean: [f32; 3],
    /// Standard deviation of each channel.
    pub std: [f32; 3],
    /// Principal components of the colours.
    pub colours: Colours,
    /// The mean of each pixel.
    pub pixel_mean: MeanFile,
}

/// A file beside the description with the mean of each pixel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeanFile {
    /// Its name: a safetensors file with one tensor of the shape `[crop, crop, 3]`.
    pub file: String,
    /// CRC32C of the file.
    #[serde(with = "hexadecimal")]
    pub crc32c: u32,
}

impl Measured {
    /// The view that it was measured through.
    pub fn view(&self) -> View {
        View { pad: self.pad, resize: self.resize, crop: self.crop, ..View::imagenet() }
    }

    /// What is to be kept of `statistics`, measured through `view`, as the bytes of the file of means
    /// called `file` and what the description says.
    pub fn of(statistics: &Statistics, view: View, file: &str) -> (Self, Vec<u8>) {
        let header = serde_json::json!({ PIXEL_MEAN: {
            "dtype": "F32",
            "shape": [view.crop, view.crop, 3],
            "data_offsets": [0, 4 * statistics.pixel_mean.len()],
        }});
        // The tensor begins at a multiple of its elements' size.
        let mut header = header.to_string();
        header += &" ".repeat(header.len().next_multiple_of(8) - header.len());
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(statistics.pixel_mean.iter().flat_map(|value| value.to_le_bytes()));
        let pixel_mean = MeanFile { file: file.to_owned(), crc32c: crc32c::crc32c(&bytes) };
        let View { pad, resize, crop, .. } = view;
        let Statistics { mean, std, colours, .. } = *statistics;
        (Self { pad, resize, crop, mean, std, colours, pixel_mean }, bytes)
    }

    /// The statistics of `images` images, with the mean of each pixel from its file in `folder`.
    ///
    /// # Errors
    /// The file cannot be read, or is not the one that was written.
    pub(super) fn read(&self, folder: &Path, images: usize) -> Result<Statistics, Error> {
        let path = folder.join(&self.pixel_mean.file);
        let bytes = regular::read(&path)?;
        let (expected, found) = (self.pixel_mean.crc32c, crc32c::crc32c(&bytes));
        let wrong = |detail: String| Error::Manifest { path: folder.join(MANIFEST), detail };
        let file = &self.pixel_mean.file;
        if found != expected {
            return Err(wrong(format!(
                "{file}: expected CRC32C {expected:08x}, found {found:08x}"
            )));
        }
        let mean = TensorFile::from_bytes(bytes, &path).and_then(|file| match file.tensors() {
            [tensor] => file.values(tensor),
            _ => Ok(None),
        });
        let mean = mean.map_err(|error| wrong(error.to_string()))?.unwrap_or_default();
        let numbers = self.view().input_len();
        if mean.len() != numbers {
            return Err(wrong(format!("{file}: expected one tensor of {numbers} floats")));
        }
        Ok(Statistics {
            images: images as u64,
            mean: self.mean,
            std: self.std,
            colours: self.colours,
            pixel_mean: mean,
        })
    }
}
