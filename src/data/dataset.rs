//! What a set of labelled images is to the trainer, whatever files it comes from.

use std::borrow::Cow;

use super::{Error, JpegDecoder, RgbImage, RgbView, Statistics, View, Window};

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

    /// Whether a mirrored image is of the same class, which is not so for digits.
    fn may_flip(&self) -> bool {
        true
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
