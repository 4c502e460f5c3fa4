//! What can be wrong with data on disk, and with settings that use it. Every message names the file or the
//! setting, what was expected and what was found.

use std::path::PathBuf;

/// A file or folder of data that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing at the path.
    #[error("{}: no such file or folder", path.display())]
    Missing {
        /// The path as given.
        path: PathBuf,
    },
    /// There is nothing at a path that looks like a shell pattern.
    #[error("{}: no file matches this pattern (in quotes, the shell does not expand it)", path.display())]
    NoMatch {
        /// The path as given.
        path: PathBuf,
    },
    /// A folder where a file was expected.
    #[error("{}: expected a file, found a folder", path.display())]
    IsFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A file where a folder of data was expected.
    #[error("{}: expected a folder, found {found}", path.display())]
    IsFile {
        /// The file.
        path: PathBuf,
        /// What it is, and what to do.
        found: String,
    },
    /// Neither a regular file nor a folder. It is not opened, since reading it might never end.
    #[error("{}: expected a file, found {found}, which is not read", path.display())]
    Special {
        /// What was given or found.
        path: PathBuf,
        /// What it is, e.g. a FIFO.
        found: &'static str,
    },
    /// The operating system refused to read.
    #[error("{}: cannot read: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Its answer.
        source: std::io::Error,
    },
    /// A folder without a single image in it, at any depth.
    #[error("{}: expected images ({extensions}), found none in this folder{also}", path.display())]
    NoImages {
        /// The folder.
        path: PathBuf,
        /// The file name extensions that were looked for.
        extensions: String,
        /// The images in formats that are not read, if there are any.
        also: String,
    },
    /// A file of zero bytes.
    #[error("{}: expected an image, found an empty file", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// No format of images starts with these bytes.
    #[error("{}: expected an image, found {found}", path.display())]
    NotAImage {
        /// The file.
        path: PathBuf,
        /// What it is, or its first bytes.
        found: String,
    },
    /// An image of a kind that is not read here.
    #[error("{}: unsupported image: {detail}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The format or feature.
        detail: String,
    },
    /// The file ends before the image does.
    #[error("{}: truncated image: {detail}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What is missing.
        detail: String,
    },
    /// The bytes contradict the format.
    #[error("{}: damaged image: {detail}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// More pixels or memory than the limits allow.
    #[error("{}: image too large: expected {limit}, found {found}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit that was exceeded.
        limit: String,
        /// The size that the file announces.
        found: String,
    },
    /// Incomplete CIFAR records, or a folder without any.
    #[error("{}: not CIFAR-10 binary records: {detail}", path.display())]
    Cifar {
        /// The file or folder.
        path: PathBuf,
        /// Expected and found.
        detail: String,
    },
    /// An idx file (MNIST's format) that is incomplete, or not the one expected at its place.
    #[error("{}: not an idx file as expected: {detail}", path.display())]
    Idx {
        /// The file.
        path: PathBuf,
        /// Expected and found.
        detail: String,
    },
    /// A tar that is cut short, or holds something else than samples of an image and a label.
    #[error("{}: not a shard as expected: {detail}", path.display())]
    Tar {
        /// The file.
        path: PathBuf,
        /// Expected and found.
        detail: String,
    },
    /// An index that is damaged, or is not that of the tar beside it.
    #[error("{}: not an index as expected: {detail}", path.display())]
    Index {
        /// The file.
        path: PathBuf,
        /// Expected and found.
        detail: String,
    },
    /// A description of shards (`dataset.json`) that is damaged, or does not fit them.
    #[error("{}: not a description of shards as expected: {detail}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Expected and found.
        detail: String,
    },
    /// An image of a shard whose bytes are not those that were packed.
    #[error("{}: damaged record: {detail}", path.display())]
    Record {
        /// The tar, the record's number, and its name.
        path: PathBuf,
        /// Expected and found.
        detail: String,
    },
    /// A file that is not the one that was opened.
    #[error("{}: it was changed while it was in use: {detail}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// What differs.
        detail: String,
    },
    /// A folder that holds no data set of a known kind.
    #[error("{}: expected a data set, found {found}; looked for {looked_for}", path.display())]
    UnknownData {
        /// The folder.
        path: PathBuf,
        /// What is there, and what to do.
        found: String,
        /// The kinds that are known, by the names of their files.
        looked_for: &'static str,
    },
    /// A data set in a form that is not read.
    #[error("{}: {found} is not read; {advice}", path.display())]
    UnreadData {
        /// The file or folder.
        path: PathBuf,
        /// What it is.
        found: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// Several folders that could be the same part of the data set.
    #[error("{}: cannot tell which folder is meant: {found}", path.display())]
    Ambiguous {
        /// The folder they are in.
        path: PathBuf,
        /// Their names, and what to do.
        found: String,
    },
    /// A folder that should hold a folder for each class.
    #[error("{}: expected a folder for each class, found none", path.display())]
    NoClasses {
        /// The folder.
        path: PathBuf,
    },
    /// Data with a single class, from which nothing can be learnt.
    #[error("{}: expected at least two classes, found one: {class}", path.display())]
    SingleClass {
        /// The folder.
        path: PathBuf,
        /// Its name or number.
        class: String,
    },
    /// A data set without the split that was asked for.
    #[error("{}: expected {asked} images, found {found}", path.display())]
    NoSplit {
        /// The folder.
        path: PathBuf,
        /// The split.
        asked: &'static str,
        /// The splits that there are.
        found: String,
    },
    /// The folders of training and validation images name different classes.
    #[error("{}: expected the classes of the training folder, found {difference}", path.display())]
    ClassesDiffer {
        /// The validation folder.
        path: PathBuf,
        /// Which are missing and which are not expected.
        difference: String,
    },
    /// The work was asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// A number that does not fit the data or another number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// Holding out this many images for validation would leave none for training, or it is none at all.
    #[error("expected to hold out 1 to {} images for validation, found {held_out}", images - 1)]
    HoldOut {
        /// How many were to be held out.
        held_out: usize,
        /// Images of the set.
        images: usize,
    },
    /// Images are to be held out of a set of which a part is held out already: those would be lost.
    #[error(
        "expected a set that was opened whole, since a part of it is held out already: found \
         {train} images for training and {val} for validation"
    )]
    HeldOutTwice {
        /// Images for training.
        train: usize,
        /// Images for validation.
        val: usize,
    },
    /// A batch that the set cannot fill, or an empty one.
    #[error("batch: expected 1 to {images} (the images of the set), found {batch}")]
    Batch {
        /// Images per batch.
        batch: usize,
        /// Images of the set.
        images: usize,
    },
    /// A geometry of augmentation that leaves no room for the crop.
    #[error(
        "augmentation: expected the shorter side to be at least the crop of {crop}, found {resize}"
    )]
    ResizeBelowCrop {
        /// Shorter side after resizing.
        resize: usize,
        /// Side of the crop.
        crop: usize,
    },
}

