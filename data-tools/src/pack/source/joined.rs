//! Two sets of the same classes as one: the training images of a folder and those that were held out of it.

use std::borrow::Cow;

use resnet_cpu::RgbImage;
use resnet_cpu::data::{Dataset, Error};

/// The images of one set, then those of another.
pub(super) struct Joined {
    first: Box<dyn Dataset>,
    second: Box<dyn Dataset>,
}

impl Joined {
    /// `first` and `second`, which have the same classes.
    pub(super) fn new(first: Box<dyn Dataset>, second: Box<dyn Dataset>) -> Self {
        Self { first, second }
    }

    fn locate(&self, index: usize) -> (&dyn Dataset, usize) {
        match index.checked_sub(self.first.len()) {
            None => (&*self.first, index),
            Some(index) => (&*self.second, index),
        }
    }
}

impl Dataset for Joined {
    fn len(&self) -> usize {
        self.first.len() + self.second.len()
    }

    fn classes(&self) -> usize {
        self.first.classes()
    }

    fn class_names(&self) -> Option<&[String]> {
        self.first.class_names()
    }

    fn label(&self, index: usize) -> usize {
        let (data, index) = self.locate(index);
        data.label(index)
    }

    fn image(&self, index: usize) -> Result<RgbImage, Error> {
        let (data, index) = self.locate(index);
        data.image(index)
    }

    fn name(&self, index: usize) -> String {
        let (data, index) = self.locate(index);
        data.name(index)
    }

    fn pad(&self) -> Option<usize> {
        self.first.pad()
    }

    fn fingerprint(&self) -> String {
        format!("{}; {}", self.first.fingerprint(), self.second.fingerprint())
    }

    fn stored(&self, index: usize) -> Result<Option<Cow<'_, [u8]>>, Error> {
        let (data, index) = self.locate(index);
        data.stored(index)
    }
}
