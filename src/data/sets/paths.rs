//! From the paths a user gives to a list of images.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::names::{EXTENSIONS, foreign_format, is_hidden, is_image};
use super::passed::PassedOver;
use crate::data::Error;
use crate::data::decode::regular;
use crate::runtime::Watch;

/// Names of files by which the folder of a training run is known.
const CHECKPOINT: &str = "last.safetensors";
const METRICS: &str = "metrics.jsonl";
const LOCK: &str = ".lock";

/// The images at some paths.
#[derive(Debug)]
pub struct ImageList {
    /// In the order of the paths. What cannot be listed or read (a missing path, an unreadable folder, a
    /// folder without images, a FIFO) is an error in its place.
    pub images: Vec<Result<PathBuf, Error>>,
    /// What was skipped, one sentence each.
    pub notes: Vec<String>,
}

/// The images at `paths`, in order: a file stands for itself, a folder for the images in it and
/// in its subfolders, sorted by path. Hidden and system files, training runs and formats that are not
/// read are skipped in folders and counted in the notes.
///
/// # Errors
/// [`Error::Interrupted`] if `watch` stops it.
pub fn collect_images(paths: &[PathBuf], watch: &dyn Watch) -> Result<ImageList, Error> {
    let mut search = Search::new(watch);
    for path in paths {
        match std::fs::metadata(path) {
            Err(e) => search.found.push(Err(unlisted(path, e))),
            Ok(metadata) if metadata.is_dir() => search.folder(path)?,
            Ok(metadata) => {
                let file = regular::check(path, &metadata).map(|()| path.clone());
                search.found.push(file);
            }
        }
    }
    Ok(ImageList { notes: search.passed.notes(), images: search.found })
}

/// The error for a path that leads nowhere: a name with wildcards is most likely a pattern.
fn unlisted(path: &Path, error: std::io::Error) -> Error {
    let pattern = path.to_string_lossy().contains(['*', '?', '[']);
    match Error::io(path, error) {
        Error::Missing { path } if pattern => Error::NoMatch { path },
        error => error,
    }
}

/// A search for images under way.
pub(super) struct Search<'a> {
    watch: &'a dyn Watch,
    /// What was found and not yet taken.
    pub(super) found: Vec<Result<PathBuf, Error>>,
    /// What was not taken.
    pub(super) passed: PassedOver,
    entries: u64,
}

impl<'a> Search<'a> {
    pub(super) fn new(watch: &'a dyn Watch) -> Self {
        Self { watch, found: Vec::new(), passed: PassedOver::default(), entries: 0 }
    }

    /// Finds the images below `folder`, or says that there are none.
    pub(super) fn folder(&mut self, folder: &Path) -> Result<(), Error> {
        let before = self.found.len();
        let passed = std::mem::take(&mut self.passed);
        self.walk(folder, &mut HashSet::new())?;
        if self.found.len() == before {
            let (path, extensions) = (folder.to_path_buf(), EXTENSIONS.join(", "));
            let also: Vec<String> = self.passed.unread().map(|text| format!("; {text}")).collect();
            self.found.push(Err(Error::NoImages { path, extensions, also: also.concat() }));
        }
        self.passed.join(passed);
        Ok(())
    }

    /// Looks for something without counting what is skipped: it is looked at again.
    pub(super) fn quietly<T>(&mut self, look: impl FnOnce(&mut Self) -> T) -> T {
        let passed = std::mem::take(&mut self.passed);
        let found = look(self);
        self.passed = passed;
        found
    }

