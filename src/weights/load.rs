//! Opening a file of weights: which network it is, and every tensor checked.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use super::error::listed;
use super::file::TensorFile;
use super::metadata::{CLASSES, MEAN, Metadata, QUANTIZED, STD};
use super::names::PIXEL_MEAN;
use super::other_nets;
use super::published::Published;
use super::publisher::{DataSet, data_set};
use super::quantized;
use super::resolve::{Overrides, resolve};
use super::sort::{Sorted, is_extra, sort};
use super::stated::StatedPreprocess;
use super::stored::{Dtype, StoredTensor};
use super::{Mismatch, WeightsError, WrongTensor};
use crate::model::{
    ModelSpec, Network, ParamSource, Quantized, Role, SourceError, TensorId, TensorInfo,
};
use crate::runtime::team;

/// Values that one task checks: what was read stays in its second-level cache.
const CHECKED_TOGETHER: usize = 64 * 1024;
const NOT_FINITE: &str = "NaN or infinite";

/// A file of weights, open, with the network that it belongs to.
#[derive(Debug)]
pub struct WeightsFile {
    file: TensorFile,
    network: Network,
    /// The file's tensor of each id, by its index; all are floats. None of a network in 8 bits.
    views: Vec<StoredTensor>,
    quantized: Option<Quantized>,
    metadata: Metadata,
    pixel_mean: Option<PixelMean<'static>>,
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
    /// Opens the file at `path`, finds out which network it holds, and checks names, shapes and values of all
    /// tensors. What its publisher says beside it about preparation and classes counts where its metadata say
    /// nothing ([`Published`]). Values are read again when a network needs them. [`TensorFile::open`] says what happens if the
    /// file changes in the meantime.
    ///
    /// # Errors
    /// The file cannot be read or is not a file of tensors; its network is not known or contradicts
    /// `overrides`; tensors are missing, unexpected or wrong (one error lists all); values are not
    /// finite, or a running variance is negative.
    pub fn open(path: impl AsRef<Path>, overrides: &Overrides) -> Result<Self, WeightsError> {
        let file = TensorFile::open(&path)?;
        Self::assemble(file, overrides, |spec| Published::beside(path.as_ref(), spec))
    }

