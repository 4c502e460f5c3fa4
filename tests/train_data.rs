//! What `train` reads before its first step, what it remembers of it, and what it does about images that cannot
//! be read.

mod common;

use common::program::{Run, finish, program};
use common::shards::{pack, png};
use resnet_cpu::data::shards::{Index, Manifest, Measured};
use resnet_cpu::data::{self, Statistics, View, demo};
use resnet_cpu::runtime::{Cache, Disk, Unwatched};
use resnet_cpu::weights::WeightsFile;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tempfile::TempDir;

const TRAIN: &str = "train data --arch resnet20 --batch 8";

/// Where the program remembers, in a test.
const CACHE: &str = ".cache/resnet-cpu";

struct Fixture(TempDir);

impl Fixture {
    /// Class folders with 40 images to train on and 10 to validate.
    fn folders() -> Self {
        let fixture = Self(TempDir::new().unwrap());
        for i in 0..50 {
            let (image, label) = demo::image(9, i);
            let part = if i < 40 { "train" } else { "val" };
            let path = fixture.path(&format!("data/{part}/{:02}/{i:03}.png", label % 2));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, png(&image)).unwrap();
        }
        fixture
    }

    /// Shards with 30 images to train on and 10 to validate.
    fn shards() -> Self {
        let fixture = Self(TempDir::new().unwrap());
        pack(&fixture.path("data"), &[("train", 0..30), ("val", 30..40)], 12);
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn train(&self, out: &str, flags: &str) -> Run {
        let length = if flags.contains("--iterations") { "" } else { "--iterations 2" };
        let args = format!("{TRAIN} --out {out} {length} {flags}");
        let args: Vec<&str> = args.split_whitespace().collect();
        finish(&mut program(self.0.path(), &args))
    }

    /// Trains to the end; the bytes of the checkpoint.
    #[track_caller]
    fn done(&self, out: &str, flags: &str) -> Vec<u8> {
        let run = self.train(out, flags);
        assert_eq!(run.code, 0, "{}", run.err);
        fs::read(self.path(out).join("last.safetensors")).unwrap()
    }

    /// Names in the cache.
    fn cached(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(CACHE)) else { return Vec::new() };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// An image of class folders that no sample of a scan looks at.
    fn image(&self, part: &str) -> PathBuf {
        let mut images: Vec<PathBuf> = fs::read_dir(self.path(&format!("data/{part}/00")))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        images.sort();
        images[4].clone()
    }
}

/// Digits stay digits where they are packed: not mirrored, and seen in the square that they stood in.
#[test]
fn a_packed_set_says_what_its_source_said() {
    let fixture = Fixture::shards();
    let plan = |flags: &str| fixture.train("plan", &format!("--plan -v {flags}")).err;
    assert!(plan("").contains("augment           = crop-flip"), "{}", plan(""));
    let mut manifest = Manifest::read(&fixture.path("data")).unwrap();
    (manifest.pad, manifest.flip) = (Some(32), false);
    manifest.write(&Disk, &fixture.path("data")).unwrap();
    assert!(plan("").contains("augment           = crop\n"), "{}", plan(""));
    assert!(plan("--augment crop-flip").contains("augment           = crop-flip"));
    fixture.done("run", "");
    let weights = WeightsFile::open(fixture.path("run/best.safetensors"), &Default::default());
    assert_eq!(weights.unwrap().preprocess().pad, Some(32));
}

/// Writes a file of the same size and time that is no image.
fn spoil_in_secret(path: &Path) {
    let found = fs::metadata(path).unwrap();
    fs::write(path, vec![b'x'; found.len() as usize]).unwrap();
    touch(path, found.modified().unwrap());
}

