//! From the paths a user gives to a list of images.

use std::path::{Path, PathBuf};

use super::Error;

/// File name extensions of the formats that can be decoded. They only choose files inside folders:
/// a file named by the user is opened whatever its name, and its content decides the format.
const EXTENSIONS: [&str; 10] =
    ["bmp", "gif", "jfif", "jpe", "jpeg", "jpg", "png", "tif", "tiff", "webp"];

/// The images at `paths`, in order: a file stands for itself, a folder for the images in it and
/// in its subfolders, sorted by path. What cannot be listed (a missing path, an unreadable folder, a
/// folder without images) is an error in its place; the others go on.
pub fn collect_images(paths: &[PathBuf]) -> Vec<Result<PathBuf, Error>> {
    let mut found = Vec::new();
    for path in paths {
        match std::fs::metadata(path) {
            Err(e) => found.push(Err(unlisted(path, e))),
            Ok(metadata) if metadata.is_dir() => {
                let before = found.len();
                walk(path, &mut Vec::new(), &mut found);
                if found.len() == before {
                    found.push(Err(Error::NoImages {
                        path: path.clone(),
                        extensions: EXTENSIONS.join(", "),
                    }));
                }
            }
            Ok(_) => found.push(Ok(path.clone())),
        }
    }
    found
}

/// The error for a path that leads nowhere: a name with wildcards is most likely a pattern.
fn unlisted(path: &Path, error: std::io::Error) -> Error {
    let pattern = path.to_string_lossy().contains(['*', '?', '[']);
    match Error::io(path, error) {
        Error::Missing { path } if pattern => Error::NoMatch { path },
        error => error,
    }
}

/// Appends the images below `folder`. `above` holds the real paths of the folders that led here:
/// a symbolic link back to one of them is a loop and is passed over.
fn walk(folder: &Path, above: &mut Vec<PathBuf>, found: &mut Vec<Result<PathBuf, Error>>) {
    let listed = folder.canonicalize().and_then(|real| {
        let entries = std::fs::read_dir(folder)?;
        let paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
        Ok((real, paths))
    });
    let (real, mut paths) = match listed {
        Ok(listed) => listed,
        Err(e) => return found.push(Err(Error::io(folder, e))),
    };
    if above.contains(&real) {
        return;
    }
    above.push(real);
    paths.sort();
    for path in paths {
        if path.is_dir() {
            walk(&path, above, found);
        } else if has_image_extension(&path) {
            found.push(Ok(path));
        }
    }
    above.pop();
}

fn has_image_extension(path: &Path) -> bool {
    path.extension().is_some_and(|e| EXTENSIONS.iter().any(|known| e.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_as_given_and_folders_sorted() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        std::fs::create_dir_all(at("b/c")).unwrap();
        std::fs::create_dir(at("empty")).unwrap();
        for name in ["b/z.PNG", "b/c/y.jpeg", "b/a.webp", "b/notes.txt", "named.dat"] {
            std::fs::write(at(name), "").unwrap();
        }
        let found = collect_images(&[at("named.dat"), at("gone"), at("b"), at("empty")]);
        let found: Vec<_> =
            found.into_iter().map(|entry| entry.map_err(|e| e.to_string())).collect();
        assert_eq!(found.len(), 6, "{found:?}");
        assert_eq!(found[0], Ok(at("named.dat")));
        assert!(found[1].as_ref().is_err_and(|e| e.contains("gone: no such file")));
        assert_eq!(found[2..5], ["b/a.webp", "b/c/y.jpeg", "b/z.PNG"].map(|name| Ok(at(name))));
        assert!(found[5].as_ref().is_err_and(|e| e.contains("empty: expected images")));
        let unmatched = collect_images(&[at("*.jpg")]).remove(0).unwrap_err().to_string();
        assert!(unmatched.contains("*.jpg: no file matches this pattern"), "{unmatched}");
    }

    #[cfg(unix)]
    #[test]
    fn a_loop_of_links_ends() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a.png"), "").unwrap();
        std::os::unix::fs::symlink(root.path(), root.path().join("again")).unwrap();
        assert_eq!(collect_images(&[root.path().to_path_buf()]).len(), 1);
    }
}
