//! JPEG files of every layout: the right pixels, or a refusal that names the layout. Never garbage.

mod common;
#[path = "common/jpeg.rs"]
mod jpeg;

use image::codecs::jpeg::JpegEncoder;
use jpeg::Layout;
use resnet_cpu::data::{Error, Limits, RgbImage, Window, decode, decode_part, read_image};
use std::path::Path;

fn read(bytes: &[u8]) -> Result<RgbImage, Error> {
    decode(bytes, Path::new("a.jpg"), &Limits::default())
}

/// The largest difference of a value, and the mean.
fn difference(a: &[u8], b: &[u8]) -> (u8, f64) {
    assert_eq!(a.len(), b.len());
    let differences = || a.iter().zip(b).map(|(a, b)| a.abs_diff(*b));
    let sum: f64 = differences().map(f64::from).sum();
    (differences().max().unwrap(), sum / a.len() as f64)
}

/// Whether it was read; if so, the pixels are right.
#[track_caller]
fn is_read(layout: &Layout) -> bool {
    match read(&layout.bytes()) {
        Ok(image) => {
            assert_eq!((image.width(), image.height()), (layout.width, layout.height));
            let (most, mean) = difference(image.pixels(), &layout.rgb());
            assert!(most <= 8 && mean < 2.0, "{layout:?}: {most}, {mean}");
            true
        }
        Err(error) => {
            let factors: Vec<String> =
                layout.sampling.iter().map(|(h, v)| format!("{h}x{v}")).collect();
            let expected = format!("JPEG with sampling factors {}", factors.join(", "));
            assert!(error.to_string().ends_with(&expected), "{layout:?}: {error}");
            false
        }
    }
}

const SCANS: [&[&[usize]]; 4] =
    [&[&[0, 1, 2]], &[&[0], &[1], &[2]], &[&[0], &[1, 2]], &[&[0, 1], &[2]]];

/// A frame after the scan, of another size: the part that is wanted is chosen of the image that is there, and what
/// becomes of the file is the same for all of it and for a part.
#[test]
fn a_second_frame_is_refused_as_a_whole_and_in_part() {
    let (width, height) = (40, 24);
    let pixels: Vec<u8> = (0..width * height * 3).map(|i| (i % 251) as u8).collect();
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 90);
    encoder.encode(&pixels, width, height, image::ExtendedColorType::Rgb8).unwrap();
    assert!(read(&bytes).is_ok());
    let frame = bytes.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    let mut second = bytes[frame..frame + 19].to_vec();
    second[5..9].copy_from_slice(&[1, 0, 1, 0]);
    let end = bytes.len() - 2;
    bytes.splice(end..end, second);
    let whole = read(&bytes).unwrap_err().to_string();
    assert!(whole.contains("Two Start of Frame"), "{whole}");
    let mut seen = Vec::new();
    let part = decode_part(&bytes, Path::new("a.jpg"), &Limits::default(), &mut |size| {
        seen.push(size);
        Window::all(size[0], size[1])
    });
    assert_eq!(part.unwrap_err().to_string(), whole);
    assert_eq!(seen, [[40, 24]]);
}

/// What the markers say of colours counts in libjpeg's order, also where the components' names say something else.
#[test]
fn colours_are_those_of_libjpeg() {
    for (jfif, adobe, names, rgb) in [
        (true, Some(0), [1, 2, 3], false),
        (true, None, *b"RGB", false),
        (false, Some(1), *b"RGB", false),
        (false, None, *b"RGB", true),
        (false, Some(0), [1, 2, 3], true),
    ] {
        let mut layout = Layout::colour([(1, 1); 3]);
        layout.adobe = adobe;
        let mut bytes = layout.bytes();
        for marker in [[0xFF, 0xC0], [0xFF, 0xDA]] {
            let at = bytes.windows(2).position(|pair| pair == marker).unwrap();
            let (first, step) = if marker[1] == 0xC0 { (at + 10, 3) } else { (at + 5, 2) };
            (0..3).for_each(|c| bytes[first + c * step] = names[c]);
        }
        if jfif {
            let segment = b"\xFF\xE0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0";
            bytes.splice(2..2, segment.iter().copied());
        }
        layout.adobe = rgb.then_some(0);
        let (most, mean) = difference(read(&bytes).unwrap().pixels(), &layout.rgb());
        assert!(most <= 8 && mean < 2.0, "{jfif} {adobe:?} {names:?}: {most}, {mean}");
    }
}

