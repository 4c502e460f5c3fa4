//! Small sets, decoded once and kept as bytes: CIFAR-10, idx files, the demo set.

use std::ops::Range;

use rayon::prelude::*;

use super::hash::Hash;
use super::{Dataset, Error, RgbImage, demo};

/// Side of every image of a small set.
pub(super) const SIDE: usize = 32;

/// Bytes of an image.
const IMAGE: usize = SIDE * SIDE * 3;

/// Labelled images of 32 x 32 in memory.
pub struct MemoryDataset {
    kind: &'static str,
    classes: usize,
    names: Option<Vec<String>>,
    labels: Vec<u8>,
    /// `[len, 32, 32, 3]`.
    pixels: Vec<u8>,
}

impl MemoryDataset {
    /// Images `range` of the demo set of `seed`. Sets for training and validation are ranges that
    /// do not overlap.
    pub fn demo(seed: u64, range: Range<u64>) -> Self {
        let images: Vec<_> = range.into_par_iter().map(|index| demo::image(seed, index)).collect();
        let mut set = Self::with_capacity("demo", demo::CLASSES.len(), 0);
        set.names = Some(demo::CLASSES.map(String::from).to_vec());
        set.labels = images.iter().map(|(_, label)| *label as u8).collect();
        set.pixels = images.iter().flat_map(|(image, _)| image.pixels()).copied().collect();
        set
    }

    /// A set without images yet, and memory for `count`.
    pub(super) fn with_capacity(kind: &'static str, classes: usize, count: usize) -> Self {
        let (labels, pixels) = (Vec::with_capacity(count), Vec::with_capacity(count * IMAGE));
        Self { kind, classes, names: None, labels, pixels }
    }

    /// The same with names of the classes.
    pub(super) fn with_names(mut self, names: &[&str]) -> Self {
        self.names = Some(names.iter().map(|&name| name.to_owned()).collect());
        self
    }

    /// Appends an image, `[32, 32, 3]`.
    pub(super) fn push(&mut self, label: u8, pixels: &[u8; IMAGE]) {
        self.labels.push(label);
        self.pixels.extend_from_slice(pixels);
    }

    /// All labels, below the number of classes.
    pub(super) fn labels(&self) -> &[u8] {
        &self.labels
    }

    fn bytes(&self, index: usize) -> &[u8] {
        &self.pixels[index * IMAGE..][..IMAGE]
    }
}

impl Dataset for MemoryDataset {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn class_names(&self) -> Option<&[String]> {
        self.names.as_deref()
    }

    fn label(&self, index: usize) -> usize {
        usize::from(self.labels[index])
    }

    fn image(&self, index: usize) -> Result<RgbImage, Error> {
        Ok(RgbImage::new(SIDE, SIDE, self.bytes(index).to_vec()))
    }

    /// The hash is over all pixels and labels.
    fn fingerprint(&self) -> String {
        let images: Vec<Hash> = self.pixels.par_chunks_exact(IMAGE).map(Hash::of).collect();
        let mut hash = Hash::of(&self.labels);
        images.into_iter().for_each(|image| hash.hash(image));
        format!("{}, {} pictures, {} classes, {hash}", self.kind, self.len(), self.classes)
    }
}
