//! A file of named tensors, whatever its format and the network they belong to, and its numbers as f32.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::{WeightsError, safetensors, torch};

/// Element types that become f32. F32 is used in place; F16 and BF16 convert exactly, F64 rounds.
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

/// The type of a stored tensor's elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// A type that weights may have.
    Float(FloatType),
    /// Any other, by the name that safetensors gives it, e.g. `I64`.
    Other(String),
}

impl Dtype {
    /// The type that safetensors calls `name`.
    pub(super) fn named(name: &str) -> Self {
        match name {
            "F32" => Self::Float(FloatType::F32),
            "F16" => Self::Float(FloatType::F16),
            "BF16" => Self::Float(FloatType::Bf16),
            "F64" => Self::Float(FloatType::F64),
            other => Self::Other(other.to_owned()),
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
}

/// What is in a file, whatever its format.
pub(super) struct Contents {
    pub(super) tensors: Vec<StoredTensor>,
    pub(super) metadata: BTreeMap<String, String>,
    /// What had to be chosen or left out, a sentence each.
    pub(super) notes: Vec<String>,
}

/// A file of tensors, safetensors or PyTorch's: the tensors and the metadata in it.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    bytes: Bytes,
    tensors: Vec<StoredTensor>,
    metadata: BTreeMap<String, String>,
    notes: Vec<String>,
}

/// The bytes of a file.
#[derive(Debug)]
enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl TensorFile {
    /// Maps the file at `path` and reads what describes its tensors; values are read when they are
    /// asked for. The content tells whether it is a safetensors file or one that `torch.save` wrote.
    ///
    /// The file must not be overwritten or cut in place while it is open (replacing it by a rename,
    /// as this library does, is fine): its bytes are the program's memory.
    ///
    /// # Errors
    /// The file cannot be read or is not a complete file of tensors. A PyTorch file may ask for
    /// nothing but tensors and plain containers (`docs/weights.md`).
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let io = |action| move |source| WeightsError::Io { path: path.to_owned(), action, source };
        // Asked before opening, which would wait for ever on a pipe.
        let attributes = std::fs::metadata(path).map_err(io("open"))?;
        if !attributes.is_file() {
            return Err(unreadable(path, "it is a folder or a device".to_owned()));
        }
        if attributes.len() == 0 {
            return Err(unreadable(path, "it is empty".to_owned()));
        }
        let file = File::open(path).map_err(io("open"))?;
        // SAFETY: the mapping is read-only and lives as long as `map`. That no other process writes
        // to or truncates the file meanwhile cannot be enforced by any platform's mapping; it is the
        // documented condition of this function, and bytes are checked before they are relied on.
        let map = unsafe { Mmap::map(&file) }.map_err(io("map"))?;
        Self::parse(path, Bytes::Mapped(map))
    }

    /// As [`open`](Self::open), of a file's content. Errors call it `name`.
    ///
    /// # Errors
    /// It is not a complete file of tensors.
    pub fn from_bytes(bytes: Vec<u8>, name: &Path) -> Result<Self, WeightsError> {
        Self::parse(name, Bytes::Owned(bytes))
    }

    fn parse(path: &Path, bytes: Bytes) -> Result<Self, WeightsError> {
        let contents =
            if torch::is_torch(&bytes) { torch::parse(&bytes) } else { safetensors::parse(&bytes) };
        let Contents { tensors, metadata, notes } =
            contents.map_err(|reason| unreadable(path, reason))?;
        Ok(Self { path: path.to_owned(), bytes, tensors, metadata, notes })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tensors, in the order of their bytes (safetensors) or of the state dict (PyTorch).
    pub fn tensors(&self) -> &[StoredTensor] {
        &self.tensors
    }

    /// All metadata of the file (`__metadata__` in the header); a PyTorch file has none.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// What of a PyTorch file was chosen as the weights, and what was left out; a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The values of one of [`TensorFile::tensors`], the last dimension varying fastest: borrowed from
    /// the file if they are aligned F32 in that order, converted otherwise. `None` if they are not
    /// floats.
    pub fn values(&self, tensor: &StoredTensor) -> Option<Cow<'_, [f32]>> {
        let Dtype::Float(float) = tensor.dtype else { return None };
        Some(match float {
            FloatType::F32 => match bytemuck::try_cast_slice(self.bytes(tensor)) {
                Ok(values) if tensor.strides.is_none() && cfg!(target_endian = "little") => {
                    Cow::Borrowed(values)
                }
                _ => self.convert(tensor, f32::from_le_bytes),
            },
            FloatType::F16 => self.convert(tensor, |b| half::f16::from_le_bytes(b).to_f32()),
            FloatType::Bf16 => self.convert(tensor, |b| half::bf16::from_le_bytes(b).to_f32()),
            FloatType::F64 => self.convert(tensor, |b| f64::from_le_bytes(b) as f32),
        })
    }

    /// The bytes of one of [`TensorFile::tensors`], from its first element to its last.
    pub fn bytes(&self, tensor: &StoredTensor) -> &[u8] {
        &self.bytes[tensor.bytes.clone()]
    }

    fn convert<const N: usize>(
        &self,
        tensor: &StoredTensor,
        to_f32: impl Fn([u8; N]) -> f32,
    ) -> Cow<'static, [f32]> {
        let (elements, _) = self.bytes(tensor).as_chunks::<N>();
        match &tensor.strides {
            None => elements.iter().map(|&element| to_f32(element)).collect(),
            Some(strides) => {
                Indices::new(&tensor.shape, strides).map(|at| to_f32(elements[at])).collect()
            }
        }
    }
}

/// Where the elements of a strided tensor lie, in row-major order.
struct Indices<'a> {
    shape: &'a [usize],
    strides: &'a [usize],
    position: Vec<usize>,
    left: usize,
}

impl<'a> Indices<'a> {
    fn new(shape: &'a [usize], strides: &'a [usize]) -> Self {
        Self { shape, strides, position: vec![0; shape.len()], left: shape.iter().product() }
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

fn unreadable(path: &Path, reason: String) -> WeightsError {
    WeightsError::Format { path: path.to_owned(), reason }
}
