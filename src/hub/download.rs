//! A file from a server to its place: begun or gone on with, checked, and only then given its name.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::HubError;
use super::client::Client;
use crate::runtime::Watch;

/// Bytes that are taken at a time.
const PIECE: usize = 64 << 10;
/// Times that a server is asked again after an answer that broke off, without any progress.
const TRIES: u32 = 4;
/// Before the first of them; the next take twice as long each.
const PAUSE: Duration = Duration::from_millis(250);

/// What is told of progress while another program fetches the same.
pub const WAITING: &str = "waiting for another program, which fetches it";

/// What the content must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Checksum {
    /// The SHA-256 of all bytes, as the hub has it for large files.
    Sha256(String),
    /// What it begins with.
    Sha256Begins(String),
    /// What git calls the content: the SHA-1 of `blob`, its length and all bytes.
    Git(String),
}

impl Checksum {
    /// What the hub calls a content.
    pub(super) fn of_etag(etag: &str) -> Self {
        if etag.len() == 64 { Self::Sha256(etag.to_owned()) } else { Self::Git(etag.to_owned()) }
    }

    fn expected(&self) -> &str {
        match self {
            Self::Sha256(text) | Self::Sha256Begins(text) | Self::Git(text) => text,
        }
    }

    /// That of the file at `path`.
    fn of(&self, path: &Path) -> Result<String, HubError> {
        let failed = |error| HubError::io(path, "read", error);
        let mut file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let mut piece = vec![0; PIECE];
        let (mut sha256, mut git) = (Sha256::new(), Sha1::new());
        git.update(format!("blob {size}\0"));
        loop {
            let read = file.read(&mut piece).map_err(failed)?;
            match self {
                _ if read == 0 => break,
                Self::Git(_) => git.update(&piece[..read]),
                _ => sha256.update(&piece[..read]),
            }
        }
        let hexadecimal = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect();
        Ok(match self {
            Self::Git(_) => hexadecimal(&git.finalize()),
            _ => hexadecimal(&sha256.finalize()),
        })
    }
}

/// A file to be fetched.
pub(super) struct Download {
    pub(super) url: String,
    /// Where it will be.
    pub(super) path: PathBuf,
    /// Where it is until it is whole.
    pub(super) partial: PathBuf,
    /// A file that whoever fetches it holds locked.
    pub(super) lock: PathBuf,
    pub(super) size: Option<u64>,
    pub(super) checksum: Checksum,
}

impl Download {
    /// Fetches it, unless it is there. One process does at a time; others wait, and find it there.
    pub(super) fn run(&self, client: &Client, watch: &dyn Watch) -> Result<(), HubError> {
        if self.path.is_file() {
            return Ok(());
        }
        for file in [&self.path, &self.partial, &self.lock] {
            let folder = file.parent().unwrap_or(Path::new("."));
            let made = std::fs::create_dir_all(folder);
            made.map_err(|error| HubError::io(folder, "make the folder", error))?;
        }
        let _lock = self.locked(watch)?;
        if self.path.is_file() {
            return Ok(());
        }
        let begun = self.partial.metadata().map_or(0, |file| file.len());
        let fetched = self.fetch(client, watch).and_then(|()| self.check());
        match fetched {
            // What was there from before may have been something else.
            Err(HubError::Checksum { .. }) if begun > 0 => {
                self.fetch(client, watch)?;
                self.check()?;
            }
            fetched => fetched?,
        }
        let renamed = std::fs::rename(&self.partial, &self.path);
        renamed.map_err(|error| HubError::io(&self.path, "write", error))
    }

    fn locked(&self, watch: &dyn Watch) -> Result<File, HubError> {
        let failed = |error| HubError::io(&self.lock, "lock", error);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&self.lock);
        let file = file.map_err(failed)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) => {
                    watch.progress(WAITING, 0, None);
                    pause(PAUSE, watch)?;
                }
            }
        }
    }

    /// Adds to the partial file until it is whole, asking again where an answer breaks off.
    fn fetch(&self, client: &Client, watch: &dyn Watch) -> Result<(), HubError> {
        let failed = |error| HubError::io(&self.partial, "write", error);
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        let mut file = options.open(&self.partial).map_err(failed)?;
        let mut done = file.seek(SeekFrom::End(0)).map_err(failed)?;
        if self.size.is_some_and(|size| done > size) {
            done = 0;
        }
        let mut size = self.size;
        let mut tries = 0;
        // Not since the answer before: a server may begin anew each time and never come to an end.
        let mut furthest = done;
        while size != Some(done) {
            let ended = self.ask(client, watch, &mut file, &mut done, &mut size);
            if done > furthest {
                (furthest, tries) = (done, 0);
            }
            let broken = match ended {
                Ok(()) if size.is_none_or(|size| size == done) => break,
                Ok(()) => HubError::Unreachable {
                    url: self.url.clone(),
                    reason: format!("the answer ends after {done} bytes"),
                },
                Err(error @ (HubError::Unreachable { .. } | HubError::Busy { .. })) => error,
                Err(error) => return Err(error),
            };
            tries += 1;
            if tries >= TRIES {
                return Err(broken);
            }
            pause(PAUSE * 2_u32.pow(tries - 1), watch)?;
        }
        file.sync_all().map_err(failed)
    }

    /// One answer of the server, as far as it goes.
    fn ask(
        &self,
        client: &Client,
        watch: &dyn Watch,
        file: &mut File,
        done: &mut u64,
        size: &mut Option<u64>,
    ) -> Result<(), HubError> {
        let failed = |error| HubError::io(&self.partial, "write", error);
        let mut answer = client.bytes(&self.url, *done)?;
        *done = answer.from;
        *size = self.size.or(answer.size);
        file.set_len(*done).map_err(failed)?;
        file.seek(SeekFrom::Start(*done)).map_err(failed)?;
        let mut reader = answer.body.as_reader();
        let mut piece = vec![0; PIECE];
        loop {
            if watch.stopped() {
                return Err(HubError::Stopped);
            }
            watch.progress("bytes fetched", *done, *size);
            let read = reader.read(&mut piece).map_err(|error| HubError::Unreachable {
                url: self.url.clone(),
                reason: format!("the answer breaks off after {done} bytes: {error}"),
            })?;
            if read == 0 {
                return Ok(());
            }
            if size.is_some_and(|size| *done + read as u64 > size) {
                let expected = format!("{} bytes", size.unwrap_or_default());
                let found = "more".to_owned();
                return Err(HubError::Answer { url: self.url.clone(), expected, found });
            }
            file.write_all(&piece[..read]).map_err(failed)?;
            *done += read as u64;
        }
    }

    /// Removes the partial file unless its content is what it should be.
    fn check(&self) -> Result<(), HubError> {
        let found = self.checksum.of(&self.partial)?;
        let expected = self.checksum.expected().to_ascii_lowercase();
        if !expected.is_empty() && found.starts_with(&expected) {
            return Ok(());
        }
        let removed = std::fs::remove_file(&self.partial);
        removed.map_err(|error| HubError::io(&self.partial, "remove", error))?;
        Err(HubError::Checksum { url: self.url.clone(), expected, found })
    }
}

/// Waits, unless the work is stopped.
fn pause(time: Duration, watch: &dyn Watch) -> Result<(), HubError> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        if watch.stopped() {
            return Err(HubError::Stopped);
        }
        std::thread::sleep(PAUSE.min(until.saturating_duration_since(Instant::now())));
    }
    Ok(())
}
