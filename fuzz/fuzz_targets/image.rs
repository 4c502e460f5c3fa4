//! Any bytes as an image: decoded under small limits, resized, cropped, normalised.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use resnet_cpu::data::{Limits, Mean, Preprocess, View, decode};

const LIMITS: Limits = Limits { side: 2048, bytes: 8 << 20 };

fuzz_target!(|bytes: &[u8]| {
    let Ok(image) = decode(bytes, Path::new("fuzz"), &LIMITS) else { return };
    assert!(image.width().max(image.height()) <= LIMITS.side as usize);
    let how = Preprocess {
        view: View { pad: Some(32), resize: Some(36), crop: 32 },
        mean: Mean::IMAGENET,
    };
    let mut input = vec![f32::NAN; 10 * how.input_len()];
    how.apply_ten(&image, &mut input);
    assert!(input.iter().all(|x| x.is_finite()));
});
