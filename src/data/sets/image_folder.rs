//! Class folders, as in torchvision's `ImageFolder`: one folder per class, with images at any depth in it.
//!
//! Opening lists files, no more; an image is decoded when it is asked for.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::names::name_of;
use super::paths::Search;
use crate::data::decode::{Limits, decode_part, read_bytes, read_image, regular};
use crate::data::hash::Hash;
use crate::data::stamp::Stamp;
use crate::data::{Dataset, Error, JpegDecoder, RgbImage, RgbView, Window};
use crate::runtime::Unwatched;

/// The images of a folder of class folders.
#[derive(Debug)]
pub struct ImageFolder {
    /// Sorted: the order of labels.
    classes: Vec<String>,
    files: Vec<File>,
    limits: Limits,
    /// Of all paths, sizes and times, and of the limits.
    stamp: Hash,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    label: usize,
    /// Of the path, from the class folder on.
    name: Hash,
    /// Bytes.
    size: u64,
}

impl ImageFolder {
    /// Lists the images of `folder`. Its subfolders are the classes, in the order of their names. Hidden and
    /// system folders and those of training runs do not count.
    ///
    /// # Errors
    /// [`Error`] if something cannot be listed, a class has no images, or there are fewer than two
    /// classes.
    pub fn open(folder: &Path, limits: Limits) -> Result<Self, Error> {
        Self::search(folder, limits, &mut Search::new(&Unwatched))
    }

    /// As [`open`](Self::open), with a search that counts what is skipped.
    pub(super) fn search(
        folder: &Path,
        limits: Limits,
        search: &mut Search<'_>,
    ) -> Result<Self, Error> {
        let found = Self::list(folder, limits, search)?;
        match &found.classes[..] {
            [class] => Err(Error::SingleClass { path: folder.to_path_buf(), class: class.clone() }),
            _ => Ok(found),
        }
    }

    /// As [`search`](Self::search), but one class is enough: nothing is learnt from the images.
    pub(super) fn list(
        folder: &Path,
        limits: Limits,
        search: &mut Search<'_>,
    ) -> Result<Self, Error> {
        let subfolders = search.subfolders(folder)?;
        let mut files = Vec::new();
        let mut stamp = Hash::new();
        let real = folder.canonicalize().map_err(|e| Error::io(folder, e))?;
        stamp.text(real.as_os_str().as_encoded_bytes());
        stamp.number(limits.side.into());
        stamp.number(limits.bytes);
        stamp.text(limits.decoder.to_string().as_bytes());
        for (label, class) in subfolders.iter().enumerate() {
            search.folder(class)?;
            for path in std::mem::take(&mut search.found) {
                search.check()?;
                let path = path?;
                let found = Stamp::at(&path)?;
                let mut name = Hash::new();
                // Components, so that the hash is the same on every platform.
                let below = path.strip_prefix(folder).unwrap_or(&path);
                below.iter().for_each(|part| name.text(part.as_encoded_bytes()));
                stamp.hash(name);
                found.hash(&mut stamp);
                files.push(File { path, label, name, size: found.bytes });
            }
        }
        let classes: Vec<String> = subfolders.iter().map(|path| name_of(path)).collect();
        if classes.is_empty() {
            return Err(Error::NoClasses { path: folder.to_path_buf() });
        }
        Ok(Self { classes, files, limits, stamp })
    }

    /// The same with the labels of `classes`, which may be more; else those of its own that are not among them.
    pub(super) fn with_classes(mut self, classes: &[String]) -> Result<Self, Vec<String>> {
        let label = |class: &String| classes.iter().position(|other| other == class);
        let labels: Vec<Option<usize>> = self.classes.iter().map(label).collect();
        let unknown = self.classes.iter().zip(&labels).filter(|(_, label)| label.is_none());
        let unknown: Vec<String> = unknown.map(|(class, _)| class.clone()).collect();
        if !unknown.is_empty() {
            return Err(unknown);
        }
        let labels: Vec<usize> = labels.into_iter().flatten().collect();
        self.files.iter_mut().for_each(|file| file.label = labels[file.label]);
        self.classes = classes.to_vec();
        Ok(self)
    }

    /// The numbers of the images for training and for validation, where nobody has split them: a
    /// tenth of each class (rounded, at least one image if it has two) is held out, those whose
    /// names have the smallest hashes.
    pub(super) fn hold_out_a_tenth(&self) -> (Vec<usize>, Vec<usize>) {
        let (mut training, mut validation) = (Vec::new(), Vec::new());
        // Files stand in the order of their classes, none of which is empty.
        for files in self.files.chunk_by(|a, b| a.label == b.label) {
            let first = training.len() + validation.len();
            let mut class: Vec<usize> = (first..first + files.len()).collect();
            class.sort_by_key(|&index| (self.files[index].name, index));
            let held_out = ((class.len() + 5) / 10).max(1).min(class.len() - 1);
            validation.extend_from_slice(&class[..held_out]);
            training.extend_from_slice(&class[held_out..]);
        }
        training.sort_unstable();
        validation.sort_unstable();
        (training, validation)
    }
}

impl Dataset for ImageFolder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn classes(&self) -> usize {
        self.classes.len()
    }

    fn class_names(&self) -> Option<&[String]> {
        Some(&self.classes)
    }

    fn label(&self, index: usize) -> usize {
        self.files[index].label
    }

    fn image(&self, index: usize) -> Result<RgbImage, Error> {
        read_image(&self.files[index].path, &self.limits)
    }

    fn with_part(
        &self,
        index: usize,
        choose: &mut dyn FnMut([usize; 2]) -> Window,
        see: &mut dyn FnMut(RgbView<'_>),
    ) -> Result<(), Error> {
        let path = &self.files[index].path;
        let bytes = read_bytes(regular::open(path)?, path, &self.limits)?;
        see(decode_part(&bytes, path, &self.limits, choose)?.view());
        Ok(())
    }

    fn name(&self, index: usize) -> String {
        self.files[index].path.display().to_string()
    }

    /// The hash is over the names and sizes of all files.
    fn fingerprint(&self) -> String {
        let mut hash = Hash::new();
        for file in &self.files {
            hash.hash(file.name);
            hash.number(file.size);
        }
        format!("class folders, {} pictures, {} classes, {hash}", self.len(), self.classes.len())
    }

    fn stored(&self, index: usize) -> Result<Option<Cow<'_, [u8]>>, Error> {
        let path = &self.files[index].path;
        read_bytes(regular::open(path)?, path, &self.limits).map(|bytes| Some(Cow::Owned(bytes)))
    }

    fn decoder(&self) -> JpegDecoder {
        self.limits.decoder
    }

    fn stamp(&self) -> Option<u64> {
        Some(self.stamp.value())
    }
}
