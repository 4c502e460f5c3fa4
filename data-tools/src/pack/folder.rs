//! The folder that is packed into: one process at a time, nothing in it that is not a pack's, and what was
//! finished before an interruption.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use resnet_cpu::data::shards::{
    Index, MANIFEST, Manifest, ShardInfo, Skipped, Within, check_shard,
};
use resnet_cpu::runtime::{Disk, Watch, write_durably};
use serde::{Deserialize, Serialize};

use super::settings::{Settings, VERSION, difference};
use crate::error::ToolError;

/// The file that is locked.
const LOCK: &str = ".lock";
/// The settings of a pack that is not finished.
const SETTINGS: &str = ".pack.json";
/// How names of files with what is known of a finished shard end.
const DONE: &str = ".done";
/// How names of files that are being written end.
const PARTIAL: &str = ".partial";

/// What is known of a finished shard.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Done {
    /// The place in the part's order of its first image, and the one after its last.
    pub(super) first: usize,
    pub(super) end: usize,
    pub(super) shard: ShardInfo,
    pub(super) skipped: Vec<Skipped>,
    /// How large its images may be.
    pub(super) within: Within,
    /// The sums over what was measured, if anything was.
    pub(super) sums: Option<Vec<u64>>,
}

/// A folder, held until it is dropped.
#[derive(Debug)]
pub(crate) struct OutFolder {
    path: PathBuf,
    _lock: File,
}

