//! Published weights by name: fetched once, kept where Python keeps them.
//!
//! ```text
//! name ── which file of whom ──▶ cache ── not there ──▶ client ── bytes ──▶ partial file ── checksum ──▶ cache
//! ```
//!
//! Two sources are known: repositories on the Hugging Face hub, whose cache has the layout of Python's
//! `huggingface_hub`, and torchvision's weights, which are kept as `torch.hub` keeps them. A file gets its
//! name only when all of it is there and its checksum is right. What was fetched of it until a program ended
//! is used by the next. Only this part of the library, a feature of its own, speaks to a network.

mod cache;
mod client;
mod download;
mod error;
mod name;
mod settings;
mod table;

use std::path::PathBuf;

use crate::runtime::Watch;
use cache::Repository;
use client::Client;
use download::{Checksum, Download};

pub use download::WAITING;
pub use error::HubError;
pub use name::Name;
pub use settings::Settings;
pub use table::{DEFAULT, PUBLISHED, PublishedWeights};

/// What a repository may have beside its weights that says how images are prepared.
const BESIDE: [&str; 2] = ["config.json", "preprocessor_config.json"];
/// The usual names of weights in a repository, the first that is there.
const USUAL: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// Where weights come from and where they are kept.
#[derive(Debug)]
pub struct Hub {
    settings: Settings,
    client: Client,
}

impl Hub {
    /// One with these settings.
    pub fn new(settings: Settings) -> Self {
        let client = Client::new(settings.token.clone(), settings.endpoint.clone());
        Self { settings, client }
    }

    /// Where the weights called `name` are in the cache, if they are. Nothing is asked of a network.
    pub fn cached(&self, name: &Name) -> Option<PathBuf> {
        match name {
            Name::Torchvision { file, .. } => {
                Some(self.settings.checkpoints.join(file)).filter(|path| path.is_file())
            }
            Name::Repository { revision, file, .. } => {
                let repository = self.repository(name)?;
                let commit = repository.commit(revision)?;
                self.files(file).find_map(|file| repository.snapshot(&commit, file))
            }
        }
    }

    /// The weights called `name`: from the cache, or fetched into it.
    ///
    /// # Errors
    /// They are not in the cache and cannot be fetched.
    pub fn get(&self, name: &Name, watch: &dyn Watch) -> Result<PathBuf, HubError> {
        match self.cached(name) {
            Some(path) if self.settings.offline || self.is_whole(name) => Ok(path),
            Some(path) => match self.fetch(name, watch) {
                Err(HubError::Stopped) => Err(HubError::Stopped),
                // What is there will do, whatever became of its source.
                fetched => Ok(fetched.unwrap_or(path)),
            },
            None => self.fetch(name, watch),
        }
    }

    /// The newest weights called `name`: asks the source what they are, and fetches what is not in the cache.
    /// Where nothing may be asked, those in the cache.
    ///
    /// # Errors
    /// The source cannot be asked, has no such weights or does not give them to everybody; they cannot be
    /// written; or they are not what the source says they are.
    pub fn fetch(&self, name: &Name, watch: &dyn Watch) -> Result<PathBuf, HubError> {
        if self.settings.offline {
            return self.cached(name).ok_or_else(|| HubError::Offline { name: name.to_string() });
        }
        match name {
            Name::Torchvision { file, digits } => {
                let path = self.settings.checkpoints.join(file);
                let download = Download {
                    url: format!("{}/{file}", self.settings.torchvision),
                    partial: self.settings.checkpoints.join(format!("{file}.partial")),
                    lock: self.settings.checkpoints.join(format!("{file}.lock")),
                    path: path.clone(),
                    size: None,
                    checksum: Checksum::Sha256Begins(digits.clone()),
                };
                download.run(&self.client, watch)?;
                Ok(path)
            }
            Name::Repository { revision, file, .. } => {
                self.fetch_repository(name, revision, file, watch)
            }
        }
    }

    fn fetch_repository(
        &self,
        name: &Name,
        revision: &str,
        file: &Option<String>,
        watch: &dyn Watch,
    ) -> Result<PathBuf, HubError> {
        let Some(repository) = self.repository(name) else {
            return Err(HubError::Name { name: name.to_string() });
        };
        let mut missing = None;
        for file in self.files(file) {
            let weights = match self.client.describe(&repository.url(revision, file)) {
                Err(error @ HubError::NotFound { .. }) => {
                    missing.get_or_insert(error);
                    continue;
                }
                described => described?,
            };
            // What lies beside comes first: weights without it would be prepared by guess.
            let commit = weights.commit.clone();
            for beside in beside(file) {
                if repository.is_settled(&commit, &beside) {
                    continue;
                }
                match self.client.describe(&repository.url(&commit, &beside)) {
                    Err(HubError::NotFound { .. }) => repository.note_absent(&commit, &beside),
                    described => {
                        repository.get(&described?, &beside, &self.client, watch)?;
                    }
                }
            }
            let path = repository.get(&weights, file, &self.client, watch)?;
            repository.note_revision(revision, &commit);
            return Ok(path);
        }
        Err(missing.unwrap_or_else(|| HubError::Name { name: name.to_string() }))
    }

    /// Whether all that lies beside the weights in the cache is there, too, or known not to exist.
    fn is_whole(&self, name: &Name) -> bool {
        let Name::Repository { revision, file, .. } = name else { return true };
        let Some(repository) = self.repository(name) else { return true };
        let Some(commit) = repository.commit(revision) else { return true };
        let file = self.files(file).find(|file| repository.snapshot(&commit, file).is_some());
        file.is_none_or(|file| beside(file).all(|beside| repository.is_settled(&commit, &beside)))
    }

    fn repository(&self, name: &Name) -> Option<Repository> {
        let Name::Repository { owner, repository, .. } = name else { return None };
        Some(Repository::new(&self.settings, owner, repository))
    }

    fn files<'a>(&self, file: &'a Option<String>) -> impl Iterator<Item = &'a str> {
        let usual = file.is_none().then_some(USUAL).into_iter().flatten();
        file.as_deref().into_iter().chain(usual)
    }
}

/// The files of [`BESIDE`] in the folder of `file`.
fn beside(file: &str) -> impl Iterator<Item = String> {
    let folder = file.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    BESIDE.into_iter().map(move |name| format!("{folder}{name}"))
}
