//! idx files, the format of MNIST and Fashion-MNIST: a magic number, sizes, bytes; plain or gzipped
//! (contents decide).
//!
//! Images are grey: the value is repeated in three channels. A network sees them in the middle of
//! 32 x 32 black pixels ([`View::pad`](crate::data::View::pad)), so 28 x 28 gets two on each side. Classes
//! are called by their numbers.

use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::memory::{IDX, MemoryDataset, SIDE};
use crate::data::Error;
use crate::data::decode::regular;
use crate::runtime::Watch;

/// Images that a file may have; the largest set in this format has 697,932 (EMNIST). A thousandth
/// of the memory they take can be enough to announce them in gzip.
const MOST: usize = 1 << 20;
/// Bytes that are unpacked between two looks at `watch`.
const PIECE: u64 = 16 << 20;

/// Finds the idx file `stem` (e.g. `train-images`) of `dimensions` dimensions in `folder` under one
/// of the names that are in use.
pub(super) fn find(folder: &Path, stem: &str, dimensions: usize) -> Option<PathBuf> {
    let names = ["-", "."].into_iter().flat_map(|separator| {
        ["", ".gz"].map(|suffix| format!("{stem}{separator}idx{dimensions}-ubyte{suffix}"))
    });
    names.map(|name| folder.join(name)).find(|path| path.exists() && !path.is_dir())
}

/// Where in `folder` idx files of training images are: in itself, in `raw`, or in `NAME/raw` as
/// torchvision unpacks MNIST and its relatives; the folder and the file of images.
///
/// # Errors
/// There are several such data sets in it.
pub(super) fn locate(folder: &Path) -> Result<Option<(PathBuf, PathBuf)>, Error> {
    let images = |folder: PathBuf| find(&folder, "train-images", 3).map(|path| (folder, path));
    if let Some(found) = images(folder.to_path_buf()).or_else(|| images(folder.join("raw"))) {
        return Ok(Some(found));
    }
    let entries = std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))?;
    let below = entries.filter_map(Result::ok).map(|entry| entry.path().join("raw"));
    let mut found: Vec<(PathBuf, PathBuf)> = below.filter_map(images).collect();
    found.sort();
    if found.len() > 1 {
        let names: Vec<String> = found.iter().map(|(raw, _)| raw.display().to_string()).collect();
        let found = format!("{}; give one of them", names.join(" and "));
        return Err(Error::Ambiguous { path: folder.to_path_buf(), found });
    }
    Ok(found.pop())
}

/// Reads a file of images and the file of their labels. With `classes`, labels must be below it;
/// without, there are as many classes as labels that occur, which must be 0, 1, 2 and so on.
///
/// # Errors
/// [`Error`] if a file cannot be read, is cut short or too long, is of another kind or has images
/// larger than 32 x 32, if the files disagree in number, or a label is out of range.
pub(super) fn open(
    images: &Path,
    labels: &Path,
    classes: Option<usize>,
    watch: &dyn Watch,
) -> Result<MemoryDataset, Error> {
    let ([count, height, width], pixels) = read(images, watch, |[count, height, width]| {
        let sides = 1..=SIDE;
        let fits = sides.contains(&height) && sides.contains(&width);
        (!fits || !(1..=MOST).contains(&count)).then(|| {
            let expected = format!("1 to {MOST} images of 1x1 to {SIDE}x{SIDE}");
            format!("expected {expected}, found {count} of {height}x{width}")
        })
    })?;
    let ([_], bytes) = read(labels, watch, |[labelled]| {
        (labelled != count)
            .then(|| format!("expected {count} labels for {}, found {labelled}", images.display()))
    })?;
    let classes = match classes {
        None => count_classes(labels, &bytes)?,
        Some(classes) => classes,
    };
    if let Some(at) = bytes.iter().position(|&label| usize::from(label) >= classes) {
        let (last, found) = (classes - 1, bytes[at]);
        let detail = format!("expected labels of 0 to {last}, found {found} (label {at})");
        return Err(wrong(labels, detail));
    }
    let mut set = MemoryDataset::with_capacity(IDX, classes, count, [height, width]);
    let mut rgb = vec![0; height * width * 3];
    for (&label, image) in bytes.iter().zip(pixels.chunks_exact(height * width)) {
        rgb.chunks_exact_mut(3).zip(image).for_each(|(pixel, &grey)| pixel.fill(grey));
        set.push(label, &rgb);
    }
    let names: Vec<String> = (0..classes).map(|class| class.to_string()).collect();
    Ok(set.with_names(&names))
}

