//! What `open` makes of a folder: every kind of data set, small ones made here and the real ones
//! where they are present, and a message for everything that can be wrong.

#[path = "../common/mod.rs"]
mod common;
mod folders;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::test_data;
use resnet_cpu::data::{
    self, Dataset, Error, Kind, Limits, MemoryDataset, Splits, Subset, ValidationOrigin, View,
    cifar,
};

const RECORD: usize = 3073;

fn open(folder: &Path) -> Result<Splits, String> {
    data::open(Some(folder)).map_err(|e| e.to_string())
}

fn error(folder: &Path) -> String {
    open(folder).map(|splits| splits.kind).expect_err("bad data is an error")
}

/// Writes `bytes` to `root/name` and makes the folders above it.
fn put(root: &Path, name: &str, bytes: &[u8]) {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn put_image(root: &Path, name: &str, grey: u8) {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::GrayImage::from_pixel(3, 2, image::Luma([grey])).save(path).unwrap();
}

fn records(labels: &[u8]) -> Vec<u8> {
    let record = |&label: &u8| std::iter::once(label).chain([label * 2; RECORD - 1]);
    labels.iter().flat_map(record).collect()
}

fn idx(sizes: &[u32], bytes: &[u8]) -> Vec<u8> {
    let magic = [0, 0, 8, sizes.len() as u8];
    let sizes = sizes.iter().flat_map(|size| size.to_be_bytes());
    magic.into_iter().chain(sizes).chain(bytes.iter().copied()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn labels(data: &dyn Dataset) -> Vec<usize> {
    (0..data.len()).map(|index| data.label(index)).collect()
}

fn first_bytes(data: &dyn Dataset) -> Vec<u8> {
    (0..data.len()).map(|index| data.image(index).unwrap().pixels()[0]).collect()
}

#[test]
fn without_a_path_the_demo_set() {
    let splits = data::open(None).unwrap();
    let val = splits.val.unwrap();
    assert_eq!((splits.kind, splits.train.len(), val.len()), (Kind::Demo, 4000, 1000));
    assert_eq!(splits.train.classes(), 10);
    assert_eq!(splits.train.class_names().unwrap()[4], "star");
    assert_ne!(splits.train.image(0).unwrap(), val.image(0).unwrap());
    assert_ne!(splits.train.fingerprint(), val.fingerprint());
}

#[test]
fn cifar_under_its_own_names() {
    let root = tempfile::tempdir().unwrap();
    for folder in ["", "cifar-10-batches-bin/"] {
        let root = root.path().join(format!("in-{}", folder.len()));
        for i in 1..=5 {
            put(&root, &format!("{folder}data_batch_{i}.bin"), &records(&[i, 9 - i]));
        }
        let splits = open(&root).unwrap();
        assert!(splits.val.is_none());
        assert!(splits.notes[0].ends_with("no test files, so there is nothing to validate on"));
        put(&root, &format!("{folder}test_batch.bin"), &records(&[7]));
        let splits = open(&root).unwrap();
        assert_eq!(splits.kind, Kind::Cifar10);
        assert_eq!(labels(&*splits.train), [1, 8, 2, 7, 3, 6, 4, 5, 5, 4]);
        assert_eq!(first_bytes(&*splits.train), [2, 16, 4, 14, 6, 12, 8, 10, 10, 8]);
        assert_eq!(labels(&*splits.val.unwrap()), [7]);
        assert_eq!(splits.train.class_names().unwrap(), cifar::CLASSES);
        std::fs::remove_file(root.join(format!("{folder}data_batch_3.bin"))).unwrap();
        assert!(error(&root).ends_with("data_batch_3.bin: no such file or folder"));
    }
}

#[test]
fn cifar_records_that_are_wrong() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path();
    put(path, "train.bin", &records(&[1, 2, 3])[..3 * RECORD - 1]);
    let message = error(path);
    assert!(message.contains("train.bin: not CIFAR-10 binary records"), "{message}");
    assert!(message.contains("expected a multiple of 3073 bytes, found 9218"), "{message}");
    put(path, "train.bin", &records(&[1, 2, 10]));
    assert!(error(path).ends_with("expected a label of 0 to 9 in record 2, found 10"));
    put(path, "train.bin", &records(&[2, 2, 2]));
    assert!(error(path).ends_with("expected at least two classes, found one: bird"));
    put(path, "train.bin", &records(&[2, 3]));
    put(path, "test_a.bin", b"");
    assert!(error(path).contains("test_a.bin: "));
}

#[test]
fn real_cifar_records() {
    let Some(folder) = test_data("cifar10/lossless") else { return };
    let splits = open(&folder).unwrap();
    assert_eq!((splits.train.len(), splits.val.unwrap().len()), (7051, 500));
    let expected = std::fs::read(test_data("cifar10/train_labels.u8").unwrap()).unwrap();
    let ranges = [0..4000, 10_000..11_017, 20_000..21_017, 30_000..31_017];
    let expected = ranges.into_iter().flat_map(|range| expected[range].to_vec());
    assert!(labels(&*splits.train).into_iter().eq(expected.map(usize::from)));
}

#[test]
fn idx_files_plain_and_gzipped() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path();
    let images = idx(&[3, 2, 1], &[10, 11, 20, 21, 30, 31]);
    put(path, "train-images-idx3-ubyte.gz", &gzip(&images));
    let message = error(path);
    assert!(message.ends_with("train-labels-idx1-ubyte: no such file or folder"), "{message}");
    put(path, "train-labels.idx1-ubyte", &idx(&[3], &[2, 0, 1]));
    let splits = open(path).unwrap();
    assert_eq!((splits.kind, splits.train.classes()), (Kind::Idx, 3));
    assert!(splits.val.is_none() && !splits.train.may_flip());
    assert_eq!(labels(&*splits.train), [2, 0, 1]);
    assert_eq!(splits.train.class_names().unwrap(), ["0", "1", "2"]);
    // Two by one pixels; a network sees them in the middle of black.
    let image = splits.train.image(1).unwrap();
    assert_eq!((image.width(), image.height(), splits.train.pad()), (1, 2, Some(32)));
    let image = View { pad: splits.train.pad(), ..View::cifar() }.center(&image);
    let inside: Vec<usize> = (0..3072).filter(|&i| image.pixels()[i] != 0).collect();
    let [first, second] = [15, 16].map(|y| (y * 32 + 15) * 3);
    assert_eq!(inside, [first, first + 1, first + 2, second, second + 1, second + 2]);
    assert_eq!((image.pixels()[first], image.pixels()[second + 2]), (20, 21));
    let plain = splits.train.fingerprint();

    put(path, "t10k-images-idx3-ubyte", &idx(&[1, 1, 1], &[5]));
    put(path, "t10k-labels-idx1-ubyte", &gzip(&idx(&[1], &[2])));
    let splits = open(path).unwrap();
    assert_eq!(labels(&*splits.val.unwrap()), [2]);
    assert_eq!(splits.train.fingerprint(), plain);
    put(path, "t10k-labels-idx1-ubyte", &idx(&[1], &[3]));
    assert!(error(path).ends_with("expected labels of 0 to 2, found 3 (label 0)"));
}

#[test]
fn idx_files_that_are_wrong() {
    let root = tempfile::tempdir().unwrap();
    let message = |images: &[u8], labels: &[u8]| {
        put(root.path(), "train-images-idx3-ubyte", images);
        put(root.path(), "train-labels-idx1-ubyte", labels);
        error(root.path())
    };
    let (images, labels) = (idx(&[2, 2, 1], &[1, 2, 3, 4]), idx(&[2], &[0, 1]));
    let cut = message(&images[..images.len() - 1], &labels);
    assert!(cut.ends_with("expected 4 bytes ([2, 2, 1]) after the header, found 3"), "{cut}");
    assert!(message(&[&images[..], b"x"].concat(), &labels).ends_with("found more"));
    assert!(message(&images[..9], &labels).ends_with("expected a header of 16 bytes, found 9"));
    let magic = message(&labels, &labels);
    assert!(magic.ends_with("the magic number [0, 0, 8, 3], found [0, 0, 8, 1]"), "{magic}");
    assert!(message(&[], &labels).ends_with("found []"));
    let zipped = gzip(&images);
    let cut = message(&zipped[..zipped.len() - 12], &labels);
    assert!(cut.ends_with("truncated gzip data"), "{cut}");
    let huge = message(&idx(&[u32::MAX, u32::MAX, u32::MAX], &[]), &labels);
    assert!(huge.contains("expected 1 to 1048576 images of "), "{huge}");
    let large = message(&idx(&[1, 1, 33], &[0; 33]), &idx(&[1], &[0]));
    assert!(large.ends_with("images of 1x1 to 32x32, found 1 of 1x33"), "{large}");
    assert!(message(&idx(&[0, 1, 1], &[]), &idx(&[0], &[])).ends_with("found 0 of 1x1"));
    let count = message(&images, &idx(&[3], &[0, 1, 0]));
    assert!(count.contains("expected 2 labels for ") && count.ends_with("found 3"), "{count}");
    let gap = message(&images, &idx(&[2], &[0, 2]));
    assert!(gap.ends_with("expected labels of 0 to 2 to occur, found no 1"), "{gap}");
    assert!(message(&images, &idx(&[2], &[0, 0])).ends_with("two classes, found one: 0"));
}

#[test]
fn real_mnist() {
    let Some(folder) = test_data("mnist") else { return };
    let splits = open(&folder).unwrap();
    let val = splits.val.unwrap();
    assert_eq!((splits.train.len(), val.len(), val.classes()), (60_000, 10_000, 10));
    assert_eq!(labels(&*splits.train)[..10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
    assert_eq!(labels(&*val)[..5], [7, 2, 1, 0, 4]);
    // The mean of the training pixels is known to be 0.1307 of 28 x 28.
    let sum: u64 = (0..splits.train.len())
        .map(|i| {
            let image = splits.train.image(i).unwrap();
            image.pixels().iter().map(|&byte| u64::from(byte)).sum::<u64>()
        })
        .sum();
    let mean = sum as f64 / (3.0 * 255.0 * 784.0 * 60_000.0);
    assert!((mean - 0.1307).abs() < 5e-5, "{mean}");
}

#[test]
fn what_is_no_data_set() {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), "readme.txt", b"");
    let message = error(root.path());
    for name in ["data_batch_1.bin", "train*.bin", "train-images-idx3-ubyte", "train/CLASS"] {
        assert!(message.contains(name), "{message}");
    }
    assert!(
        error(&root.path().join("readme.txt"))
            .contains("expected a folder, found a file; give the folder")
    );
    assert!(error(&PathBuf::from("nowhere")).ends_with("nowhere: no such file or folder"));
}

#[test]
fn forms_that_are_not_read_are_named_with_what_to_do() {
    let cases: [(&[&str], &str); 6] = [
        (&["data_batch_1", "batches.meta"], "CIFAR-10 in its Python version"),
        (
            &["cifar-10-batches-py/data_batch_1", "cifar-10-batches-py/batches.meta"],
            "Python version",
        ),
        (
            &["cifar-100-python/train", "cifar-100-python/test", "cifar-100-python/meta"],
            "CIFAR-100 in its Python",
        ),
        (&["train.bin", "fine_label_names.txt"], "CIFAR-100 in its binary version"),
        (&["archive.zip"], "archive.zip, a zip archive (or .npz); unpack it"),
        (&["notes.txt"], "found none; looked for"),
    ];
    for (files, words) in cases {
        let root = tempfile::tempdir().unwrap();
        files.iter().for_each(|file| {
            let content = if file.ends_with("zip") { &b"PK\x03\x04"[..] } else { b"" };
            put(root.path(), file, content);
        });
        let message = error(root.path());
        assert!(message.contains(words), "{message}");
    }
    let root = tempfile::tempdir().unwrap();
    put(root.path(), "train.bin", &vec![0; 3074 * 4]);
    assert!(error(root.path()).contains("CIFAR-100 in its binary version"));
    put(root.path(), "data.tar.gz", &gzip(b"x"));
    assert!(
        error(&root.path().join("data.tar.gz"))
            .contains("a gzip file (.tar.gz, .tgz or .gz); unpack")
    );
    let root = tempfile::tempdir().unwrap();
    put_image(root.path(), "1.png", 1);
    assert!(error(root.path()).contains("1 image without a folder for each class"));
}

#[test]
fn idx_files_where_torchvision_puts_them_and_of_several_gzip_members() {
    let root = tempfile::tempdir().unwrap();
    let images = idx(&[2, 1, 2], &[1, 2, 3, 4]);
    let members = [gzip(&images[..7]), gzip(&images[7..])].concat();
    put(root.path(), "MNIST/raw/train-images-idx3-ubyte.gz", &members);
    put(root.path(), "MNIST/raw/train-labels-idx1-ubyte", &idx(&[2], &[0, 1]));
    put(root.path(), "MNIST/processed/training.pt", b"");
    for folder in ["", "MNIST", "MNIST/raw"] {
        let splits = open(&root.path().join(folder)).unwrap();
        assert_eq!((splits.kind, first_bytes(&*splits.train)), (Kind::Idx, vec![1, 3]));
    }
    put(root.path(), "KMNIST/raw/train-images-idx3-ubyte", &images);
    let message = error(root.path());
    assert!(
        message.contains("KMNIST/raw and ") && message.contains("give one of them"),
        "{message}"
    );
}

#[cfg(unix)]
/// No memory is taken for a file that cannot be one.
#[test]
fn files_that_are_far_too_large_are_not_read() {
    let root = tempfile::tempdir().unwrap();
    for name in ["train.bin", "train-images-idx3-ubyte", "dataset.json"] {
        let path = root.path().join(name);
        std::fs::write(&path, b"").unwrap();
        // A hole: it takes no room on the disk.
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_len(1 << 40).unwrap();
        let message = error(root.path());
        assert!(message.contains(name) && message.contains("expected at most"), "{message}");
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn special_files_are_never_read() {
    let root = tempfile::tempdir().unwrap();
    ["a", "b"].iter().for_each(|class| put_image(root.path(), &format!("{class}/x.png"), 1));
    let fifo = |name: &str| {
        let path = root.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    fifo("a/readme");
    assert!(open(root.path()).is_ok());
    fifo("a/y.jpg");
    assert!(
        error(root.path())
            .ends_with("y.jpg: expected a file, found a FIFO (named pipe), which is not read")
    );
    fifo("train-images-idx3-ubyte");
    assert!(error(root.path()).contains("train-images-idx3-ubyte: expected a file, found a FIFO"));
    assert!(error(Path::new("/dev/zero")).ends_with("found a device, which is not read"));
}

/// Stops at once and says so, wherever opening is.
#[test]
fn opening_can_be_stopped() {
    struct Stop;
    impl resnet_cpu::runtime::Watch for Stop {
        fn progress(&self, _: &'static str, _: u64, _: Option<u64>) {}
        fn stopped(&self) -> bool {
            true
        }
    }
    let root = tempfile::tempdir().unwrap();
    put_image(root.path(), "folders/a/x.png", 1);
    put(root.path(), "idx/train-images-idx3-ubyte", &idx(&[1, 1, 1], &[1]));
    put(root.path(), "cifar/train.bin", &records(&[1, 2]));
    for folder in ["folders", "idx", "cifar"] {
        let path = root.path().join(folder);
        let result = data::open_with(Some(&path), Limits::default(), &Stop);
        assert!(matches!(result, Err(Error::Interrupted)), "{folder}");
    }
}

/// Images beyond the limits are refused by name, and read where the limits are raised.
#[test]
fn limits_reach_the_images() {
    let root = tempfile::tempdir().unwrap();
    ["a", "b"].iter().for_each(|class| put_image(root.path(), &format!("{class}/x.png"), 1));
    let open = |bytes| {
        let limits = Limits { bytes, ..Limits::default() };
        let splits = data::open_with(Some(root.path()), limits, &resnet_cpu::runtime::Unwatched);
        splits.unwrap().train.image(0)
    };
    assert!(matches!(open(5), Err(Error::TooLarge { .. })));
    assert!(open(1000).is_ok());
}