#[test]
fn every_sampling_in_every_order_of_scans() {
    let factors = || (1..=4).flat_map(|h| (1..=4).map(move |v| (h, v)));
    let (mut read, mut refused) = (0, 0);
    for progressive in [false, true] {
        for scans in SCANS {
            for (luma, blue) in
                factors().flat_map(|l| [(1, 1), (2, 1), (1, 2), (2, 2), (3, 1)].map(|b| (l, b)))
            {
                for red in [blue, (1, 1)] {
                    let mut layout = Layout::colour([luma, blue, red]);
                    layout.progressive = progressive;
                    layout.scans = scans.iter().map(|scan| scan.to_vec()).collect();
                    let units = |scan: &Vec<usize>| -> usize {
                        scan.iter().map(|&c| layout.sampling[c].0 * layout.sampling[c].1).sum()
                    };
                    // The standard has no more than ten blocks in a unit of several components.
                    if layout.scans.iter().any(|scan| scan.len() > 1 && units(scan) > 10) {
                        continue;
                    }
                    if is_read(&layout) { read += 1 } else { refused += 1 }
                }
            }
        }
    }
    println!("{read} layouts read, {refused} refused by name");
    assert!(read > 600, "{read} layouts read, {refused} refused");
}

/// Factors that do not divide each other are refused, all others read.
#[test]
fn what_is_refused() {
    for (luma, chroma, expected) in [
        ((2, 1), (1, 1), true),
        ((3, 1), (1, 1), true),
        ((1, 1), (2, 2), true),
        ((1, 1), (4, 1), true),
        ((1, 2), (1, 2), true),
        ((2, 1), (3, 1), false),
        ((1, 3), (1, 2), false),
        ((1, 4), (1, 2), false),
    ] {
        let layout = Layout::colour([luma, chroma, chroma]);
        assert_eq!(is_read(&layout), expected, "{layout:?}");
    }
}

#[test]
fn grey_and_colours_of_every_kind() {
    for progressive in [false, true] {
        for factors in [(1, 1), (2, 2), (3, 1), (4, 4)] {
            let mut grey = Layout::colour([(1, 1); 3]);
            grey.sampling = vec![factors];
            grey.scans = vec![vec![0]];
            grey.progressive = progressive;
            assert!(is_read(&grey), "{grey:?}");
        }
        for adobe in [None, Some(0), Some(1)] {
            for (sampling, scans) in
                [[(1, 1); 3], [(2, 2), (1, 1), (1, 1)], [(1, 1), (2, 1), (2, 1)]]
                    .into_iter()
                    .flat_map(|s| SCANS.map(|scans| (s, scans)))
            {
                let mut rgb = Layout::colour(sampling);
                rgb.adobe = adobe;
                rgb.progressive = progressive;
                rgb.scans = scans.iter().map(|scan| scan.to_vec()).collect();
                assert!(is_read(&rgb), "{rgb:?}");
            }
        }
        for adobe in [None, Some(0), Some(2)] {
            let samplings: [[(usize, usize); 4]; 4] = [
                [(1, 1); 4],
                [(2, 2), (1, 1), (1, 1), (2, 2)],
                [(2, 2), (1, 1), (1, 1), (1, 1)],
                [(1, 1), (2, 2), (1, 1), (1, 1)],
            ];
            for sampling in samplings {
                for scans in [vec![vec![0, 1, 2, 3]], vec![vec![0], vec![1], vec![2], vec![3]]] {
                    let mut inks = Layout::colour([(1, 1); 3]);
                    (inks.sampling, inks.scans) = (sampling.to_vec(), scans);
                    (inks.adobe, inks.progressive) = (adobe, progressive);
                    assert!(is_read(&inks), "{inks:?}");
                }
            }
        }
    }
}

