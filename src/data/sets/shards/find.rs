//! Which tars of a folder are the parts of a set: by `dataset.json` where it is ours, else by the words
//! train, val, validation and test in their names or in those of their folders.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::MANIFEST;
use super::manifest::{Found, Manifest};
use super::scan::holds_samples;
use crate::data::Error;
use crate::data::decode::regular;
use crate::data::sets::names::{Part, is_hidden, part};
use crate::runtime::Watch;

/// A set of shards as it was found, not yet opened.
#[derive(Debug)]
pub struct ShardSet {
    /// The folder that it is in.
    pub(super) folder: PathBuf,
    /// Its description, if it was packed by `resnet-data`.
    pub(super) manifest: Option<Manifest>,
    /// Names of classes that somebody else's description has.
    pub(super) names: Option<Vec<String>>,
    pub(super) parts: BTreeMap<&'static str, Vec<PathBuf>>,
    pub(super) notes: Vec<String>,
}

/// The parts by the names under which a description has them.
const PARTS: [(&str, Part); 3] = [("train", Part::Train), ("val", Part::Val), ("test", Part::Test)];

impl ShardSet {
    /// Finds the shards at `path`, a folder or a single tar; none if it has no tar of samples.
    ///
    /// # Errors
    /// The folder cannot be listed, its description is damaged, or a tar's name says two parts.
    pub fn find(path: &Path, watch: &dyn Watch) -> Result<Option<Self>, Error> {
        let metadata = std::fs::metadata(path).map_err(|e| Error::io(path, e))?;
        if metadata.is_dir() {
            return match Manifest::find(path)? {
                Found::Ours(manifest) => Self::packed(path, manifest).map(Some),
                Found::Foreign(names) => Self::foreign(path, names, watch),
                Found::Nothing => Self::foreign(path, None, watch),
            };
        }
        regular::check(path, &metadata)?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let found = Manifest::find(folder)?;
        if let Found::Ours(manifest) = found {
            let mut set = Self::packed(folder, manifest)?;
            let name = path.file_name();
            set.parts.values_mut().for_each(|tars| tars.retain(|tar| tar.file_name() == name));
            set.parts.retain(|_, tars| !tars.is_empty());
            return Ok((!set.parts.is_empty()).then_some(set));
        }
        if !is_tar(path) || !holds_samples(path, watch)? {
            return Ok(None);
        }
        let names = if let Found::Foreign(names) = found { names } else { None };
        let part = part_of(path, None)?.map_or("train", name_of_part);
        let parts = BTreeMap::from([(part, vec![path.to_path_buf()])]);
        let folder = folder.to_path_buf();
        Ok(Some(Self { folder, manifest: None, names, parts, notes: Vec::new() }))
    }

    /// The parts, with the tars of each.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, &[PathBuf])> {
        self.parts.iter().map(|(&name, tars)| (name, &tars[..]))
    }

    /// The description of a set that was packed.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Whether a description names the classes; else they are numbers, up to the largest of a part.
    pub fn has_names(&self) -> bool {
        self.manifest.is_some() || self.names.is_some()
    }

    /// What the user should know, one sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    fn packed(folder: &Path, manifest: Manifest) -> Result<Self, Error> {
        let mut parts = BTreeMap::new();
        for (name, split) in &manifest.splits {
            let Some((name, _)) = PARTS.into_iter().find(|(known, _)| known == name) else {
                let detail = format!("expected the parts train, val and test, found {name:?}");
                return Err(Error::Manifest { path: folder.join(MANIFEST), detail });
            };
            let tars: Vec<_> = split.shards.iter().map(|shard| folder.join(&shard.name)).collect();
            parts.insert(name, tars);
        }
        let listed = |tar: &PathBuf| parts.values().flatten().any(|listed| listed == tar);
        let mut notes = Vec::new();
        let unused = tars(folder)?.into_iter().filter(|tar| !listed(tar)).count();
        if unused > 0 {
            let folder = folder.display();
            notes.push(format!(
                "{folder}: {unused} tars are not used: {MANIFEST} does not list them"
            ));
        }
        let folder = folder.to_path_buf();
        Ok(Self { folder, manifest: Some(manifest), names: None, parts, notes })
    }

    fn foreign(
        folder: &Path,
        names: Option<Vec<String>>,
        watch: &dyn Watch,
    ) -> Result<Option<Self>, Error> {
        let mut named: BTreeMap<&'static str, Vec<PathBuf>> = BTreeMap::new();
        let mut nameless = Vec::new();
        for (below, tar) in candidates(folder)? {
            match part_of(&tar, below)? {
                Some(part) => named.entry(name_of_part(part)).or_default().push(tar),
                None => nameless.push(tar),
            }
        }
        let holds = |tars: &[PathBuf]| -> Result<bool, Error> {
            for tar in tars {
                if watch.stopped() {
                    return Err(Error::Interrupted);
                }
                if holds_samples(tar, watch)? {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        let mut notes = Vec::new();
        let mut are_shards = false;
        for tars in named.values() {
            are_shards = are_shards || holds(tars)?;
        }
        if are_shards && !nameless.is_empty() {
            notes.push(format!(
                "{}: {} tars are not used: their names say neither train nor val nor test",
                folder.display(),
                nameless.len()
            ));
        } else if !are_shards && holds(&nameless)? {
            named = BTreeMap::from([("train", nameless)]);
        } else if !are_shards {
            return Ok(None);
        }
        let folder = folder.to_path_buf();
        Ok(Some(Self { folder, manifest: None, names, parts: named, notes }))
    }
}

fn name_of_part(part: Part) -> &'static str {
    PARTS[part as usize].0
}

/// The tars in `folder`, and those in its folders that are called as parts are; sorted, each with its
/// folder's part.
fn candidates(folder: &Path) -> Result<Vec<(Option<Part>, PathBuf)>, Error> {
    let mut found: Vec<_> = tars(folder)?.into_iter().map(|tar| (None, tar)).collect();
    for path in entries(folder)? {
        if let Some(part) = part(&path)
            && path.is_dir()
        {
            found.extend(tars(&path)?.into_iter().map(|tar| (Some(part), tar)));
        }
    }
    Ok(found)
}

/// The tars in `folder`, sorted by name.
fn tars(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut entries = entries(folder)?;
    entries.retain(|path| is_tar(path) && !is_hidden(path) && path.is_file());
    Ok(entries)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))?;
    let paths = entries.map(|entry| Ok(entry.map_err(|e| Error::io(folder, e))?.path()));
    let mut paths = paths.collect::<Result<Vec<_>, Error>>()?;
    paths.sort();
    Ok(paths)
}

fn is_tar(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tar"))
}

/// The part that a tar's name says, or its folder's.
fn part_of(tar: &Path, folder: Option<Part>) -> Result<Option<Part>, Error> {
    let stem = tar.file_stem().unwrap_or_default().to_string_lossy();
    let words = stem.split(|c: char| !c.is_alphanumeric());
    let mut said = folder.into_iter().chain(words.filter_map(|word| part(Path::new(word))));
    let first = said.next();
    match said.find(|&other| Some(other) != first) {
        None => Ok(first),
        Some(_) => {
            let found =
                "its name says two parts of a set; name it after one of train, val and test";
            Err(Error::Ambiguous { path: tar.to_path_buf(), found: found.to_owned() })
        }
    }
}
