//! Small sets, decoded once and kept as bytes: CIFAR-10, idx files, the demo set.

use std::ops::Range;

use super::demo;
use crate::data::hash::Hash;
use crate::data::inputs::View;
use crate::data::{Dataset, Error, RgbImage, RgbView};
use crate::runtime::team;

/// Side of the images of small sets; idx images may be smaller and are then padded to it.
pub(super) const SIDE: usize = 32;

/// The kind of a set from idx files.
pub(super) const IDX: &str = "idx";

/// Labelled images of one size in memory, at most 32 x 32.
pub struct MemoryDataset {
    kind: &'static str,
    classes: usize,
    names: Option<Vec<String>>,
    labels: Vec<u8>,
    height: usize,
    width: usize,
    /// `[len, height, width, 3]`.
    pixels: Vec<u8>,
}

impl MemoryDataset {
    /// Images `range` of the demo set of `seed`. Sets for training and validation are ranges that
    /// do not overlap.
    pub fn demo(seed: u64, range: Range<u64>) -> Self {
        let count = range.end.saturating_sub(range.start) as usize;
        let image = |i: usize| demo::image(seed, range.start + i as u64);
        let images = team(|team| team.map(count, |i, _| image(i)));
        let mut set = Self::with_capacity("demo", demo::CLASSES.len(), 0, [SIDE; 2]);
        set.names = Some(demo::CLASSES.map(String::from).to_vec());
        set.labels = images.iter().map(|(_, label)| *label as u8).collect();
        set.pixels = images.iter().flat_map(|(image, _)| image.pixels()).copied().collect();
        set
    }

    /// A set without images yet, and memory for `count` of `height` x `width`.
    pub(super) fn with_capacity(
        kind: &'static str,
        classes: usize,
        count: usize,
        [height, width]: [usize; 2],
    ) -> Self {
        let pixels = Vec::with_capacity(count * height * width * 3);
        let labels = Vec::with_capacity(count);
        Self { kind, classes, names: None, labels, height, width, pixels }
    }

    /// The same with names of the classes.
    pub(super) fn with_names<S: ToString>(mut self, names: &[S]) -> Self {
        self.names = Some(names.iter().map(S::to_string).collect());
        self
    }

    /// Appends an image, `[height, width, 3]`.
    pub(super) fn push(&mut self, label: u8, pixels: &[u8]) {
        debug_assert_eq!(pixels.len(), self.image_len());
        self.labels.push(label);
        self.pixels.extend_from_slice(pixels);
    }

    /// All labels, below the number of classes.
    pub(super) fn labels(&self) -> &[u8] {
        &self.labels
    }

    fn image_len(&self) -> usize {
        self.height * self.width * 3
    }

    fn rgb(&self, index: usize) -> RgbView<'_> {
        let len = self.image_len();
        RgbView::new(self.width, self.height, &self.pixels[index * len..][..len])
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
        Ok(self.rgb(index).to_image())
    }

    fn with_image(&self, index: usize, see: &mut dyn FnMut(RgbView<'_>)) -> Result<(), Error> {
        see(self.rgb(index));
        Ok(())
    }

    fn pad(&self) -> Option<usize> {
        (self.height.min(self.width) < SIDE).then_some(SIDE)
    }

    /// Images from idx files are digits and letters, more often than not.
    fn may_flip(&self) -> bool {
        self.kind != IDX
    }

    /// The hash is over all (padded) pixels and labels.
    fn fingerprint(&self) -> String {
        let padded = View { pad: self.pad(), resize: None, ..View::of(SIDE, SIDE) };
        let hash = |index| {
            let square = padded.center_square([self.width, self.height]);
            Hash::of(square.image(self.rgb(index)).pixels())
        };
        let images = team(|team| team.map(self.len(), |index, _| hash(index)));
        let mut hash = Hash::of(&self.labels);
        images.into_iter().for_each(|image| hash.hash(image));
        format!("{}, {} pictures, {} classes, {hash}", self.kind, self.len(), self.classes)
    }
}
