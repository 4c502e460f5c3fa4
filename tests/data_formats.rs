//! Every image: each variant of each format against what Pillow makes of it, or against our own rule
//! where that is another (docs/formats.md). `tests/data/formats.py` writes images and expectations.

mod common;

use resnet_cpu::data::{Error, Limits, RgbImage, read_image};
use resnet_cpu::runtime::Unwatched;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(serde::Deserialize)]
struct Golden {
    cases: Vec<Case>,
    /// `[height, width, 3]` bytes, hexadecimal.
    images: Vec<String>,
    real: Vec<Real>,
}

#[derive(serde::Deserialize)]
struct Case {
    file: String,
    by: String,
    size: [usize; 2],
    /// Which of the images.
    pixels: usize,
}

#[derive(serde::Deserialize)]
struct Real {
    file: String,
    size: [usize; 2],
    /// Mean colours of 8 x 8 parts, `[8, 8, 3]`.
    cells: Vec<f64>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("data/formats.json")).unwrap()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/formats")
}

fn read(path: &Path) -> Result<RgbImage, Error> {
    read_image(path, &Limits::default())
}

/// How far values may be from Pillow's, each and in the mean. Lossless formats decode to the same
/// bits, as does lossy WebP, whose arithmetic the standard fixes.
fn tolerance(file: &str) -> (u8, f64) {
    match file {
        // The inverse transform and the upsampling of colour are the decoder's own.
        _ if file.contains("jpeg") => (3, 0.5),
        // Rounded here, cut off there.
        _ if file.contains("-16") || file.contains("16bpc") || file.starts_with("bmp/rgb-5") => {
            (1, 0.5)
        }
        "tiff/cmyk-8.tif" => (1, 0.5),
        _ => (0, 0.0),
    }
}

#[test]
fn every_variant_has_the_pixels_of_its_rule() {
    let Golden { cases, images, .. } = golden();
    let mut worst: BTreeMap<&str, (u8, f64)> = BTreeMap::new();
    for case in &cases {
        let image = read(&folder().join(&case.file)).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!([image.width(), image.height()], case.size, "{}", case.file);
        let hex = images[case.pixels].as_bytes().as_chunks::<2>().0;
        let byte = |pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
        let expected = hex.iter().map(|pair| byte(pair.as_slice()));
        let differences: Vec<u8> =
            image.pixels().iter().zip(expected).map(|(a, b)| a.abs_diff(b)).collect();
        assert_eq!(differences.len(), image.pixels().len());
        let max = *differences.iter().max().unwrap();
        let sum: f64 = differences.iter().copied().map(f64::from).sum();
        let mean = sum / differences.len() as f64;
        let (max_allowed, mean_allowed) = match &*case.by {
            "rule" => (0, 0.0),
            _ => tolerance(&case.file),
        };
        assert!(max <= max_allowed && mean <= mean_allowed, "{}: {max}, {mean}", case.file);
        let format = case.file.split('/').next().unwrap();
        let worst = worst.entry(format).or_default();
        *worst = (worst.0.max(max), worst.1.max(mean));
    }
    for (format, (max, mean)) in worst {
        println!("{format}: at most {max} from Pillow, in the mean of an image {mean:.3}");
    }
}

#[test]
fn what_is_refused_says_why() {
    let refused = [
        ("bmp/refused-cut.bmp", "truncated image"),
        ("bmp/refused-huge.bmp", "(3000000, 2000000)"),
        ("gif/refused-cut.gif", "truncated image"),
        ("gif/refused-huge.gif", "at most 16384 pixels per side, found 65535x65535"),
        ("gif/refused-huge-frame.gif", "at most 16384 pixels per side, found 65013x14"),
        ("gif/refused-no-frame.gif", "truncated image"),
        ("gif/refused-no-palette.gif", "no color table"),
        (
            "jpeg/refused-12-bit.jpg",
            "unsupported image: expected a baseline or progressive JPEG of 8 bits, found 12 bits",
        ),
        (
            "jpeg/refused-arithmetic.jpg",
            "unsupported image: expected a baseline or progressive JPEG of 8 bits, found arithmetic coding",
        ),
        ("jpeg/refused-cut.jpg", "truncated image"),
        ("jpeg/refused-lossless.jpg", "found lossless coding"),
        ("jpeg/refused-no-pixels.jpg", "zero"),
        (
            "png/refused-bomb.png",
            "at most 268435456 bytes decoded, found 16384x16384, 2147483648 bytes",
        ),
        ("png/refused-checksum.png", "damaged image"),
        ("png/refused-cut.png", "truncated image"),
        ("png/refused-huge.png", "at most 16384 pixels per side, found 50000x50000"),
        ("tiff/refused-cut.tif", "truncated image"),
        ("tiff/refused-float-grey.tif", "unsupported image: Tiff pixels of 32 bits"),
        ("tiff/refused-grey-4.tif", "unsupported image: Tiff pixels of 4 bits"),
        ("tiff/refused-grey-alpha.tif", "unsupported image"),
        ("tiff/refused-huge.tif", "at most 16384 pixels per side, found 1073741824x11"),
        ("tiff/refused-palette.tif", "unsupported image"),
        ("webp/refused-cut.webp", "truncated image"),
    ];
    for (file, words) in refused {
        let path = folder().join(file);
        let message = read(&path).expect_err(file).to_string();
        let expected = format!("{}: ", path.display());
        assert!(message.starts_with(&expected) && message.contains(words), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
    let files = resnet_cpu::data::collect_images(&[folder()], &Unwatched).unwrap().images.len();
    assert_eq!(files, refused.len() + golden().cases.len(), "every file is tested");
}

/// Means over 8 x 8 parts: a turned, shifted or wrongly coloured image is far off.
#[test]
fn real_files_look_as_pillow_shows_them() {
    let Some(real) = common::test_data("formats") else { return };
    for Real { file, size, cells } in golden().real {
        let image = read(&real.join(&file)).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!([image.width(), image.height()], size, "{file}");
        // Half of the last digit that is stored, and how far a decoder may be off in the mean.
        let allowed = match file.ends_with(".jpg") {
            // Half a step of the chroma, in the channel where it weighs most.
            true => 0.05 + 0.9,
            false => 0.051 + tolerance(&file).1,
        };
        let worst = our_cells(&image).into_iter().zip(cells).map(|(a, b)| (a - b).abs());
        let worst = worst.fold(0.0, f64::max);
        println!("{file}: {worst:.3}");
        assert!(worst <= allowed, "{file}: {worst}");
    }
}

fn our_cells(image: &RgbImage) -> Vec<f64> {
    let (width, height) = (image.width(), image.height());
    let mut means = Vec::new();
    for cell in 0..64 {
        let (column, row) = (cell % 8, cell / 8);
        let (left, right) = (width * column / 8, width * (column + 1) / 8);
        let (top, bottom) = (height * row / 8, height * (row + 1) / 8);
        let mut sums = [0; 3];
        for y in top..bottom {
            for pixel in image.row(y)[left * 3..right * 3].as_chunks::<3>().0 {
                sums.iter_mut().zip(pixel).for_each(|(sum, &byte)| *sum += u32::from(byte));
            }
        }
        let count = ((right - left) * (bottom - top)) as f64;
        means.extend(sums.map(|sum| f64::from(sum) / count));
    }
    means
}
