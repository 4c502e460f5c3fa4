//! Shards from outside: packed sets and those of other people, what is refused, and that every damage is
//! found and named.

mod damage;
mod foreign;
mod packed;

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use resnet_cpu::data::shards::{
    Index, Manifest, RawImage, Record, ShardInfo, ShardSet, Split, Verified, verify, write_shard,
};
use resnet_cpu::data::{self, Dataset, Limits, RgbImage, Splits};
use resnet_cpu::runtime::{Cache, Disk, Unwatched};

/// A set of `classes` in a folder of its own.
struct Packed {
    folder: tempfile::TempDir,
    manifest: Manifest,
}

impl Packed {
    fn new(classes: &[&str]) -> Self {
        let classes = classes.iter().map(ToString::to_string).collect();
        Self { folder: tempfile::tempdir().unwrap(), manifest: Manifest::new(classes) }
    }

    /// Two parts: seven training images in two shards, JPEG and raw, and three for validation.
    fn small() -> Self {
        let mut packed = Self::new(&["ant", "bee", "cow"]);
        packed.shard("train", &[(0, "jpg"), (1, "ppm"), (2, "jpg"), (0, "png")]);
        packed.shard("train", &[(2, "ppm"), (1, "jpg"), (0, "ppm")]);
        packed.shard("val", &[(1, "jpg"), (2, "png"), (0, "jpg")]);
        packed.describe();
        packed
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes the next shard of `part`, whose images are of these labels and formats.
    fn shard(&mut self, part: &str, records: &[(u32, &str)]) -> PathBuf {
        let split = self.manifest.splits.entry(part.to_owned()).or_default();
        let name = format!("{part}-{:06}.tar", split.shards.len());
        let path = self.folder.path().join(&name);
        let first = split.images as usize;
        let index = write_shard::<std::io::Error>(&Disk, &path, |shard| {
            for (i, &(label, format)) in records.iter().enumerate() {
                let grey = (first + i) as u8 * 10 + if part == "train" { 0 } else { 100 };
                let flags = if format == "ppm" { Record::RAW } else { 0 };
                let key = format!("{:06}", first + i);
                shard.add(&key, format, &encoded(&image(grey), format), label, flags)?;
            }
            Ok(())
        });
        let Index { records, bytes, crc } = index.unwrap();
        let records = records.len() as u64;
        split.images += records;
        split.shards.push(ShardInfo { name, records, bytes, crc32c: crc });
        path
    }

    fn describe(&self) {
        self.manifest.write(&Disk, self.path()).unwrap();
    }
}

/// A small image that no other number gives.
fn image(grey: u8) -> RgbImage {
    let pixels = (0..9 * 7 * 3).map(|i| grey.wrapping_add(i as u8 / 3));
    RgbImage::new(9, 7, pixels.collect())
}

fn encoded(image: &RgbImage, format: &str) -> Vec<u8> {
    if format == "ppm" {
        return RawImage::encode(image);
    }
    let mut bytes = Cursor::new(Vec::new());
    let (width, height) = (image.width() as u32, image.height() as u32);
    let format = image::ImageFormat::from_extension(format).unwrap();
    let rgb = image::ExtendedColorType::Rgb8;
    image::write_buffer_with_format(&mut bytes, image.pixels(), width, height, rgb, format)
        .unwrap();
    bytes.into_inner()
}

/// A tar as other programs write it: files in this order, with an end.
fn tar_of(files: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(1_700_000_000);
        tar.append_data(&mut header, path_of(name), *content).unwrap();
    }
    tar.into_inner().unwrap()
}

fn path_of(name: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(name))
}

/// Opens without ever writing into the user's cache.
fn open(path: &Path) -> Result<Splits, String> {
    let cache = Cache::none();
    data::open_cached(Some(path), Limits::default(), &cache, &Unwatched).map_err(|e| e.to_string())
}

#[track_caller]
fn error(path: &Path) -> String {
    open(path).map(|splits| splits.kind).expect_err("bad shards are an error")
}

fn labels(data: &dyn Dataset) -> Vec<usize> {
    (0..data.len()).map(|index| data.label(index)).collect()
}

fn problems(path: &Path) -> Vec<String> {
    let Verified { problems, unlisted, .. } =
        verify(path, &Limits::default(), &Cache::none(), &Unwatched).unwrap();
    assert_eq!(unlisted, 0);
    problems.iter().map(ToString::to_string).collect()
}

/// Everything in a folder by name.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.is_file());
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    files.map(|path| (name(&path), std::fs::read(&path).unwrap())).collect()
}
