//! `infer --explain`: a picture for each image, of where the network saw the classes that it names.

use rayon::prelude::*;
use resnet_cpu::data::RgbImage;
use resnet_cpu::infer::{ClassMap, Classifier, Prediction};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::super::error::CliError;
use super::super::png::write_png;
use super::names::{ENDING, Names};
use super::picture::{Copy, picture};
use super::{Reason, Source};

/// The folder of pictures, and who gets which file.
pub(super) struct Explainer {
    names: Names,
    /// Maps in each picture.
    maps: usize,
    /// Classes that are named.
    top: usize,
}

/// What was found of an image, and the file of its picture.
pub(super) type Explained = Result<(Vec<Prediction>, PathBuf), String>;

impl Explainer {
    /// Makes `folder` if it is not there. `sources` are all images of the run.
    pub(super) fn new(
        folder: &Path,
        [maps, top]: [usize; 2],
        sources: &[Source],
    ) -> Result<Self, CliError> {
        std::fs::create_dir_all(folder).map_err(|error| {
            CliError::failed(format!(
                "--explain: {}: cannot make the folder: {error}",
                folder.display()
            ))
        })?;
        let images = sources.iter().filter_map(|source| source.as_deref().ok());
        Ok(Self { names: Names::new(folder, images), maps, top })
    }

    /// Predictions and pictures of a batch. An image that cannot be read has no picture.
    pub(super) fn explain(
        &mut self,
        sources: &[Source],
        classifier: &Classifier,
        read: impl Fn(&Source) -> Result<RgbImage, Reason> + Sync,
    ) -> Result<Vec<Explained>, CliError> {
        let copies: Vec<OnceLock<Copy>> = sources.iter().map(|_| OnceLock::new()).collect();
        let found = classifier.explain_each(sources.len(), self.top.max(self.maps), |i| {
            let image = read(&sources[i])?;
            let _ = copies[i].set(Copy::of(&image));
            Ok::<_, Reason>(image)
        });
        let named = found.into_iter().zip(sources).map(|(maps, source)| match maps {
            Ok(maps) => {
                let path = source.as_deref().unwrap_or_else(|error| error.path());
                Ok((maps, self.names.next(path)))
            }
            Err(Reason(reason)) => Err(reason),
        });
        let named: Vec<_> = named.collect();
        let drawn = named.into_par_iter().zip(&copies).map(|(named, copy)| match named {
            Ok((maps, file)) => {
                let copy = copy.get().expect("an image that was classified was read");
                let predictions = self.draw(&file, copy, maps, classifier)?;
                Ok(Ok((predictions, file)))
            }
            Err(reason) => Ok(Err(reason)),
        });
        drawn.collect()
    }

    fn draw(
        &self,
        file: &Path,
        copy: &Copy,
        maps: Vec<ClassMap>,
        classifier: &Classifier,
    ) -> Result<Vec<Prediction>, CliError> {
        let mut predictions: Vec<Prediction> = maps.iter().map(|map| map.prediction).collect();
        predictions.truncate(self.top);
        let drawn = &maps[..self.maps.min(maps.len())];
        let name = |class| match classifier.label(class) {
            Some(label) => label.to_owned(),
            None => format!("class {class}"),
        };
        write_png(file, &picture(copy, &predictions, drawn, name))?;
        Ok(predictions)
    }
}

/// Whether `folder` can be the folder of pictures, before any work.
pub(super) fn check_folder(folder: &Path) -> Result<(), CliError> {
    match std::fs::metadata(folder) {
        Ok(found) if !found.is_dir() => Err(CliError::usage(format!(
            "--explain: {}: expected a folder, found a file",
            folder.display()
        ))),
        _ => Ok(()),
    }
}

/// Takes the pictures of an earlier run, which are in `folder`, out of what was found in a folder of images. Returns
/// how many they were.
pub(super) fn leave_out_pictures(folder: &Path, found: &mut Vec<Source>) -> usize {
    let Ok(folder) = folder.canonicalize() else { return 0 };
    let before = found.len();
    found.retain(|source| {
        let Ok(path) = source else { return true };
        let ours = path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(ENDING));
        !ours || path.parent().and_then(|parent| parent.canonicalize().ok()) != Some(folder.clone())
    });
    before - found.len()
}
