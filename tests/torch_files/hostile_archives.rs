//! Zip archives that lie about what they hold.

use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;

use crate::build::{Zip, dict, entries, pair, pair_storage, pickle};
use crate::{assert_refused, open, values};

/// Entries: data.pkl, byteorder, storage 0.
fn sound() -> Zip {
    Zip::new(&entries(&pickle(&dict(&[("weight", pair())])), &[pair_storage()]))
}

#[test]
fn the_sound_archive_is_read() {
    let zip = sound();
    let file = open(&zip.bytes).unwrap();
    assert_eq!(values(&file), [("weight".to_owned(), vec![1.5, -2.0])]);
    // A comment at the end is allowed.
    let end = zip.end;
    let commented = [&zip.patched(end + 20, &[3, 0]).bytes[..], b"abc"].concat();
    assert!(open(&commented).is_ok());
}

#[test]
fn a_bomb_is_not_unpacked() {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    for _ in 0..1000 {
        encoder.write_all(&[0; 100_000]).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    let size = u32::to_le_bytes(100_000_000);
    let zip = Zip::new(&entries(&bomb, &[]));
    let (central, local) = (zip.central[0], zip.local[0]);
    let zip = zip.patched(central + 10, &[8, 0]).patched(central + 24, &size);
    let zip = zip.patched(local + 8, &[8, 0]).patched(local + 22, &size);
    assert_refused(&zip.bytes, &["entry m/data.pkl", "compressed"]);
}

#[test]
fn a_huge_pickle_is_not_read() {
    let huge = vec![b' '; (16 << 20) + 1];
    assert_refused(&Zip::new(&entries(&huge, &[])).bytes, &["its pickle takes 16777217 bytes"]);
}

#[test]
fn entries_must_be_apart_and_inside() {
    let at = |entry: usize, field: usize, value: u32| {
        let zip = sound();
        let at = zip.central[entry] + field;
        zip.patched(at, &value.to_le_bytes()).bytes
    };
    let len = sound().bytes.len() as u32;
    for offset in [len, len - 4, u32::MAX, sound().central[0] as u32] {
        assert_refused(&at(2, 42, offset), &["entry m/data/0: it lies beyond the end"]);
    }
    assert_refused(&at(2, 42, 1), &["contradict"]);
    // The storage's entry is the pickle's: another name there.
    assert_refused(&at(2, 42, 0), &["entry m/data/0", "contradict"]);
    let zip = sound();
    for size in [len, u32::MAX, 0x8000_0000] {
        let central = zip.central[2];
        let patched = sound().patched(central + 20, &[size; 2].map(u32::to_le_bytes).concat());
        assert_refused(&patched.bytes, &["entry m/data/0: it lies beyond the end"]);
    }
    assert_refused(&at(2, 24, 9), &["two sizes differ"]);
    // byteorder grows over the storage behind it.
    let size = 10_u32.to_le_bytes();
    let overlapping = sound().patched(zip.central[1] + 20, &[size, size].concat());
    assert_refused(&overlapping.bytes, &["entries m/byteorder and m/data/0 overlap"]);

    // Two directory entries of one content.
    let twice =
        [("m/data.pkl".to_owned(), b"N.".to_vec()), ("m/data.pkl".to_owned(), b"N.".to_vec())];
    assert_refused(&Zip::new(&twice).bytes, &["two entries m/data.pkl"]);
    let encrypted = sound().patched(zip.central[0] + 8, &[9, 8]);
    assert_refused(&encrypted.bytes, &["encrypted"]);
    let unnamed = sound().patched(zip.local[0] + 30, b"n");
    assert_refused(&unnamed.bytes, &["contradict"]);
}

#[test]
fn the_directory_must_be_sound() {
    let zip = sound();
    let (end, start) = (zip.end, zip.central[0] as u32);
    let patched = |field: usize, bytes: &[u8]| sound().patched(end + field, bytes).bytes;
    // More or fewer entries than there are.
    assert_refused(&patched(10, &[4, 0]), &["cut short"]);
    assert_refused(&patched(10, &[2, 0]), &["left over"]);
    assert_refused(&patched(10, &[0, 0]), &["left over"]);
    // It starts before, behind, beyond; it reaches into its own end.
    for offset in [0, start - 1, start + 1] {
        assert_refused(&patched(16, &offset.to_le_bytes()), &["damaged"]);
    }
    for offset in [start + 47, end as u32, u32::MAX - 1] {
        assert_refused(&patched(16, &offset.to_le_bytes()), &["not before its end"]);
    }
    assert_refused(&patched(12, &(u32::MAX - 1).to_le_bytes()), &["not before its end"]);
    assert_refused(&patched(16, &u32::MAX.to_le_bytes()), &["4 GiB or more"]);
    assert_refused(&patched(10, &[0xff, 0xff]), &["4 GiB or more"]);
    assert_refused(&sound().bytes[..end], &["without its directory"]);
}

#[test]
fn other_archives_are_called_what_they_are() {
    let pickle = pickle(&dict(&[("weight", pair())]));
    let with = |name: &str, data: &[u8]| {
        let mut entries = entries(&pickle, &[pair_storage()]);
        entries.push((name.to_owned(), data.to_vec()));
        Zip::new(&entries).bytes
    };
    assert!(open(&with("m/version", b"3\n")).is_ok());
    assert_refused(&with("m/constants.pkl", b""), &["TorchScript"]);
    assert_refused(&with("n/data.pkl", b""), &["without one data.pkl"]);
    let text = [("word/document.xml".to_owned(), b"<x/>".to_vec())];
    assert_refused(&Zip::new(&text).bytes, &["without one data.pkl"]);
    let mut entries = entries(&pickle, &[pair_storage()]);
    entries[1].1 = b"big".to_vec();
    assert_refused(&Zip::new(&entries).bytes, &["big-endian"]);
}
