//! Names of the files that `infer --explain` writes: those of the images, kept apart, and never those of images.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// What the names end with.
pub(super) const ENDING: &str = ".cam.png";

/// The longest part of an image's name that is kept, in bytes: file systems take names of 255.
const LONGEST: usize = 200;

/// Gives each image a file in a folder.
pub(super) struct Names {
    folder: PathBuf,
    /// The files of the images themselves.
    images: HashSet<PathBuf>,
    /// How often each name was asked for. Without regard to case, as some file systems have it.
    asked: HashMap<String, usize>,
}

impl Names {
    /// Names in `folder`, which exists, none of which is one of `images`.
    pub(super) fn new<'a>(folder: &Path, images: impl Iterator<Item = &'a Path>) -> Self {
        let images = images.filter_map(|path| path.canonicalize().ok()).collect();
        Self { folder: folder.to_owned(), images, asked: HashMap::new() }
    }

    /// The file for the image at `path`: `photo.cam.png` for the first that is called photo, `photo-2.cam.png` for
    /// the second.
    pub(super) fn next(&mut self, path: &Path) -> PathBuf {
        let stem = shortened(path.file_stem().filter(|stem| *stem != "-"));
        loop {
            let count = self.asked.entry(key(&stem)).or_default();
            *count += 1;
            let mut name = stem.clone();
            if *count > 1 {
                name.push(format!("-{count}"));
                // An image may be called that itself.
                if self.asked.contains_key(&key(&name)) {
                    continue;
                }
                self.asked.insert(key(&name), 1);
            }
            name.push(ENDING);
            let file = self.folder.join(name);
            if !file.canonicalize().is_ok_and(|file| self.images.contains(&file)) {
                return file;
            }
        }
    }
}

fn key(name: &OsStr) -> String {
    name.to_string_lossy().to_lowercase()
}

/// The name of an image without its extension, or a beginning of it.
fn shortened(stem: Option<&OsStr>) -> OsString {
    let Some(stem) = stem else { return "stdin".into() };
    if stem.len() <= LONGEST {
        return stem.to_owned();
    }
    let text = stem.to_string_lossy();
    let whole = text.char_indices().take_while(|(at, c)| at + c.len_utf8() <= LONGEST);
    whole.map(|(_, c)| c).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(images: &[&str]) -> Vec<String> {
        let mut names = Names::new(Path::new("maps"), std::iter::empty());
        let name = |path: PathBuf| path.strip_prefix("maps").unwrap().display().to_string();
        images.iter().map(|path| name(names.next(Path::new(path)))).collect()
    }

    #[test]
    fn names_are_kept_apart() {
        assert_eq!(
            names(&["a/dog.jpg", "b.x.png", "-"]),
            ["dog.cam.png", "b.x.cam.png", "stdin.cam.png"]
        );
        assert_eq!(
            names(&["a/x.png", "b/X.png", "x.jpg"]),
            ["x.cam.png", "X-2.cam.png", "x-3.cam.png"]
        );
        assert_eq!(names(&["x", "x-2", "x"]), ["x.cam.png", "x-2.cam.png", "x-3.cam.png"]);
        assert_eq!(names(&["x", "x", "x-2"]), ["x.cam.png", "x-2.cam.png", "x-2-2.cam.png"]);
        let long = "\u{e9}".repeat(127);
        let [one, two] = &names(&[&long, &long])[..] else { panic!() };
        assert!(one != two && two.len() < 220 && one.starts_with("\u{e9}\u{e9}"), "{one} {two}");
    }

    #[test]
    fn images_are_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("x.cam.png");
        std::fs::write(&image, "").unwrap();
        let mut names = Names::new(folder.path(), [image.as_path()].into_iter());
        assert_eq!(names.next(Path::new("other/x.jpg")), folder.path().join("x-2.cam.png"));
        assert_eq!(names.next(&image), folder.path().join("x.cam.cam.png"));
    }
}
