//! Damage of a packed set: whatever byte is changed, wherever a file is cut, and whatever happens to it between
//! two records, is found and named.

use super::*;
use resnet_cpu::data::shards::Shards;
use resnet_cpu::runtime::Rng;

/// Changes of a byte that are tried for each file.
const CHANGES: usize = 250;

#[test]
fn every_changed_byte_is_found_and_named() {
    let packed = Packed::small();
    let whole = contents(packed.path());
    let mut rng = Rng::named(0, "changed bytes of shards");
    for (name, bytes) in &whole {
        for _ in 0..CHANGES {
            let at = rng.below(bytes.len());
            let change = 1 + rng.below(255) as u8;
            let mut changed = bytes.clone();
            changed[at] ^= change;
            std::fs::write(packed.at(name), &changed).unwrap();
            let found = problems(packed.path());
            let named = found.iter().any(|problem| problem.contains(name.as_str()));
            assert!(named, "{name}, byte {at} ^ {change}: {found:?}");
        }
        std::fs::write(packed.at(name), bytes).unwrap();
    }
    assert!(problems(packed.path()).is_empty());
}

#[test]
fn every_cut_and_every_missing_file_is_found_and_named() {
    let packed = Packed::small();
    let whole = contents(packed.path());
    let mut rng = Rng::named(0, "cut shards");
    for (name, bytes) in &whole {
        for _ in 0..20 {
            std::fs::write(packed.at(name), &bytes[..rng.below(bytes.len())]).unwrap();
            assert!(error(packed.path()).contains(name.as_str()), "{name}");
            assert!(problems(packed.path())[0].contains(name.as_str()), "{name}");
        }
        std::fs::write(packed.at(name), [&bytes[..], b"\0"].concat()).unwrap();
        assert!(error(packed.path()).contains(name.as_str()), "{name}");
        std::fs::remove_file(packed.at(name)).unwrap();
        if name != "dataset.json" {
            assert!(problems(packed.path())[0].contains(name.as_str()), "{name}");
        }
        std::fs::write(packed.at(name), bytes).unwrap();
    }
}

/// What does not change sizes is found when the record is read, at the latest.
#[test]
fn a_changed_image_is_found_when_it_is_read() {
    let packed = Packed::small();
    let tar = packed.at("train-000000.tar");
    let bytes = std::fs::read(&tar).unwrap();
    let record = open_train(&packed).entry(2).offset as usize;
    let mut changed = bytes.clone();
    changed[record + 5] ^= 1;
    std::fs::write(&tar, &changed).unwrap();
    let train = open(packed.path()).unwrap().train;
    let failed: Vec<usize> = (0..7).filter(|&index| train.image(index).is_err()).collect();
    assert_eq!(failed, [2]);
    let message = train.image(2).unwrap_err().to_string();
    assert!(message.contains("train-000000.tar, record 2 (000002.jpg): damaged record: "));
    assert!(problems(packed.path())[0].contains("train-000000.tar, record 2 (000002.jpg)"));
}

fn open_train(packed: &Packed) -> Shards {
    let set = ShardSet::find(packed.path(), &Unwatched).unwrap().unwrap();
    set.open("train", Limits::default(), &Cache::none(), &Unwatched).unwrap()
}

/// Cut, grown, touched, written into, replaced by a twin, removed: between two records.
#[test]
fn a_shard_that_changes_between_records_is_named() {
    let packed = Packed::small();
    let tar = packed.at("train-000001.tar");
    let bytes = std::fs::read(&tar).unwrap();
    let file = || std::fs::File::options().write(true).open(&tar).unwrap();
    let damages: [(&str, &dyn Fn()); 6] = [
        ("and has 600 now", &|| file().set_len(600).unwrap()),
        ("and has 90000 now", &|| file().set_len(90_000).unwrap()),
        ("its time of modification is another", &|| {
            file().set_modified(std::time::UNIX_EPOCH).unwrap();
        }),
        ("its time of modification is another", &|| {
            // Later than the time of the file, however coarse its clock is.
            std::thread::sleep(std::time::Duration::from_millis(20));
            std::io::Write::write_all(&mut file(), &bytes).unwrap();
        }),
        ("another file has its name", &|| {
            let modified = std::fs::metadata(&tar).unwrap().modified().unwrap();
            let beside = packed.at("beside");
            std::fs::write(&beside, &bytes).unwrap();
            std::fs::rename(&beside, &tar).unwrap();
            file().set_modified(modified).unwrap();
        }),
        ("no such file", &|| std::fs::remove_file(&tar).unwrap()),
    ];
    for (words, damage) in damages {
        std::fs::write(&tar, &bytes).unwrap();
        let train = open_train(&packed);
        assert!(train.image(4).is_ok());
        damage();
        let message = train.image(5).unwrap_err().to_string();
        assert!(message.contains("train-000001.tar: ") && message.contains(words), "{message}");
        // Other shards are not touched by it.
        assert!(train.image(0).is_ok());
    }
}

/// Checksums can be right and the set still be wrong.
#[test]
fn a_shard_of_another_set_is_refused() {
    let (packed, mut other) = (Packed::small(), Packed::new(&["ant", "bee", "cow"]));
    other.shard("train", &[(0, "jpg"), (1, "ppm"), (2, "jpg"), (1, "png")]);
    for file in ["train-000000.tar", "train-000000.tar.index"] {
        std::fs::copy(other.at(file), packed.at(file)).unwrap();
    }
    let message = error(packed.path());
    assert!(message.contains("train-000000.tar.index: not an index as expected"), "{message}");
    std::fs::remove_file(packed.at("train-000000.tar.index")).unwrap();
    let message = error(packed.path());
    assert!(message.contains("train-000000.tar: not a shard as expected"), "{message}");
}

/// Images that were damaged before they were packed.
#[test]
fn images_that_do_not_decode_are_named() {
    let mut packed = Packed::new(&["a", "b"]);
    let whole = encoded(&image(1), "jpg");
    let path = packed.at("train-000000.tar");
    let index = write_shard::<std::io::Error>(&Disk, &path, |shard| {
        shard.add("0", "jpg", &whole, 0, 0)?;
        shard.add("1", "jpg", &whole[..whole.len() / 2], 1, 0)?;
        shard.add("2", "jpg", b"", 1, 0)
    });
    let Index { records, bytes, crc } = index.unwrap();
    let (name, records) = ("train-000000.tar".to_owned(), records.len() as u64);
    let shards = vec![ShardInfo { name, records, bytes, crc32c: crc }];
    let split = Split { images: records, shards, skipped: Vec::new() };
    packed.manifest.splits.insert("train".to_owned(), split);
    packed.describe();
    let problems = problems(packed.path());
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("record 1 (1.jpg): truncated image"), "{problems:?}");
    assert!(problems[1].contains("record 2 (2.jpg): expected an image"), "{problems:?}");
    let train = open(packed.path()).unwrap().train;
    assert!(train.image(1).unwrap_err().to_string().contains("record 1 (1.jpg): truncated"));
}
