//! Sets that were packed: what is read from them, and by what they are known.

use super::*;
use resnet_cpu::data::shards::Within;
use resnet_cpu::data::{JpegDecoder, Kind, ValidationOrigin};

#[test]
fn a_packed_set_is_read_as_it_was_written() {
    let packed = Packed::small();
    let splits = open(packed.path()).unwrap();
    let (train, val) = (splits.train, splits.val.unwrap());
    assert_eq!((splits.kind, splits.origin), (Kind::Shards, ValidationOrigin::Val));
    assert_eq!(splits.notes, [""; 0]);
    assert_eq!(labels(&*train), [0, 1, 2, 0, 2, 1, 0]);
    assert_eq!(labels(&*val), [1, 2, 0]);
    assert_eq!(train.class_names().unwrap(), ["ant", "bee", "cow"]);
    // Raw and PNG to the pixel.
    for (index, grey) in [(1, 10), (3, 30), (4, 40), (6, 60)] {
        assert_eq!(train.image(index).unwrap(), image(grey), "{index}");
    }
    assert_eq!(val.image(1).unwrap(), image(110));
    assert_eq!(train.image(5).unwrap().width(), 9);
    assert!(problems(packed.path()).is_empty());
}

#[test]
fn the_same_records_are_the_same_bytes_and_anyone_reads_them() {
    let (one, two) = (Packed::small(), Packed::small());
    assert_eq!(contents(one.path()), contents(two.path()));
    let names: Vec<String> = contents(one.path()).into_keys().collect();
    assert_eq!(
        names,
        [
            "dataset.json",
            "train-000000.tar",
            "train-000000.tar.index",
            "train-000001.tar",
            "train-000001.tar.index",
            "val-000000.tar",
            "val-000000.tar.index"
        ]
    );
    let bytes = std::fs::read(one.at("train-000000.tar")).unwrap();
    let mut tar = tar::Archive::new(&bytes[..]);
    let files: Vec<_> = tar
        .entries()
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            assert!(header.as_ustar().is_some());
            let owner = (header.uid().unwrap(), header.gid().unwrap(), header.username().unwrap());
            assert_eq!(owner, (0, 0, Some("")));
            assert_eq!((header.mtime().unwrap(), header.mode().unwrap()), (0, 0o644));
            entry.path().unwrap().to_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(files[..4], ["000000.jpg", "000000.cls", "000001.ppm", "000001.cls"]);
    assert_eq!(files.len(), 8);
}

#[test]
fn the_fingerprint_is_of_the_content_not_of_the_place() {
    let packed = Packed::small();
    let fingerprint = open(packed.path()).unwrap().train.fingerprint();
    assert!(fingerprint.starts_with("shards, 7 pictures, 3 classes, "), "{fingerprint}");
    assert_eq!(open(Packed::small().path()).unwrap().train.fingerprint(), fingerprint);
    assert_ne!(open(packed.path()).unwrap().val.unwrap().fingerprint(), fingerprint);
    // An index that was made again is of the same tar.
    std::fs::remove_file(packed.at("train-000001.tar.index")).unwrap();
    assert_eq!(open(packed.path()).unwrap().train.fingerprint(), fingerprint);
    assert!(packed.at("train-000001.tar.index").exists());
    let mut other = Packed::new(&["ant", "bee", "cow"]);
    other.shard("train", &[(0, "jpg"), (1, "ppm"), (2, "jpg"), (1, "png")]);
    other.shard("train", &[(2, "ppm"), (1, "jpg"), (0, "ppm")]);
    other.describe();
    assert_ne!(open(other.path()).unwrap().train.fingerprint(), fingerprint);
}

#[test]
fn a_single_tar_is_a_set_of_one_shard() {
    let packed = Packed::small();
    let splits = open(&packed.at("train-000001.tar")).unwrap();
    assert_eq!((labels(&*splits.train), splits.val.is_none()), (vec![2, 1, 0], true));
    assert_eq!(splits.train.class_names().unwrap(), ["ant", "bee", "cow"]);
    assert!(splits.notes.iter().any(|note| note.contains("nothing is validated")));
    let val = open(&packed.at("val-000000.tar")).unwrap();
    assert_eq!(labels(&*val.train), [1, 2, 0]);
}

#[test]
fn what_a_description_does_not_list_is_not_used() {
    let packed = Packed::small();
    std::fs::copy(packed.at("val-000000.tar"), packed.at("train-000002.tar")).unwrap();
    let splits = open(packed.path()).unwrap();
    assert_eq!(splits.train.len(), 7);
    assert!(splits.notes[0].ends_with("1 tars are not used: dataset.json does not list them"));
}

#[test]
fn parts_that_lack_something() {
    let mut packed = Packed::new(&["a", "b", "c"]);
    packed.shard("test", &[(0, "png"), (1, "png")]);
    packed.describe();
    let splits = open(packed.path()).unwrap();
    assert_eq!((splits.train.len(), splits.val.is_none()), (2, true));
    assert!(splits.notes[0].ends_with("no shards for training; those of test are all of the set"));
    assert!(splits.notes[1].ends_with("1 of 3 classes have no training image (the first: 2)"));
    packed.shard("train", &[(0, "png"), (1, "png")]);
    packed.describe();
    let splits = open(packed.path()).unwrap();
    assert_eq!((splits.origin, splits.val.unwrap().len()), (ValidationOrigin::Test, 2));
    // A label that is no class.
    packed.shard("train", &[(0, "png"), (3, "png")]);
    packed.describe();
    let message = error(packed.path());
    assert!(message.contains("train-000001.tar, record 1 (000003.png): "), "{message}");
    assert!(message.ends_with("expected a class of 0 to 2, found 3"), "{message}");
    assert!(problems(packed.path()).iter().any(|problem| problem == &message));
    let single = Packed::new(&["a"]);
    assert_eq!(single.manifest.splits.len(), 0);
    single.describe();
    assert!(error(single.path()).contains("expected shards, found none"));
}