fn touch(path: &Path, time: SystemTime) {
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// The second start reads no image but a few, and gives the same bytes.
#[test]
fn a_scan_is_remembered_and_changes_nothing() {
    let fixture = Fixture::folders();
    let first = fixture.done("first", "");
    let names = fixture.cached();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names[0].starts_with("scan-") && names[1].starts_with("statistics-"), "{names:?}");
    assert!(fixture.done("second", "") == first);
    assert_eq!(fixture.cached(), names);
    // Without a cache, and with one that is damaged at any place.
    assert!(fixture.done("third", "--cache nowhere/else") == first);
    for name in &names {
        let path = fixture.path(CACHE).join(name);
        let whole = fs::read(&path).unwrap();
        for at in [0, 8, 9, whole.len() / 2, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            fs::remove_dir_all(fixture.path("second")).unwrap();
            assert!(fixture.done("second", "") == first, "{name}, byte {at}");
            assert!(fs::read(&path).unwrap() == whole, "{name}, byte {at}");
        }
    }
}

/// That nothing is read shows in what is not noticed; any change of size or time is.
#[test]
fn what_has_changed_is_read_again() {
    for part in ["train", "val"] {
        let fixture = Fixture::folders();
        fixture.done("first", "");
        let path = fixture.image(part);
        spoil_in_secret(&path);
        let secret = fixture.train("secret", "");
        if secret.code != 0 {
            // Two steps of eight images may meet it, but not before the run has begun.
            assert!(fixture.path("secret/last.safetensors").exists(), "{}", secret.err);
        }
        touch(&path, SystemTime::now());
        let name = path.file_name().unwrap().to_str().unwrap();
        fixture
            .train("known", "")
            .fails(1, &[name, "expected an image, found a file that starts with"]);
        assert!(!fixture.path("known/last.safetensors").exists());
        // The error is not remembered once the file is whole again.
        let (image, _) = demo::image(9, 1);
        fs::write(&path, png(&image)).unwrap();
        fixture.done("whole", "");
    }
}

/// The pixels of a few images are looked at, whatever sizes and times say.
#[test]
fn another_set_under_the_same_names_is_noticed() {
    let fixture = Fixture::folders();
    fixture.done("first", "");
    for class in ["00", "01"] {
        for entry in fs::read_dir(fixture.path(&format!("data/train/{class}"))).unwrap() {
            spoil_in_secret(&entry.unwrap().path());
        }
    }
    fixture.train("second", "").fails(1, &["data/train/00/", "expected an image"]);
}

/// What cannot be read today may be read tomorrow: it is no bad image, and is not remembered as one.
#[test]
fn images_that_cannot_be_reached_are_not_skipped() {
    let fixture = Fixture::folders();
    let path = fixture.image("train");
    let moved = fixture.path("moved.png");
    let data = data::open(Some(&fixture.path("data"))).unwrap();
    fs::rename(&path, &moved).unwrap();
    let cache = fixture.path("remembered");
    let cache = Cache::at(&cache);
    let scan = data::Scan { cache: &cache, watch: &Unwatched };
    let error = scan.bad_images(&*data.train, "images").unwrap_err();
    assert!(error.to_string().contains(path.file_name().unwrap().to_str().unwrap()), "{error}");
    fs::rename(&moved, &path).unwrap();
    assert_eq!(scan.bad_images(&*data.train, "images").unwrap(), Default::default());
}

