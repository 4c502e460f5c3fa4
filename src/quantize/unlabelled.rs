//! Images without labels as a data set: those of a folder.

use crate::data::{Dataset, Error, Limits, RgbImage, collect_images, read_image};
use crate::runtime::Watch;
use std::path::{Path, PathBuf};

/// The images in a folder and its subfolders, sorted by path. All are of one class.
#[derive(Debug)]
pub struct Unlabelled {
    paths: Vec<PathBuf>,
    limits: Limits,
    notes: Vec<String>,
}

impl Unlabelled {
    /// Those of the folder at `path`, each read within `limits` when it is needed.
    ///
    /// # Errors
    /// There are none, or one of them cannot be listed; it was stopped.
    pub fn find(path: &Path, limits: Limits, watch: &dyn Watch) -> Result<Self, Error> {
        let list = collect_images(&[path.to_path_buf()], watch)?;
        let paths = list.images.into_iter().collect::<Result<_, _>>()?;
        Ok(Self { paths, limits, notes: list.notes })
    }

    /// What was passed over, one sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

impl Dataset for Unlabelled {
    fn len(&self) -> usize {
        self.paths.len()
    }

    fn classes(&self) -> usize {
        1
    }

    fn class_names(&self) -> Option<&[String]> {
        None
    }

    fn label(&self, index: usize) -> usize {
        assert!(index < self.len(), "image {index} of {}", self.len());
        0
    }

    fn image(&self, index: usize) -> Result<RgbImage, Error> {
        read_image(&self.paths[index], &self.limits)
    }

    fn name(&self, index: usize) -> String {
        self.paths[index].display().to_string()
    }

    fn fingerprint(&self) -> String {
        format!("unlabelled, {} images", self.len())
    }
}
