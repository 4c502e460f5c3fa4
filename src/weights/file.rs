//! A file of named tensors, whatever its format and the network they belong to, and its numbers as f32.
//!
//! Values are read by position when they are asked for, into buffers that later reads use again.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;

use super::kind::{self, format_of};
use super::source::{NotOpened, Source, open_regular};
use super::stored::{
    Contents, Dtype, Fault, FileFormat, FloatType, Indices, StoredTensor, as_floats,
};
use super::{WeightsError, safetensors, torch};
use crate::model::SourceError;

/// Bytes that are read at a time where they are converted or only looked at.
const PIECE: usize = 64 << 10;
/// Bytes of a buffer that is kept for later, and how many are.
const KEPT: usize = 1 << 20;
const KEPT_BUFFERS: usize = 8;

/// A file of tensors, safetensors or PyTorch's: the tensors and the metadata in it.
#[derive(Debug)]
pub struct TensorFile {
    source: Source,
    format: FileFormat,
    tensors: Vec<StoredTensor>,
    metadata: BTreeMap<String, String>,
    notes: Vec<String>,
    spare: Mutex<Vec<Buffers>>,
}

/// What a read needs meanwhile.
#[derive(Debug, Default)]
struct Buffers {
    raw: Vec<u8>,
    values: Vec<f32>,
}

impl TensorFile {
    /// Opens the file at `path` and reads what describes its tensors; values are read when they are
    /// asked for. The content tells whether it is a safetensors file or one that `torch.save` wrote.
    ///
    /// A file that is replaced by a rename while it is open is read as it was. If it is cut or
    /// overwritten, all reads after that are errors.
    ///
    /// # Errors
    /// The file cannot be read or is not a complete file of tensors. A PyTorch file may ask for
    /// nothing but tensors and plain containers (`docs/weights.md`).
    pub fn open(path: impl AsRef<Path>) -> Result<Self, WeightsError> {
        let path = path.as_ref();
        let (file, attributes) = open_regular(path).map_err(|error| match error {
            NotOpened::Io(error) => {
                WeightsError::Io { path: path.to_owned(), action: "open", error }
            }
            NotOpened::Kind(kind) => unreadable(path, format!("it is {kind}{}", file_in(path))),
        })?;
        if attributes.len() == 0 {
            return Err(unreadable(path, "it is empty".to_owned()));
        }
        Self::of_source(Source::of_file(path, file, &attributes))
    }

    /// As [`open`](Self::open), of a file's content. Errors call it `name`.
    ///
    /// # Errors
    /// It is not a complete file of tensors.
    pub fn from_bytes(
        bytes: impl Into<Vec<u8>>,
        name: impl AsRef<Path>,
    ) -> Result<Self, WeightsError> {
        Self::of_source(Source::of_bytes(name.as_ref(), bytes.into()))
    }

    fn of_source(source: Source) -> Result<Self, WeightsError> {
        let start = source.read(0..source.len().min(kind::START))?;
        let format = format_of(&start, source.len());
        let format = format.map_err(|reason| unreadable(source.path(), reason))?;
        let contents = match format {
            FileFormat::Safetensors => safetensors::parse(&source),
            FileFormat::PyTorch => torch::parse(&source, &start),
        };
        let Contents { tensors, metadata, notes } = contents.map_err(|fault| match fault {
            Fault::Content(reason) => unreadable(source.path(), reason),
            Fault::Read(error) => error.into(),
        })?;
        Ok(Self { source, format, tensors, metadata, notes, spare: Mutex::default() })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        self.source.path()
    }

    /// What kind of file it is.
    pub fn format(&self) -> FileFormat {
        self.format
    }

    /// The tensors, in the order of their bytes (safetensors) or of the state dict (PyTorch).
    pub fn tensors(&self) -> &[StoredTensor] {
        &self.tensors
    }

    /// All metadata of the file (`__metadata__` in the header); a PyTorch file has none.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Which part of a PyTorch file was taken as the weights, and what was ignored; one sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The values of one of [`TensorFile::tensors`], the last dimension varying fastest. `None` if they
    /// are not floats.
    ///
    /// # Errors
    /// The file cannot be read any more, or has changed.
    pub fn values(&self, tensor: &StoredTensor) -> Result<Option<Vec<f32>>, WeightsError> {
        let Dtype::Float(_) = tensor.dtype else { return Ok(None) };
        Ok(Some(self.all(tensor)?.into_owned()))
    }

