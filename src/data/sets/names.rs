//! What the name of a file or folder says: an image, a format that is not read, something that systems
//! put there, a part of a data set.

use std::ffi::OsStr;
use std::path::Path;

/// File name extensions of the formats that can be decoded. They only choose files inside folders:
/// a file named by the user is opened whatever its name, and its content decides the format.
pub(super) const EXTENSIONS: [&str; 10] =
    ["bmp", "gif", "jfif", "jpe", "jpeg", "jpg", "png", "tif", "tiff", "webp"];

/// Extensions of images and videos that are not read here, and what they are.
const FOREIGN: [(&str, &[&str]); 17] = [
    ("HEIC", &["heic", "heif", "hif"]),
    ("AVIF", &["avif"]),
    ("JPEG XL", &["jxl"]),
    ("JPEG 2000", &["jp2", "j2k", "jpf", "jpx", "j2c", "jpm"]),
    ("JPEG XR", &["jxr", "wdp", "hdp"]),
    ("SVG", &["svg", "svgz"]),
    ("PDF", &["pdf"]),
    ("Photoshop", &["psd", "psb"]),
    (
        "camera raw",
        &["dng", "cr2", "cr3", "crw", "nef", "nrw", "arw", "orf", "rw2", "raf", "pef", "srw"],
    ),
    ("icon", &["ico", "cur", "icns"]),
    ("QOI", &["qoi"]),
    ("TGA", &["tga"]),
    ("PNM", &["pnm", "ppm", "pgm", "pbm", "pam"]),
    ("OpenEXR or HDR", &["exr", "hdr"]),
    ("DDS", &["dds"]),
    ("GIMP", &["xcf"]),
    (
        "video",
        &["mp4", "mov", "avi", "mkv", "webm", "m4v", "mpg", "mpeg", "3gp", "mts", "wmv", "flv"],
    ),
];

/// Names, in lower case, of what systems and tools leave beside a user's files. (So is everything
/// whose name begins with a dot.)
const SYSTEM: [&str; 14] = [
    "__macosx",
    "__pycache__",
    "@eadir",
    "@tmp",
    "@recycle",
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "system volume information",
    "lost+found",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "icon\r",
];

/// Whether a system or a tool has put it there, not the user.
pub(super) fn is_hidden(path: &Path) -> bool {
    let Some(name) = path.file_name() else { return false };
    name.as_encoded_bytes().starts_with(b".")
        || name.to_str().is_some_and(|name| SYSTEM.contains(&name.to_lowercase().as_str()))
}

/// Whether the extension is that of a format that can be decoded.
pub(super) fn is_image(path: &Path) -> bool {
    extension(path).is_some_and(|found| EXTENSIONS.contains(&found.as_str()))
}

/// The format that is not read here whose extension the file has.
pub(super) fn foreign_format(path: &Path) -> Option<&'static str> {
    let found = extension(path)?;
    FOREIGN.into_iter().find_map(|(name, known)| known.contains(&&*found).then_some(name))
}

fn extension(path: &Path) -> Option<String> {
    path.extension().and_then(OsStr::to_str).map(str::to_lowercase)
}

/// A part of a data set that has a folder of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Train,
    Val,
    Test,
}

/// The part that a folder of this name holds, if it is one of the names in use. Neither case nor what
/// joins the words matters.
pub(super) fn part(path: &Path) -> Option<Part> {
    let name = path.file_name()?.to_str()?.to_lowercase();
    let name: String = name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).collect();
    match name.strip_suffix("set").or(name.strip_suffix("data")).unwrap_or(&name) {
        "train" | "training" | "trn" => Some(Part::Train),
        "val" | "valid" | "validation" | "validate" | "dev" => Some(Part::Val),
        "test" | "testing" | "tst" => Some(Part::Test),
        _ => None,
    }
}

/// The name of a file or folder as text. Of a name that is not UTF-8 the other bytes stand as `\xFF`:
/// two names never become one.
pub(super) fn name_of(path: &Path) -> String {
    text_of(path.file_name().unwrap_or_default().as_encoded_bytes())
}

/// The bytes of a name as text, as [`name_of`] makes it.
pub(super) fn text_of(name: &[u8]) -> String {
    let mut text = String::new();
    for chunk in name.utf8_chunks() {
        text += chunk.valid();
        chunk.invalid().iter().for_each(|byte| text += &format!("\\x{byte:02X}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_many_names() {
        let part = |name: &str| part(Path::new("data").join(name).as_path());
        for name in ["train", "Train", "TRAINING", "training_set", "trn", "train-set", "Train Set"]
        {
            assert_eq!(part(name), Some(Part::Train), "{name}");
        }
        for name in ["val", "valid", "Validation", "validation_set", "dev", "val_set"] {
            assert_eq!(part(name), Some(Part::Val), "{name}");
        }
        for name in ["test", "Testing", "test_set"] {
            assert_eq!(part(name), Some(Part::Test), "{name}");
        }
        for name in ["trains", "contest", "set", "devil", "ant", "", "value"] {
            assert_eq!(part(name), None, "{name}");
        }
    }

    #[test]
    fn systems_leave_files_behind() {
        let hidden = |name: &str| is_hidden(Path::new(name));
        for name in [".", "a/..", ""] {
            assert!(!hidden(name), "{name}");
        }
        for name in [".DS_Store", "a/._b.png", "__MACOSX", "@eaDir", "Thumbs.db", "LOST+FOUND"] {
            assert!(hidden(name), "{name}");
        }
        assert!(!hidden("a.b") && !hidden("_a") && !hidden(".git/x") && !hidden("desktop"));
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_not_text_stay_apart() {
        use std::os::unix::ffi::OsStrExt;
        let name = |bytes: &[u8]| name_of(Path::new(OsStr::from_bytes(bytes)));
        assert_eq!(name(b"a/\xFFb\xFE\xC3"), "\\xFFb\\xFE\\xC3");
        assert_eq!(name("a/ü".as_bytes()), "ü");
    }
}
