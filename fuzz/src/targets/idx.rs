//! Any bytes as a data set of idx files. The first byte says which of the two files are gzipped here
//! (a checksum would hide them from mutation), the second how many of the bytes are the labels; the
//! rest of the bytes are the images.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use resnet_cpu::data::open;

use super::scratch;

/// One input.
pub fn run(bytes: &[u8]) {
    let [flags, split, rest @ ..] = bytes else { return };
    let (labels, images) = rest.split_at(usize::from(*split).min(rest.len()));
    let path = scratch(|scratch| {
        scratch.put("train-labels-idx1-ubyte", &maybe_zipped(labels, flags & 1 != 0));
        scratch.put("train-images-idx3-ubyte", &maybe_zipped(images, flags & 2 != 0))
    });
    let Ok(splits) = open(path.parent()) else { return };
    for index in 0..splits.train.len() {
        assert!(splits.train.label(index) < splits.train.classes());
        let image = splits.train.image(index).unwrap();
        assert!((1..=32).contains(&image.width()) && (1..=32).contains(&image.height()));
    }
}

fn maybe_zipped(bytes: &[u8], zip: bool) -> Vec<u8> {
    if !zip {
        return bytes.to_vec();
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}
