//! Real images: decoding and preprocessing against files that Pillow and NumPy made, odd formats,
//! CIFAR records, class names. The files are not part of the package; without them these tests say
//! so and pass.

mod common;

use std::path::PathBuf;

use resnet_cpu::data::{
    CifarRecords, Error, Limits, Preprocess, RgbImage, collect_images, read_image,
};
use resnet_cpu::infer::labels;
use resnet_cpu::runtime::Unwatched;
use resnet_cpu::weights::DataSet;

/// The folder of real data.
fn data_folder() -> Option<PathBuf> {
    common::test_data("")
}

fn read(path: PathBuf) -> Result<RgbImage, Error> {
    read_image(&path, &Limits::default())
}

/// The floats of a version 1 `.npy` file of little-endian f32.
fn read_npy(path: PathBuf) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let floats = bytes[10 + header..].chunks_exact(4);
    floats.map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// The reference decoded with libjpeg-turbo: inputs differ by what the two decoders differ in.
#[test]
fn inputs_equal_the_reference_up_to_the_jpeg_decoder() {
    let Some(folder) = data_folder() else { return };
    let samples = folder.join("imagenet-samples");
    let rows = std::fs::read_to_string(samples.join("labels.csv")).unwrap();
    for (i, row) in rows.lines().skip(1).take(4).enumerate() {
        let file = row.split(',').next().unwrap();
        let image = read(samples.join("images").join(file)).unwrap();
        let how = Preprocess::imagenet();
        let mut out = vec![0.0; how.input_len()];
        how.apply(&image, &mut out);
        let expected = read_npy(folder.join(format!("reference/imagenet/input_{i:03}.npy")));
        let plane = how.view.crop * how.view.crop;
        assert_eq!(expected.len(), 3 * plane);
        // In units of a pixel's 0..255.
        let off = |k: usize| {
            let c = k % 3;
            (out[k] - expected[c * plane + k / 3]).abs() * [0.229, 0.224, 0.225][c] * 255.0
        };
        let max = (0..out.len()).map(off).fold(0.0, f32::max);
        let mean = (0..out.len()).map(off).sum::<f32>() / out.len() as f32;
        println!("{file}: max {max:.3}, mean {mean:.5} of 255");
        assert!(max < 3.01 && mean < 0.05, "{file}: max {max}, mean {mean}");
    }
}

#[test]
fn every_sample_of_imagenet_decodes() {
    let Some(folder) = data_folder() else { return };
    let found = collect_images(&[folder.join("imagenet-samples/images")], &Unwatched);
    let found = found.unwrap().images;
    // The extension is .JPEG, in capitals.
    assert_eq!(found.len(), 167);
    for path in found {
        read(path.unwrap()).unwrap();
    }
}

#[test]
fn odd_formats_decode_to_what_pillow_finds() {
    let Some(folder) = data_folder() else { return };
    for (file, width, height, expected) in [
        ("Pillow/hopper.gif", 128, 128, [171, 79, 50]),
        ("Pillow/hopper.png", 128, 128, [173, 70, 55]),
        ("Pillow/hopper.webp", 128, 128, [170, 84, 51]),
        ("Pillow/l_trns.png", 64, 64, [255, 255, 255]),
        ("Pillow/p_16.png", 128, 128, [255, 0, 0]),
        ("Pillow/transparent.png", 200, 150, [138, 48, 48]),
        ("Pillow/hopper_gray.jpg", 128, 128, [99, 99, 99]),
        ("Pillow/pil_sample_cmyk.jpg", 100, 100, [1, 4, 5]),
        ("image-rs/images__jpg__progressive__cat.jpg", 320, 240, [213, 220, 230]),
        ("image-rs/images__png__16bpc__basn2c16.png", 32, 32, [123, 123, 8]),
        ("image-rs/images__gif__anim__large-gif-anim-combine.gif", 1000, 1000, [255, 0, 0]),
        ("image-rs/images__webp__extended_images__anim.webp", 200, 200, [0, 0, 0]),
    ] {
        let image = read(folder.join("formats").join(file)).unwrap();
        assert_eq!((image.width(), image.height()), (width, height), "{file}");
        let middle = &image.row(height / 2)[width / 2 * 3..][..3];
        // JPEG decoders may differ by a little, all others not at all.
        let slack = if file.ends_with(".jpg") { 3 } else { 0 };
        let near = middle.iter().zip(expected).all(|(a, b): (&u8, u8)| a.abs_diff(b) <= slack);
        assert!(near, "{file}: {middle:?}, Pillow has {expected:?}");
    }
}

