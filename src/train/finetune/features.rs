//! The features that a frozen backbone computes of the images of a set: once, and then they are kept.
//!
//! They are those of inference, `VALIDATION_BATCH` images at a time in the order of the set, so what is
//! trained on them sees what evaluation will see. They are kept in parts, so that a set whose computation was
//! stopped goes on where it was. A part that is kept says what it is of; anything else in its place is computed
//! again.

use std::sync::Arc;

use super::super::config::NUMERICS;
use super::super::error::RunError;
use super::super::trainer::VALIDATION_BATCH;
use super::StartError;
use crate::conv::Convolutions;
use crate::data::{self, Batches, Dataset, Hash, Preprocess};
use crate::gemm::Backend;
use crate::infer::{Model, Session};
use crate::learn::finite;
use crate::model::{Network, Params};
use crate::runtime::{AlignedBuf, Cache, Watch};

/// Images of a part that is kept as a file: whole batches.
pub(in crate::train) const PART: usize = 64 * VALIDATION_BATCH;

/// Images prepared between two looks whether to stop.
const PREPARED: usize = 16;

/// Begins a file of features; its last digit is the version of the format.
const MAGIC: &[u8; 8] = b"RCPUFEA1";

/// A backbone that is not trained.
pub(in crate::train) struct Backbone<'a> {
    pub(in crate::train) network: &'a Network,
    pub(in crate::train) params: &'a Params,
    pub(in crate::train) preprocess: &'a Preprocess,
    /// The digest of the weights that it is from.
    pub(in crate::train) digest: &'a str,
    pub(in crate::train) backend: Backend,
    pub(in crate::train) convolutions: Convolutions,
    pub(in crate::train) cache: &'a Cache,
}

impl Backbone<'_> {
    /// The features of all images of `data`, `[images, features]`. `what` is what `watch` is told that they
    /// are; `notes` gets what went wrong with keeping them.
    ///
    /// # Errors
    /// An image cannot be read, the features are not finite, or it was stopped.
    pub(in crate::train) fn features(
        &self,
        data: &dyn Dataset,
        what: &'static str,
        notes: &mut Vec<String>,
        watch: &dyn Watch,
    ) -> Result<Vec<f32>, RunError> {
        let width = self.network.fc.in_features;
        let images = data.len();
        let model = Model::new(self.network, self.params, self.backend)
            .with_convolutions(self.convolutions);
        let mut session = Session::of(&Arc::new(model));
        let mut features = Vec::with_capacity(images * width);
        let whole = self.key(data);
        for start in (0..images).step_by(PART) {
            if watch.stopped() {
                return Err(data::Error::Interrupted.into());
            }
            let part = start..images.min(start + PART);
            let key = format!("{whole}; images {start} to {} of {images}", part.end);
            let name = format!("features-{}.bin", Hash::of(key.as_bytes()));
            let kept =
                self.cache.read(&name).and_then(|bytes| parse(&bytes, &key, part.len() * width));
            let found = match kept {
                Some(found) => found,
                None => {
                    let mut found = Vec::with_capacity(part.len() * width);
                    for first in part.clone().step_by(VALIDATION_BATCH) {
                        let batch = first..part.end.min(first + VALIDATION_BATCH);
                        self.run(&mut session, data, batch, &mut found, watch)?;
                        let done = (start * width + found.len()) / width;
                        watch.progress(what, done as u64, Some(images as u64));
                    }
                    if let Err(error) = self.cache.write(&name, &bytes(&key, &found)) {
                        let folder = self.cache.folder().unwrap_or("".as_ref()).display();
                        let note = format!("{folder}: cannot keep features here: {error}");
                        if !notes.contains(&note) {
                            notes.push(note);
                        }
                    }
                    found
                }
            };
            features.extend(found);
            watch.progress(what, part.end as u64, Some(images as u64));
        }
        Ok(features)
    }

    /// Appends the features of the images `batch` to `features`.
    fn run(
        &self,
        session: &mut Session,
        data: &dyn Dataset,
        batch: std::ops::Range<usize>,
        features: &mut Vec<f32>,
        watch: &dyn Watch,
    ) -> Result<(), RunError> {
        let Preprocess { view, mean } = self.preprocess;
        let batches = Batches::evaluation(data, *view, mean);
        let indices: Vec<usize> = batch.collect();
        let mut input = AlignedBuf::zeroed(indices.len() * batches.input_len());
        let mut labels = [0; PREPARED];
        let inputs = input.chunks_mut(PREPARED * batches.input_len());
        for (indices, input) in indices.chunks(PREPARED).zip(inputs) {
            if watch.stopped() {
                return Err(data::Error::Interrupted.into());
            }
            batches.fill(0, indices, input, &mut labels[..indices.len()])?;
        }
        let (count, side) = (indices.len(), view.crop);
        let done = session.run_unless(&input, count, side, side, &|| watch.stopped())?;
        if done.is_none() {
            return Err(data::Error::Interrupted.into());
        }
        let found = session.features();
        if !finite(&found) {
            let weights = format!("weights {}", self.digest);
            return Err(StartError::NotFinite { weights, what: "features" }.into());
        }
        features.extend(found);
        Ok(())
    }

    /// All that features depend on. The view and the mean are in the digest of the weights; the program's
    /// version stands for the decoders, and a backend that rounds differently for itself.
    fn key(&self, data: &dyn Dataset) -> String {
        let backend = match self.backend.native() {
            Some(isa) if isa.is_exact() => "exact",
            Some(isa) => isa.name(),
            None => "matrixmultiply",
        };
        let (version, digest) = (env!("CARGO_PKG_VERSION"), self.digest);
        let convolutions = self.convolutions;
        let (fingerprint, stamp, decoder) = (data.fingerprint(), data.stamp(), data.decoder());
        format!(
            "resnet-cpu {version}; numerics {NUMERICS}; {backend}; conv {convolutions}; weights {digest}; batches of \
             {VALIDATION_BATCH}; {fingerprint}; files {stamp:?}; decoder {decoder}"
        )
    }
}