#[test]
fn the_same_image_in_two_parts_is_named() {
    let mut packed = Packed::small();
    let twin = encoded(&image(40), "ppm");
    let path = packed.at("val-000001.tar");
    let index = write_shard::<std::io::Error>(&Disk, &path, |shard| {
        shard.add("twin", "ppm", &twin, 1, Record::RAW | Record::UNTOUCHED)
    });
    let Index { records, bytes, crc } = index.unwrap();
    let (name, records) = ("val-000001.tar".to_owned(), records.len() as u64);
    let val: &mut Split = packed.manifest.splits.get_mut("val").unwrap();
    val.shards.push(ShardInfo { name, records, bytes, crc32c: crc });
    val.images += 1;
    packed.describe();
    let problems = problems(packed.path());
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("val-000001.tar, record 0 (twin.ppm): "));
    assert!(problems[0].contains("the same image is in train: "));
    assert!(problems[0].ends_with("train-000001.tar, record 0 (000004.ppm)"));
}

#[test]
fn records_are_bytes_as_they_were_packed() {
    let packed = Packed::small();
    let set = ShardSet::find(packed.path(), &Unwatched).unwrap().unwrap();
    let train = set.open("train", Limits::default(), &Cache::none(), &Unwatched).unwrap();
    assert_eq!(train.record(4).unwrap(), encoded(&image(40), "ppm"));
    assert_eq!(train.record(0).unwrap(), encoded(&image(0), "jpg"));
    assert_eq!(train.entry(4).flags, Record::RAW);
    assert!(train.name(4).ends_with("train-000001.tar, record 0 (000004.ppm)"));
}

/// Keys and extensions that would make a tar that nobody reads as it was meant.
#[test]
fn what_cannot_be_a_record_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("train-000000.tar");
    let long = "k".repeat(200);
    for (key, extension) in [("", "jpg"), ("a.b", "jpg"), ("a/b", "jpg"), ("a", ""), (&long, "jpg")]
    {
        let written = write_shard::<std::io::Error>(&Disk, &path, |shard| {
            shard.add(key, extension, b"image", 0, 0)
        });
        assert!(written.is_err(), "{key}.{extension}");
        assert!(contents(folder.path()).is_empty());
    }
}

/// What only the index knew, that bytes are those of a file, is lost, and nothing depends on it.
#[test]
fn an_index_that_is_lost_is_made_again_and_changes_nothing() {
    let packed = Packed::small();
    let (tar, index) = (packed.at("train-000000.tar"), packed.at("train-000000.tar.index"));
    let mut marked = Index::read(&index).unwrap();
    marked.records.iter_mut().for_each(|record| record.flags |= Record::UNTOUCHED);
    std::fs::write(&index, marked.to_bytes()).unwrap();
    let before = open(packed.path()).unwrap().train;
    assert!(problems(packed.path()).is_empty());
    std::fs::remove_file(&index).unwrap();
    let after = open(packed.path()).unwrap().train;
    assert_eq!(after.fingerprint(), before.fingerprint());
    assert_eq!((after.stamp(), after.is_verified()), (before.stamp(), true));
    for i in 0..before.len() {
        assert_eq!(after.image(i).unwrap(), before.image(i).unwrap());
    }
    assert!(problems(packed.path()).is_empty());
    let made = Index::read(&Index::path(&tar)).unwrap();
    let flags = |index: &Index| index.records.iter().map(|r| r.flags).collect::<Vec<_>>();
    assert_eq!((flags(&marked), flags(&made)), (vec![2, 3, 2, 2], vec![0, 1, 0, 0]));
}

#[test]
fn all_is_known_to_be_good_within_the_limits_of_the_pack() {
    let mut packed = Packed::small();
    let usual = Limits::default();
    let open = |packed: &Packed, limits: Limits| {
        let set = ShardSet::find(packed.path(), &Unwatched).unwrap().unwrap();
        set.open("train", limits, &Cache::none(), &Unwatched).unwrap().is_verified()
    };
    assert!(open(&packed, usual));
    assert!(!open(&packed, Limits { side: usual.side - 1, ..usual }));
    assert!(!open(&packed, Limits { decoder: JpegDecoder::LibjpegTurbo, ..usual }));
    for (side, bytes) in [(20_000, usual.bytes), (usual.side, 1 << 30), (100, 5000)] {
        packed.manifest.within = Within { side, bytes };
        packed.describe();
        assert_eq!(open(&packed, usual), side == 100);
        assert!(open(&packed, Limits { side, bytes, ..usual }));
        assert!(!open(&packed, Limits { side: side - 1, bytes, ..usual }));
        assert!(!open(&packed, Limits { side, bytes: bytes - 1, ..usual }));
    }
}
