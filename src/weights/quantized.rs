//! Files of networks in 8 bits: written, and read with every number checked.
//!
//! | tensor | type, shape | |
//! |---|---|---|
//! | `input.factor`, `input.offset` | F32 `[channels]` | how an image becomes integers |
//! | `input.padding` | U8 `[channels]` | the integer that pads it |
//! | `X.weight` | I8 `[out, in / groups, kernel, kernel]` | a convolution's filters, X its name |
//! | `X.weight_scale` | F32 `[out]` | their scales |
//! | `X.bias` | F32 `[out]` | |
//! | `X.output_scale`, `X.output_zero_point` | F32, U8 `[1]` | of what comes out |
//! | `fc.weight` | I8 `[classes, features]` | the classifier |
//! | `fc.weight_scale`, `fc.bias` | F32 `[classes]` | |
//! | `fc.input_scale`, `fc.input_zero_point` | F32, U8 `[1]` | of the features |
//!
//! A layer that is kept in f32 has `weight` as F32 and no `weight_scale`. [`Quantized`] says what the numbers mean.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::file::TensorFile;
use super::metadata::QUANTIZED;
use super::names::PIXEL_MEAN;
use super::stored::{Dtype, FloatType, StoredTensor};
use super::write::{Elements, TypedTensor, write_typed};
use super::{Mismatch, PixelMean, WeightsError, WrongTensor};
use crate::model::{
    BlockShortcut, ConvBn, InputScale, Network, Quantized, QuantizedConv, QuantizedLinear, Scale,
    Weights,
};
use crate::runtime::{Disk, Storage};

/// What the files are marked with: u8 activations, i8 weights.
const MARK: &str = "u8i8";
/// Scales lie between 1 / MOST and MOST.
const MOST: f32 = 1e12;

/// Writes `quantized`, the numbers of `network`, with `metadata` (usually
/// [`Metadata::entries`](super::Metadata::entries)) and the per-pixel mean that inputs have subtracted.
///
/// # Errors
/// As for [`write_safetensors`](super::write_safetensors).
///
/// # Panics
/// If the numbers are not as many as the network has.
pub fn write_quantized(
    path: impl AsRef<Path>,
    network: &Network,
    quantized: &Quantized,
    pixel_mean: Option<&PixelMean<'_>>,
    metadata: &BTreeMap<String, String>,
) -> Result<(), WeightsError> {
    write_quantized_to(&Disk, path.as_ref(), network, quantized, pixel_mean, metadata)
}

/// As [`write_quantized`], on any storage.
///
/// # Errors
/// As for [`write_quantized`].
///
/// # Panics
/// As [`write_quantized`].
pub fn write_quantized_to(
    storage: &dyn Storage,
    path: &Path,
    network: &Network,
    quantized: &Quantized,
    pixel_mean: Option<&PixelMean<'_>>,
    metadata: &BTreeMap<String, String>,
) -> Result<(), WeightsError> {
    let mut tensors = Vec::new();
    let one = vec![1];
    let channels = vec![network.in_channels()];
    let InputScale { factor, offset, padding } = &quantized.input;
    let mut add = |name: String, shape: &[usize], elements| {
        tensors.push(TypedTensor { name, shape: shape.to_vec(), elements });
    };
    add("input.factor".to_owned(), &channels, Elements::F32(factor));
    add("input.offset".to_owned(), &channels, Elements::F32(offset));
    add("input.padding".to_owned(), &channels, Elements::U8(padding));
    let named = network.convs().map(|conv| (&conv.name[..], conv.weight, conv.out_channels));
    assert_eq!(quantized.convs.len(), network.convs().count(), "numbers of each convolution");
    for ((name, weight, out), conv) in named.zip(&quantized.convs) {
        let shape = &network.tensor(weight).shape;
        add_weights(&mut add, name, shape, &conv.weights);
        add(format!("{name}.bias"), &[out], Elements::F32(&conv.bias));
        let Scale { scale, zero_point } = &conv.output;
        add(format!("{name}.output_scale"), &one, Elements::F32(std::slice::from_ref(scale)));
        let zero_point = Elements::U8(std::slice::from_ref(zero_point));
        add(format!("{name}.output_zero_point"), &one, zero_point);
    }
    let fc = &quantized.fc;
    add_weights(&mut add, "fc", &network.tensor(network.fc.weight).shape, &fc.weights);
    add("fc.bias".to_owned(), &[network.fc.out_features], Elements::F32(&fc.bias));
    let Scale { scale, zero_point } = &fc.input;
    add("fc.input_scale".to_owned(), &one, Elements::F32(std::slice::from_ref(scale)));
    add("fc.input_zero_point".to_owned(), &one, Elements::U8(std::slice::from_ref(zero_point)));
    if let Some(mean) = pixel_mean {
        add(PIXEL_MEAN.to_owned(), &[mean.height, mean.width, 3], Elements::F32(&mean.values));
    }
    let mut metadata = metadata.clone();
    metadata.insert(QUANTIZED.to_owned(), MARK.to_owned());
    write_typed(storage, path, &tensors, &metadata)
}

