//! From files to inputs, on all threads but where one image is timed. `elem/s` is images per second.
//!
//! The photographs are drawn: smooth shapes under noise, 500x375, saved with quality 95 and 4:4:4, about as
//! large as those of ImageNet. `time_data.py` (data-tools/pytorch) compares with other libraries on real ones.

#![allow(missing_docs, reason = "criterion's macros make a public function")]

mod common;

use std::path::Path;

use common::{Decoded, shard};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use resnet_cpu::data::{
    Augmentation, Batches, ColourShift, Crop, Dataset, ImageFolder, Limits, Mean, Preprocess,
    RgbImage, View, Window, decode, resize_window,
};
use resnet_cpu::runtime::Rng;

const SIZE: [usize; 2] = [500, 375];
const BATCH: usize = 64;

fn photograph(seed: u64) -> RgbImage {
    let [width, height] = SIZE;
    let mut rng = Rng::new(seed, &[1]);
    let waves: Vec<[f32; 6]> = (0..24)
        .map(|i| {
            let frequency = 0.004 * 1.25_f32.powi(i);
            let [x, y] = [0; 2].map(|_| rng.normal() * frequency);
            let [r, g, b] = [0; 3].map(|_| rng.normal() * 16.0 / (1.0 + 0.1 * i as f32));
            [x, y, rng.normal() * 3.0, r, g, b]
        })
        .collect();
    let mut pixels = Vec::with_capacity(width * height * 3);
    for at in 0..width * height {
        let (x, y) = ((at % width) as f32, (at / width) as f32);
        let mut colour = [120.0; 3].map(|grey: f32| grey + rng.normal() * 3.0);
        for [fx, fy, phase, strength @ ..] in &waves {
            let wave = (x * fx + y * fy + phase).sin();
            colour.iter_mut().zip(strength).for_each(|(c, strength)| *c += wave * strength);
        }
        pixels.extend(colour.map(|c| c.clamp(0.0, 255.0) as u8));
    }
    RgbImage::new(width, height, pixels)
}

fn jpeg(photograph: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    let [width, height] = SIZE.map(|side| side as u32);
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 95)
        .encode(photograph.pixels(), width, height, image::ExtendedColorType::Rgb8)
        .expect("memory to write to");
    bytes
}

/// One image at a time: decoding, resizing, and what inference does of it.
fn one(c: &mut Criterion) {
    let image = photograph(1);
    let bytes = jpeg(&image);
    let mut group = c.benchmark_group("image");
    group.throughput(Throughput::Elements(1));
    let name = format!("{}x{}, {} kB", SIZE[0], SIZE[1], bytes.len() / 1000);
    group.bench_function(BenchmarkId::new("decode", name), |bench| {
        bench.iter(|| decode(&bytes, Path::new("a.jpg"), &Limits::default()));
    });
    for short in [256, 368, 480] {
        let (width, height) = (short * SIZE[0] / SIZE[1], short);
        let window =
            Window { left: (width - 224) / 2, top: (height - 224) / 2, width: 224, height: 224 };
        group.bench_function(BenchmarkId::new("resize and crop", short), |bench| {
            bench.iter(|| resize_window(&image, width, height, window));
        });
    }
    let mut out = vec![0.0; View::imagenet().input_len()];
    group.bench_function("preprocess", |bench| {
        bench.iter(|| Preprocess::imagenet().apply(&image, &mut out));
    });
    group.finish();
}

/// Whole batches by the paper's augmentation, from where images may lie.
fn batches(c: &mut Criterion) {
    let photographs: Vec<RgbImage> = (0..BATCH as u64).map(photograph).collect();
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (i, photograph) in photographs.iter().enumerate() {
        let class = folder.path().join(["a", "b"][i % 2]);
        std::fs::create_dir_all(&class).expect("a folder");
        std::fs::write(class.join(format!("{i:04}.jpg")), jpeg(photograph)).expect("a file");
    }
    let files = ImageFolder::open(folder.path(), Limits::default()).expect("a set");
    let shards = shard(folder.path(), &files, false, Limits::default()).expect("a shard");
    let raw = shard(folder.path(), &files, true, Limits::default()).expect("a shard");
    let decoded = Decoded(photographs);
    let mut group = c.benchmark_group("batch");
    group.throughput(Throughput::Elements(BATCH as u64));
    let sets: [(&str, &dyn Dataset); 4] = [
        ("augmentation", &decoded),
        ("JPEG files", &files),
        ("JPEG shards", &shards),
        ("raw shards", &raw),
    ];
    for (name, data) in sets {
        let augment = Augmentation {
            crop: Crop::Scale { shortest: 256, longest: 480 },
            flip: true,
            colour: Some(ColourShift::IMAGENET),
            ..Augmentation::NONE
        };
        let batches = Batches::training(data, View::imagenet(), &Mean::IMAGENET, augment, 1)
            .expect("room for the crop");
        let indices: Vec<usize> = (0..data.len()).collect();
        let mut out = vec![0.0; data.len() * batches.input_len()];
        let mut labels = vec![0; data.len()];
        let mut epoch = 0;
        group.bench_function(name, |bench| {
            bench.iter(|| {
                epoch += 1;
                batches.fill(epoch, &indices, &mut out, &mut labels).expect("whole images");
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = one, batches
}
criterion_main!(benches);
