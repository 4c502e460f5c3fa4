//! Packed sets of drawn images, for tests.

use resnet_cpu::data::shards::{Index, Manifest, RawImage, Record, ShardInfo, write_shard};
use resnet_cpu::data::{RgbImage, demo};
use resnet_cpu::runtime::Disk;
use std::io::Cursor;
use std::ops::Range;
use std::path::Path;

/// Writes shards of at most `most` drawn images into `folder`, raw and PNG by turns, and their description.
pub(crate) fn pack(folder: &Path, parts: &[(&str, Range<u64>)], most: usize) -> Manifest {
    std::fs::create_dir_all(folder).unwrap();
    let mut manifest = Manifest::new(demo::CLASSES.map(String::from).to_vec());
    for (part, images) in parts {
        let split = manifest.splits.entry((*part).to_owned()).or_default();
        let images: Vec<u64> = images.clone().collect();
        for (number, images) in images.chunks(most).enumerate() {
            let name = format!("{part}-{number:06}.tar");
            let index = write_shard::<std::io::Error>(&Disk, &folder.join(&name), |shard| {
                for &i in images {
                    let (image, label) = demo::image(9, i);
                    let (key, label) = (format!("{i:06}"), label as u32);
                    match i % 2 {
                        0 => shard.add(&key, "png", &png(&image), label, 0)?,
                        _ => {
                            shard.add(&key, "ppm", &RawImage::encode(&image), label, Record::RAW)?
                        }
                    }
                }
                Ok(())
            });
            let Index { records, bytes, crc } = index.unwrap();
            let records = records.len() as u64;
            split.images += records;
            split.shards.push(ShardInfo { name, records, bytes, crc32c: crc });
        }
    }
    manifest.write(&Disk, folder).unwrap();
    manifest
}

/// The bytes of a PNG file.
pub(crate) fn png(image: &RgbImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let (width, height) = (image.width() as u32, image.height() as u32);
    let (png, rgb) = (image::ImageFormat::Png, image::ExtendedColorType::Rgb8);
    image::write_buffer_with_format(&mut bytes, image.pixels(), width, height, rgb, png).unwrap();
    bytes.into_inner()
}
