//! Data sets in forms that are not read here, and archives of data: known by name or content, so that
//! a message can say what to do.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::paths::Search;
use crate::data::Error;
use crate::data::decode::regular;

/// What to do with CIFAR in another form.
const CIFAR_BINARY: &str = "the binary version of CIFAR-10 is (cifar-10-binary.tar.gz from \
    www.cs.toronto.edu/~kriz/cifar.html, unpacked), or a folder of images for each class";

/// Bytes of a record of CIFAR-100: two labels and the pixels.
const CIFAR_100_RECORD: u64 = 3074;
const CIFAR_10_RECORD: u64 = 3073;

/// Refuses a folder that holds CIFAR in a form that is not read.
pub(super) fn refuse_other_cifar(folder: &Path) -> Result<(), Error> {
    let unread =
        |path: PathBuf, found| Err(Error::UnreadData { path, found, advice: CIFAR_BINARY });
    for path in ["", "cifar-10-batches-py"].map(|name| folder.join(name)) {
        if path.join("data_batch_1").is_file() && path.join("batches.meta").is_file() {
            return unread(path, "CIFAR-10 in its Python version (pickle)");
        }
    }
    for path in ["", "cifar-100-python"].map(|name| folder.join(name)) {
        if ["train", "test", "meta"].iter().all(|name| path.join(name).is_file()) {
            return unread(path, "CIFAR-100 in its Python version (pickle)");
        }
    }
    for path in ["", "cifar-100-binary"].map(|name| folder.join(name)) {
        let size = path.join("train.bin").metadata().map_or(0, |metadata| metadata.len());
        let records = size > 0
            && size.is_multiple_of(CIFAR_100_RECORD)
            && !size.is_multiple_of(CIFAR_10_RECORD);
        if records || path.join("fine_label_names.txt").is_file() {
            return unread(path, "CIFAR-100 in its binary version");
        }
    }
    for name in ["cifar-10-batches-mat", "cifar-100-matlab"] {
        if folder.join(name).is_dir() {
            return unread(folder.join(name), "CIFAR in its Matlab version");
        }
    }
    Ok(())
}

/// What a file is that was given as a folder of data, and what to do.
pub(super) fn describe(path: &Path) -> String {
    const UNPACK: &str = "unpack it and give the folder";
    const EXPORT: &str = "export it as a folder of images for each class";
    let (what, advice) = match start(path) {
        Ok(start) => match container(&start) {
            Some((what, true)) => (what, UNPACK),
            Some((what, false)) => (what, EXPORT),
            None => ("a file", "give the folder that it is in"),
        },
        Err(_) => ("a file", "give the folder that it is in"),
    };
    format!("{what}; {advice}")
}

/// The archives in a folder, if any: they may hold the data that is missed in it.
pub(super) fn archives(folder: &Path, search: &Search<'_>) -> Result<Vec<PathBuf>, Error> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        search.check()?;
        if path.is_file() && start(&path).is_ok_and(|start| container(&start).is_some()) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The first bytes of a file, as many as it takes to know a container.
fn start(path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let file: File = regular::open(path)?;
    file.take(512).read_to_end(&mut bytes).map_err(|e| Error::io(path, e))?;
    Ok(bytes)
}

/// What container starts with these bytes, and whether it is unpacked by common tools.
fn container(bytes: &[u8]) -> Option<(&'static str, bool)> {
    let known: [(&[u8], &str, bool); 15] = [
        (b"PK\x03\x04", "a zip archive (or .npz)", true),
        (b"PK\x05\x06", "an empty zip archive", true),
        (b"\x1F\x8B", "a gzip file (.tar.gz, .tgz or .gz)", true),
        (b"BZh", "a bzip2 file (.tar.bz2)", true),
        (b"\xFD7zXZ\0", "an xz file (.tar.xz)", true),
        (b"\x28\xB5\x2F\xFD", "a zstd file (.tar.zst)", true),
        (b"7z\xBC\xAF\x27\x1C", "a 7z archive", true),
        (b"Rar!\x1A\x07", "a rar archive", true),
        (b"PAR1", "a Parquet file", false),
        (b"ARROW1", "an Arrow file", false),
        (b"MATLAB 5.0", "a Matlab file (.mat)", false),
        (b"\x89HDF\r\n\x1A\n", "an HDF5 file (.h5, .mat)", false),
        (b"\x93NUMPY", "a NumPy array (.npy)", false),
        (b"\x80\x02", "a Python pickle", false),
        (b"\x80\x04", "a Python pickle", false),
    ];
    if bytes.get(257..262) == Some(b"ustar") {
        return Some(("a tar archive", true));
    }
    known
        .into_iter()
        .find_map(|(magic, what, unpack)| bytes.starts_with(magic).then_some((what, unpack)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Unwatched;

    #[test]
    fn containers_are_known_by_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.bin");
        let describe = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            super::describe(&path)
        };
        assert!(describe(b"PK\x03\x04rest").contains("a zip archive (or .npz); unpack it"));
        assert!(describe(b"\x1F\x8B\x08").contains(".tar.gz"));
        assert!(describe(b"PAR1").contains("Parquet file; export it"));
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert!(describe(&tar).contains("a tar archive; unpack it"));
        assert_eq!(archives(folder.path(), &Search::new(&Unwatched)).unwrap(), [&*path]);
        assert_eq!(describe(b"hello"), "a file; give the folder that it is in");
        assert!(describe(b"").starts_with("a file;"));
    }
}
