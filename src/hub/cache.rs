//! The cache of the hub, in the layout of Python's `huggingface_hub`, which reads and writes the same.
//!
//! ```text
//! models--OWNER--REPOSITORY/
//!     blobs/ETAG                     the content of a file
//!     snapshots/COMMIT/FILE          a link to it
//!     refs/REVISION                  the commit of a branch or tag
//!     .no_exist/COMMIT/FILE          an empty file: the repository has no such file
//! .locks/models--OWNER--REPOSITORY/ETAG.lock
//! ```

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::client::{Client, Described};
use super::download::{Checksum, Download};
use super::{HubError, Settings};
use crate::runtime::{Disk, NewFiles, Watch, write_durably};

/// A repository, there and here.
pub(super) struct Repository {
    /// Its address.
    url: String,
    /// Its folder.
    folder: PathBuf,
    /// The folder of its locks.
    locks: PathBuf,
}

impl Repository {
    pub(super) fn new(settings: &Settings, owner: &str, repository: &str) -> Self {
        let name = format!("models--{owner}--{repository}");
        Self {
            url: format!("{}/{owner}/{repository}", settings.endpoint),
            folder: settings.cache.join(&name),
            locks: settings.cache.join(".locks").join(&name),
        }
    }

    /// The address of a file.
    pub(super) fn url(&self, revision: &str, file: &str) -> String {
        let revision = escaped(revision, false);
        format!("{}/resolve/{revision}/{}", self.url, escaped(file, true))
    }

    /// The commit that `revision` was at when it was last asked for.
    pub(super) fn commit(&self, revision: &str) -> Option<String> {
        if self.folder.join("snapshots").join(revision).is_dir() {
            return Some(revision.to_owned());
        }
        let commit = std::fs::read_to_string(self.folder.join("refs").join(revision)).ok()?;
        let commit = commit.trim();
        let fits = !commit.is_empty() && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        fits.then(|| commit.to_owned())
    }

    /// Where a file of a commit is, if it is there.
    pub(super) fn snapshot(&self, commit: &str, file: &str) -> Option<PathBuf> {
        Some(self.place("snapshots", commit, file)).filter(|path| path.is_file())
    }

    /// Whether a file of a commit is there, or known not to exist.
    pub(super) fn is_settled(&self, commit: &str, file: &str) -> bool {
        ["snapshots", ".no_exist"].iter().any(|kind| self.place(kind, commit, file).is_file())
    }

    fn place(&self, kind: &str, commit: &str, file: &str) -> PathBuf {
        self.folder.join(kind).join(commit).join(file)
    }

    /// The file that is `described`, called `file`: from the cache, or fetched into it.
    pub(super) fn get(
        &self,
        described: &Described,
        file: &str,
        client: &Client,
        watch: &dyn Watch,
    ) -> Result<PathBuf, HubError> {
        let Described { url, commit, etag, size } = described;
        let place = self.place("snapshots", commit, file);
        if place.is_file() {
            return Ok(place);
        }
        let blobs = self.folder.join("blobs");
        let download = Download {
            url: url.clone(),
            path: blobs.join(etag),
            partial: blobs.join(format!("{etag}.incomplete")),
            lock: self.locks.join(format!("{etag}.lock")),
            size: *size,
            checksum: Checksum::of_etag(etag),
        };
        download.run(client, watch)?;
        let up = "../".repeat(2 + file.matches('/').count());
        make_folder_of(&place)?;
        // A link that leads nowhere, since somebody has removed what it led to.
        if place.is_symlink() && !place.exists() {
            let removed = std::fs::remove_file(&place);
            removed.map_err(|error| HubError::io(&place, "remove", error))?;
        }
        match link(Path::new(&format!("{up}blobs/{etag}")), &download.path, &place) {
            // Another process was faster.
            Err(_) if place.is_file() => Ok(place),
            Err(error) => Err(HubError::io(&place, "write", error)),
            Ok(()) => Ok(place),
        }
    }

    /// Notes which commit a branch or tag is at. A note saves questions and nothing else: where none can be
    /// written, as in a cache that is read only, there is none.
    pub(super) fn note_revision(&self, revision: &str, commit: &str) {
        if self.commit(revision).as_deref() != Some(commit) {
            note(&self.folder.join("refs").join(revision), commit);
        }
    }

    /// Notes that a commit has no such file, where that can be written.
    pub(super) fn note_absent(&self, commit: &str, file: &str) {
        note(&self.place(".no_exist", commit, file), "");
    }
}

/// Whole or not at all, for whoever reads it meanwhile.
fn note(path: &Path, text: &str) {
    if make_folder_of(path).is_ok() {
        let _ = write_durably(&Disk, path, |out| out.write_all(text.as_bytes()));
    }
}

/// Makes `place` a link to the blob, or where there are no links a copy of it.
fn link(relative: &Path, blob: &Path, place: &Path) -> io::Result<()> {
    #[cfg(unix)]
    let linked = std::os::unix::fs::symlink(relative, place);
    #[cfg(not(unix))]
    let linked: io::Result<()> = Err(io::Error::other(relative.display().to_string()));
    linked.or_else(|_| std::fs::hard_link(blob, place)).or_else(|_| copy(blob, place))
}

fn copy(blob: &Path, place: &Path) -> io::Result<()> {
    let mut content = File::open(blob)?;
    write_durably(&NewFiles, place, |out| io::copy(&mut content, out).map(|_| ()))
}

fn make_folder_of(path: &Path) -> Result<(), HubError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let made = std::fs::create_dir_all(folder);
    made.map_err(|error| HubError::io(folder, "make the folder", error))
}

/// Fit for a place in an address.
fn escaped(text: &str, slashes: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        match byte {
            _ if plain => out.push(byte.into()),
            b'/' if slashes => out.push('/'),
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_links_files_are_copied_whole() {
        let folder = tempfile::tempdir().unwrap();
        let [blob, place] = ["blob", "place"].map(|name| folder.path().join(name));
        std::fs::write(&blob, vec![7; 100_000]).unwrap();
        copy(&blob, &place).unwrap();
        assert_eq!(std::fs::read(&place).unwrap(), vec![7; 100_000]);
        assert!(copy(&blob, &place).is_err(), "nothing is replaced");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside");
    }

    #[test]
    fn addresses_are_escaped() {
        assert_eq!(escaped("refs/pr/1", false), "refs%2Fpr%2F1");
        assert_eq!(escaped("sub folder/ü.bin", true), "sub%20folder/%C3%BC.bin");
    }
}
