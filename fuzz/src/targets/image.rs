//! Any bytes as an image: decoded under small limits, resized, cropped, normalised.

use std::path::Path;

use resnet_cpu::data::{
    Crops, JpegDecoder, Limits, Mean, Normalizer, Preprocess, RgbImage, View, Window, decode,
    decode_part,
};

const LIMITS: Limits = Limits { side: 2048, bytes: 8 << 20, decoder: JpegDecoder::Rust };

/// One input.
pub fn run(bytes: &[u8]) {
    let path = Path::new("fuzz");
    let mut wanted = Window::all(0, 0);
    let part = decode_part(bytes, path, &LIMITS, &mut |[width, height]| {
        let (left, top) = (width / 2, height / 3);
        wanted = Window { left, top, width: width - left, height: height - top };
        wanted
    });
    let Ok(image) = decode(bytes, path, &LIMITS) else { return };
    let part = part.expect("what can be decoded as a whole, in part");
    assert_eq!((part.width(), part.height()), (image.width(), image.height()));
    for y in wanted.top..wanted.top + wanted.height {
        let of = |image: &RgbImage| image.row(y)[wanted.left * 3..].to_vec();
        assert_eq!(of(&part), of(&image), "row {y}");
    }
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
