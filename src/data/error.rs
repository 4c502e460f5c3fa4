//! What can be wrong with data on disk. Every message names the file, what was expected and what
//! was found.

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
    /// A folder where a file was expected.
    #[error("{}: expected a file, found a folder", path.display())]
    IsFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The operating system refused to read.
    #[error("{}: cannot read: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Its answer.
        source: std::io::Error,
    },
    /// A folder without a single picture in it, at any depth.
    #[error("{}: expected pictures ({extensions}), found none in this folder", path.display())]
    NoPictures {
        /// The folder.
        path: PathBuf,
        /// The file name extensions that were looked for.
        extensions: String,
    },
    /// A file of zero bytes.
    #[error("{}: expected a picture, found an empty file", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// No format of pictures starts with these bytes.
    #[error("{}: expected a picture, found a file that starts with {found}", path.display())]
    NotAPicture {
        /// The file.
        path: PathBuf,
        /// Its first bytes, readable.
        found: String,
    },
    /// A picture of a kind that is not read here.
    #[error("{}: unsupported picture: {detail}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The format or feature.
        detail: String,
    },
    /// The file ends before the picture does.
    #[error("{}: truncated picture: {detail}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What is missing.
        detail: String,
    },
    /// The bytes contradict the format.
    #[error("{}: damaged picture: {detail}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the decoder stumbled over.
        detail: String,
    },
    /// More pixels or memory than the limits allow.
    #[error("{}: picture too large: expected {limit}, found {found}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit that was exceeded.
        limit: String,
        /// The size that the file announces.
        found: String,
    },
    /// CIFAR records that are not whole, or a folder without them.
    #[error("{}: not CIFAR-10 binary records: {detail}", path.display())]
    Cifar {
        /// The file or folder.
        path: PathBuf,
        /// Expected and found.
        detail: String,
    },
}

impl Error {
    /// The file or folder it is about.
    pub fn path(&self) -> &std::path::Path {
        match self {
            Self::Missing { path }
            | Self::IsFolder { path }
            | Self::Io { path, .. }
            | Self::NoPictures { path, .. }
            | Self::Empty { path }
            | Self::NotAPicture { path, .. }
            | Self::Unsupported { path, .. }
            | Self::Truncated { path, .. }
            | Self::Damaged { path, .. }
            | Self::TooLarge { path, .. }
            | Self::Cifar { path, .. } => path,
        }
    }

    /// The variant that an error of the operating system about `path` is.
    pub(crate) fn io(path: &std::path::Path, source: std::io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            std::io::ErrorKind::NotFound => Self::Missing { path },
            std::io::ErrorKind::IsADirectory => Self::IsFolder { path },
            _ => Self::Io { path, source },
        }
    }
}
