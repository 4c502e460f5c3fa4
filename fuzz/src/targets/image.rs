//! Any bytes as an image: decoded under small limits, resized, cropped, normalised.

use std::path::Path;

use resnet_cpu::data::{Crops, Limits, Mean, Normalizer, View, decode};

const LIMITS: Limits = Limits { side: 2048, bytes: 8 << 20 };

/// One input.
pub fn run(bytes: &[u8]) {
    let Ok(image) = decode(bytes, Path::new("fuzz"), &LIMITS) else { return };
    assert!(image.width().max(image.height()) <= LIMITS.side as usize);
    for view in [View::cifar(), View { resize: Some(36), ..View::cifar() }] {
        for crop in view.crops(&image, Crops::Ten) {
            let mut input = vec![f32::NAN; view.input_len()];
            Normalizer::new(&Mean::IMAGENET).apply(&crop, &mut input);
            assert!(input.iter().all(|x| x.is_finite()));
        }
    }
}