    /// As [`open`](Self::open), of a file's content. Errors call it `name`.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn from_bytes(
        bytes: impl Into<Vec<u8>>,
        name: impl AsRef<Path>,
        overrides: &Overrides,
    ) -> Result<Self, WeightsError> {
        Self::of_file(TensorFile::from_bytes(bytes, name)?, overrides)
    }

    /// As [`open`](Self::open), of a file that is open, whatever lies beside it.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn of_file(file: TensorFile, overrides: &Overrides) -> Result<Self, WeightsError> {
        Self::assemble(file, overrides, |_| Ok(Published::default()))
    }

    /// As [`of_file`](Self::of_file), with what is `published` about the network that it turns out to be.
    fn assemble(
        file: TensorFile,
        overrides: &Overrides,
        published: impl FnOnce(&ModelSpec) -> Result<Published, WeightsError>,
    ) -> Result<Self, WeightsError> {
        let path = file.path();
        let mut stated = Metadata::parse(path, file.metadata())?;
        if file.metadata().contains_key(QUANTIZED) {
            return Self::assemble_quantized(file, overrides, stated);
        }
        let mut sorted = sort(file.tensors(), &overrides.ignore_extra)
            .map_err(|reason| WeightsError::Unrecognised { path: path.to_owned(), reason })?;
        let other = |network| WeightsError::OtherNetwork { path: path.to_owned(), network };
        if let Some(network) = other_nets::by_tensors(&sorted.tensors) {
            return Err(other(network));
        }
        let (spec, assumed) = resolve(path, overrides, &stated, &sorted.tensors, file.tensors())?;
        let mut notes = [file.notes(), &sorted.notes, &assumed].concat();
        if sorted.training_state > 0 {
            let count = sorted.training_state;
            let tensors = if count == 1 { "tensor" } else { "tensors" };
            notes.push(format!("{count} {tensors} of training state ignored"));
        }
        let said = published(&spec)?;
        if let Some(network) = said.other
            && stated.arch.is_none()
            && overrides.arch.is_none()
        {
            return Err(other(network));
        }
        let own = stated.preprocess;
        stated.preprocess = own.or_published(&said.preprocess);
        let silent = own == StatedPreprocess::default();
        let named = stated.classes.is_none() && said.classes.is_some();
        if silent || stated.preprocess != own || named {
            notes.extend(said.notes);
        }
        stated.classes = stated.classes.or(said.classes);
        let silent = stated.preprocess.unstated();
        if !silent.is_empty() {
            notes
                .push(format!("the file does not state its preprocessing ({})", silent.join(", ")));
        }
        check_channels(path, &spec, &stated.preprocess, sorted.pixel_mean)?;
        let network = Network::new(&spec);
        let pixel_mean =
            sorted.pixel_mean.map(|stored| pixel_mean(&file, &stated, stored)).transpose()?;
        let views =
            match_tensors(&network, &mut sorted, &overrides.ignore_extra).map_err(|mismatch| {
                WeightsError::Mismatch { path: path.to_owned(), mismatch: Box::new(mismatch) }
            })?;
        if !sorted.extra.is_empty() {
            let names = sorted.extra.iter().map(|tensor| &tensor.name);
            notes.push(listed("tensors ignored as requested", names));
        }
        let metadata = described(path, &spec, stated)?;
        let weights = Self { file, network, views, quantized: None, metadata, pixel_mean, notes };
        weights.check_values()?;
        Ok(weights)
    }

    /// As [`assemble`](Self::assemble), of a network in 8 bits, which only this crate writes: metadata say it all.
    fn assemble_quantized(
        file: TensorFile,
        overrides: &Overrides,
        stated: Metadata,
    ) -> Result<Self, WeightsError> {
        let path = file.path();
        let tensors = file.tensors().iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        let (spec, notes) = resolve(path, overrides, &stated, &tensors, file.tensors())?;
        let mean = tensors.get(PIXEL_MEAN).copied();
        check_channels(path, &spec, &stated.preprocess, mean)?;
        let pixel_mean = mean.map(|stored| pixel_mean(&file, &stated, stored)).transpose()?;
        let network = Network::new(&spec);
        let quantized = Some(quantized::read(&file, &network)?);
        let metadata = described(path, &spec, stated)?;
        Ok(Self { file, network, views: Vec::new(), quantized, metadata, pixel_mean, notes })
    }

    /// The numbers of a network in 8 bits, if it is one. Then it has no others: as a
    /// [`ParamSource`] it is an error.
    pub fn quantized(&self) -> Option<&Quantized> {
        self.quantized.as_ref()
    }

    /// As [`quantized`](Self::quantized), without a copy; or the file as it was.
    ///
    /// # Errors
    /// It is not in 8 bits.
    pub fn into_quantized(mut self) -> Result<Quantized, Box<Self>> {
        self.quantized.take().ok_or_else(|| Box::new(self))
    }

    /// The tensor of `id`.
    fn view(&self, id: TensorId) -> Result<&StoredTensor, SourceError> {
        self.views.get(id.index()).ok_or_else(|| {
            let reason = "it holds a network in 8 bits, for inference only; take the file that it was made from";
            SourceError::new(self.file.path(), reason)
        })
    }

    /// Which network it is.
    pub fn spec(&self) -> &ModelSpec {
        &self.network.spec
    }

    /// The layers of the network; its tensor ids are those of this file.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What had to be assumed or was ignored, one sentence each; empty if the metadata say it all.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// How images were prepared in training, where the metadata or the publisher say so.
    pub fn preprocess(&self) -> &StatedPreprocess {
        &self.metadata.preprocess
    }

    /// The mean of each pixel of the training set, if the file has one.
    pub fn pixel_mean(&self) -> Option<PixelMean<'_>> {
        let PixelMean { height, width, values } = self.pixel_mean.as_ref()?;
        Some(PixelMean { height: *height, width: *width, values: Cow::Borrowed(values) })
    }

    /// Class names in index order, if the metadata or the publisher have them; as many as the network has classes.
    pub fn classes(&self) -> Option<&[String]> {
        self.metadata.classes.as_deref()
    }

    /// The data set that the network was trained on, if the layout of the file shows a publisher who is known
    /// to train on it.
    pub fn data_set(&self) -> Option<DataSet> {
        data_set(&self.file, self.spec())
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
        let parts: Vec<(usize, Range<usize>)> = tensors
            .iter()
            .enumerate()
            .flat_map(|(i, (_, info))| {
                let starts = (0..info.len()).step_by(CHECKED_TOGETHER);
                starts.map(move |start| (i, start..info.len().min(start + CHECKED_TOGETHER)))
            })
            .collect();
        let unusable = team(|team| {
            team.map(parts.len(), |p, _| {
                let (i, part) = parts[p].clone();
                let (id, info) = tensors[i];
                self.unusable(id, info, part)
            })
        });
        let mut counts = vec![[0; 2]; tensors.len()];
        for ((i, _), count) in parts.iter().zip(unusable) {
            let [not_finite, negative] = count?;
            counts[*i][0] += not_finite;
            counts[*i][1] += negative;
        }
        let named = tensors.iter().zip(counts).flat_map(|(&(_, info), counts)| {
            let found = counts.into_iter().zip([NOT_FINITE, "negative"]);
            let found = found.filter(|&(count, _)| count > 0);
            found.map(|(count, what)| format!("{} ({count} {what} of {})", info.name, info.len()))
        });
        let mut found: Vec<String> = named.collect();
        if let Some(PixelMean { values, .. }) = &self.pixel_mean {
            let bad = values.iter().filter(|x| !x.is_finite()).count();
            if bad > 0 {
                found.push(format!("{PIXEL_MEAN} ({bad} {NOT_FINITE} of {})", values.len()));
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        Err(WeightsError::Values { path: self.file.path().to_owned(), tensors: found })
    }

    /// How many values of a part of a tensor are not finite, and how many are negative where none may be.
    fn unusable(
        &self,
        id: TensorId,
        info: &TensorInfo,
        part: Range<usize>,
    ) -> Result<[usize; 2], SourceError> {
        let not_negative = info.role == Role::RunningVar;
        let mut count = [0; 2];
        // Counting without early exit lets the compiler use vectors.
        self.read(id, part, &mut |values| {
            count[0] = values.iter().filter(|x| !x.is_finite()).count();
            if not_negative {
                count[1] = values.iter().filter(|x| **x < 0.0).count();
            }
        })?;
        Ok(count)
    }
}

impl ParamSource for WeightsFile {
    fn tensor(&self, id: TensorId) -> Result<Cow<'_, [f32]>, SourceError> {
        self.file.all(self.view(id)?)
    }

    fn read(
        &self,
        id: TensorId,
        part: Range<usize>,
        read: &mut dyn FnMut(&[f32]),
    ) -> Result<(), SourceError> {
        self.file.read(self.view(id)?, part, read)
    }
}

