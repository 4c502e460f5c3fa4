//! Resizing gives Pillow's bits and preprocessing torchvision's: golden results for images that an
//! integer formula makes, written by `tests/data/pillow.py`.

use resnet_cpu::data::{Interpolation, Preprocess, RgbImage, View, Window, resize, resize_window};

#[derive(serde::Deserialize)]
struct Golden {
    resize: Vec<Case>,
    preprocess: Vec<PreprocessCase>,
}

#[derive(serde::Deserialize)]
struct PreprocessCase {
    from: [usize; 2],
    resize: usize,
    crop: usize,
    fnv1a: String,
}

#[derive(serde::Deserialize)]
struct Case {
    interpolation: String,
    from: [usize; 2],
    to: [usize; 2],
    fnv1a: String,
    #[serde(default)]
    pixels: Vec<u8>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("data/pillow.json")).unwrap()
}

fn noise(width: usize, height: usize) -> RgbImage {
    let bytes = (1..=width * height * 3).map(|i| {
        let x = (i as u32).wrapping_mul(2_654_435_761);
        ((x ^ (x >> 15)).wrapping_mul(2_246_822_519) >> 24) as u8
    });
    RgbImage::new(width, height, bytes.collect())
}

fn fnv1a(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    format!("{hash:016x}")
}

#[test]
fn every_case_equals_pillow() {
    for case in golden().resize {
        let ([w, h], [nw, nh]) = (case.from, case.to);
        let kind: Interpolation = case.interpolation.parse().unwrap();
        let out = kind.resize(&noise(w, h), nw, nh);
        assert_eq!((out.width(), out.height()), (nw, nh));
        if !case.pixels.is_empty() {
            assert_eq!(out.pixels(), case.pixels, "{kind}, {w}x{h} to {nw}x{nh}");
        }
        assert_eq!(fnv1a(out.pixels()), case.fnv1a, "{kind}, {w}x{h} to {nw}x{nh}");
    }
}

#[test]
fn a_window_is_a_part_of_the_whole() {
    for case in golden().resize.into_iter().filter(|case| case.interpolation == "bilinear") {
        let ([w, h], [nw, nh]) = (case.from, case.to);
        let whole = resize(&noise(w, h), nw, nh);
        let window =
            Window { left: nw / 3, top: nh / 4, width: nw.div_ceil(2), height: nh.div_ceil(3) };
        let part = resize_window(&noise(w, h), nw, nh, window);
        for y in 0..window.height {
            let row = &whole.row(window.top + y)[window.left * 3..][..window.width * 3];
            assert_eq!(part.row(y), row, "{w}x{h} to {nw}x{nh}, row {y}");
        }
    }
}

#[test]
fn preprocessing_equals_torchvision() {
    for case in golden().preprocess {
        let resize = (case.resize > 0).then_some(case.resize);
        let how = Preprocess {
            view: View { resize, ..View::of(case.crop, case.crop) },
            ..Preprocess::imagenet()
        };
        let [w, h] = case.from;
        let mut out = vec![f32::NAN; how.input_len()];
        how.apply(&noise(w, h), &mut out);
        let bytes: Vec<u8> = out.iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(fnv1a(&bytes), case.fnv1a, "{w}x{h} with {how:?}");
    }
}