    /// The folders in `folder` that may be classes or parts of a data set, sorted.
    pub(super) fn subfolders(&mut self, folder: &Path) -> Result<Vec<PathBuf>, Error> {
        let mut folders = Vec::new();
        for path in self.entries(folder)? {
            if !self.counts(&path) {
                continue;
            }
            self.check()?;
            match std::fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => folders.push(path),
                // It may be a class on a disk that is not there.
                Err(e) if !is_image(&path) && foreign_format(&path).is_none() => {
                    return Err(Error::io(&path, e));
                }
                _ => {}
            }
        }
        Ok(folders)
    }

    /// Appends the images below `folder`. `seen` holds the real paths of the folders that were looked into: a
    /// symbolic link to one of them is a loop, or brings the same images again, and is skipped.
    fn walk(&mut self, folder: &Path, seen: &mut HashSet<PathBuf>) -> Result<(), Error> {
        let real = folder.canonicalize().map_err(|e| Error::io(folder, e));
        let (real, paths) = match real.and_then(|real| Ok((real, self.entries(folder)?))) {
            Ok(listed) => listed,
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => {
                self.found.push(Err(error));
                return Ok(());
            }
        };
        if !seen.insert(real) {
            return Ok(());
        }
        for path in paths {
            if !self.counts(&path) {
                continue;
            }
            self.check()?;
            if path.is_dir() {
                self.walk(&path, seen)?;
            } else if is_image(&path) {
                self.found.push(match std::fs::metadata(&path) {
                    Ok(metadata) => regular::check(&path, &metadata).map(|()| path),
                    Err(e) => Err(Error::io(&path, e)),
                });
            } else if let Some(format) = foreign_format(&path) {
                self.passed.foreign(format, &path);
            }
        }
        Ok(())
    }

    /// Whether it goes on.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.watch.stopped() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// What is in `folder`, sorted.
    fn entries(&mut self, folder: &Path) -> Result<Vec<PathBuf>, Error> {
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
            if self.watch.stopped() {
                return Err(Error::Interrupted);
            }
            paths.push(entry.map_err(|e| Error::io(folder, e))?.path());
            self.entries += 1;
            self.watch.progress("files found", self.entries, None);
        }
        paths.sort();
        Ok(paths)
    }

    /// Whether a user has put it there as data; notes it if not.
    fn counts(&mut self, path: &Path) -> bool {
        if is_hidden(path) {
            self.passed.hidden(path);
            return false;
        }
        if path.is_dir() && has_runs(path) {
            self.passed.run(path.to_path_buf());
            return false;
        }
        true
    }
}

/// Whether `folder` is that of a training run, or holds runs and nothing else; one called `runs`, as
/// `train` makes it, may hold anything besides, and runs that were never saved.
fn has_runs(folder: &Path) -> bool {
    if is_run(folder) {
        return true;
    }
    let ours = folder.file_name().is_some_and(|name| name == "runs");
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    let entries = entries.filter_map(Result::ok).map(|entry| entry.path());
    let mut entries = entries.filter(|path| !is_hidden(path)).peekable();
    match ours {
        true => {
            let begun = |path: &PathBuf| is_run(path) || path.join(LOCK).is_file();
            entries.peek().is_none() || entries.any(|path| begun(&path))
        }
        false => entries.peek().is_some() && entries.all(|path| is_run(&path)),
    }
}

fn is_run(folder: &Path) -> bool {
    let has = |name: &str| folder.join(name).is_file();
    has(CHECKPOINT) || (has(LOCK) && has(METRICS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Unwatched;

    fn collect(paths: &[PathBuf]) -> Vec<Result<PathBuf, String>> {
        let list = collect_images(paths, &Unwatched).unwrap();
        list.images.into_iter().map(|entry| entry.map_err(|e| e.to_string())).collect()
    }

    #[test]
    fn files_as_given_and_folders_sorted() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        std::fs::create_dir_all(at("b/c")).unwrap();
        std::fs::create_dir(at("empty")).unwrap();
        for name in ["b/z.PNG", "b/c/y.jpeg", "b/a.webp", "b/notes.txt", "named.dat"] {
            std::fs::write(at(name), "").unwrap();
        }
        let found = collect(&[at("named.dat"), at("gone"), at("b"), at("empty")]);
        assert_eq!(found.len(), 6, "{found:?}");
        assert_eq!(found[0], Ok(at("named.dat")));
        assert!(found[1].as_ref().is_err_and(|e| e.contains("gone: no such file")));
        assert_eq!(found[2..5], ["b/a.webp", "b/c/y.jpeg", "b/z.PNG"].map(|name| Ok(at(name))));
        assert!(found[5].as_ref().is_err_and(|e| e.contains("empty: expected images")));
        let unmatched = collect(&[at("*.jpg")]).remove(0).unwrap_err();
        assert!(unmatched.contains("*.jpg: no file matches this pattern"), "{unmatched}");
    }

    #[cfg(unix)]
    #[test]
    fn a_loop_of_links_ends() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a.png"), "").unwrap();
        std::os::unix::fs::symlink(root.path(), root.path().join("again")).unwrap();
        assert_eq!(collect(&[root.path().to_path_buf()]).len(), 1);
    }

    /// Each folder is looked into once, by however many ways it is reached.
    #[cfg(unix)]
    #[test]
    fn folders_that_link_to_one_another_are_searched_once() {
        let root = tempfile::tempdir().unwrap();
        let folder = |i: usize| root.path().join(format!("{i:02}"));
        for i in 0..20 {
            std::fs::create_dir(folder(i)).unwrap();
            std::fs::write(folder(i).join("a.png"), "").unwrap();
        }
        for (i, j) in (0..400).map(|ij| (ij / 20, ij % 20)) {
            std::os::unix::fs::symlink(folder(j), folder(i).join(format!("to-{j}"))).unwrap();
        }
        assert_eq!(collect(&[root.path().to_path_buf()]).len(), 20);
    }
}
