//! Where the numbers of a network come from: what inference asks for weights, whether they lie in memory or in a file;
//! a file may fail.

use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::tensors::TensorId;

/// Why values cannot be had: the file that they are in cannot be read any more, or has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", path.display())]
#[non_exhaustive]
pub struct SourceError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl SourceError {
    /// The error of the file at `path`.
    pub fn new(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self { path: path.as_ref().to_owned(), reason: reason.into() }
    }
}

/// Where the values of a network's tensors come from: memory, or a file.
pub trait ParamSource: Sync {
    /// The values of a tensor, in its shape's order (the last dimension varies fastest).
    ///
    /// # Errors
    /// They cannot be read.
    fn tensor(&self, id: TensorId) -> Result<Cow<'_, [f32]>, SourceError>;

    /// Calls `read` once with the values `part` of a tensor. A source that takes memory to show them
    /// gives it back after that.
    ///
    /// # Errors
    /// They cannot be read; then `read` is not called.
    fn read(
        &self,
        id: TensorId,
        part: Range<usize>,
        read: &mut dyn FnMut(&[f32]),
    ) -> Result<(), SourceError> {
        read(&self.tensor(id)?[part]);
        Ok(())
    }
}

impl<S: ParamSource + ?Sized> ParamSource for &S {
    fn tensor(&self, id: TensorId) -> Result<Cow<'_, [f32]>, SourceError> {
        (**self).tensor(id)
    }

    fn read(
        &self,
        id: TensorId,
        part: Range<usize>,
        read: &mut dyn FnMut(&[f32]),
    ) -> Result<(), SourceError> {
        (**self).read(id, part, read)
    }
}
