//! Tars that other people have made, read where they are.

use super::*;
use resnet_cpu::data::shards::{check_shard, scan_shard};
use std::time::{Duration, SystemTime};

const PNG: &str = "png";

fn png(grey: u8) -> Vec<u8> {
    encoded(&image(grey), PNG)
}

/// A tar of `images` images of two classes, as WebDataset's writer orders files: by name.
fn samples(images: u8, first: u8) -> Vec<u8> {
    let names: Vec<_> =
        (0..images).map(|i| (format!("{i:04}.cls"), format!("{i:04}.png"))).collect();
    let contents: Vec<_> = (0..images).map(|i| ((i % 2).to_string(), png(first + i))).collect();
    let files = names.iter().zip(&contents).flat_map(|((cls, image), (label, bytes))| {
        [(cls.as_bytes(), label.as_bytes()), (image.as_bytes(), &bytes[..])]
    });
    tar_of(&files.collect::<Vec<_>>())
}

fn folder_of(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    folder
}

#[test]
fn parts_are_told_by_names() {
    for (train, others) in [
        ("train-000.tar", ["val-000.tar", "test-000.tar"]),
        ("imagenet1k-train-0001.tar", ["imagenet1k-validation-00.tar", "x.tar"]),
        ("train/000.tar", ["val/000.tar", "test/000.tar"]),
        ("Train_A.TAR", ["dev_A.tar", "extra.tar"]),
    ] {
        let folder = folder_of(&[
            (train, samples(4, 0)),
            (others[0], samples(3, 10)),
            (others[1], samples(2, 20)),
        ]);
        let splits = open(folder.path()).unwrap();
        assert_eq!((splits.train.len(), splits.val.unwrap().len()), (4, 3), "{train}");
        assert_eq!(splits.train.class_names().unwrap(), ["0", "1"]);
        assert_eq!(splits.train.image(2).unwrap(), image(2));
        let unused = splits.notes.iter().any(|note| note.contains("1 tars are not used"));
        assert_eq!(unused, others[1].starts_with(['x', 'e']), "{:?}", splits.notes);
    }
    let folder = folder_of(&[("00.tar", samples(4, 0)), ("01.tar", samples(3, 10))]);
    assert_eq!(open(folder.path()).unwrap().train.len(), 7);
    let folder = folder_of(&[("train-val-0.tar", samples(4, 0))]);
    assert!(error(folder.path()).contains("its name says two parts of a set"));
}

