//! Opening a file of weights: which network it is, and every tensor checked.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::path::Path;

use rayon::prelude::*;

use super::file::{Dtype, StoredTensor, TensorFile};
use super::metadata::{CLASSES, Metadata, Preprocessing};
use super::names::{Canonical, PIXEL_MEAN, canonical};
use super::resolve::{Overrides, resolve};
use super::{Mismatch, WeightsError, WrongTensor};
use crate::model::{ModelSpec, Network, ParamSource, Role, TensorId, TensorInfo};

/// Values that one task checks.
const CHECKED_TOGETHER: usize = 256 * 1024;
const NOT_FINITE: &str = "NaN or infinite";

/// A file of weights, mapped, with the network that it belongs to.
#[derive(Debug)]
pub struct WeightsFile {
    file: TensorFile,
    network: Network,
    /// The file's tensor of each id, by its index; all are floats.
    views: Vec<StoredTensor>,
    metadata: Metadata,
    /// Floats `[height, width, 3]`.
    pixel_mean: Option<StoredTensor>,
    notes: Vec<String>,
}

/// The mean of each pixel of a training set, which an input has subtracted after all other
/// preprocessing.
#[derive(Clone, Debug, PartialEq)]
pub struct PixelMean<'a> {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `[height, width, 3]`.
    pub values: Cow<'a, [f32]>,
}

impl WeightsFile {
    /// Opens the file at `path`, finds out which network it holds and checks names, shapes and
    /// values of all tensors.
    ///
    /// While it is open the file must not be changed in place, see [`TensorFile::open`].
    ///
    /// # Errors
    /// The file cannot be read or is not a file of tensors; its network is not known or contradicts
    /// `overrides`; tensors are missing, unexpected or wrong (one error lists all); values are not
    /// finite, or a running variance is negative.
    pub fn open(path: &Path, overrides: &Overrides) -> Result<Self, WeightsError> {
        Self::from_file(TensorFile::open(path)?, overrides)
    }

    /// As [`open`](Self::open), of a file that is open already.
    ///
    /// # Errors
    /// As of [`open`](Self::open), except that the file can be read.
    pub fn from_file(file: TensorFile, overrides: &Overrides) -> Result<Self, WeightsError> {
        let path = &file.path().to_owned();
        let stated = Metadata::parse(path, file.metadata())?;
        let sorted = sort(file.tensors());
        let (spec, assumed) = resolve(path, overrides, &stated, &sorted.tensors)?;
        let mut notes = [file.notes(), &assumed].concat();
        if sorted.training_state > 0 {
            notes.push(format!("{} tensors of training state ignored", sorted.training_state));
        }
        let silent = stated.preprocessing.unstated();
        if !silent.is_empty() {
            notes
                .push(format!("the file does not state its preprocessing ({})", silent.join(", ")));
        }
        let network = Network::new(&spec);
        let pixel_mean =
            sorted.pixel_mean.map(|stored| pixel_mean(path, &stated, stored)).transpose()?;
        let views = match_tensors(&network, sorted).map_err(|mismatch| WeightsError::Mismatch {
            path: path.to_owned(),
            mismatch: Box::new(mismatch),
        })?;
        let Metadata { preprocessing, classes, .. } = stated;
        if let Some(names) = classes.as_ref().filter(|names| names.len() != spec.classes) {
            return Err(WeightsError::Metadata {
                path: path.to_owned(),
                key: CLASSES,
                expected: format!("{} names, one a row of fc.weight", spec.classes),
                found: format!("{} names", names.len()),
            });
        }
        let metadata = Metadata { preprocessing, classes, ..Metadata::of_spec(&spec) };
        let weights = Self { file, network, views, metadata, pixel_mean, notes };
        weights.check_values()?;
        Ok(weights)
    }

    /// Which network it is.
    pub fn spec(&self) -> &ModelSpec {
        &self.network.spec
    }

