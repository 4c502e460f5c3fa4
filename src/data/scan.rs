//! Reading all images of a set before work begins with them: so a broken one is found in the first minutes, not
//! in the last hour. What was found is remembered, so a second run on the same files begins at once.
//!
//! It is remembered by what tells whether the images are still the same: paths, sizes and times of all
//! files, the set's fingerprint, and the pixels of some images. The result is the same with and without:
//! a cache that is lost costs time, and a damaged one is not believed.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::hash::Hash;
use super::{Dataset, Error, Splits, Statistics, Subset, View};
use crate::runtime::{Cache, Watch, team};

/// Raised when what is remembered gets another form or meaning.
const FORM: u64 = 2;
/// Images whose pixels are looked at again, to know a set.
const SAMPLE: usize = 8;
/// Images per thread between two looks at `watch`.
const TOGETHER: usize = 8;

/// Reads sets through, for one who waits.
#[derive(Clone, Copy)]
pub struct Scan<'a> {
    /// Where results are remembered.
    pub cache: &'a Cache,
    /// Who is told how far it is, and may stop it.
    pub watch: &'a dyn Watch,
}

/// The images of a set that cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadImages {
    /// Their numbers, rising.
    pub indices: Vec<usize>,
    /// What is wrong with each, and its name.
    pub reasons: Vec<String>,
}

/// A set that was read through without its images `bad`.
fn without(data: Box<dyn Dataset>, bad: &[usize]) -> Box<dyn Dataset> {
    if bad.is_empty() {
        return data;
    }
    let good = (0..data.len()).filter(|index| bad.binary_search(index).is_err()).collect();
    Box::new(Subset::new(Arc::from(data), good).verified())
}

