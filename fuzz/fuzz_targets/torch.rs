//! Any bytes as a file that `torch.save` wrote, and as the pickle in one that is otherwise sound: so
//! that the pickle is reached without guessing the archive around it. The values are read.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use resnet_cpu::weights::TensorFile;

fuzz_target!(|bytes: &[u8]| {
    read(bytes.to_vec());
    read(archive(&[("a/data.pkl", bytes), ("a/data/0", &[60; 256]), ("a/data/1", &[65; 64])]));
});

fn read(bytes: Vec<u8>) {
    let len = bytes.len();
    let Ok(file) = TensorFile::from_bytes(bytes, Path::new("fuzz")) else { return };
    for tensor in file.tensors() {
        assert!(tensor.byte_len() <= len);
        if let Some(values) = file.values(tensor).expect("they are in memory") {
            assert_eq!(values.len(), tensor.shape.iter().product::<usize>());
        }
    }
}

/// A zip archive of stored files without checksums.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let [at, name_len] = [archive.len() as u32, name.len() as u32].map(u32::to_le_bytes);
        let len = (content.len() as u32).to_le_bytes();
        // Version, flags, method, time, date, checksum: all zero.
        archive.extend([&b"PK\x03\x04"[..], &[0; 14], &len, &len, &name_len].concat());
        archive.extend([name.as_bytes(), content].concat());
        // Two versions and the same fields; zeros between the name's length and the place.
        directory.extend([&b"PK\x01\x02"[..], &[0; 16], &len, &len, &name_len].concat());
        directory.extend([&[0; 10][..], &at, name.as_bytes()].concat());
    }
    let [start, len] = [archive.len() as u32, directory.len() as u32].map(u32::to_le_bytes);
    let count = (files.len() as u16).to_le_bytes();
    archive.extend(directory);
    archive.extend([&b"PK\x05\x06"[..], &[0; 4], &count, &count, &len, &start, &[0; 2]].concat());
    archive
}
