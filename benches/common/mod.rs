//! What benches of data share: a set of images that are decoded already.

use resnet_cpu::data::{Dataset, Error, RgbImage, RgbView};

/// Images in memory, decoded.
pub(crate) struct Decoded(pub(crate) Vec<RgbImage>);

impl Dataset for Decoded {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn classes(&self) -> usize {
        1
    }

    fn class_names(&self) -> Option<&[String]> {
        None
    }

    fn label(&self, _: usize) -> usize {
        0
    }

    fn image(&self, index: usize) -> Result<RgbImage, Error> {
        Ok(self.0[index].clone())
    }

    fn with_image(&self, index: usize, see: &mut dyn FnMut(RgbView<'_>)) -> Result<(), Error> {
        see(self.0[index].view());
        Ok(())
    }

    fn fingerprint(&self) -> String {
        format!("{} images", self.0.len())
    }
}