impl Scan<'_> {
    /// Reads every image of `data`, unless it is known that all are good; `what` is what they are called
    /// for `watch`, such as "validation images read".
    ///
    /// # Errors
    /// That of the first image, by number, that cannot be read; [`Error::Interrupted`].
    pub fn check(&self, data: &dyn Dataset, what: &'static str) -> Result<(), Error> {
        if data.is_verified() {
            return Ok(());
        }
        let name = self.name(data, "scan", None);
        if let Some(known) = self.recall::<BadImages>(name.as_deref()) {
            for index in known.indices {
                data.image(index)?;
            }
            // Whatever was wrong has passed.
            if known.reasons.is_empty() {
                return Ok(());
            }
        }
        let mut first = None;
        self.read(data, what, |_, error| {
            first = Some(error);
            false
        })?;
        if let Some(error) = first {
            return Err(error);
        }
        self.remember(name.as_deref(), &BadImages::default());
        Ok(())
    }

    /// Reads every image of `data`, unless it is known which are bad: all that are.
    ///
    /// # Errors
    /// [`Error::Interrupted`], and the first that is not [of an image](Error::is_of_image).
    pub fn bad_images(&self, data: &dyn Dataset, what: &'static str) -> Result<BadImages, Error> {
        if data.is_verified() {
            return Ok(BadImages::default());
        }
        let name = self.name(data, "scan", None);
        if let Some(known) = self.recall(name.as_deref()) {
            return Ok(known);
        }
        let (mut bad, mut other) = (BadImages::default(), None);
        self.read(data, what, |index, error| {
            if !error.is_of_image() {
                other = Some(error);
                return false;
            }
            bad.indices.push(index);
            bad.reasons.push(error.to_string());
            true
        })?;
        if let Some(error) = other {
            return Err(error);
        }
        self.remember(name.as_deref(), &bad);
        Ok(bad)
    }

    /// Leaves out the images of `splits` that cannot be read: the set without them, where the others have
    /// new numbers, and what is wrong with each. Which are left out is a part of the fingerprint.
    ///
    /// # Errors
    /// That of the first image if no training image, or no validation image, can be read; as for
    /// [`bad_images`](Self::bad_images).
    pub fn leave_out(&self, splits: Splits) -> Result<(Splits, Vec<String>), Error> {
        let (train, mut reasons) = self.leave_out_of(splits.train, "training images read")?;
        let val = match splits.val {
            Some(val) => {
                let (val, bad) = self.leave_out_of(val, "validation images read")?;
                reasons.extend(bad);
                Some(val)
            }
            None => None,
        };
        Ok((Splits { train, val, ..splits }, reasons))
    }

    /// As [`leave_out`](Self::leave_out), of one set; `what` is what its images are called for `watch`.
    ///
    /// # Errors
    /// That of the first image if none can be read; as for [`bad_images`](Self::bad_images).
    pub fn leave_out_of(
        &self,
        data: Box<dyn Dataset>,
        what: &'static str,
    ) -> Result<(Box<dyn Dataset>, Vec<String>), Error> {
        let bad = self.bad_images(&*data, what)?;
        if !data.is_empty() && bad.indices.len() == data.len() {
            data.image(0)?;
        }
        Ok((without(data, &bad.indices), bad.reasons))
    }

    /// What the centre views of `data` are like: as it was measured when the set was packed, or as it is
    /// remembered, else measured now, which reads every image.
    ///
    /// # Errors
    /// That of the first image that cannot be read; [`Error::Interrupted`].
    ///
    /// # Panics
    /// If `data` is empty.
    pub fn statistics(&self, data: &dyn Dataset, view: View) -> Result<Statistics, Error> {
        if let Some(measured) = data.measured(view)? {
            return Ok(measured);
        }
        let name = self.name(data, "statistics", Some(view));
        let known = self.recall::<Statistics>(name.as_deref());
        if let Some(known) = known.filter(|known| known.fits(data.len(), view)) {
            return Ok(known);
        }
        let measured = Statistics::of(data, view, self.watch)?;
        self.remember(name.as_deref(), &measured);
        Ok(measured)
    }

    /// Decodes the images one after another, several at a time; tells of the bad ones, in order, until
    /// `go_on` says no.
    fn read(
        &self,
        data: &dyn Dataset,
        what: &'static str,
        mut go_on: impl FnMut(usize, Error) -> bool + Send,
    ) -> Result<(), Error> {
        team(|team| {
            let together = team.threads() * TOGETHER;
            for first in (0..data.len()).step_by(together) {
                let count = together.min(data.len() - first);
                data.read_ahead(&(first..first + count).collect::<Vec<_>>());
                let failed = team.map(count, |i, _| {
                    if self.watch.stopped() {
                        return Some(Error::Interrupted);
                    }
                    data.image(first + i).err()
                });
                if self.watch.stopped() {
                    return Err(Error::Interrupted);
                }
                for (i, error) in failed.into_iter().enumerate() {
                    if let Some(error) = error
                        && !go_on(first + i, error)
                    {
                        return Ok(());
                    }
                }
                self.watch.progress(what, (first + count) as u64, Some(data.len() as u64));
            }
            Ok(())
        })
    }

    /// What the result of reading `data` is called in the cache; none for sets that are in memory.
    fn name(&self, data: &dyn Dataset, what: &str, view: Option<View>) -> Option<String> {
        self.cache.folder()?;
        let mut hash = Hash::new();
        hash.number(FORM);
        hash.text(env!("CARGO_PKG_VERSION").as_bytes());
        hash.number(data.stamp()?);
        hash.text(data.fingerprint().as_bytes());
        if let Some(view @ View { pad, resize, crop, .. }) = view {
            // No side has the length 0.
            for side in [pad.unwrap_or(0), resize.unwrap_or(0), crop] {
                hash.number(side as u64);
            }
            if view != (View { pad, resize, crop, ..View::imagenet() }) {
                let View { interpolation, mode, fill, .. } = view;
                hash.text(format!("{interpolation} {mode} {fill:?}").as_bytes());
            }
        }
        let images = data.len().min(SAMPLE);
        for i in 0..images {
            match data.image(i * data.len() / images) {
                Ok(image) => {
                    hash.number(image.width() as u64);
                    hash.text(image.pixels());
                }
                Err(error) => hash.text(error.to_string().as_bytes()),
            }
        }
        Some(format!("{what}-{hash}.json"))
    }

    /// What is remembered under `name`, if it is whole.
    fn recall<T: DeserializeOwned>(&self, name: Option<&str>) -> Option<T> {
        let bytes = self.cache.read(name?)?;
        let (crc, json) = bytes.split_at_checked(9)?;
        let expected = format!("{:08x}\n", crc32c::crc32c(json));
        (crc == expected.as_bytes()).then(|| serde_json::from_slice(json).ok())?
    }

    /// Remembers a result, with its CRC32C in the first line. Where that fails, it is found again.
    fn remember<T: Serialize>(&self, name: Option<&str>, result: &T) {
        let (Some(name), Ok(json)) = (name, serde_json::to_vec(result)) else { return };
        let mut bytes = format!("{:08x}\n", crc32c::crc32c(&json)).into_bytes();
        bytes.extend(json);
        let _ = self.cache.write(name, &bytes);
    }
}
