//! Where runs are: the folders that were named, or those in them.

use resnet_cpu::train::StoredRun;
use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use super::super::error::CliError;
use super::super::output::print_error;

/// Levels of folders below a named one in which runs are looked for: a study's folder has one for each member.
const LEVELS: usize = 2;

/// The runs in `folders`: these themselves, or those in them, sorted by name, each once.
///
/// # Errors
/// One of them is no folder, or has no run in it.
pub(super) fn runs_in(folders: &[PathBuf]) -> Result<Vec<StoredRun>, CliError> {
    let mut paths = Vec::new();
    for folder in folders {
        let before = paths.len();
        if !folder.is_dir() {
            return Err(CliError::usage(format!(
                "{}: expected the folder of a run, found {}",
                folder.display(),
                if folder.exists() { "a file" } else { "nothing" }
            )));
        }
        collect(folder, LEVELS, &mut paths);
        if paths.len() == before {
            return Err(CliError::usage(format!(
                "{}: no run (last.safetensors) in it",
                folder.display()
            )));
        }
    }
    let mut seen = HashSet::new();
    paths.retain(|path| seen.insert(whole(path)));
    Ok(paths.iter().map(|path| StoredRun::read(path)).collect())
}

/// The runs in the default folder; none if it is not there.
pub(super) fn runs_below(folder: &Path) -> Vec<StoredRun> {
    let mut paths = Vec::new();
    if folder.is_dir() {
        collect(folder, LEVELS, &mut paths);
    }
    paths.iter().map(|path| StoredRun::read(path)).collect()
}

/// Appends `folder` if it is a run's, else the runs in it, up to `levels` further down.
fn collect(folder: &Path, levels: usize, found: &mut Vec<PathBuf>) {
    if StoredRun::is_in(folder) {
        return found.push(folder.to_owned());
    }
    if levels == 0 {
        return;
    }
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            return print_error(&format!("{}: cannot read: {error}", folder.display()));
        }
    };
    let hidden = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
    };
    let mut inner: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir() && !hidden(path))
        .collect();
    inner.sort();
    inner.iter().for_each(|path| collect(path, levels - 1, found));
}

/// The path without links and `..`.
fn whole(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// What each run is called beside the others: its path from where they part, with `/` between folders. Of a single
/// run it is the name of the folder.
pub(super) fn labels(runs: &[StoredRun]) -> Vec<String> {
    let paths: Vec<Vec<String>> = runs
        .iter()
        .map(|run| {
            let names = whole(&run.folder);
            let name = |part: Component| match part {
                Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
                _ => None,
            };
            names.components().filter_map(name).collect()
        })
        .collect();
    let Some(first) = paths.first() else { return Vec::new() };
    let shared = (0..first.len())
        .take_while(|&i| paths.iter().all(|path| path.len() > i + 1 && path[i] == first[i]))
        .count();
    paths.iter().map(|path| path[shared.min(path.len())..].join("/")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels_of(root: &Path, names: &[&str]) -> Vec<String> {
        let run = |name: &&str| {
            let folder = root.join(name);
            std::fs::create_dir_all(&folder).unwrap();
            StoredRun::read(&folder)
        };
        labels(&names.iter().map(run).collect::<Vec<_>>())
    }

    #[test]
    fn runs_are_called_by_what_tells_them_apart() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        assert_eq!(labels_of(root, &["runs/a"]), ["a"]);
        assert_eq!(labels_of(root, &["runs/a", "runs/../runs/b"]), ["a", "b"]);
        assert_eq!(labels_of(root, &["runs/s/a", "runs/b"]), ["s/a", "b"]);
        assert_eq!(labels_of(root, &["x/runs/a", "y/runs/a"]), ["x/runs/a", "y/runs/a"]);
        // One in another is called by both names.
        assert_eq!(labels_of(root, &["runs", "runs/a"]), ["runs", "runs/a"]);
        assert!(labels(&[]).is_empty());
    }
}