#[test]
fn bad_images_are_skipped_when_asked_counted_and_listed() {
    let fixture = Fixture::folders();
    let whole = fixture.done("whole", "");
    // With nothing to skip, it is the same run.
    assert!(fixture.done("skipping-nothing", "--on-bad-image skip") == whole);
    let bad = [fixture.image("train"), fixture.image("val")];
    fs::write(&bad[0], b"").unwrap();
    let image = fs::read(&bad[1]).unwrap();
    fs::write(&bad[1], &image[..image.len() / 2]).unwrap();
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    fixture.train("fail", "").fails(1, &[&name(&bad[0]), "found an empty file"]);
    let skip = fixture.train("skip", "--on-bad-image skip");
    assert_eq!(skip.code, 0, "{}", skip.err);
    let skipped: Vec<&str> =
        skip.err.lines().filter(|line| line.contains("skipped data")).collect();
    assert_eq!(skipped.len(), 2, "{}", skip.err);
    assert!(skipped[0].contains(&name(&bad[0])) && skipped[0].contains("found an empty file"));
    assert!(skipped[1].contains(&name(&bad[1])) && skipped[1].contains("truncated"));
    assert!(skip.err.contains("2 images cannot be read and are left out"), "{}", skip.err);
    assert!(skip.err.contains("training images   = 39"), "{}", skip.err);
    assert!(skip.err.contains("validation images = 9"), "{}", skip.err);
    // With what is remembered and without, it is the same run, and it goes on.
    let bytes = fs::read(fixture.path("skip/last.safetensors")).unwrap();
    assert!(fixture.done("again", "--on-bad-image skip") == bytes);
    assert!(fixture.done("forgotten", "--on-bad-image skip --cache other") == bytes);
    assert_eq!(fixture.train("skip", "--on-bad-image skip").code, 0);
    // Other images make another set.
    fs::write(fixture.path("data/train/00/zzz.png"), b"").unwrap();
    fixture.train("skip", "--on-bad-image skip").fails(2, &["data"]);
}

/// An image that fails when the run has begun ends it, whatever is done about those that were found before.
#[test]
fn an_image_that_fails_later_ends_the_run() {
    let fixture = Fixture::folders();
    fixture.done("run", "--on-bad-image skip");
    fs::read_dir(fixture.path("data/train/00"))
        .unwrap()
        .for_each(|entry| spoil_in_secret(&entry.unwrap().path()));
    let run = fixture.train("run", "--iterations 9 --on-bad-image skip --cache cache2");
    assert_ne!(run.code, 0);
    // The set is another one without those images.
    assert!(run.err.contains("images cannot be read and are left out"), "{}", run.err);

    let fixture = Fixture::shards();
    fixture.done("run", "--on-bad-image skip");
    let tar = fixture.path("data/train-000000.tar");
    let mut bytes = fs::read(&tar).unwrap();
    for record in Index::read(&Index::path(&tar)).unwrap().records {
        bytes[record.offset as usize + 20] ^= 1;
    }
    fs::write(&tar, bytes).unwrap();
    let run = fixture.train("run", "--iterations 9 --on-bad-image skip");
    run.fails(1, &["train-000000.tar, record ", "damaged record: expected CRC32C"]);
    let saved = fs::metadata(fixture.path("run/last.safetensors")).unwrap();
    assert!(saved.len() > 0);
}

#[test]
fn a_set_of_bad_images_alone_is_an_error() {
    let fixture = Fixture::folders();
    for class in ["00", "01"] {
        fs::read_dir(fixture.path(&format!("data/train/{class}")))
            .unwrap()
            .for_each(|entry| spoil_in_secret(&entry.unwrap().path()));
    }
    fixture.train("run", "--on-bad-image skip").fails(1, &["data/train/00/", "expected an image"]);
}

