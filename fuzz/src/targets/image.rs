//! Any bytes as an image: decoded under small limits, resized, cropped, normalised.

use std::path::Path;

use resnet_cpu::data::{Crops, JpegDecoder, Limits, Mean, Normalizer, Preprocess, View, decode};

const LIMITS: Limits = Limits { side: 2048, bytes: 8 << 20, decoder: JpegDecoder::Rust };

/// One input.
pub fn run(bytes: &[u8]) {
    let Ok(image) = decode(bytes, Path::new("fuzz"), &LIMITS) else { return };
    assert!(image.width().max(image.height()) <= LIMITS.side as usize);
    for (pad, resize) in [(None, None), (None, Some(36)), (Some(32), Some(36))] {
        let how =
            Preprocess { view: View { pad, resize, ..View::of(32, 32) }, mean: Mean::IMAGENET };
        let normalizer = Normalizer::new(&how.mean);
        for crop in how.view.crops(&image, Crops::Ten) {
            let mut input = vec![f32::NAN; how.input_len()];
            normalizer.apply(&crop, &mut input);
            assert!(input.iter().all(|x| x.is_finite()));
        }
    }
}
