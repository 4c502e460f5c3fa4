//! The program as a test runs it, images and tars to give to it, and what it leaves.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;

use image::codecs::jpeg::JpegEncoder;
use resnet_cpu::data::shards::{Manifest, ShardSet, Shards};
use resnet_cpu::data::{Dataset, Limits};
use resnet_cpu::runtime::{Cache, Rng, Unwatched};

/// What a run of the program left.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self
    }

    /// One line of error that says all of `parts`; no panic.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        let errors: Vec<&str> =
            self.err.lines().filter(|line| line.starts_with("resnet-data: error: ")).collect();
        assert_eq!(errors.len(), 1, "{}", self.err);
        for part in parts {
            assert!(errors[0].contains(part), "{part:?} is not in: {}", self.err);
        }
    }
}

/// The program with nothing of the caller's caches.
pub(crate) fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_resnet-data"));
    command.args(args).current_dir(folder).env("XDG_CACHE_HOME", folder.join(".cache"));
    command
}

pub(crate) fn run(folder: &Path, args: &[&str]) -> Run {
    let output = command(folder, args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let run = Run {
        code: output.status.code().unwrap(),
        out: text(output.stdout),
        err: text(output.stderr),
    };
    assert!(!run.err.contains("panicked"), "{}", run.err);
    run
}

/// An image of some colours, which differ by `seed`.
pub(crate) fn photo(seed: u64, width: u32, height: u32) -> image::RgbImage {
    let mut rng = Rng::named(seed, "photo");
    let [r, g, b] = [0; 3].map(|_| rng.below(200) as f32);
    let (fast, slow) = (rng.uniform() * 0.3, rng.uniform() * 0.02);
    image::RgbImage::from_fn(width, height, |x, y| {
        let wave = 25.0 * ((x as f32 * fast).sin() + (y as f32 * slow).cos());
        image::Rgb([r + wave, g + wave * 0.5, b - wave].map(|v| v.clamp(0.0, 255.0) as u8))
    })
}

pub(crate) fn jpeg(image: &image::RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    image.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 80)).unwrap();
    bytes
}

pub(crate) fn png(image: &image::RgbImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

pub(crate) fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// Class folders `PART/CLASS/NUMBER.jpg` of images of several sizes, some larger than 48 pixels.
pub(crate) fn class_folders(root: &Path, parts: &[(&str, usize)]) {
    for (p, (part, images)) in parts.iter().enumerate() {
        for i in 0..*images {
            let class = ["ant", "bee", "cat"][i % 3];
            let seed = (p * 1000 + i) as u64;
            let (width, height) = [(40, 30), (64, 80), (90, 50), (33, 70)][i % 4];
            let bytes = jpeg(&photo(seed, width, height));
            write(&root.join(part).join(class).join(format!("{i:03}.jpg")), &bytes);
        }
    }
}

/// A tar with these files.
pub(crate) fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, &content[..]).unwrap();
    }
    tar.into_inner().unwrap()
}

/// Every file of a pack by name; the file that is locked is empty and does not count.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap();
    let file = |path: PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read(&path).unwrap())
    };
    let mut files: BTreeMap<_, _> = entries.map(|entry| file(entry.unwrap().path())).collect();
    assert_eq!(files.remove(".lock"), Some(Vec::new()));
    files
}

pub(crate) fn open(folder: &Path, part: &str) -> Shards {
    let set = ShardSet::find(folder, &Unwatched).unwrap().unwrap();
    set.open(part, Limits::default(), &Cache::none(), &Unwatched).unwrap()
}

pub(crate) fn manifest(folder: &Path) -> Manifest {
    Manifest::read(folder).unwrap()
}

/// Bytes, class and flags of each record.
pub(crate) fn records(data: &Shards) -> Vec<(Vec<u8>, usize, u32)> {
    let record = |i| (data.record(i).unwrap().to_vec(), data.label(i), data.entry(i).flags);
    (0..data.len()).map(record).collect()
}