/// What was packed was verified and measured: the run begins before an image is read, and is the same as one
/// that measures itself.
#[test]
fn a_packed_set_is_not_read_before_the_first_step() {
    let fixture = Fixture::shards();
    let plain = fixture.done("plain", "");
    let view = View::of(32, 32);
    let splits = data::open(Some(&fixture.path("data"))).unwrap();
    let statistics = Statistics::of(&*splits.train, view, &Unwatched).unwrap();
    let mut manifest = resnet_cpu::data::shards::Manifest::read(&fixture.path("data")).unwrap();
    let (measured, bytes) = Measured::of(&statistics, view, "mean-32.safetensors");
    manifest.statistics.push(measured);
    fs::write(fixture.path("data/mean-32.safetensors"), bytes).unwrap();
    manifest.write(&Disk, &fixture.path("data")).unwrap();
    for mode in ["", "--mean-mode pixel-mean"] {
        let cached = fixture.cached();
        let bytes = fixture.done(&format!("measured{}", mode.len()), mode);
        assert_eq!(fixture.cached(), cached, "nothing had to be measured");
        if mode.is_empty() {
            assert!(bytes == plain);
        } else {
            let splits = data::open(Some(&fixture.path("data"))).unwrap();
            let read = splits.train.measured(view).unwrap().unwrap();
            assert_eq!(read, statistics);
        }
    }
    // Every image is damaged, and yet the run begins, and says which is.
    for shard in ["train-000000", "train-000001", "train-000002"] {
        let tar = fixture.path(&format!("data/{shard}.tar"));
        let mut bytes = fs::read(&tar).unwrap();
        for record in Index::read(&Index::path(&tar)).unwrap().records {
            bytes[record.offset as usize + 20] ^= 1;
        }
        fs::write(&tar, bytes).unwrap();
    }
    let run = fixture.train("damaged", "");
    run.fails(1, &[".tar, record ", "damaged record: expected CRC32C"]);
    // A part of them was not measured: that is done now, which finds the damage.
    fixture.train("other", "--val-split 5").fails(1, &["train-00000", "damaged record"]);
    assert!(!fixture.path("other/last.safetensors").exists());
    // The file of means is held to its checksum.
    let mean = fixture.path("data/mean-32.safetensors");
    let mut bytes = fs::read(&mean).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&mean, bytes).unwrap();
    fixture.train("mean", "").fails(1, &["dataset.json", "mean-32.safetensors: expected CRC32C"]);
    fs::remove_file(&mean).unwrap();
    fixture.train("mean", "").fails(1, &["mean-32.safetensors: no such file"]);
}

/// 108 million pixels: beyond the limits by default, and read where they are raised.
#[test]
fn a_huge_photograph() {
    let fixture = Fixture::folders();
    let path = fixture.path("data/train/00/huge.jpg");
    image::RgbImage::from_fn(12_000, 9_000, |x, y| image::Rgb([(x / 64) as u8, (y / 64) as u8, 9]))
        .save(&path)
        .unwrap();
    let refused = fixture.train("refused", "");
    refused
        .fails(1, &["huge.jpg: image too large: expected at most 268435456 bytes", "--max-bytes"]);
    let skip = fixture.train("skip", "--max-bytes 100000000 --on-bad-image skip");
    assert!(skip.err.contains("huge.jpg: image too large"), "{}", skip.err);
    assert_eq!(skip.code, 0, "{}", skip.err);
    fixture.done("read", "--max-bytes 400000000");
}

/// A folder that may not be listed is named, whatever is done about bad images.
#[cfg(unix)]
#[test]
fn unreadable_folders_are_named() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::folders();
    let closed = fixture.path("data/train/01");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read_dir(&closed).is_ok() {
        eprintln!("SKIPPED: this user may read every folder");
        return;
    }
    for flags in ["", "--on-bad-image skip"] {
        fixture.train("run", flags).fails(1, &["data/train/01: cannot read: "]);
    }
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
    let file = fixture.image("train");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    fixture
        .train("run", "")
        .fails(1, &[file.file_name().unwrap().to_str().unwrap(), "cannot read"]);
    assert_eq!(fixture.train("run", "--on-bad-image skip").code, 0);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
}

/// Shards of other people, in a folder that can be written and by a single tar.
#[test]
fn foreign_shards_train_like_packed_ones() {
    let fixture = Fixture::shards();
    let packed = fixture.done("packed", "");
    for entry in fs::read_dir(fixture.path("data")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name == "dataset.json" {
            let classes = serde_json::json!({ "classes": demo::CLASSES });
            fs::write(path, classes.to_string()).unwrap();
        } else if name.ends_with(".index") {
            fs::remove_file(path).unwrap();
        }
    }
    assert!(fixture.done("foreign", "") == packed);
    assert!(fixture.path("data/train-000000.tar.index").exists());
    let args = "train data/train-000000.tar --arch resnet20 --batch 4 --iterations 1 --out one";
    let args: Vec<&str> = args.split_whitespace().collect();
    let one = finish(&mut program(fixture.0.path(), &args));
    assert_eq!(one.code, 0, "{}", one.err);
    assert!(one.err.contains("no shards for validation"), "{}", one.err);
}