/// Number of classes, if every label up to the largest occurs.
fn count_classes(path: &Path, labels: &[u8]) -> Result<usize, Error> {
    let mut occurs = [false; 256];
    labels.iter().for_each(|&label| occurs[usize::from(label)] = true);
    let classes = occurs.iter().rposition(|&occurs| occurs).map_or(0, |last| last + 1);
    match occurs[..classes].iter().position(|&occurs| !occurs) {
        None => Ok(classes),
        Some(missing) => {
            let last = classes - 1;
            let detail = format!("expected labels of 0 to {last} to occur, found no {missing}");
            Err(wrong(path, detail))
        }
    }
}

/// The sizes and the bytes of a file of unsigned bytes in `N` dimensions. `refuse` says what is wrong
/// with the sizes before memory is taken for the bytes.
fn read<const N: usize>(
    path: &Path,
    watch: &dyn Watch,
    refuse: impl FnOnce([usize; N]) -> Option<String>,
) -> Result<([usize; N], Vec<u8>), Error> {
    let io = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::UnexpectedEof => wrong(path, "truncated gzip data".into()),
        std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData => {
            wrong(path, format!("damaged gzip data: {e}"))
        }
        _ => Error::io(path, e),
    };
    if watch.stopped() {
        return Err(Error::Interrupted);
    }
    let most = (MOST * SIDE * SIDE + 4 + 4 * N) as u64;
    let file = regular::read_at_most(path, most, |found| {
        wrong(path, format!("expected at most {most} bytes, found {found}"))
    })?;
    let mut reader: Box<dyn Read + '_> = if file.starts_with(&[0x1F, 0x8B]) {
        Box::new(MultiGzDecoder::new(&file[..]))
    } else {
        Box::new(&file[..])
    };
    let mut header = Vec::new();
    reader.by_ref().take(4 + 4 * N as u64).read_to_end(&mut header).map_err(io)?;
    // Two zeros, the code of unsigned bytes, the number of dimensions; then the sizes.
    let magic = [0, 0, 8, N as u8];
    if !header.starts_with(&magic) {
        let found = &header[..header.len().min(4)];
        return Err(wrong(path, format!("expected the magic number {magic:?}, found {found:?}")));
    }
    let sizes = header[4..].as_chunks::<4>().0;
    let Some(sizes) = sizes.first_chunk::<N>() else {
        let detail = format!("expected a header of {} bytes, found {}", 4 + 4 * N, header.len());
        return Err(wrong(path, detail));
    };
    let sizes = sizes.map(|size| u32::from_be_bytes(size) as usize);
    if let Some(detail) = refuse(sizes) {
        return Err(wrong(path, detail));
    }
    let expected = sizes.iter().product::<usize>();
    // One byte more would be one too many; memory grows with what is there, not with the header.
    let mut bytes = Vec::new();
    let mut reader = reader.take(expected as u64 + 1);
    while reader.by_ref().take(PIECE).read_to_end(&mut bytes).map_err(io)? > 0 {
        if watch.stopped() {
            return Err(Error::Interrupted);
        }
    }
    if bytes.len() != expected {
        let found = if bytes.len() > expected { "more".into() } else { bytes.len().to_string() };
        let detail =
            format!("expected {expected} bytes ({sizes:?}) after the header, found {found}");
        return Err(wrong(path, detail));
    }
    Ok((sizes, bytes))
}

fn wrong(path: &Path, detail: String) -> Error {
    Error::Idx { path: path.to_path_buf(), detail }
}
