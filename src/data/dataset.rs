//! What a set of labelled images is to the trainer, whatever files it comes from.

use std::borrow::Cow;
use std::sync::Arc;

use super::hash::Hash;
use super::sampler::shuffle;
use super::{Error, JpegDecoder, RgbImage, RgbView, SettingError, Statistics, View, Window};
use crate::runtime::Rng;

/// Labelled images with numbers from 0.
pub trait Dataset: Send + Sync {
    /// Number of images.
    fn len(&self) -> usize;

    /// Whether there are none (never true of a set that was opened).
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of classes.
    fn classes(&self) -> usize;

    /// Names of the classes, in label order, if the data has names.
    fn class_names(&self) -> Option<&[String]>;

    /// Class of image `index`, below [`classes`](Self::classes).
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    fn label(&self, index: usize) -> usize;

    /// Image `index`, in its own size.
    ///
    /// # Errors
    /// [`Error`] naming the file if it cannot be read or is no whole image.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    fn image(&self, index: usize) -> Result<RgbImage, Error>;

    /// What image `index` is called where people read of it: the path of its file, if it has one.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    fn name(&self, index: usize) -> String {
        assert!(index < self.len(), "image {index} of {}", self.len());
        format!("image {index}")
    }

    /// Calls `see`, once, with image `index` where its pixels are: those that lie in memory are not copied.
    ///
    /// # Errors
    /// As for [`image`](Self::image); `see` is not called then.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    fn with_image(&self, index: usize, see: &mut dyn FnMut(RgbView<'_>)) -> Result<(), Error> {
        see(self.image(index)?.view());
        Ok(())
    }

    /// As [`with_image`](Self::with_image), of which only a part is wanted: `choose` says of the size (width, height)
    /// which. Pixels outside may be black instead, where reading less takes less time. `choose` is called before
    /// `see`, and again if the size turns out to be another; the last call counts.
    ///
    /// # Errors
    /// As for [`image`](Self::image); `see` is not called then.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len), or `choose` returns a window that is empty or not inside the image.
    fn with_part(
        &self,
        index: usize,
        choose: &mut dyn FnMut([usize; 2]) -> Window,
        see: &mut dyn FnMut(RgbView<'_>),
    ) -> Result<(), Error> {
        self.with_image(index, &mut |image| {
            choose([image.width(), image.height()]);
            see(image);
        })
    }

    /// Says that images `indices` will be read soon: what lies on a disk may be fetched from now on. It
    /// does not wait, and takes no memory of the program's own.
    fn read_ahead(&self, _indices: &[usize]) {}

    /// Which decoder reads its JPEGs, if it has any.
    fn decoder(&self) -> JpegDecoder {
        JpegDecoder::default()
    }

    /// Side of the black square in whose middle smaller images of the set stand before all else, as
    /// [`View::pad`](super::View::pad); none if images are taken as they are.
    fn pad(&self) -> Option<usize> {
        None
    }

    /// One line that says which data this is: kind, counts, and a hash over the contents of small
    /// sets, over names, sizes and labels of the files of others. It does not depend on where the
    /// data lies, so a run may be continued where the same data has another path.
    fn fingerprint(&self) -> String;

    /// The bytes of the file that image `index` is, as they are stored and not checked; none for sets that
    /// have pixels, not files.
    ///
    /// # Errors
    /// [`Error`] naming the file if it cannot be read, or is larger than the set's limits allow.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    fn stored(&self, index: usize) -> Result<Option<Cow<'_, [u8]>>, Error> {
        assert!(index < self.len(), "image {index} of {}", self.len());
        Ok(None)
    }

    /// A number that is the same as long as the files that it is read from are where they were, with their
    /// sizes and times of modification; none for sets that are in memory.
    fn stamp(&self) -> Option<u64> {
        None
    }

    /// Whether every image has been decoded before, and is known to be what it was then.
    fn is_verified(&self) -> bool {
        false
    }

    /// What was measured before on all of its images through `view`.
    ///
    /// # Errors
    /// [`Error`] if it is on record and cannot be read.
    fn measured(&self, _view: View) -> Result<Option<Statistics>, Error> {
        Ok(None)
    }
}

