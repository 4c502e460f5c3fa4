//! Why weights cannot be had by name, said so that the reader knows what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why weights cannot be had by name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// It is no name of weights.
    #[error(
        "{name}: expected hf:OWNER/REPOSITORY[@REVISION][:FILE], torchvision:NETWORK[.V1|.V2] or one of \
         the names that `resnet-cpu weights list` prints"
    )]
    Name {
        /// What was given.
        name: String,
    },
    /// They are not in the cache, and nothing may be asked of a network.
    #[error("{name}: not in the cache, and HF_HUB_OFFLINE is set")]
    Offline {
        /// Which weights.
        name: String,
    },
    /// The source does not answer.
    #[error("{url}: cannot be reached: {reason}")]
    Unreachable {
        /// The address.
        url: String,
        /// Why, as far as it is known.
        reason: String,
    },
    /// The source does not have it.
    #[error("{url}: not found{detail}")]
    NotFound {
        /// The address.
        url: String,
        /// What is not found, if the source says so.
        detail: String,
    },
    /// The source does not give it to everybody.
    #[error(
        "{url}: the server asks for permission (status {status}): there is no such repository, or it needs a \
         token (HF_TOKEN) of somebody who may read it"
    )]
    Denied {
        /// The address.
        url: String,
        /// 401 or 403.
        status: u16,
    },
    /// The source has too much to do, again and again.
    #[error("{url}: the server is busy (status {status}); try again later")]
    Busy {
        /// The address.
        url: String,
        /// 429 or one from 500 on.
        status: u16,
    },
    /// The source answers something else than is understood.
    #[error("{url}: expected {expected}, found {found}")]
    Answer {
        /// The address.
        url: String,
        /// What the answer should have been.
        expected: String,
        /// What it was.
        found: String,
    },
    /// What was fetched is not what the source says it is.
    #[error(
        "{url}: damaged on its way: expected the checksum {expected}, found {found}; nothing was kept of it"
    )]
    Checksum {
        /// The address.
        url: String,
        /// The checksum that was stated, or what it begins with.
        expected: String,
        /// That of what was fetched.
        found: String,
    },
    /// The cache cannot be read or written.
    #[error("{}: cannot {action}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried, e.g. `write`.
        action: &'static str,
        /// The operating system's reason.
        error: io::Error,
    },
    /// It was stopped on the way.
    #[error("stopped; what was fetched is used the next time")]
    Stopped,
}

impl HubError {
    /// An error of the cache.
    pub(super) fn io(path: &Path, action: &'static str, error: io::Error) -> Self {
        Self::Io { path: path.to_owned(), action, error }
    }
}
