//! Small valid files of every kind, cut at every length and with every byte changed: never a panic,
//! never slow, and what is missing is an error rather than a guess.
//!
//! The files are the seeds of the fuzz targets (`fuzz/seeds/`). Inputs that fuzzing found wanting are
//! kept in `tests/data/regressions/`, one folder a target. Whole networks and checkpoints, which are
//! too large for every byte, are in `tests/weights/damage.rs` and `tests/train_checkpoint/damage.rs`,
//! PyTorch files in `tests/torch_files/damage.rs`.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rayon::prelude::*;
use resnet_cpu::data::{self, CifarRecords, Limits, Preprocess};
use resnet_cpu::weights::{Overrides, TensorFile, WeightsFile};

/// What a reader makes of a file that it accepts: to be compared, and empty if nothing was read.
type Content = Vec<u8>;

/// A reader of files of one kind, given their bytes and a folder of its own.
type Read = fn(&[u8], &Path) -> Result<Content, String>;

/// Every file of a folder of this repository, by name.
fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let Ok(entries) = std::fs::read_dir(&folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), std::fs::read(path).unwrap())).collect()
}

/// Reads damaged bytes, which must not panic nor take 5 s twice (once the machine may be to blame);
/// `what` says how they came about.
fn survive(read: Read, bytes: &[u8], folder: &Path, what: impl Debug) -> Result<Content, String> {
    let timed = || {
        let start = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| read(bytes, folder)));
        let result = result.unwrap_or_else(|_| panic!("{what:?}: the reader panicked"));
        (result, start.elapsed() < Duration::from_secs(5))
    };
    let (result, in_time) = timed();
    assert!(in_time || timed().1, "{what:?}: slow");
    if let Err(message) = &result {
        assert!(!message.contains('\n'), "{what:?}: {message}");
    }
    result
}

/// Cuts every seed of `target` at every length and changes each of its first `header` bytes. A cut
/// file may be accepted only with the content of the whole one, or where `may_end` says that it
/// is a whole file too.
fn damage_seeds(target: &str, read: Read, header: usize, may_end: fn(usize) -> bool) {
    let seeds = files(&format!("fuzz/seeds/{target}"));
    assert!(!seeds.is_empty(), "seeds of {target}");
    seeds.into_par_iter().for_each(|(name, bytes)| {
        let folder = tempfile::tempdir().unwrap();
        let whole = read(&bytes, folder.path());
        for length in 0..bytes.len() {
            let cut = survive(read, &bytes[..length], folder.path(), (&name, "cut", length));
            let same = whole.is_ok() && cut == whole;
            assert!(cut.is_err() || same || may_end(length), "{name} was read, cut to {length}");
        }
        for at in 0..bytes.len().min(header) {
            for value in [!bytes[at], bytes[at] ^ 1, bytes[at] ^ 0x80, 0] {
                let mut changed = bytes.clone();
                changed[at] = value;
                let _ = survive(read, &changed, folder.path(), (&name, at, value));
            }
        }
    });
    for (name, bytes) in files(&format!("tests/data/regressions/{target}")) {
        let folder = tempfile::tempdir().unwrap();
        assert!(survive(read, &bytes, folder.path(), &name).is_err(), "{name} was read");
    }
}

fn read_image(bytes: &[u8], _: &Path) -> Result<Content, String> {
    let limits = Limits { side: 4096, bytes: 16 << 20, ..Limits::default() };
    let image = data::decode(bytes, Path::new("image"), &limits).map_err(|e| e.to_string())?;
    let how = Preprocess::cifar();
    how.apply(&image, &mut vec![0.0; how.input_len()]);
    Ok(image.pixels().to_vec())
}

fn read_tensors(bytes: &[u8], folder: &Path) -> Result<Content, String> {
    let path = folder.join("weights.safetensors");
    std::fs::write(&path, bytes).unwrap();
    let _ = WeightsFile::open(&path, &Overrides::default());
    let file = TensorFile::open(&path).map_err(|e| e.to_string())?;
    let mut content = format!("{:?}", file.metadata()).into_bytes();
    for tensor in file.tensors() {
        let count = tensor.shape.iter().product::<usize>();
        let values = file.values(tensor).unwrap();
        assert!(values.is_none_or(|values| values.len() == count), "{tensor:?}");
        file.read_bytes(tensor, |bytes| content.extend(bytes)).unwrap();
    }
    Ok(content)
}

fn read_cifar(bytes: &[u8], folder: &Path) -> Result<Content, String> {
    let path = folder.join("test.bin");
    std::fs::write(&path, bytes).unwrap();
    let records = CifarRecords::open(&path).map_err(|e| e.to_string())?;
    Ok((0..records.len()).flat_map(|i| records.image(i).pixels().to_vec()).collect())
}

/// The seeds of `idx` have a byte of flags (for the fuzzer), the number of bytes of labels, the file
/// of labels, the file of images.
fn read_idx(bytes: &[u8], folder: &Path) -> Result<Content, String> {
    let [_, split, rest @ ..] = bytes else { return Err("no files".to_owned()) };
    let (labels, images) = rest.split_at(usize::from(*split).min(rest.len()));
    std::fs::write(folder.join("train-labels-idx1-ubyte"), labels).unwrap();
    std::fs::write(folder.join("train-images-idx3-ubyte"), images).unwrap();
    let set = data::open(Some(folder)).map_err(|e| e.to_string())?.train;
    Ok((0..set.len()).flat_map(|i| set.image(i).unwrap().pixels().to_vec()).collect())
}

#[test]
fn images() {
    damage_seeds("image", read_image, usize::MAX, |_| false);
}

#[test]
fn safetensors() {
    damage_seeds("safetensors", read_tensors, usize::MAX, |_| false);
}

#[test]
fn cifar_records() {
    // A record has no header but its label, and nothing tells how many there should be.
    damage_seeds("cifar", read_cifar, 1, |length| length.is_multiple_of(3073));
}

#[test]
fn idx_files() {
    damage_seeds("idx", read_idx, usize::MAX, |_| false);
}