#[test]
fn orientation_is_applied() {
    let Some(folder) = data_folder() else { return };
    let folder = folder.join("formats/exif-orientation");
    let upright = read(folder.join("Landscape_1.jpg")).unwrap();
    for n in [3, 6, 8] {
        let turned = read(folder.join(format!("Landscape_{n}.jpg"))).unwrap();
        assert_eq!((turned.width(), turned.height()), (upright.width(), upright.height()));
        let pairs = turned.pixels().iter().zip(upright.pixels());
        let off: u64 = pairs.map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        // The images were compressed one by one and differ a little.
        let mean = off as f64 / upright.pixels().len() as f64;
        assert!(mean < 5.0, "orientation {n}: mean difference {mean}");
    }
}

#[test]
fn what_is_broken_is_an_error_of_its_kind() {
    let Some(folder) = data_folder() else { return };
    let error = |file: &str| {
        let error = read(folder.join(file)).unwrap_err();
        assert!(error.to_string().contains(file), "{error}");
        error
    };
    assert!(matches!(error("formats/Pillow/truncated_jpeg.jpg"), Error::Truncated { .. }));
    assert!(matches!(error("formats/Pillow/truncated_image.png"), Error::Truncated { .. }));
    assert!(matches!(error("formats/Pillow/broken.png"), Error::Damaged { .. }));
    assert!(matches!(error("formats/Pillow/LICENSE"), Error::NotAImage { .. }));
    assert!(matches!(error("formats/Pillow"), Error::IsFolder { .. }));
    assert!(matches!(error("formats/none.jpg"), Error::Missing { .. }));
    error("formats/Pillow/decompression_bomb.gif");
    error("formats/image-rs/bad__bmp__Bad_reallybig.bmp");
}

#[test]
fn cifar_records_are_read() {
    let Some(folder) = data_folder() else { return };
    let records = CifarRecords::open(&folder.join("cifar10/lossless/test_0000-0499.bin")).unwrap();
    assert_eq!(records.len(), 500);
    let labels = std::fs::read(folder.join("cifar10/test_labels.u8")).unwrap();
    for (i, &label) in labels[..500].iter().enumerate() {
        assert_eq!(records.label(i), usize::from(label), "image {i}");
    }
    // The first test image is the well-known cat; its first pixel is (158, 112, 49).
    assert_eq!(labels::CIFAR10[records.label(0)], "cat");
    assert_eq!(records.image(0).row(0)[..3], [158, 112, 49]);
}

#[test]
fn class_names_are_in_the_order_of_wordnet_ids() {
    let Some(folder) = data_folder() else { return };
    let names = labels::names_of(DataSet::ImageNet);
    let rows = std::fs::read_to_string(folder.join("imagenet-samples/imagenet_classes.csv"));
    let rows = rows.unwrap();
    let letters =
        |s: &str| s.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    let mut different = 0;
    for (name, row) in names.iter().zip(rows.lines().skip(1)) {
        let listed = row.splitn(3, ',').nth(2).unwrap();
        different += usize::from(letters(name) != letters(listed));
    }
    // "crane bird" and "maillot tank suit": torchvision tells apart what the list names alike.
    assert_eq!(different, 2);
    let cifar = std::fs::read_to_string(folder.join("cifar10/batches.meta.txt")).unwrap();
    assert_eq!(cifar.lines().take(10).collect::<Vec<_>>(), labels::CIFAR10);
}