    /// The values of a tensor of floats: borrowed if they are in memory as they should be.
    ///
    /// # Panics
    /// If the tensor is not of floats.
    pub(super) fn all(&self, tensor: &StoredTensor) -> Result<Cow<'_, [f32]>, SourceError> {
        let part = 0..tensor.element_count();
        match self.in_memory(tensor, &part) {
            Some(values) => Ok(Cow::Borrowed(values)),
            None => {
                let mut buffers = Buffers::default();
                self.fill(tensor, part, &mut buffers)?;
                Ok(Cow::Owned(buffers.values))
            }
        }
    }

    /// Calls `read` with the values in `part` of a tensor of floats, in memory that is used again.
    ///
    /// # Panics
    /// If the tensor has no such part or is not of floats.
    pub(super) fn read(
        &self,
        tensor: &StoredTensor,
        part: Range<usize>,
        read: &mut dyn FnMut(&[f32]),
    ) -> Result<(), SourceError> {
        let count = tensor.element_count();
        assert!(part.start <= part.end && part.end <= count, "{part:?} of {}", tensor.name);
        if let Some(values) = self.in_memory(tensor, &part) {
            read(values);
            return Ok(());
        }
        let spare = || self.spare.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut buffers = spare().pop().unwrap_or_default();
        let filled = self.fill(tensor, part, &mut buffers);
        if filled.is_ok() {
            read(&buffers.values);
        }
        let bytes = buffers.raw.capacity() + buffers.values.capacity() * size_of::<f32>();
        let mut spare = spare();
        if bytes <= KEPT && spare.len() < KEPT_BUFFERS {
            spare.push(buffers);
        }
        filled
    }

    /// The values in `part`, if the bytes in memory are those.
    fn in_memory(&self, tensor: &StoredTensor, part: &Range<usize>) -> Option<&[f32]> {
        let (Dtype::Float(FloatType::F32), None) = (&tensor.dtype, &tensor.strides) else {
            return None;
        };
        as_floats(&self.source.memory()?[tensor.bytes.clone()])?.get(part.clone())
    }

    /// Reads the values in `part` of a tensor of floats.
    fn fill(
        &self,
        tensor: &StoredTensor,
        part: Range<usize>,
        Buffers { raw, values }: &mut Buffers,
    ) -> Result<(), SourceError> {
        let Dtype::Float(float) = tensor.dtype else { panic!("{} is not of floats", tensor.name) };
        let (first, size) = (tensor.bytes.start, float.size());
        if let Some(strides) = &tensor.strides {
            let indices = || Indices::new(&tensor.shape, strides, part.clone());
            let (least, most) = (indices().min().unwrap_or(0), indices().max().unwrap_or(0));
            raw.resize(if part.is_empty() { 0 } else { (most - least + 1) * size }, 0);
            self.source.read_at(first + least * size, raw)?;
            values.clear();
            values.reserve(part.len());
            indices().for_each(|at| float.decode(&raw[(at - least) * size..][..size], values));
            return Ok(());
        }
        let bytes = first + part.start * size..first + part.end * size;
        if float == FloatType::F32 && cfg!(target_endian = "little") {
            values.resize(part.len(), 0.0);
            return self.source.read_at(bytes.start, bytemuck::cast_slice_mut(values));
        }
        values.clear();
        values.reserve(part.len());
        for start in bytes.clone().step_by(PIECE) {
            raw.resize(PIECE.min(bytes.end - start), 0);
            self.source.read_at(start, raw)?;
            float.decode(raw, values);
        }
        Ok(())
    }

    /// Calls `read` with the bytes of one of [`TensorFile::tensors`], from its first element to its last,
    /// piece by piece.
    ///
    /// # Errors
    /// The file cannot be read any more, or has changed.
    pub fn read_bytes(
        &self,
        tensor: &StoredTensor,
        mut read: impl FnMut(&[u8]),
    ) -> Result<(), WeightsError> {
        let mut buffer = vec![0; PIECE.min(tensor.byte_len())];
        for start in tensor.bytes.clone().step_by(PIECE) {
            let piece = &mut buffer[..PIECE.min(tensor.bytes.end - start)];
            self.source.read_at(start, piece)?;
            read(piece);
        }
        Ok(())
    }
}

/// Which file in the folder `path` may be meant, to be said after that it is a folder.
fn file_in(path: &Path) -> String {
    const USUAL: [&str; 5] =
        ["best.safetensors", "model.safetensors", "last.safetensors", "model.pth", "data.pkl"];
    let there = USUAL.iter().find(|name| path.join(name).is_file());
    match there {
        Some(&"data.pkl") => ", an unpacked PyTorch file; name the file as it was".to_owned(),
        Some(name) => format!("; name the file in it, {name}"),
        None if path.join("saved_model.pb").is_file() => {
            ", a TensorFlow SavedModel; only safetensors and PyTorch files are read".to_owned()
        }
        None => String::new(),
    }
}

fn unreadable(path: &Path, reason: String) -> WeightsError {
    WeightsError::Format { path: path.to_owned(), reason }
}