impl OutFolder {
    /// Takes the folder at `path`, which is made if it is missing.
    pub(crate) fn take(path: &Path) -> Result<Self, ToolError> {
        let failed = |action: &str, error: io::Error| {
            ToolError::failed(format!("{}: cannot {action} this folder: {error}", path.display()))
        };
        check(path).map_err(|error| failed("read", error))??;
        fs::create_dir_all(path).map_err(|error| failed("create", error))?;
        let lock = path.join(LOCK);
        let lock = File::options().create(true).append(true).open(lock);
        let lock = lock.map_err(|error| failed("lock", error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let path = path.display();
                return Err(ToolError::failed(format!("{path}: another process packs into it")));
            }
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(failed("lock", error)),
        }
        // What came into it meanwhile.
        check(path).map_err(|error| failed("read", error))??;
        Ok(Self { path: path.to_path_buf(), _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The pack that is in it, if it is finished; it has to be of these settings.
    pub(super) fn finished(&self, settings: &Settings) -> Result<Option<Manifest>, ToolError> {
        if !self.path.join(MANIFEST).exists() {
            return Ok(None);
        }
        let manifest = Manifest::read(&self.path)?;
        let without_version = |settings: &Settings| {
            let mut settings = settings.clone();
            settings.remove(VERSION);
            settings
        };
        self.same(&without_version(&manifest.pack), &without_version(settings))?;
        for shard in manifest.splits.values().flat_map(|split| &split.shards) {
            let path = self.path.join(&shard.name);
            let found = fs::metadata(&path).map_or(0, |metadata| metadata.len());
            if found != shard.bytes || !Index::path(&path).is_file() {
                return Err(ToolError::failed(format!(
                    "{}: expected {} bytes and an index beside it, found {found} bytes; the pack was finished and \
                     has been damaged since (resnet-data verify {} says how); remove {MANIFEST} and pack again \
                     to write anew what is damaged",
                    path.display(),
                    shard.bytes,
                    self.path.display()
                )));
            }
        }
        Ok(Some(manifest))
    }

    /// Begins a pack of these settings, or goes on with one. Returns whether it goes on.
    pub(super) fn begin(&self, settings: &Settings) -> Result<bool, ToolError> {
        let path = self.path.join(SETTINGS);
        if path.exists() {
            let text = fs::read(&path);
            let text = text.map_err(|e| ToolError::failed(format!("{}: {e}", path.display())))?;
            let there = serde_json::from_slice(&text).map_err(|error| {
                ToolError::failed(format!(
                    "{}: expected the settings of a pack, found something else: {error}",
                    path.display()
                ))
            })?;
            self.same(&there, settings)?;
            return Ok(true);
        }
        self.write(SETTINGS, settings)?;
        Ok(false)
    }

    /// What is known of the shard `name`, if it is finished and whole: its tar is read through and compared with its
    /// index.
    pub(super) fn done(&self, name: &str, watch: &dyn Watch) -> Result<Option<Done>, ToolError> {
        use resnet_cpu::data::Error;
        let Some(done) = self.record(name) else { return Ok(None) };
        match check_shard(&self.path.join(name), watch) {
            Ok(index) => {
                let shard = &done.shard;
                let same = (index.records.len() as u64, index.bytes, index.crc)
                    == (shard.records, shard.bytes, shard.crc32c);
                Ok(same.then_some(done))
            }
            Err(error @ Error::Interrupted) => Err(error.into()),
            // It is written anew.
            Err(_) => Ok(None),
        }
    }

    fn record(&self, name: &str) -> Option<Done> {
        let bytes = fs::read(self.path.join(record_name(name))).ok()?;
        let (crc, json) = bytes.split_first_chunk::<4>()?;
        let whole = u32::from_le_bytes(*crc) == crc32c::crc32c(json);
        whole.then(|| serde_json::from_slice(json).ok()).flatten()
    }

    /// Keeps what is known of a shard that is finished.
    pub(super) fn keep(&self, done: &Done) -> Result<(), ToolError> {
        let json = serde_json::to_vec(done).map_err(ToolError::failed)?;
        let path = self.path.join(record_name(&done.shard.name));
        write_durably(&Disk, &path, |out| {
            out.write_all(&crc32c::crc32c(&json).to_le_bytes())?;
            out.write_all(&json)
        })
        .map_err(|error| ToolError::unwritten(&path, &error))
    }

    /// Ends a pack: its description is written, and what was kept to go on is removed.
    pub(super) fn finish(&self, manifest: &Manifest) -> Result<(), ToolError> {
        manifest
            .write(&Disk, &self.path)
            .map_err(|error| ToolError::unwritten(&self.path.join(MANIFEST), &error))?;
        self.clean();
        Ok(())
    }

    /// Removes what only an unfinished pack needs. What is left by an error does no harm.
    pub(super) fn clean(&self) {
        let names = fs::read_dir(&self.path).into_iter().flatten().flatten();
        for entry in names {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let ours = name == SETTINGS || is_record(&name);
            if ours || (is_partial(&name) && name.starts_with('.')) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn same(&self, there: &Settings, now: &Settings) -> Result<(), ToolError> {
        match difference(there, now) {
            None => Ok(()),
            Some(difference) => Err(ToolError::failed(format!(
                "{}: it holds a pack with other settings or of other images: {difference}; give another folder, or \
                 the settings that it was begun with",
                self.path.display()
            ))),
        }
    }

    fn write(&self, name: &str, settings: &Settings) -> Result<(), ToolError> {
        let path = self.path.join(name);
        let json = serde_json::to_string_pretty(settings).map_err(ToolError::failed)?;
        write_durably(&Disk, &path, |out| out.write_all(json.as_bytes()))
            .map_err(|error| ToolError::unwritten(&path, &error))
    }
}

/// The name of the file with what is known of the shard `name`.
fn record_name(name: &str) -> String {
    format!(".{name}{DONE}")
}

fn is_record(name: &str) -> bool {
    name.strip_suffix(DONE).and_then(|name| name.strip_prefix('.')).is_some_and(is_shard)
}

/// Whether a name is that of a shard: `train-000000.tar`.
fn is_shard(name: &str) -> bool {
    let number = name.strip_suffix(".tar").and_then(|name| name.split_once('-'));
    number.is_some_and(|(part, number)| {
        ["train", "val", "test"].contains(&part)
            && number.len() >= 6
            && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn is_partial(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(PARTIAL)
}

/// Whether there is a pack in `folder`, finished or begun, or nothing.
fn check(folder: &Path) -> io::Result<Result<(), ToolError>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ok(())),
        Err(error) => return Err(error),
    };
    let mut others = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name == SETTINGS || (name == MANIFEST && Manifest::read(folder).is_ok()) {
            return Ok(Ok(()));
        }
        if name != LOCK && !is_partial(&name) {
            others.push(name);
        }
    }
    let Some(other) = others.into_iter().min() else { return Ok(Ok(())) };
    Ok(Err(ToolError::failed(format!(
        "{}: expected an empty folder or a pack, found {other}",
        folder.display()
    ))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_belongs_to_one_process_and_one_pack() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        let folder = OutFolder::take(&path).unwrap();
        let error = OutFolder::take(&path).unwrap_err().to_string();
        assert!(error.contains("another process"), "{error}");
        let mut settings = Settings::from([("seed".to_owned(), 1.into())]);
        assert!(!folder.begin(&settings).unwrap());
        assert!(folder.begin(&settings).unwrap());
        settings.insert("seed".to_owned(), 2.into());
        let error = folder.begin(&settings).unwrap_err().to_string();
        assert!(error.contains("seed: there 1, now 2"), "{error}");
        drop(folder);
        fs::write(root.path().join("notes"), b"mine").unwrap();
        let error = OutFolder::take(root.path()).unwrap_err().to_string();
        assert!(error.contains("found a"), "{error}");
        assert!(!root.path().join(LOCK).exists());
    }

    #[test]
    fn names_of_shards_and_records_are_known() {
        for (name, known) in [
            (".train-000000.tar.done", true),
            (".val-1234567.tar.done", true),
            (".other-000000.tar.done", false),
            (".train-00.tar.done", false),
            ("train-000000.tar.done", false),
        ] {
            assert_eq!(is_record(name), known, "{name}");
        }
    }
}
