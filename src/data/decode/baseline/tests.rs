use std::path::Path;

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use super::*;
use crate::data::decode::Limits;
use crate::data::decode::jpeg::Survey;
use crate::data::decode::jpeg_usual::by_zune;
use crate::runtime::Rng;

const SAMPLINGS: [SamplingFactor; 4] = [
    SamplingFactor::R_4_4_4,
    SamplingFactor::R_4_2_2,
    SamplingFactor::R_4_4_0,
    SamplingFactor::R_4_2_0,
];

/// A JPEG of up to 330 x 70 pixels, and its size: noise, stripes, smooth shades, two colours; all samplings and
/// qualities, some of them grey.
fn jpeg(rng: &mut Rng) -> (Vec<u8>, [usize; 2]) {
    let [width, height] = [1 + rng.below(330), 1 + rng.below(70)];
    let (kind, base) = (rng.below(5), rng.below(256));
    let pixels: Vec<u8> = (0..width * height * 3)
        .map(|i| {
            let (x, y, c) = (i / 3 % width, i / 3 / width, i % 3);
            (match kind {
                0 => rng.below(256),
                1 => rng.below(2) * 255,
                2 => base + x / 3 + y * (1 + c) + rng.below(3),
                3 => (x / (1 + base % 9) % 2) * 200 + c * 20,
                _ => base,
            }) as u8
        })
        .collect();
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 1 + rng.below(100) as u8);
    encoder.set_sampling_factor(SAMPLINGS[rng.below(4)]);
    let (pixels, colours) = match rng.below(5) {
        0 => (&pixels[..width * height], ColorType::Luma),
        _ => (&pixels[..], ColorType::Rgb),
    };
    encoder.encode(pixels, width as u16, height as u16, colours).unwrap();
    (bytes, [width, height])
}

/// What the decoder makes of `bytes` to which it leaves all that is not plain.
fn theirs(bytes: &[u8]) -> Option<Vec<u8>> {
    Some(by_zune(bytes, Path::new("a.jpg"), &Limits::default()).ok()?.into_raw())
}

/// A part of an image.
fn part([width, height]: [usize; 2], rng: &mut Rng) -> Window {
    let [left, top] = [rng.below(width), rng.below(height)];
    let [across, down] = [1 + rng.below(width - left), 1 + rng.below(height - top)];
    Window { left, top, width: across, height: down }
}

/// `pixels` of an image of `width`, black outside `part`.
fn blackened(pixels: &[u8], width: usize, part: Window) -> Vec<u8> {
    let mut pixels = pixels.to_vec();
    for (i, pixel) in pixels.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        let (x, y) = ((i % width).wrapping_sub(part.left), (i / width).wrapping_sub(part.top));
        if x >= part.width || y >= part.height {
            *pixel = [0; 3];
        }
    }
    pixels
}

#[test]
fn pixels_are_those_of_the_other_decoder_on_every_instruction_set() {
    let mut rng = Rng::named(0, "baseline");
    for _ in 0..400 {
        let (bytes, size) = jpeg(&mut rng);
        let whole = theirs(&bytes).expect("a whole image");
        let part = part(size, &mut rng);
        for isa in Isa::available() {
            let found = on(isa, &bytes, size, None).expect("a plain image");
            assert!(found == whole, "{isa}: {size:?}");
            let found = on(isa, &bytes, size, Some(part)).expect("a plain image");
            assert!(found == blackened(&whole, size[0], part), "{isa}: {part:?} of {size:?}");
        }
    }
}

#[test]
fn what_is_damaged_comes_out_as_from_the_other_decoder_or_is_left_to_it() {
    let mut rng = Rng::named(0, "damaged baseline");
    let mut read = 0;
    for _ in 0..3000 {
        let (mut bytes, size) = jpeg(&mut rng);
        for _ in 0..=rng.below(3) {
            let at = rng.below(bytes.len());
            bytes[at] = rng.below(256) as u8;
        }
        let Ok(survey) = Survey::of(&bytes, Path::new("a.jpg")) else { continue };
        let usual = survey.open_end.is_none() && survey.is_usual() && survey.is_plain_in_colour();
        if !usual || [survey.width, survey.height].map(usize::from) != size {
            continue;
        }
        if let Some(found) = decode(&bytes, size, None) {
            assert!(Some(found) == theirs(&bytes), "{size:?}");
            read += 1;
        }
        let part = part(size, &mut rng);
        if let Some(found) = decode(&bytes, size, Some(part)) {
            let whole = theirs(&bytes).expect("an image");
            assert!(found == blackened(&whole, size[0], part), "{part:?} of {size:?}");
        }
    }
    assert!(read > 300, "{read} images were read");
}

#[test]
fn what_is_not_plain_is_left_to_the_other_decoder() {
    let encoded = |change: fn(&mut Encoder<&mut Vec<u8>>)| {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 90);
        change(&mut encoder);
        encoder.encode(&[77; 40 * 30 * 3], 40, 30, ColorType::Rgb).unwrap();
        bytes
    };
    let plain = encoded(|_| ());
    let decode = |bytes: &[u8]| decode(bytes, [40, 30], None);
    assert!(decode(&plain).is_some());
    assert!(super::decode(&plain, [41, 30], None).is_none(), "of another size");
    assert!(decode(&encoded(|encoder| encoder.set_progressive(true))).is_none());
    assert!(decode(&encoded(|encoder| encoder.set_restart_interval(2))).is_none());
    assert!(
        decode(&encoded(|encoder| encoder.set_sampling_factor(SamplingFactor::R_4_1_1))).is_none()
    );
    for length in 0..plain.len() {
        assert!(decode(&plain[..length]).is_none(), "{length} of {} bytes", plain.len());
    }
}