/// Without an end marker a file is read exactly if all of its image is there and something else follows.
#[test]
fn a_missing_end_marker_is_borne_where_nothing_else_is_missing() {
    for (scans, progressive) in [(SCANS[0], false), (SCANS[1], false), (SCANS[0], true)] {
        let mut layout = Layout::colour([(2, 2), (1, 1), (1, 1)]);
        layout.progressive = progressive;
        layout.scans = scans.iter().map(|scan| scan.to_vec()).collect();
        let bytes = layout.bytes();
        let whole = read(&bytes).unwrap();
        let data = &bytes[..bytes.len() - 2];
        // The data of the progressive one end in a zero byte, which could be of a trailer.
        let zeros = if progressive { &[1; 20][..] } else { &[0; 600] };
        let trailers: [&[u8]; 4] = [zeros, b"SEFH\x65\0\0\0SEFT", b"\xFF\xFF\xFFtrailer", &bytes];
        for trailer in trailers {
            let image = read(&[data, trailer].concat()).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(image, whole);
        }
        assert!(matches!(read(data), Err(Error::Truncated { .. })));
        for missing in 1..data.len() / 2 {
            for fill in [0, missing, 600] {
                let cut = [&data[..data.len() - missing], &vec![0; fill]].concat();
                match read(&cut) {
                    Ok(image) => assert!(image == whole && missing < 8, "{missing} bytes missing"),
                    Err(error) => assert!(error.to_string().contains("truncated"), "{error}"),
                }
            }
        }
    }
}

/// As Pillow does: the first block counts, whatever follows.
#[test]
fn of_two_exif_blocks_the_first_counts() {
    let mut layout = Layout::colour([(1, 1); 3]);
    for sampling in [(1, 1), (2, 1)] {
        layout.sampling[1] = sampling;
        let bytes = layout.bytes();
        let exif = |orientation: u8| {
            let tag = [1, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0];
            let content = [&b"Exif\0\0MM\0*\0\0\0\x08\0\x01"[..], &tag, &[0; 4]].concat();
            let length = (content.len() as u16 + 2).to_be_bytes();
            [&[0xFF, 0xE1][..], &length, &content].concat()
        };
        let with = |blocks: &[Vec<u8>]| {
            read(&[&bytes[..2], &blocks.concat(), &bytes[2..]].concat()).unwrap()
        };
        let turned = with(&[exif(6)]);
        assert_eq!((turned.width(), turned.height()), (layout.height, layout.width));
        assert_eq!(with(&[exif(6), exif(1)]), turned);
        assert_eq!(with(&[exif(1), exif(6)]), read(&bytes).unwrap());
    }
}

#[test]
fn limits_hold_for_rare_layouts() {
    let layout = Layout::colour([(1, 1), (2, 2), (2, 2)]);
    let bytes = layout.bytes();
    let decode = |side, bytes_: u64| {
        decode(&bytes, Path::new("a.jpg"), &Limits { side, bytes: bytes_, ..Limits::default() })
    };
    assert!(decode(53, 53 * 37 * 3).is_ok());
    assert!(matches!(decode(52, 1 << 20), Err(Error::TooLarge { .. })));
    assert!(matches!(decode(53, 53 * 37 * 3 - 1), Err(Error::TooLarge { .. })));
}

/// Against Pillow.
#[test]
fn cases_have_the_pixels_that_pillow_finds() {
    let Some(folder) = common::test_data("cases/jpeg") else { return };
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "jpg") {
            continue;
        }
        let image = read_image(&path, &Limits::default()).unwrap_or_else(|e| panic!("{e}"));
        let expected = path.with_extension("expected.png");
        if expected.is_file() {
            let expected = read_image(&expected, &Limits::default()).unwrap();
            let (most, mean) = difference(image.pixels(), expected.pixels());
            println!("{}: {most}, {mean:.3}", path.display());
            assert!(most <= 3 && mean < 0.5, "{}: {most}, {mean}", path.display());
        }
    }
}
