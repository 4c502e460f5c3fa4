//! What benches of data share: a set of images that are decoded already, and shards.

use std::path::Path;

use resnet_cpu::data::shards::{RawImage, Record, ShardSet, Shards, write_shard};
use resnet_cpu::data::{Dataset, Error, Limits, RgbImage, RgbView};
use resnet_cpu::runtime::{Cache, Disk, Unwatched};

/// A shard in `folder` with the images of `data`: raw, or else their files.
pub(crate) fn shard(
    folder: &Path,
    data: &dyn Dataset,
    raw: bool,
    limits: Limits,
) -> Result<Shards, Box<dyn std::error::Error>> {
    let path = folder.join(if raw { "raw-000000.tar" } else { "train-000000.tar" });
    write_shard(&Disk, &path, |shard| -> Result<(), Box<dyn std::error::Error>> {
        for index in 0..data.len() {
            let (key, label) = (format!("{index:06}"), data.label(index) as u32);
            if raw {
                let bytes = RawImage::encode(&data.image(index)?);
                shard.add(&key, "ppm", &bytes, label, Record::RAW)?;
            } else {
                let bytes = data.stored(index)?.ok_or("a set of files")?;
                shard.add(&key, "jpg", &bytes, label, Record::UNTOUCHED)?;
            }
        }
        Ok(())
    })?;
    let set = ShardSet::find(&path, &Unwatched)?.ok_or("a shard")?;
    Ok(set.open("train", limits, &Cache::none(), &Unwatched)?)
}

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
