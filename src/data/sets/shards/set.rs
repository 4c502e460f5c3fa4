//! The images of some shards as a data set.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::index::{Index, Record};
use super::manifest::Within;
use super::map::MappedTar;
use super::measured::Measured;
use super::raw::RawImage;
use crate::data::decode::{Limits, decode, decode_part};
use crate::data::hash::Hash;
use crate::data::{Dataset, Error, JpegDecoder, RgbImage, RgbView, Statistics, View, Window};

/// Labelled images in shards: one part of a set. An image takes 24 bytes of memory until it is read.
#[derive(Debug)]
pub struct Shards {
    shards: Vec<Shard>,
    /// The number of the first record of each shard, and in the end the number of all.
    starts: Vec<usize>,
    classes: Vec<String>,
    limits: Limits,
    packed: Option<Packed>,
}

/// What is known of images since they were packed.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    /// Where files of means are.
    pub(super) folder: PathBuf,
    /// What was measured on exactly these images.
    pub(super) statistics: Vec<Measured>,
    /// What their source said of them ([`Dataset::pad`], [`Dataset::may_flip`]).
    pub(super) pad: Option<usize>,
    pub(super) may_flip: bool,
    /// What they were decoded within.
    pub(super) within: Within,
}

/// A tar and what is in it.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) tar: MappedTar,
    pub(super) index: Index,
}

impl Shards {
    /// The images of `shards`, in their order.
    ///
    /// # Errors
    /// [`Error::Record`] if a label is not below the number of classes.
    pub(super) fn new(
        shards: Vec<Shard>,
        classes: Vec<String>,
        limits: Limits,
        packed: Option<Packed>,
    ) -> Result<Self, Error> {
        let mut starts = vec![0];
        for shard in &shards {
            starts.push(starts[starts.len() - 1] + shard.index.records.len());
        }
        let set = Self { shards, starts, classes, limits, packed };
        set.check_labels(set.classes.len())?;
        Ok(set)
    }

    /// The same for a set of `classes`, of which all may not occur here.
    ///
    /// # Errors
    /// [`Error::Record`] if a label is not below their number.
    pub(in crate::data::sets) fn with_classes(self, classes: &[String]) -> Result<Self, Error> {
        self.check_labels(classes.len())?;
        Ok(Self { classes: classes.to_vec(), ..self })
    }

    fn check_labels(&self, classes: usize) -> Result<(), Error> {
        for shard in &self.shards {
            let beyond = |record: &Record| record.label as usize >= classes;
            if let Some(number) = shard.index.records.iter().position(beyond) {
                let record = &shard.index.records[number];
                let last = classes.saturating_sub(1);
                let detail = format!("expected a class of 0 to {last}, found {}", record.label);
                return Err(Error::Record { path: shard.tar.name(number, record), detail });
            }
        }
        Ok(())
    }

    /// The bytes of image `index` as they are in its tar, checked against the index.
    ///
    /// # Errors
    /// The tar is no longer the one that was opened, or the bytes are not those of the index.
    ///
    /// # Panics
    /// If `index` is not below the number of images.
    pub fn record(&self, index: usize) -> Result<&[u8], Error> {
        let (shard, number) = self.locate(index);
        shard.tar.bytes(number, &shard.index.records[number])
    }

    /// What the index says about image `index`.
    ///
    /// # Panics
    /// As for [`record`](Self::record).
    pub fn entry(&self, index: usize) -> &Record {
        let (shard, number) = self.locate(index);
        &shard.index.records[number]
    }

    /// What image `index` is called in messages: its tar, its number there, and its name.
    ///
    /// # Panics
    /// As for [`record`](Self::record).
    pub fn name(&self, index: usize) -> PathBuf {
        let (shard, number) = self.locate(index);
        shard.tar.name(number, &shard.index.records[number])
    }

    /// The shards: each tar with what is in it.
    pub fn shards(&self) -> impl Iterator<Item = (&Path, &Index)> {
        self.shards.iter().map(|shard| (shard.tar.path(), &shard.index))
    }

    /// How large an image may be.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The shard of image `index`, and its number there.
    fn locate(&self, index: usize) -> (&Shard, usize) {
        assert!(index < self.len(), "image {index} of {}", self.len());
        let shard = self.starts.partition_point(|&start| start <= index) - 1;
        (&self.shards[shard], index - self.starts[shard])
    }
}