impl Error {
    /// The file or folder it is about.
    pub fn path(&self) -> &std::path::Path {
        match self {
            Self::Missing { path }
            | Self::NoMatch { path }
            | Self::IsFolder { path }
            | Self::Io { path, .. }
            | Self::NoImages { path, .. }
            | Self::Empty { path }
            | Self::NotAImage { path, .. }
            | Self::Unsupported { path, .. }
            | Self::Truncated { path, .. }
            | Self::Damaged { path, .. }
            | Self::TooLarge { path, .. }
            | Self::Cifar { path, .. }
            | Self::Idx { path, .. }
            | Self::Tar { path, .. }
            | Self::Index { path, .. }
            | Self::Manifest { path, .. }
            | Self::Record { path, .. }
            | Self::Changed { path, .. }
            | Self::IsFile { path, .. }
            | Self::Special { path, .. }
            | Self::UnreadData { path, .. }
            | Self::Ambiguous { path, .. }
            | Self::UnknownData { path, .. }
            | Self::NoClasses { path }
            | Self::NoSplit { path, .. }
            | Self::SingleClass { path, .. }
            | Self::ClassesDiffer { path, .. } => path,
            Self::Interrupted => std::path::Path::new(""),
        }
    }

    /// Whether it is one of the image itself, which may be left out, and not one of finding or reading it, which
    /// may be another tomorrow.
    pub fn is_of_image(&self) -> bool {
        matches!(
            self,
            Self::Empty { .. }
                | Self::NotAImage { .. }
                | Self::Unsupported { .. }
                | Self::Truncated { .. }
                | Self::Damaged { .. }
                | Self::TooLarge { .. }
                | Self::Record { .. }
        )
    }

    /// The variant for an error of the operating system about `path`.
    pub(crate) fn io(path: &std::path::Path, source: std::io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            std::io::ErrorKind::NotFound => Self::Missing { path },
            std::io::ErrorKind::IsADirectory => Self::IsFolder { path },
            _ => Self::Io { path, source },
        }
    }
}