    /// The layers of the network; its tensor ids are those of this file.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What had to be assumed or was left out, a sentence each; empty if the metadata say it all.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// How images were prepared in training, where the metadata say so.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.metadata.preprocessing
    }

    /// The mean of each pixel of the training set, if the file has one.
    pub fn pixel_mean(&self) -> Option<PixelMean<'_>> {
        let stored = self.pixel_mean.as_ref()?;
        let values = self.file.values(stored)?;
        Some(PixelMean { height: stored.shape[0], width: stored.shape[1], values })
    }

    /// Class names in order of index, if the metadata have them; as many as the network's classes.
    pub fn classes(&self) -> Option<&[String]> {
        self.metadata.classes.as_deref()
    }

    /// The metadata with the network as found: what a copy of this file should say.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The file's own names, types and metadata.
    pub fn file(&self) -> &TensorFile {
        &self.file
    }

    /// Reads every value once, in parallel: a single NaN would make every prediction NaN.
    fn check_values(&self) -> Result<(), WeightsError> {
        let tensors: Vec<(TensorId, &TensorInfo)> = self.network.table().iter().collect();
        let found = tensors.par_iter().flat_map_iter(|&(id, info)| {
            let negative = match info.role {
                Role::RunningVar => self.count(id, |x| x < 0.0),
                _ => 0,
            };
            let found = [(self.count(id, |x| !x.is_finite()), NOT_FINITE), (negative, "negative")];
            let found = found.into_iter().filter(|&(count, _)| count > 0);
            found.map(|(count, what)| format!("{} ({count} {what} of {})", info.name, info.len()))
        });
        let mut found: Vec<String> = found.collect();
        if let Some(mean) = self.pixel_mean() {
            let (bad, all) =
                (mean.values.iter().filter(|x| !x.is_finite()).count(), mean.values.len());
            if bad > 0 {
                found.push(format!("{PIXEL_MEAN} ({bad} {NOT_FINITE} of {all})"));
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        Err(WeightsError::Values { path: self.file.path().to_owned(), tensors: found })
    }

    /// How many values of a tensor are `wrong`.
    fn count(&self, id: TensorId, wrong: impl Fn(f32) -> bool + Sync) -> usize {
        let len = self.network.table().info(id).len();
        let parts = (0..len).into_par_iter().step_by(CHECKED_TOGETHER);
        let count = parts.map(|start| {
            let mut count = 0;
            // Counting without early exit lets the compiler use vectors.
            let mut read = |values: &[f32]| count = values.iter().filter(|x| wrong(**x)).count();
            self.read(id, start..len.min(start + CHECKED_TOGETHER), &mut read);
            count
        });
        count.sum()
    }
}

impl ParamSource for WeightsFile {
    fn tensor(&self, id: TensorId) -> Cow<'_, [f32]> {
        self.file.values(&self.views[id.index()]).expect("checked to be floats")
    }

    fn read(&self, id: TensorId, part: Range<usize>, read: &mut dyn FnMut(&[f32])) {
        self.file.read(&self.views[id.index()], part, read);
    }
}

/// The tensors of a file under our names.
struct Sorted<'a> {
    tensors: BTreeMap<String, &'a StoredTensor>,
    /// Names that mean the same tensor as another one.
    repeated: Vec<String>,
    pixel_mean: Option<&'a StoredTensor>,
    /// How many belong to a checkpoint's state of training.
    training_state: usize,
}

fn sort(stored: &[StoredTensor]) -> Sorted<'_> {
    let mut sorted = Sorted {
        tensors: BTreeMap::new(),
        repeated: Vec::new(),
        pixel_mean: None,
        training_state: 0,
    };
    for tensor in stored {
        match canonical(&tensor.name) {
            Canonical::Tensor(name) => match sorted.tensors.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(tensor);
                }
                Entry::Occupied(place) => sorted.repeated.push(format!(
                    "{} (the same as {})",
                    tensor.name,
                    place.get().name
                )),
            },
            Canonical::BatchCount => {}
            Canonical::PixelMean => sorted.pixel_mean = Some(tensor),
            Canonical::TrainingState => sorted.training_state += 1,
        }
    }
    sorted
}

/// The per-pixel mean, after checking that it is a crop's.
fn pixel_mean(
    path: &Path,
    stated: &Metadata,
    stored: &StoredTensor,
) -> Result<StoredTensor, WeightsError> {
    let side = stated.preprocessing.crop;
    match (&stored.dtype, &stored.shape[..]) {
        (Dtype::Float(_), &[height, width, 3])
            if side.is_none_or(|side| [height, width] == [side; 2]) =>
        {
            Ok(stored.clone())
        }
        (dtype, shape) => {
            let side = side.map_or("height, width".to_owned(), |side| format!("{side}, {side}"));
            Err(WeightsError::Metadata {
                path: path.to_owned(),
                key: PIXEL_MEAN,
                expected: format!("a tensor of floats [{side}, 3]"),
                found: format!("{dtype} {shape:?}"),
            })
        }
    }
}

/// The file's tensor for each of the network's, or all that is wrong.
fn match_tensors(network: &Network, sorted: Sorted<'_>) -> Result<Vec<StoredTensor>, Mismatch> {
    let mut rest = sorted.tensors;
    let mut mismatch = Mismatch {
        network: network.spec.to_string(),
        expected: network.tensors().len(),
        ..Mismatch::default()
    };
    let mut views = Vec::with_capacity(network.tensors().len());
    for info in network.tensors() {
        match rest.remove(&info.name) {
            None => mismatch.missing.push(info.name.clone()),
            Some(stored) => match view(info, stored) {
                Ok(view) => views.push(view),
                Err(wrong) => mismatch.wrong.push(wrong),
            },
        }
    }
    mismatch.matched = views.len();
    mismatch.unexpected = rest.into_values().map(|stored| stored.name.clone()).collect();
    mismatch.unexpected.extend(sorted.repeated);
    if mismatch.is_empty() { Ok(views) } else { Err(mismatch) }
}

fn view(info: &TensorInfo, stored: &StoredTensor) -> Result<StoredTensor, WrongTensor> {
    let wrong =
        |expected: String, found: String| WrongTensor { name: info.name.clone(), expected, found };
    if stored.shape != info.shape {
        return Err(wrong(format!("{:?}", info.shape), format!("{:?}", stored.shape)));
    }
    match &stored.dtype {
        Dtype::Float(_) => Ok(stored.clone()),
        other => Err(wrong("F32, F16, BF16 or F64".to_owned(), other.to_string())),
    }
}
