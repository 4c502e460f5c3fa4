//! The optional decoder of JPEGs, libjpeg-turbo: Pillow's pixels, which `tests/data/turbo.py` has written down; and
//! the same files read and refused as by the usual decoder.

#![cfg(feature = "libjpeg-turbo")]

#[path = "common/jpeg.rs"]
mod jpeg;

use jpeg::Layout;
use resnet_cpu::data::{Error, JpegDecoder, Limits, RgbImage, Window, decode, decode_part};
use resnet_cpu::runtime::Rng;
use std::mem::discriminant;

#[derive(serde::Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    jpeg: String,
    size: [usize; 2],
    fnv1a: String,
}

impl Case {
    fn bytes(&self) -> Vec<u8> {
        let byte = |i| u8::from_str_radix(&self.jpeg[2 * i..][..2], 16).unwrap();
        (0..self.jpeg.len() / 2).map(byte).collect()
    }
}

fn golden() -> Vec<Case> {
    serde_json::from_str::<Golden>(include_str!("data/turbo.json")).unwrap().cases
}

fn read(bytes: &[u8], decoder: JpegDecoder) -> Result<RgbImage, Error> {
    decode(bytes, "a.jpg", &Limits { decoder, ..Limits::default() })
}

fn fnv1a(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    format!("{hash:016x}")
}

#[test]
fn pixels_are_pillows() {
    let mut unlike = 0;
    for case in golden() {
        let image = read(&case.bytes(), JpegDecoder::LibjpegTurbo).unwrap();
        assert_eq!([image.width(), image.height()], case.size, "{}", case.name);
        assert_eq!(fnv1a(image.pixels()), case.fnv1a, "{}", case.name);
        unlike += usize::from(read(&case.bytes(), JpegDecoder::Rust).unwrap() != image);
    }
    assert!(unlike > 0, "the two decoders are told apart");
}

#[test]
fn a_part_is_that_of_the_whole() {
    let limits = Limits { decoder: JpegDecoder::LibjpegTurbo, ..Limits::default() };
    for case in golden() {
        let whole = read(&case.bytes(), JpegDecoder::LibjpegTurbo).unwrap();
        let mut middle = |[w, h]: [usize; 2]| Window {
            left: w / 3,
            top: h / 3,
            width: w.div_ceil(3),
            height: h.div_ceil(3),
        };
        let part = decode_part(&case.bytes(), "a.jpg", &limits, &mut middle).unwrap();
        let Window { left, top, width, height } = middle(case.size);
        for y in top..top + height {
            let columns = left * 3..(left + width) * 3;
            assert_eq!(part.row(y)[columns.clone()], whole.row(y)[columns], "{}", case.name);
        }
    }
}

#[test]
fn inks_and_rare_layouts_are_read_by_the_usual_decoders() {
    let mut inks = Layout::colour([(1, 1), (1, 1), (1, 1)]);
    inks.sampling.push((1, 1));
    inks.scans = vec![vec![0, 1, 2, 3]];
    let threefold = Layout::colour([(3, 1), (1, 1), (1, 1)]);
    for layout in [inks, threefold] {
        let bytes = layout.bytes();
        let usual = read(&bytes, JpegDecoder::Rust).unwrap();
        assert_eq!(read(&bytes, JpegDecoder::LibjpegTurbo).unwrap(), usual, "{layout:?}");
    }
}

/// Bytes in front of a marker that mean nothing are only warned of, and data that end early are filled up, as by
/// Pillow; a file that ends early is truncated.
#[test]
fn the_same_files_are_read_and_refused() {
    let mut rng = Rng::named(0, "turbo");
    let (mut read_both, mut refused_both) = (0, 0);
    for case in golden() {
        let whole = case.bytes();
        let end = whole.len() - 2;
        let mut damaged = vec![
            [&whole[..end], b"\0\0\0", &whole[end..]].concat(),
            [&whole[..end - end / 8], &whole[end..]].concat(),
            whole[..end].to_vec(),
            whole[..whole.len() / 2].to_vec(),
        ];
        for _ in 0..20 {
            let mut bytes = whole.clone();
            for _ in 0..=rng.below(3) {
                let at = rng.below(bytes.len());
                bytes[at] = rng.below(256) as u8;
            }
            damaged.push(bytes);
        }
        for bytes in damaged {
            match [JpegDecoder::Rust, JpegDecoder::LibjpegTurbo].map(|by| read(&bytes, by)) {
                [Ok(_), Ok(_)] => read_both += 1,
                [Err(a), Err(b)] => {
                    assert_eq!(discriminant(&a), discriminant(&b), "{a}; {b}");
                    refused_both += 1;
                }
                [a, b] => panic!("{}: {:?}, {:?}", case.name, a.err(), b.err()),
            }
        }
    }
    assert!(read_both > 100 && refused_both > 100, "{read_both} read, {refused_both} refused");
}