/// Some images of a set.
pub struct Subset {
    data: Arc<dyn Dataset>,
    indices: Vec<usize>,
    verified: bool,
}

impl Subset {
    /// The images `indices` of `data`, in that order.
    ///
    /// # Panics
    /// If an index is not below the length of `data`.
    pub fn new(data: Arc<dyn Dataset>, indices: Vec<usize>) -> Self {
        assert!(indices.iter().all(|&index| index < data.len()), "indices beyond the set");
        Self { data, indices, verified: false }
    }

    /// The same, of which every image has been decoded before.
    pub(super) fn verified(self) -> Self {
        Self { verified: true, ..self }
    }

    /// Holds `held_out` images out for validation, e.g. 5,000 of CIFAR-10's 50,000 as in the
    /// paper: the others, then these, each in the order of the set. Which they are is a pure function
    /// of the number of images, so every run holds out the same.
    ///
    /// # Errors
    /// [`SettingError::HoldOut`] unless both parts have images.
    pub fn hold_out(data: Arc<dyn Dataset>, held_out: usize) -> Result<(Self, Self), SettingError> {
        if held_out == 0 || held_out >= data.len() {
            return Err(SettingError::HoldOut { held_out, images: data.len() });
        }
        let mut others: Vec<usize> = (0..data.len()).collect();
        shuffle(&mut Rng::named(0, "held out for validation"), &mut others);
        let mut held_out = others.split_off(data.len() - held_out);
        others.sort_unstable();
        held_out.sort_unstable();
        Ok((Self::new(data.clone(), others), Self::new(data, held_out)))
    }
}

impl Subset {
    /// Which images they are.
    fn chosen(&self) -> Hash {
        let mut hash = Hash::new();
        self.indices.iter().for_each(|&index| hash.number(index as u64));
        hash
    }
}

impl Dataset for Subset {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn classes(&self) -> usize {
        self.data.classes()
    }

    fn class_names(&self) -> Option<&[String]> {
        self.data.class_names()
    }

    fn label(&self, index: usize) -> usize {
        self.data.label(self.indices[index])
    }

    fn image(&self, index: usize) -> Result<RgbImage, Error> {
        self.data.image(self.indices[index])
    }

    fn name(&self, index: usize) -> String {
        self.data.name(self.indices[index])
    }

    fn with_image(&self, index: usize, see: &mut dyn FnMut(RgbView<'_>)) -> Result<(), Error> {
        self.data.with_image(self.indices[index], see)
    }

    fn with_part(
        &self,
        index: usize,
        choose: &mut dyn FnMut([usize; 2]) -> Window,
        see: &mut dyn FnMut(RgbView<'_>),
    ) -> Result<(), Error> {
        self.data.with_part(self.indices[index], choose, see)
    }

    fn read_ahead(&self, indices: &[usize]) {
        let indices: Vec<usize> = indices.iter().map(|&index| self.indices[index]).collect();
        self.data.read_ahead(&indices);
    }

    fn decoder(&self) -> JpegDecoder {
        self.data.decoder()
    }

    fn pad(&self) -> Option<usize> {
        self.data.pad()
    }

    fn fingerprint(&self) -> String {
        format!("{} of {}; {}", self.len(), self.chosen(), self.data.fingerprint())
    }

    fn stamp(&self) -> Option<u64> {
        let mut hash = self.chosen();
        hash.number(self.data.stamp()?);
        Some(hash.value())
    }

    fn is_verified(&self) -> bool {
        self.verified || self.data.is_verified()
    }

    fn stored(&self, index: usize) -> Result<Option<Cow<'_, [u8]>>, Error> {
        self.data.stored(self.indices[index])
    }
}