/// Adds the weights of layer `name`.
fn add_weights<'a>(
    add: &mut impl FnMut(String, &[usize], Elements<'a>),
    name: &str,
    shape: &[usize],
    weights: &'a Weights,
) {
    let weight = format!("{name}.weight");
    match weights {
        Weights::F32(values) => add(weight, shape, Elements::F32(values)),
        Weights::I8 { values, scales } => {
            add(weight, shape, Elements::I8(values));
            add(format!("{name}.weight_scale"), &shape[..1], Elements::F32(scales));
        }
    }
}

/// The numbers of `network` in `file`.
///
/// # Errors
/// The mark is another; tensors are missing, unexpected or of another kind; or numbers are not what they
/// may be. One error lists all.
pub(super) fn read(file: &TensorFile, network: &Network) -> Result<Quantized, WeightsError> {
    let path = file.path();
    let mark = file.metadata().get(QUANTIZED).cloned().unwrap_or_default();
    if mark != MARK {
        return Err(WeightsError::Metadata {
            path: path.to_owned(),
            key: QUANTIZED,
            expected: format!("{MARK} (another version of resnet-cpu may have written it)"),
            found: mark,
        });
    }
    let mut reader = Reader::new(file, network);
    let channels = [network.in_channels()];
    let input = InputScale {
        factor: reader.floats("input.factor", &channels, Range::Scale)?,
        offset: reader.floats("input.offset", &channels, Range::Byte)?,
        padding: reader.bytes("input.padding", &channels)?,
    };
    let nearest = input.offset.iter().map(|offset| offset.round_ties_even() as u8);
    if !nearest.eq(input.padding.iter().copied()) {
        reader.bad.push("input.padding (not the integers nearest to input.offset)".to_owned());
    }
    let projections: BTreeSet<&str> = network
        .blocks
        .iter()
        .filter_map(|block| match &block.shortcut {
            BlockShortcut::Project(conv) => Some(&conv.name[..]),
            _ => None,
        })
        .collect();
    let mut convs = Vec::new();
    for conv in network.convs() {
        // What a ReLU makes is not negative.
        let signed = projections.contains(&conv.name[..]);
        convs.push(reader.conv(conv, &network.tensor(conv.weight).shape, signed)?);
    }
    let shape = &network.tensor(network.fc.weight).shape;
    let fc = QuantizedLinear {
        weights: reader.weights("fc", shape)?,
        bias: reader.floats("fc.bias", &shape[..1], Range::Bias)?,
        input: reader.scale("fc.input", false)?,
    };
    reader.done()?;
    Ok(Quantized { input, convs, fc })
}

/// What numbers may be.
#[derive(Clone, Copy)]
enum Range {
    /// Positive.
    Scale,
    /// 0 to 255.
    Byte,
    Bias,
    /// Finite.
    Weight,
}

impl Range {
    fn has(self, x: f32) -> bool {
        match self {
            Self::Scale => (1.0 / MOST..=MOST).contains(&x),
            Self::Byte => (0.0..=255.0).contains(&x),
            Self::Bias => x.abs() <= MOST,
            Self::Weight => x.is_finite(),
        }
    }

    fn said(self) -> &'static str {
        match self {
            Self::Scale => "not between 1e-12 and 1e12",
            Self::Byte => "not between 0 and 255",
            Self::Bias => "not within ±1e12",
            Self::Weight => "NaN or infinite",
        }
    }
}

