//! What can be wrong with a file of weights, said so that the reader knows what to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::limits::shortened;
use crate::model::{SourceError, SpecError};

/// Why a file of weights cannot be read, used or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The operating system refused.
    #[error("{}: cannot {action}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried, e.g. `open`.
        action: &'static str,
        /// Its reason.
        error: io::Error,
    },
    /// The file cannot be read any more, or has changed since it was opened.
    #[error(transparent)]
    Read(#[from] SourceError),
    /// The bytes are not a complete, valid file of tensors.
    #[error("{}: not a readable file of weights: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What was expected and what found.
        reason: String,
    },
    /// A `resnet_cpu.*` entry of the metadata has an impossible value.
    #[error(
        "{}: metadata {key}: expected {expected}, found '{}'",
        path.display(),
        shortened(found, 200)
    )]
    Metadata {
        /// The file.
        path: PathBuf,
        /// The metadata's key.
        key: &'static str,
        /// What the value should have been.
        expected: String,
        /// The value.
        found: String,
    },
    /// A publisher's configuration beside the file has a value that cannot be followed.
    #[error("{}: {field}: expected {expected}, found {found}", path.display())]
    Beside {
        /// The configuration.
        path: PathBuf,
        /// Which field.
        field: String,
        /// What the value should have been.
        expected: String,
        /// The value.
        found: String,
    },
    /// Two statements about the network cannot both be true.
    #[error(
        "{}: {field} '{asked}' ({asked_by}) contradicts '{found}' ({found_by})",
        path.display()
    )]
    Conflict {
        /// The file.
        path: PathBuf,
        /// What they are about, e.g. `arch`.
        field: &'static str,
        /// The value that came first in order of precedence.
        asked: String,
        /// Who says so: `as requested` or the metadata's key.
        asked_by: &'static str,
        /// The other value.
        found: String,
        /// Who says so.
        found_by: &'static str,
    },
    /// The options do not make a network.
    #[error("{}: {error}", path.display())]
    Spec {
        /// The file.
        path: PathBuf,
        /// Which option does not fit.
        error: SpecError,
    },
    /// It is a ResNet that is not computed here.
    #[error("{}: this network cannot be run: it is {network}", path.display())]
    OtherNetwork {
        /// The file.
        path: PathBuf,
        /// What it is, and by what that shows.
        network: String,
    },
    /// Names and shapes are not those of a known network.
    #[error("{}: cannot tell which network this is: {reason}", path.display())]
    Unrecognised {
        /// The file.
        path: PathBuf,
        /// What was looked for and what found.
        reason: String,
    },
    /// The tensors are not those of the network.
    #[error("{}: {mismatch}", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// All that is missing, unexpected or wrong.
        mismatch: Box<Mismatch>,
    },
    /// Values that no network can compute with.
    #[error("{}: {}", path.display(), listed("unusable values", tensors.iter()))]
    Values {
        /// The file.
        path: PathBuf,
        /// For each bad tensor its name, what is wrong, and how many values.
        tensors: Vec<String>,
    },
}

/// How the tensors of a file differ from those of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// The network, e.g. `resnet18, shortcut b`.
    pub network: String,
    /// Number of tensors that are as they should be.
    pub matched: usize,
    /// Number of tensors the network has.
    pub expected: usize,
    /// Tensors of the network that the file lacks (the network's names).
    pub missing: Vec<String>,
    /// Tensors of the file that the network lacks (the file's names).
    pub unexpected: Vec<String>,
    /// Tensors with another shape or an element type that is not a float.
    pub wrong: Vec<WrongTensor>,
}

/// A tensor of the right name and the wrong kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongTensor {
    /// The network's name.
    pub name: String,
    /// The shape or type expected.
    pub expected: String,
    /// The shape or type found.
    pub found: String,
}

impl Mismatch {
    /// True if the tensors are exactly the network's.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.wrong.is_empty()
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} tensors of {} match", self.matched, self.expected, self.network)?;
        for (what, names) in [("missing", &self.missing), ("unexpected", &self.unexpected)] {
            if !names.is_empty() {
                write!(f, "; {}", listed(what, names.iter()))?;
            }
        }
        if !self.wrong.is_empty() {
            write!(f, "; {}", listed("wrong", self.wrong.iter()))?;
        }
        if self.missing.is_empty() && self.wrong.is_empty() && !self.unexpected.is_empty() {
            write!(f, "; --ignore-extra NAME ignores a tensor that is not needed")?;
        }
        Ok(())
    }
}

impl fmt::Display for WrongTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, found) = (&self.name, &self.found);
        write!(f, "{name} (expected {}, found {found})", self.expected)
    }
}

/// `what (count): a, b, c`, of which at most eight are spelled out.
pub(super) fn listed(
    what: &str,
    items: impl ExactSizeIterator<Item = impl fmt::Display>,
) -> String {
    const SHOWN: usize = 8;
    let count = items.len();
    let shown: Vec<String> =
        items.take(SHOWN).map(|item| shortened(&item.to_string(), 200)).collect();
    let mut text = format!("{what} ({count}): {}", shown.join(", "));
    if count > SHOWN {
        text += &format!(" and {} more", count - SHOWN);
    }
    text
}
