//! CIFAR-10's binary version: records of one label byte and 3072 pixel bytes (32 x 32; the red,
//! green and blue planes one after another).

use std::path::{Path, PathBuf};

use super::memory::{MemoryDataset, SIDE};
use crate::data::decode::regular;
use crate::data::{Error, RgbImage};
use crate::runtime::{Unwatched, Watch};

/// Class names, in label order.
pub const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

const PLANE: usize = SIDE * SIDE;
const RECORD: usize = 1 + 3 * PLANE;
/// Records of a file at most, so that no wrong file fills the memory.
const MOST: usize = 1 << 20;

/// The records of a file, or of the training or test files of a folder.
#[derive(Debug)]
pub struct CifarRecords {
    bytes: Vec<u8>,
}

/// Which files of a `cifar-10-batches-bin` folder to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CifarSplit {
    /// `data_batch_1.bin` to `data_batch_5.bin`, 50,000 images.
    Train,
    /// `test_batch.bin`, 10,000 images.
    Test,
}

impl CifarRecords {
    /// Reads one file of records.
    ///
    /// # Errors
    /// [`Error`] if the file cannot be read, holds no whole number of records or none, or has a
    /// label above 9.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_files(&[path.to_path_buf()])
    }

    /// Reads several files of records, one after another.
    ///
    /// # Errors
    /// As for [`open`](Self::open), of the first file that is missing or wrong.
    pub fn open_files(paths: &[PathBuf]) -> Result<Self, Error> {
        Self::open_watched(paths, &Unwatched)
    }

    /// As [`open_files`](Self::open_files), unless `watch` stops it.
    pub(super) fn open_watched(paths: &[PathBuf], watch: &dyn Watch) -> Result<Self, Error> {
        let mut records = Self { bytes: Vec::new() };
        for (done, path) in paths.iter().enumerate() {
            if watch.stopped() {
                return Err(Error::Interrupted);
            }
            watch.progress("files read", done as u64, Some(paths.len() as u64));
            records.append(path)?;
        }
        Ok(records)
    }

    /// Reads a `cifar-10-batches-bin` folder.
    ///
    /// # Errors
    /// As for [`open`](Self::open), of the first file that is missing or wrong.
    pub fn open_folder(folder: &Path, split: CifarSplit) -> Result<Self, Error> {
        Self::open_files(&split.files(folder))
    }

    /// The images as a set for training or evaluation.
    pub fn into_dataset(self) -> MemoryDataset {
        let mut set =
            MemoryDataset::with_capacity("CIFAR-10", CLASSES.len(), self.len(), [SIDE; 2])
                .with_names(&CLASSES);
        let mut pixels = [0; 3 * PLANE];
        for record in self.bytes.chunks_exact(RECORD) {
            interleave(&record[1..], &mut pixels);
            set.push(record[0], &pixels);
        }
        set
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.bytes.len() / RECORD
    }

    /// Whether there are no images (never true after a successful open).
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Class of image `index`, 0..10.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn label(&self, index: usize) -> usize {
        usize::from(self.record(index)[0])
    }

    /// Image `index`, 32 x 32.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn image(&self, index: usize) -> RgbImage {
        let mut pixels = vec![0; 3 * PLANE];
        interleave(&self.record(index)[1..], &mut pixels);
        RgbImage::new(SIDE, SIDE, pixels)
    }

    fn record(&self, index: usize) -> &[u8] {
        &self.bytes[index * RECORD..][..RECORD]
    }

    fn append(&mut self, path: &Path) -> Result<(), Error> {
        let wrong = |detail| Error::Cifar { path: path.to_path_buf(), detail };
        let most = (MOST * RECORD) as u64;
        let bytes = regular::read_at_most(path, most, |found| {
            wrong(format!("expected at most {most} bytes ({MOST} records), found {found}"))
        })?;
        if bytes.is_empty() || !bytes.len().is_multiple_of(RECORD) {
            let whole = bytes.len() / RECORD;
            return Err(wrong(format!(
                "expected a multiple of {RECORD} bytes, found {} ({whole} records and {} bytes)",
                bytes.len(),
                bytes.len() % RECORD
            )));
        }
        for (index, record) in bytes.chunks_exact(RECORD).enumerate() {
            if usize::from(record[0]) >= CLASSES.len() {
                return Err(wrong(format!(
                    "expected a label of 0 to 9 in record {index}, found {}",
                    record[0]
                )));
            }
        }
        self.bytes.extend(bytes);
        Ok(())
    }
}

/// The red, green and blue planes to pixels.
fn interleave(planes: &[u8], pixels: &mut [u8]) {
    for (i, pixel) in pixels.chunks_exact_mut(3).enumerate() {
        pixel.copy_from_slice(&[planes[i], planes[PLANE + i], planes[2 * PLANE + i]]);
    }
}

impl CifarSplit {
    /// The files of a `cifar-10-batches-bin` folder.
    pub(super) fn files(self, folder: &Path) -> Vec<PathBuf> {
        match self {
            Self::Train => (1..=5).map(|i| folder.join(format!("data_batch_{i}.bin"))).collect(),
            Self::Test => vec![folder.join("test_batch.bin")],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(bytes: &[u8]) -> Result<CifarRecords, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        CifarRecords::open(file.path()).map_err(|e| e.to_string())
    }

    #[test]
    fn planes_become_pixels() {
        let mut bytes = vec![0; 2 * RECORD];
        bytes[RECORD] = 9;
        bytes[RECORD + 1 + 33] = 10;
        bytes[RECORD + 1 + PLANE + 33] = 20;
        bytes[RECORD + 1 + 2 * PLANE + 33] = 30;
        let records = open(&bytes).unwrap();
        assert_eq!((records.len(), records.label(0), records.label(1)), (2, 0, 9));
        assert_eq!(records.image(1).row(1)[3..6], [10, 20, 30]);
    }

    #[test]
    fn wrong_lengths_and_labels_are_errors() {
        let error = open(&[0; RECORD + 5]).unwrap_err();
        assert!(error.ends_with("found 3078 (1 records and 5 bytes)"), "{error}");
        assert!(open(&[]).is_err());
        let mut bytes = vec![0; 3 * RECORD];
        bytes[2 * RECORD] = 10;
        let error = open(&bytes).unwrap_err();
        assert!(error.ends_with("expected a label of 0 to 9 in record 2, found 10"), "{error}");
        let nowhere = CifarRecords::open_folder(Path::new("nowhere"), CifarSplit::Train);
        assert!(matches!(nowhere, Err(Error::Missing { .. })));
    }
}