/// The image that the bytes of a record are; `path` is only the name that errors carry.
pub(super) fn decode_record(bytes: &[u8], path: &Path, limits: &Limits) -> Result<RgbImage, Error> {
    match RawImage::is_raw(bytes) {
        true => Ok(RawImage::parse(bytes, path, limits)?.view().to_image()),
        false => decode(bytes, path, limits),
    }
}

impl Dataset for Shards {
    fn len(&self) -> usize {
        self.starts[self.starts.len() - 1]
    }

    fn classes(&self) -> usize {
        self.classes.len()
    }

    fn class_names(&self) -> Option<&[String]> {
        Some(&self.classes)
    }

    fn label(&self, index: usize) -> usize {
        self.entry(index).label as usize
    }

    fn image(&self, index: usize) -> Result<RgbImage, Error> {
        decode_record(self.record(index)?, &self.name(index), &self.limits)
    }

    fn name(&self, index: usize) -> String {
        self.name(index).display().to_string()
    }

    fn with_image(&self, index: usize, see: &mut dyn FnMut(RgbView<'_>)) -> Result<(), Error> {
        let (bytes, name) = (self.record(index)?, || self.name(index));
        if RawImage::is_raw(bytes) {
            see(RawImage::parse(bytes, &name(), &self.limits)?.view());
        } else {
            see(decode(bytes, name(), &self.limits)?.view());
        }
        Ok(())
    }

    fn with_part(
        &self,
        index: usize,
        choose: &mut dyn FnMut([usize; 2]) -> Window,
        see: &mut dyn FnMut(RgbView<'_>),
    ) -> Result<(), Error> {
        let (bytes, name) = (self.record(index)?, || self.name(index));
        if RawImage::is_raw(bytes) {
            let image = RawImage::parse(bytes, &name(), &self.limits)?.view();
            choose([image.width(), image.height()]);
            see(image);
        } else {
            see(decode_part(bytes, name(), &self.limits, choose)?.view());
        }
        Ok(())
    }

    fn read_ahead(&self, indices: &[usize]) {
        for &index in indices {
            let (shard, number) = self.locate(index);
            shard.tar.read_ahead(&shard.index.records[number]);
        }
    }

    /// The hash is over the number of images, the bytes and the CRC32C of each tar, which holds images, labels
    /// and their order. Where the tars are, and what they are called, does not matter.
    fn fingerprint(&self) -> String {
        let mut hash = Hash::new();
        for Shard { index, .. } in &self.shards {
            hash.number(index.records.len() as u64);
            hash.number(index.bytes);
            hash.number(index.crc.into());
        }
        format!("shards, {} pictures, {} classes, {hash}", self.len(), self.classes.len())
    }

    fn stored(&self, index: usize) -> Result<Option<Cow<'_, [u8]>>, Error> {
        self.record(index).map(|bytes| Some(Cow::Borrowed(bytes)))
    }

    fn decoder(&self) -> JpegDecoder {
        self.limits.decoder
    }

    fn pad(&self) -> Option<usize> {
        self.packed.as_ref()?.pad
    }

    fn may_flip(&self) -> bool {
        self.packed.as_ref().is_none_or(|packed| packed.may_flip)
    }

    fn stamp(&self) -> Option<u64> {
        let mut hash = Hash::new();
        for Shard { tar, .. } in &self.shards {
            let path = tar.path().canonicalize().ok()?;
            hash.text(path.as_os_str().as_encoded_bytes());
            tar.stamp().hash(&mut hash);
        }
        hash.number(self.limits.side.into());
        hash.number(self.limits.bytes);
        hash.text(self.limits.decoder.to_string().as_bytes());
        Some(hash.value())
    }

    /// Whatever is packed was decoded, within the limits of that time and by the usual decoder.
    fn is_verified(&self) -> bool {
        let fits = |packed: &Packed| packed.within.fits(&self.limits);
        self.packed.as_ref().is_some_and(fits) && self.limits.decoder == JpegDecoder::default()
    }

    fn measured(&self, view: View) -> Result<Option<Statistics>, Error> {
        // Another decoder's pixels have other statistics.
        let usual = self.limits.decoder == JpegDecoder::default();
        let Some(Packed { folder, statistics, .. }) = self.packed.as_ref().filter(|_| usual) else {
            return Ok(None);
        };
        let found = statistics.iter().find(|measured| measured.view() == view);
        found.map(|measured| measured.read(folder, self.len())).transpose()
    }
}
