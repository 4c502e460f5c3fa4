//! A data set as it was found: what it is, the images to train on, those to validate on.

use std::fmt;

use crate::data::Dataset;

/// The kind of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The built-in set, 32 x 32.
    Demo,
    /// CIFAR-10 binary records, 32 x 32.
    Cifar10,
    /// idx files, padded to 32 x 32, such as MNIST.
    Idx,
    /// A folder for each class, with images of any size.
    ClassFolders,
    /// WebDataset tars, with images of any size.
    Shards,
    /// A [`Dataset`] of the program's own.
    Own,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Demo => "demo set",
            Self::Cifar10 => "CIFAR-10 binary",
            Self::Idx => "idx",
            Self::ClassFolders => "class folders",
            Self::Shards => "shards",
            Self::Own => "own",
        })
    }
}

/// Where the images that a run is measured on come from. Nothing may be chosen by a test set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValidationOrigin {
    /// Held out of the training images.
    HeldOut,
    /// The data's own images for validation.
    Val,
    /// The data's test set.
    Test,
}

/// A data set as it was found.
pub struct Splits {
    /// Images to train on.
    pub train: Box<dyn Dataset>,
    /// Images to validate on, of the same classes, if there are any (it is never an empty set).
    pub val: Option<Box<dyn Dataset>>,
    /// The images of a test set beside those for validation, of the same classes, if they were wanted
    /// ([`Wanted::test`](super::Wanted::test)).
    pub test: Option<Box<dyn Dataset>>,
    /// Where those come from, or would.
    pub origin: ValidationOrigin,
    /// What it is.
    pub kind: Kind,
    /// What the user should know, one sentence each: choices that were made where the data leaves them open,
    /// and what was skipped.
    pub notes: Vec<String>,
}
