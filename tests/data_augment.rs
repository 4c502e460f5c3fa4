//! Inputs of whole pipelines of augmentation, bit for bit those that torchvision and Pillow make of the
//! same draws (`data-tools/pytorch/check_augment.py` wrote `tests/data/augment.json`).

use resnet_cpu::data::{
    Augmentation, Batches, ColourShift, Crop, Dataset, Error, Jitter, Mean, RgbImage, View,
};
use resnet_cpu::runtime::Rng;
use serde_json::Value;

struct Images(Vec<RgbImage>);

impl Dataset for Images {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn classes(&self) -> usize {
        2
    }
    fn class_names(&self) -> Option<&[String]> {
        None
    }
    fn label(&self, _: usize) -> usize {
        0
    }
    fn image(&self, index: usize) -> Result<RgbImage, Error> {
        Ok(self.0[index].clone())
    }
    fn fingerprint(&self) -> String {
        String::new()
    }
}

fn noise(width: usize, height: usize, name: &str) -> RgbImage {
    let mut rng = Rng::named(0, name);
    let pixels = (0..width * height * 3).map(|_| rng.below(256) as u8).collect();
    RgbImage::new(width, height, pixels)
}

fn augmentation(case: &Value) -> Augmentation {
    let number = |name: &str| case[name].as_f64().unwrap();
    let length = |name: &str| number(name) as usize;
    let [brightness, contrast, saturation, hue] =
        [0, 1, 2, 3].map(|i| case["jitter"][i].as_f64().unwrap());
    Augmentation {
        crop: match case["kind"].as_str().unwrap() {
            "center" => Crop::Center,
            "pad" => Crop::Pad { pad: length("pad") },
            "resize" => Crop::Resize { side: length("shortest") },
            "scale" => Crop::Scale { shortest: length("shortest"), longest: length("longest") },
            "area" => Crop::Area { least: number("least") as f32 },
            other => panic!("{other}"),
        },
        flip: case["flip"] == true,
        jitter: Jitter { brightness, contrast, saturation, hue },
        colour: (case["colour"] == true).then_some(ColourShift::IMAGENET),
        erase: number("erase") as f32,
    }
}

#[test]
fn pipelines_are_those_of_torchvision_and_pillow_bit_for_bit() {
    let golden: Value = serde_json::from_str(include_str!("data/augment.json")).unwrap();
    let sizes = [(50, 40), (64, 48), (40, 90), (36, 36), (120, 20)];
    let images = sizes.iter().enumerate().map(|(i, &(w, h))| noise(w, h, &format!("image {i}")));
    let data = Images(images.collect());
    let cases = golden["pixels"].as_array().unwrap();
    assert!(cases.len() > 15);
    let mut wrong = Vec::new();
    for case in cases {
        let length = |name: &str| case[name].as_u64().unwrap() as usize;
        let view = View::of(length("resize"), length("crop"));
        let mut rng = Rng::named(0, "mean");
        let mean = if case["pixel_mean"] == true {
            Mean::Pixel((0..view.input_len()).map(|_| rng.uniform()).collect())
        } else {
            Mean::Channel { mean: [0.4, 0.5, 0.6], std: [0.2, 0.25, 0.3] }
        };
        let seed = case["seed"].as_u64().unwrap();
        let batches = Batches::training(&data, view, &mean, augmentation(case), seed).unwrap();
        let mut out = vec![f32::NAN; data.len() * view.input_len()];
        let mut hasher = crc32fast::Hasher::new();
        for epoch in 0..8 {
            batches.fill(epoch, &[0, 1, 2, 3, 4], &mut out, &mut [0; 5]).unwrap();
            out.iter().for_each(|x| hasher.update(&x.to_le_bytes()));
        }
        if case["crc32"] != hasher.finalize() {
            wrong.push(case);
        }
    }
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), cases.len());
}
