//! A file of named tensors, whatever its format and the network they belong to, and its numbers as f32.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::{WeightsError, safetensors, torch};

/// Bytes before and after those asked for that Linux maps along with them, at most.
#[cfg(unix)]
const MAPPED_AROUND: usize = 64 << 10;

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

impl FloatType {
    /// Bytes of an element.
    fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Elements, little-endian, as f32: borrowed if they are aligned F32.
    fn decode(self, bytes: &[u8]) -> Cow<'_, [f32]> {
        match self {
            Self::F32 => match bytemuck::try_cast_slice(bytes) {
                Ok(values) if cfg!(target_endian = "little") => Cow::Borrowed(values),
                _ => convert(bytes, f32::from_le_bytes),
            },
            Self::F16 => convert(bytes, |b| half::f16::from_le_bytes(b).to_f32()),
            Self::Bf16 => convert(bytes, |b| half::bf16::from_le_bytes(b).to_f32()),
            Self::F64 => convert(bytes, |b| f64::from_le_bytes(b) as f32),
        }
    }
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
        let bytes = self.bytes(tensor);
        Some(match &tensor.strides {
            None => float.decode(bytes),
            Some(strides) => {
                let elements = float.decode(bytes);
                Indices::new(&tensor.shape, strides).map(|at| elements[at]).collect()
            }
        })
    }

    /// Calls `read` with the values in `part` of a tensor of floats. Where they lie in order, they are
    /// mapped at once, not page by page, and take memory only meanwhile.
    ///
    /// # Panics
    /// If the tensor has no such part or is not of floats.
    pub(super) fn read(
        &self,
        tensor: &StoredTensor,
        part: Range<usize>,
        read: &mut dyn FnMut(&[f32]),
    ) {
        let Dtype::Float(float) = tensor.dtype else { panic!("{} is not of floats", tensor.name) };
        let (Bytes::Mapped(map), None) = (&self.bytes, &tensor.strides) else {
            return read(&self.values(tensor).expect("floats")[part]);
        };
        let [start, end] = [part.start, part.end].map(|i| tensor.bytes.start + i * float.size());
        assert!(start <= end && end <= tensor.bytes.end, "{part:?} of {}", tensor.name);
        // Advice is a hint: where it is refused, pages come when they are touched and stay.
        #[cfg(target_os = "linux")]
        let _ = map.advise_range(memmap2::Advice::PopulateRead, start, end - start);
        read(&float.decode(&map[start..end]));
        #[cfg(unix)]
        {
            let (start, end) = (start.saturating_sub(MAPPED_AROUND), end + MAPPED_AROUND);
            let advice = memmap2::UncheckedAdvice::DontNeed;
            // SAFETY: the mapping is shared with the file and never written, so that pages which are
            // dropped come back with the same bytes, also under a slice that is in use.
            let _ =
                unsafe { map.unchecked_advise_range(advice, start, end.min(map.len()) - start) };
        }
    }

    /// The bytes of one of [`TensorFile::tensors`], from its first element to its last.
    pub fn bytes(&self, tensor: &StoredTensor) -> &[u8] {
        &self.bytes[tensor.bytes.clone()]
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

fn convert<const N: usize>(bytes: &[u8], to_f32: impl Fn([u8; N]) -> f32) -> Cow<'static, [f32]> {
    bytes.as_chunks::<N>().0.iter().map(|&chunk| to_f32(chunk)).collect()
}

fn unreadable(path: &Path, reason: String) -> WeightsError {
    WeightsError::Format { path: path.to_owned(), reason }
}