/// Reads tensors, and collects what is wrong with them.
struct Reader<'a> {
    file: &'a TensorFile,
    /// By name; those that have been read are taken out.
    rest: BTreeMap<&'a str, &'a StoredTensor>,
    mismatch: Mismatch,
    bad: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(file: &'a TensorFile, network: &Network) -> Self {
        let rest = file.tensors().iter().map(|tensor| (&tensor.name[..], tensor));
        let rest = rest.filter(|(name, _)| *name != PIXEL_MEAN).collect();
        let mismatch =
            Mismatch { network: format!("{} in 8 bits", network.spec), ..Mismatch::default() };
        Self { file, rest, mismatch, bad: Vec::new() }
    }

    /// The tensor called `name`, if it is there, of that type and of that shape.
    fn take(&mut self, name: &str, dtype: &Dtype, shape: &[usize]) -> Option<&'a StoredTensor> {
        self.mismatch.expected += 1;
        let Some(stored) = self.rest.remove(name) else {
            self.mismatch.missing.push(name.to_owned());
            return None;
        };
        if stored.dtype != *dtype || stored.shape != shape {
            self.mismatch.wrong.push(WrongTensor {
                name: name.to_owned(),
                expected: format!("{dtype} {shape:?}"),
                found: format!("{} {:?}", stored.dtype, stored.shape),
            });
            return None;
        }
        self.mismatch.matched += 1;
        Some(stored)
    }

    /// Floats; none if there are no such.
    fn floats(
        &mut self,
        name: &str,
        shape: &[usize],
        range: Range,
    ) -> Result<Vec<f32>, WeightsError> {
        let Some(stored) = self.take(name, &Dtype::Float(FloatType::F32), shape) else {
            return Ok(Vec::new());
        };
        let values = self.file.all(stored)?.into_owned();
        self.check(name, &values, |&x| range.has(x), range.said());
        Ok(values)
    }

    /// Bytes; none if there are no such.
    fn bytes(&mut self, name: &str, shape: &[usize]) -> Result<Vec<u8>, WeightsError> {
        let Some(stored) = self.take(name, &Dtype::Other("U8"), shape) else {
            return Ok(Vec::new());
        };
        self.raw(stored)
    }

    fn raw(&self, stored: &StoredTensor) -> Result<Vec<u8>, WeightsError> {
        let mut bytes = Vec::with_capacity(stored.byte_len());
        self.file.read_bytes(stored, |piece| bytes.extend_from_slice(piece))?;
        Ok(bytes)
    }

    fn check<T>(&mut self, name: &str, values: &[T], good: impl Fn(&T) -> bool, what: &str) {
        let bad = values.iter().filter(|x| !good(x)).count();
        if bad > 0 {
            self.bad.push(format!("{name} ({bad} {what} of {})", values.len()));
        }
    }

    /// The weights of layer `name`.
    fn weights(&mut self, name: &str, shape: &[usize]) -> Result<Weights, WeightsError> {
        let weight = format!("{name}.weight");
        let is_float = self.rest.get(&weight[..]).is_some_and(|t| t.dtype != Dtype::Other("I8"));
        let scale = format!("{name}.weight_scale");
        if is_float && !self.rest.contains_key(&scale[..]) {
            return Ok(Weights::F32(self.floats(&weight, shape, Range::Weight)?));
        }
        let values = match self.take(&weight, &Dtype::Other("I8"), shape) {
            Some(stored) => bytemuck::cast_vec(self.raw(stored)?),
            None => Vec::new(),
        };
        self.check(&weight, &values, |&w: &i8| w != i8::MIN, "not within ±127");
        Ok(Weights::I8 { values, scales: self.floats(&scale, &shape[..1], Range::Scale)? })
    }

    /// `what`'s scale; its zero point is 0 unless values may be negative.
    fn scale(&mut self, what: &str, signed: bool) -> Result<Scale, WeightsError> {
        let name = format!("{what}_zero_point");
        let zero_point = self.bytes(&name, &[1])?.first().copied().unwrap_or(0);
        if zero_point != 0 && !signed {
            self.bad.push(format!("{name} ({zero_point}, not 0, of values that are not negative)"));
        }
        let scale = self.floats(&format!("{what}_scale"), &[1], Range::Scale)?;
        Ok(Scale { scale: scale.first().copied().unwrap_or(1.0), zero_point })
    }

    fn conv(
        &mut self,
        conv: &ConvBn,
        shape: &[usize],
        signed: bool,
    ) -> Result<QuantizedConv, WeightsError> {
        let name = &conv.name;
        Ok(QuantizedConv {
            weights: self.weights(name, shape)?,
            bias: self.floats(&format!("{name}.bias"), &shape[..1], Range::Bias)?,
            output: self.scale(&format!("{name}.output"), signed)?,
        })
    }

    /// That nothing was wrong.
    fn done(mut self) -> Result<(), WeightsError> {
        let path = self.file.path().to_owned();
        self.mismatch.unexpected.extend(self.rest.keys().map(|&name| name.to_owned()));
        if !self.mismatch.is_empty() {
            return Err(WeightsError::Mismatch { path, mismatch: Box::new(self.mismatch) });
        }
        if !self.bad.is_empty() {
            return Err(WeightsError::Values { path, tensors: self.bad });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