/// What a copy of the file should say of a network of `spec`.
fn described(path: &Path, spec: &ModelSpec, stated: Metadata) -> Result<Metadata, WeightsError> {
    let Metadata { preprocess, classes, .. } = stated;
    if let Some(names) = classes.as_ref().filter(|names| names.len() != spec.classes) {
        return Err(WeightsError::Metadata {
            path: path.to_owned(),
            key: CLASSES,
            expected: format!("{} names, one a row of fc.weight", spec.classes),
            found: format!("{} names", names.len()),
        });
    }
    Ok(Metadata { preprocess, classes, ..Metadata::of_spec(spec) })
}

/// That what is stated about channels is about as many as the images have.
fn check_channels(
    path: &Path,
    spec: &ModelSpec,
    stated: &StatedPreprocess,
    pixel_mean: Option<&StoredTensor>,
) -> Result<(), WeightsError> {
    let wrong = |key, expected: &str, found: String| {
        Err(WeightsError::Metadata {
            path: path.to_owned(),
            key,
            expected: expected.to_owned(),
            found,
        })
    };
    if let Some(stored) = pixel_mean.filter(|_| spec.in_channels != 3) {
        let expected = "no per-pixel mean, since images have other than three channels";
        return wrong(PIXEL_MEAN, expected, format!("{:?}", stored.shape));
    }
    for (key, numbers) in [(MEAN, stated.mean), (STD, stated.std)] {
        if let Some([r, g, b]) = numbers
            && spec.in_channels == 1
            && (r, g) != (g, b)
        {
            return wrong(key, "one number, since images have one channel", format!("{r},{g},{b}"));
        }
    }
    Ok(())
}

/// The per-pixel mean, after checking that it is a crop's.
fn pixel_mean(
    file: &TensorFile,
    stated: &Metadata,
    stored: &StoredTensor,
) -> Result<PixelMean<'static>, WeightsError> {
    let side = stated.preprocess.crop;
    match (&stored.dtype, &stored.shape[..]) {
        (Dtype::Float(_), &[height, width, 3])
            if side.is_none_or(|side| [height, width] == [side; 2]) =>
        {
            let values = Cow::Owned(file.all(stored)?.into_owned());
            Ok(PixelMean { height, width, values })
        }
        (dtype, shape) => {
            let side = side.map_or("height, width".to_owned(), |side| format!("{side}, {side}"));
            Err(WeightsError::Metadata {
                path: file.path().to_owned(),
                key: PIXEL_MEAN,
                expected: format!("a tensor of floats [{side}, 3]"),
                found: format!("{dtype} {shape:?}"),
            })
        }
    }
}

/// The file's tensor for each of the network's, or all that is wrong. What is left over and may be
/// ignored joins the extra tensors.
fn match_tensors(
    network: &Network,
    sorted: &mut Sorted<'_>,
    extras: &[String],
) -> Result<Vec<StoredTensor>, Mismatch> {
    let mut rest = std::mem::take(&mut sorted.tensors);
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
    let repeated = std::mem::take(&mut sorted.repeated).into_iter();
    let unexpected = rest.into_values().map(|stored| (stored, String::new()));
    let repeated = repeated.map(|(stored, name)| (stored, format!(" (the same as {name})")));
    for (stored, remark) in unexpected.chain(repeated) {
        match is_extra(extras, &stored.name) {
            true => sorted.extra.push(stored),
            false => mismatch.unexpected.push(format!("{}{remark}", stored.name)),
        }
    }
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
