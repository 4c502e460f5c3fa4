//! `infer --embed`: the pooled features of images, what the last layer sees of them, as lines of JSON or as one
//! NumPy array.

use resnet_cpu::data::RgbImage;
use resnet_cpu::infer::{Classifier, InferError};
use resnet_cpu::runtime::{Disk, write_durably};
use serde::Serialize;
use std::io::{BufWriter, Stdout, Write};
use std::path::Path;

use super::super::error::CliError;
use super::super::output::{print_error, write_json};
use super::super::written::check_place;
use super::answers::{Failure, Image};
use super::{Reason, Source};

/// The line of JSON for an image.
#[derive(Serialize)]
struct Embedding<'a> {
    #[serde(flatten)]
    image: Image,
    arch: &'a str,
    #[serde(flatten)]
    place: Place<'a>,
}

/// Where the features are.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Place<'a> {
    /// In the line.
    Features(&'a [f32]),
    /// In this row of the array.
    Row(usize),
}

/// Writes features as they come, or keeps them for the array.
pub(super) struct Embedder<'a> {
    out: BufWriter<Stdout>,
    /// The file of the array, which is written at the end.
    file: Option<&'a Path>,
    rows: Vec<f32>,
    /// Numbers a row.
    features: usize,
    arch: String,
    pub(super) failed: bool,
}

impl<'a> Embedder<'a> {
    pub(super) fn new(file: Option<&'a Path>, classifier: &Classifier) -> Self {
        let network = classifier.model().network();
        Self {
            out: BufWriter::new(std::io::stdout()),
            file,
            rows: Vec::new(),
            features: network.features(),
            arch: network.spec.name.clone(),
            failed: false,
        }
    }

    /// Embeds a batch.
    pub(super) fn embed(
        &mut self,
        sources: &[Source],
        classifier: &Classifier,
        read: impl Fn(&Source) -> Result<RgbImage, Reason> + Sync + Send,
    ) -> Result<(), CliError> {
        let found = classifier.features_each(sources.len(), |i| read(&sources[i]));
        for (source, features) in sources.iter().zip(found) {
            let path = source.as_deref().unwrap_or_else(|error| error.path());
            let image = Image::of(path);
            let features = features.map(|crops| mean(&crops, self.features));
            match features.and_then(finite) {
                Ok(features) => self.add(image, &features)?,
                Err(Reason(error)) => {
                    self.failed = true;
                    self.out.flush()?;
                    print_error(&format!("{}: {error}", image.image));
                    write_json(&mut self.out, &Failure { image, error: &error })?;
                }
            }
        }
        Ok(self.out.flush()?)
    }

    fn add(&mut self, image: Image, features: &[f32]) -> Result<(), CliError> {
        let place = match self.file {
            Some(_) => {
                self.rows.extend_from_slice(features);
                Place::Row(self.rows.len() / self.features - 1)
            }
            None => Place::Features(features),
        };
        Ok(write_json(&mut self.out, &Embedding { image, arch: &self.arch, place })?)
    }

    /// Writes the array, if there is to be one.
    pub(super) fn finish(&self) -> Result<(), CliError> {
        let Some(path) = self.file else { return Ok(()) };
        let written =
            write_durably(&Disk, path, |out| super::npy::write_npy(out, self.features, &self.rows));
        written
            .map_err(|error| CliError::failed(format!("{}: cannot write: {error}", path.display())))
    }
}

/// The mean of the crops' features, `[crops, len]`.
fn mean(crops: &[f32], len: usize) -> Vec<f32> {
    let mut sums = vec![0.0_f64; len];
    for crop in crops.chunks_exact(len) {
        sums.iter_mut().zip(crop).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    let count = (crops.len() / len) as f64;
    sums.into_iter().map(|sum| (sum / count) as f32).collect()
}

fn finite(features: Vec<f32>) -> Result<Vec<f32>, Reason> {
    match features.iter().all(|feature| feature.is_finite()) {
        true => Ok(features),
        false => Err(InferError::NotFinite.into()),
    }
}

/// Whether the array can be written to `path`, before any work.
pub(super) fn check_file(path: &Path) -> Result<(), CliError> {
    check_place("--out", path)?;
    // Else `--out *.jpg` would replace the first of the images.
    if path.extension().is_none_or(|extension| extension != "npy") {
        let found = path.display();
        return Err(CliError::usage(format!(
            "--out: {found}: expected a name that ends with .npy"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_are_averaged() {
        assert_eq!(mean(&[1.0, 2.0, 3.0, 5.0], 2), [2.0, 3.5]);
        assert_eq!(mean(&[1.0, 2.0], 2), [1.0, 2.0]);
        assert!(finite(vec![1.0, f32::NAN]).is_err());
    }
}
