//! A mapped file of named tensors, whatever network they belong to, and its numbers as f32.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::{WeightsError, safetensors};

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
    pub(super) fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// The type of a stored tensor's elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// A type that weights may have.
    Float(FloatType),
    /// Any other, by the name the format gives it, e.g. `I64`.
    Other(String),
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
    /// Where its bytes are in the file; checked to lie within.
    pub(super) bytes: Range<usize>,
}

impl StoredTensor {
    /// Bytes it takes in the file.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }
}

/// A safetensors file: the tensors and the metadata in it.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    map: Mmap,
    tensors: Vec<StoredTensor>,
    metadata: BTreeMap<String, String>,
}

impl TensorFile {
    /// Maps the file at `path` and reads its header; values are read when they are asked for.
    ///
    /// The file must not be overwritten or cut in place while it is open (replacing it by a rename,
    /// as this library does, is fine): its bytes are the program's memory.
    ///
    /// # Errors
    /// The file cannot be read or is not a complete safetensors file.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let io = |action| move |source| WeightsError::Io { path: path.to_owned(), action, source };
        let format = |reason| WeightsError::Format { path: path.to_owned(), reason };
        // Asked before opening, which would wait for ever on a pipe.
        let attributes = std::fs::metadata(path).map_err(io("open"))?;
        if !attributes.is_file() {
            return Err(format("it is a folder or a device".to_owned()));
        }
        if attributes.len() == 0 {
            return Err(format("it is empty".to_owned()));
        }
        let file = File::open(path).map_err(io("open"))?;
        // SAFETY: the mapping is read-only and lives as long as `map`. That no other process writes
        // to or truncates the file meanwhile cannot be enforced by any platform's mapping; it is the
        // documented condition of this function, and bytes are checked before they are relied on.
        let map = unsafe { Mmap::map(&file) }.map_err(io("map"))?;
        let header = safetensors::parse(&map).map_err(format)?;
        let (tensors, metadata) = (header.tensors, header.metadata);
        Ok(Self { path: path.to_owned(), map, tensors, metadata })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tensors in the order of their bytes.
    pub fn tensors(&self) -> &[StoredTensor] {
        &self.tensors
    }

    /// All metadata of the file (`__metadata__` in the header).
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The values of one of [`TensorFile::tensors`]: borrowed from the file if they are aligned F32,
    /// converted otherwise. `None` if they are not floats.
    pub fn values(&self, tensor: &StoredTensor) -> Option<Cow<'_, [f32]>> {
        let Dtype::Float(float) = tensor.dtype else { return None };
        Some(self.decode(float, tensor.bytes.clone()))
    }

    /// The bytes of one of [`TensorFile::tensors`].
    pub fn bytes(&self, tensor: &StoredTensor) -> &[u8] {
        &self.map[tensor.bytes.clone()]
    }

    /// Calls `read` with bytes of the file as f32. They are mapped at once, not page by page, and take
    /// memory only meanwhile.
    pub(super) fn read(&self, float: FloatType, bytes: Range<usize>, read: &mut dyn FnMut(&[f32])) {
        // Advice is a hint: where it is refused, pages come when they are touched and stay.
        #[cfg(target_os = "linux")]
        let _ = self.map.advise_range(memmap2::Advice::PopulateRead, bytes.start, bytes.len());
        read(&self.decode(float, bytes.clone()));
        #[cfg(unix)]
        {
            let start = bytes.start.saturating_sub(MAPPED_AROUND);
            let end = self.map.len().min(bytes.end + MAPPED_AROUND);
            let advice = memmap2::UncheckedAdvice::DontNeed;
            // SAFETY: the mapping is shared with the file and never written, so that pages which are
            // dropped come back with the same bytes, also under a slice that is in use.
            let _ = unsafe { self.map.unchecked_advise_range(advice, start, end - start) };
        }
    }

    /// Bytes of the file as f32.
    pub(super) fn decode(&self, float: FloatType, bytes: Range<usize>) -> Cow<'_, [f32]> {
        let bytes = &self.map[bytes];
        match float {
            FloatType::F32 => match bytemuck::try_cast_slice(bytes) {
                Ok(values) if cfg!(target_endian = "little") => Cow::Borrowed(values),
                _ => convert(bytes, f32::from_le_bytes),
            },
            FloatType::F16 => convert(bytes, |b| half::f16::from_le_bytes(b).to_f32()),
            FloatType::Bf16 => convert(bytes, |b| half::bf16::from_le_bytes(b).to_f32()),
            FloatType::F64 => convert(bytes, |b| f64::from_le_bytes(b) as f32),
        }
    }
}

fn convert<const N: usize>(bytes: &[u8], to_f32: impl Fn([u8; N]) -> f32) -> Cow<'static, [f32]> {
    bytes.as_chunks::<N>().0.iter().map(|&chunk| to_f32(chunk)).collect()
}