/// The file of `values`: magic, u32 length of the key, key, the values, CRC-32C of all before; little-endian.
fn bytes(key: &str, values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(MAGIC.len() + 8 + key.len() + size_of_val(values));
    bytes.extend(MAGIC);
    bytes.extend((key.len() as u32).to_le_bytes());
    bytes.extend(key.as_bytes());
    values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

/// The `count` values of a file that is whole and of this `key`.
fn parse(bytes: &[u8], key: &str, count: usize) -> Option<Vec<f32>> {
    let (content, crc) = bytes.split_last_chunk()?;
    if crc32c::crc32c(content) != u32::from_le_bytes(*crc) {
        return None;
    }
    let rest = content.strip_prefix(MAGIC)?;
    let rest = rest.strip_prefix(&(key.len() as u32).to_le_bytes())?;
    let (values, rest) = rest.strip_prefix(key.as_bytes())?.as_chunks();
    let values: Vec<f32> = values.iter().map(|value| f32::from_le_bytes(*value)).collect();
    (rest.is_empty() && values.len() == count && finite(&values)).then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_whole_or_of_another_key_is_not_used() {
        let values = [1.0, -2.5, 0.0];
        let file = bytes("key", &values);
        assert_eq!(parse(&file, "key", 3).unwrap(), values);
        assert_eq!(parse(&file, "kez", 3), None);
        assert_eq!(parse(&file, "key", 4), None);
        for i in 0..file.len() {
            let mut changed = file.clone();
            changed[i] ^= 1;
            assert_eq!(parse(&changed, "key", 3), None, "byte {i}");
            assert_eq!(parse(&file[..i], "key", 3), None, "cut at {i}");
        }
        assert_eq!(parse(&bytes("key", &[f32::NAN]), "key", 1), None);
    }
}