#[test]
fn names_of_classes_come_from_a_description() {
    let folder = folder_of(&[("train.tar", samples(4, 0))]);
    let describe = |text: &str| std::fs::write(folder.path().join("dataset.json"), text).unwrap();
    describe(r#"{"classes": ["cat", "dog", "eel"], "made": "by hand"}"#);
    assert_eq!(open(folder.path()).unwrap().train.class_names().unwrap(), ["cat", "dog", "eel"]);
    describe(r#"{"classes": ["cat"]}"#);
    let message = error(folder.path());
    assert!(message.contains("record 1 (0001.png): damaged record: expected a class of 0 to 0"));
    describe(r#"{"shards": 1}"#);
    assert_eq!(open(folder.path()).unwrap().train.classes(), 2);
}

/// The index is beside the tar, and is trusted as long as it is not older.
#[test]
fn an_index_is_kept_beside_the_tar_and_made_again_when_it_is_stale() {
    let folder = folder_of(&[("train.tar", samples(4, 0))]);
    let [tar, index] = ["train.tar", "train.tar.index"].map(|name| folder.path().join(name));
    open(folder.path()).unwrap();
    let kept = std::fs::read(&index).unwrap();
    assert_eq!(Index::parse(&kept, &index).unwrap(), scan_shard(&tar, &Unwatched).unwrap());
    assert_eq!(check_shard(&tar, &Unwatched).unwrap().records.len(), 4);
    let other = samples(4, 50);
    for damage in ["time", "size", "bytes"] {
        match damage {
            // Another tar of the same size, which is newer.
            "time" => {
                std::fs::write(&tar, &other).unwrap();
                let later = SystemTime::now() + Duration::from_secs(1);
                std::fs::File::options()
                    .write(true)
                    .open(&tar)
                    .unwrap()
                    .set_modified(later)
                    .unwrap();
            }
            "size" => std::fs::write(&tar, samples(6, 50)).unwrap(),
            _ => std::fs::write(&index, [&kept[..40], b"x", &kept[41..]].concat()).unwrap(),
        }
        let splits = open(folder.path()).unwrap();
        assert_eq!(splits.train.image(1).unwrap(), image(51), "{damage}");
    }
    // Another tar of the same size, which is older and was moved here.
    let moved = folder.path().join("moved");
    std::fs::write(&moved, samples(6, 90)).unwrap();
    let earlier = SystemTime::now() - Duration::from_secs(3600);
    std::fs::File::options().write(true).open(&moved).unwrap().set_modified(earlier).unwrap();
    // Times of files are no finer than the kernel's clock ticks.
    std::thread::sleep(Duration::from_millis(50));
    std::fs::rename(&moved, &tar).unwrap();
    assert_eq!(open(folder.path()).unwrap().train.image(1).unwrap(), image(91));
    // An index whose length is not what it says is not read to its end.
    let file = std::fs::File::options().write(true).open(&index).unwrap();
    file.set_len(1 << 40).unwrap();
    let message = Index::read(&index).unwrap_err().to_string();
    assert!(message.contains("expected 6 records of 24 bytes"), "{message}");
    assert_eq!(open(folder.path()).unwrap().train.image(1).unwrap(), image(91));
    // A file of that name that is no index of ours is left alone.
    std::fs::write(&index, "somebody else's").unwrap();
    assert!(open(folder.path()).is_ok());
    assert_eq!(std::fs::read(&index).unwrap(), b"somebody else's");
}

/// Where theirs cannot be written (here: somebody else's file has the name), the index is in the cache.
#[test]
fn an_index_that_cannot_be_beside_the_tar_is_in_the_cache() {
    let folder =
        folder_of(&[("train.tar", samples(4, 0)), ("train.tar.index", b"theirs".to_vec())]);
    let cached = tempfile::tempdir().unwrap();
    let cache = Cache::at(cached.path());
    let open = || {
        data::open_cached(Some(folder.path()), Limits::default(), &cache, &Unwatched).unwrap().train
    };
    let fingerprint = open().fingerprint();
    let [name] = contents(cached.path()).into_keys().collect::<Vec<_>>().try_into().unwrap();
    assert!(name.starts_with("shard-") && name.ends_with(".index"), "{name}");
    let before = std::fs::metadata(cached.path().join(&name)).unwrap().modified().unwrap();
    assert_eq!(open().fingerprint(), fingerprint);
    let after = std::fs::metadata(cached.path().join(&name)).unwrap().modified().unwrap();
    assert_eq!(before, after);
    // A damaged one is made again.
    std::fs::write(cached.path().join(&name), b"RCPUIDX1").unwrap();
    assert_eq!(open().fingerprint(), fingerprint);
}

#[test]
fn samples_in_all_their_forms() {
    let image = png(5);
    let long = format!("{}/{}", "d".repeat(120), "n".repeat(90));
    let (long_png, long_json) = (format!("{long}.png"), format!("{long}.json"));
    let files: [(&[u8], &[u8]); 11] = [
        // JSON without a label does not matter beside a label.
        (b"a.json", b"{\"caption\": \"label\"}"),
        (b"a.PNG", &image),
        (b"a.cls", b"1\n"),
        (b"a.txt", b"ignored"),
        (b"README", b"ignored: no extension"),
        (b"._b.jpg", b"ignored: a system's"),
        (b"\xFF\xFE.jpeg", &image),
        (b"\xFF\xFE.json", b"{\"x\": [1], \"label\": 0}"),
        (long_png.as_bytes(), &image),
        (long_json.as_bytes(), b"{\"label\": 2}"),
        (b"z.cls", b"0"),
    ];
    let folder = folder_of(&[("train.tar", tar_of(&files[..10]))]);
    let splits = open(folder.path()).unwrap();
    assert_eq!(labels(&*splits.train), [1, 0, 2]);
    assert!((0..3).all(|i| splits.train.image(i).unwrap() == super::image(5)));
    // What lacks its image or its label is named.
    for (files, name, words) in [
        (&files[..], "sample z: ", "expected its image"),
        (&files[4..9], "sample dddd", "expected its label"),
        (&files[1..2], "sample a: ", "expected its label"),
        (&[files[1], (b"a.cls", b"cat")], "a.cls: ", "expected a class as a number, found \"cat\""),
        (&[files[1], (b"a.json", b"{}")], "sample a: ", "under \"label\""),
        (&[files[1], (b"a.jpg", &image), files[2]], "a.jpg: ", "another image in its sample"),
        (&[files[1], files[2], (b"a.cls", b"0")], "a.cls: ", "another of this name"),
        (
            &[files[6], files[7], files[1], files[2], files[6]],
            "\\xFF\\xFE.jpeg: ",
            "another sample",
        ),
    ] {
        let whole: [(&[u8], &[u8]); 2] = [(b"0.png", &image), (b"0.cls", b"0")];
        let tar = tar_of(&[&whole[..], files].concat());
        let folder = folder_of(&[("train.tar", tar)]);
        let message = error(folder.path());
        assert!(message.contains("train.tar: not a shard as expected: "), "{message}");
        assert!(message.contains(name) && message.contains(words), "{message}");
    }
}

/// A sample that stands in two places, with other files between.
#[test]
fn files_of_a_sample_stand_together() {
    let image = png(1);
    let files: [(&[u8], &[u8]); 6] = [
        (b"0.png", &image),
        (b"0.cls", b"0"),
        (b"a.png", &image),
        (b"b.png", &image),
        (b"a.cls", b"0"),
        (b"b.cls", b"1"),
    ];
    let folder = folder_of(&[("train.tar", tar_of(&files))]);
    assert!(error(folder.path()).contains("stand one after another"));
}

#[test]
fn a_foreign_tar_cut_anywhere_is_refused() {
    let whole = samples(3, 0);
    let folder = folder_of(&[("train.tar", whole.clone())]);
    let tar = folder.path().join("train.tar");
    assert_eq!(scan_shard(&tar, &Unwatched).unwrap().bytes, whole.len() as u64);
    for length in (0..whole.len()).step_by(64) {
        std::fs::write(&tar, &whole[..length]).unwrap();
        let message = scan_shard(&tar, &Unwatched).unwrap_err().to_string();
        assert!(message.contains("train.tar: ") && message.contains("truncated"), "{message}");
    }
    // Zeros may follow, as Python's tarfile writes them; another tar may not.
    let padded = [&whole[..], &[0; 8192]].concat();
    std::fs::write(&tar, &padded).unwrap();
    assert_eq!(scan_shard(&tar, &Unwatched).unwrap().bytes, padded.len() as u64);
    std::fs::write(&tar, [&whole[..], &whole].concat()).unwrap();
    assert!(scan_shard(&tar, &Unwatched).unwrap_err().to_string().contains("two tars in one file"));
}

/// Bytes anywhere: an error or records, never a panic and never much memory.
#[test]
fn damaged_foreign_tars_never_panic() {
    let whole = samples(3, 0);
    let folder = folder_of(&[("train.tar", whole.clone())]);
    let tar = folder.path().join("train.tar");
    let mut rng = resnet_cpu::runtime::Rng::named(0, "damaged tars");
    for _ in 0..500 {
        let mut bytes = whole.clone();
        for _ in 0..=rng.below(3) {
            // Headers are where damage matters.
            let at = rng.below(bytes.len() / 512) * 512 + rng.below(512);
            bytes[at] = rng.next_u64() as u8;
        }
        std::fs::write(&tar, &bytes).unwrap();
        if let Err(error) = scan_shard(&tar, &Unwatched) {
            assert!(error.to_string().contains("train.tar"), "{error}");
        }
    }
    // A long name of a gigabyte, as a header claims it.
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(1 << 30);
    header.set_cksum();
    let file = std::fs::File::create(&tar).unwrap();
    std::io::Write::write_all(&mut &file, header.as_bytes()).unwrap();
    file.set_len(2 << 30).unwrap();
    let message = scan_shard(&tar, &Unwatched).unwrap_err().to_string();
    assert!(message.contains("headers of more than 1048576 bytes"), "{message}");
}

#[test]
fn archives_of_other_things_are_not_shards() {
    let image = png(1);
    let photographs: [(&[u8], &[u8]); 2] = [(b"cat/1.png", &image), (b"dog/2.png", &image)];
    let folder = folder_of(&[("photographs.tar", tar_of(&photographs))]);
    assert!(error(folder.path()).contains("photographs.tar, a tar archive; unpack it"));
    assert!(error(&folder.path().join("photographs.tar")).contains("a tar archive; unpack it"));
    // Class folders win over an archive that lies beside them.
    for class in ["cat", "dog"] {
        let path = folder.path().join(class).join("1.png");
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        std::fs::write(path, &image).unwrap();
    }
    assert_eq!(open(folder.path()).unwrap().kind, data::Kind::ClassFolders);
}

/// A scan of many gigabytes can be stopped.
#[test]
fn scanning_can_be_stopped() {
    struct Stop;
    impl resnet_cpu::runtime::Watch for Stop {
        fn progress(&self, _: &'static str, _: u64, _: Option<u64>) {}
        fn stopped(&self) -> bool {
            true
        }
    }
    let folder = folder_of(&[("train.tar", samples(3, 0))]);
    let tar = folder.path().join("train.tar");
    std::fs::File::options().write(true).open(&tar).unwrap().set_len(1 << 30).unwrap();
    assert!(matches!(scan_shard(&tar, &Stop), Err(data::Error::Interrupted)));
    let stopped = data::open_cached(Some(folder.path()), Limits::default(), &Cache::none(), &Stop);
    assert!(matches!(stopped, Err(data::Error::Interrupted)));
}
