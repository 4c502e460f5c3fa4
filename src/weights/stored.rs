//! A tensor as a file describes it: name, type, shape, and where its elements lie.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use crate::model::SourceError;

/// Element types that become f32. F16 and BF16 convert exactly, F64 rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloatType {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of an F32.
    Bf16,
    /// IEEE double precision.
    F64,
}

impl FloatType {
    /// Bytes of an element.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Appends elements, little-endian, to `values`.
    pub(super) fn decode(self, bytes: &[u8], values: &mut Vec<f32>) {
        match self {
            Self::F32 => convert(bytes, values, f32::from_le_bytes),
            Self::F16 => convert(bytes, values, |b| half::f16::from_le_bytes(b).to_f32()),
            Self::Bf16 => convert(bytes, values, |b| half::bf16::from_le_bytes(b).to_f32()),
            Self::F64 => convert(bytes, values, |b| f64::from_le_bytes(b) as f32),
        }
    }
}

fn convert<const N: usize>(bytes: &[u8], values: &mut Vec<f32>, to_f32: impl Fn([u8; N]) -> f32) {
    values.extend(bytes.as_chunks::<N>().0.iter().map(|&chunk| to_f32(chunk)));
}

/// Elements in memory as they are, if they are F32 and aligned.
pub(super) fn as_floats(bytes: &[u8]) -> Option<&[f32]> {
    if cfg!(target_endian = "little") { bytemuck::try_cast_slice(bytes).ok() } else { None }
}

/// The type of a stored tensor's elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// A type that weights may have.
    Float(FloatType),
    /// Any other, by the name that safetensors gives it, e.g. `I64`.
    Other(&'static str),
}

impl Dtype {
    /// The type that safetensors calls `name`.
    pub(super) fn named(name: &'static str) -> Self {
        match name {
            "F32" => Self::Float(FloatType::F32),
            "F16" => Self::Float(FloatType::F16),
            "BF16" => Self::Float(FloatType::Bf16),
            "F64" => Self::Float(FloatType::F64),
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Float(FloatType::F32) => "F32",
            Self::Float(FloatType::F16) => "F16",
            Self::Float(FloatType::Bf16) => "BF16",
            Self::Float(FloatType::F64) => "F64",
            Self::Other(name) => name,
        })
    }
}

/// A tensor as the file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTensor {
    /// The file's name for it.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Where its bytes are in the file, from its first element to its last; checked to lie within.
    pub(super) bytes: Range<usize>,
    /// Elements from one to the next in each dimension; none if they lie in order without gaps.
    /// Checked to reach no further than `bytes`.
    pub(super) strides: Option<Vec<usize>>,
}

impl StoredTensor {
    /// Bytes it takes in the file, with the gaps between elements that do not lie side by side.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Number of elements.
    pub fn element_count(&self) -> usize {
        self.shape.iter().product()
    }
}

/// What kind of file tensors are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// A header of JSON, then the tensors.
    Safetensors,
    /// What `torch.save` wrote.
    PyTorch,
}

/// What is in a file, whatever its format.
pub(super) struct Contents {
    pub(super) tensors: Vec<StoredTensor>,
    pub(super) metadata: BTreeMap<String, String>,
    /// What had to be chosen or left out, a sentence each.
    pub(super) notes: Vec<String>,
}

/// Why the content of a file is not told.
pub(super) enum Fault {
    /// It is not what it should be: a reason for the user.
    Content(String),
    /// The bytes cannot be read.
    Read(SourceError),
}

impl From<String> for Fault {
    fn from(reason: String) -> Self {
        Self::Content(reason)
    }
}

impl From<&str> for Fault {
    fn from(reason: &str) -> Self {
        Self::Content(reason.to_owned())
    }
}

impl From<SourceError> for Fault {
    fn from(error: SourceError) -> Self {
        Self::Read(error)
    }
}

/// Where the elements of a strided tensor lie, in row-major order.
pub(super) struct Indices<'a> {
    shape: &'a [usize],
    strides: &'a [usize],
    position: Vec<usize>,
    left: usize,
}

impl<'a> Indices<'a> {
    /// Those of the elements in `part`.
    pub(super) fn new(shape: &'a [usize], strides: &'a [usize], part: Range<usize>) -> Self {
        let (mut position, mut rest) = (vec![0; shape.len()], part.start);
        for (i, &n) in position.iter_mut().zip(shape).rev() {
            (*i, rest) = (rest % n, rest / n);
        }
        Self { shape, strides, position, left: part.len() }
    }
}

impl Iterator for Indices<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let at = self.position.iter().zip(self.strides).map(|(i, stride)| i * stride).sum();
        for (i, &n) in self.position.iter_mut().zip(self.shape).rev() {
            *i += 1;
            if *i < n {
                break;
            }
            *i = 0;
        }
        Some(at)
    }
}
