//! From a set to the tensor of a step: augmentation against a plain definition, means, and the same
//! batches for any number of threads.

use resnet_cpu::data::{
    Augmentation, Batches, ColourShift, Crop, Dataset, Error, Mean, MemoryDataset, Preprocess,
    RgbImage, View, resize,
};
use resnet_cpu::runtime::Rng;

/// Images of any size, all of class 0; without one, that image cannot be read.
struct Images(Vec<Option<RgbImage>>);

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
        let missing = || Error::Missing { path: format!("image {index}").into() };
        self.0[index].clone().ok_or_else(missing)
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

fn channels() -> Mean {
    Mean::Channel { mean: [0.4, 0.5, 0.6], std: [0.2, 0.25, 0.3] }
}

fn pixels(len: usize) -> Mean {
    let mut rng = Rng::named(0, "mean");
    Mean::Pixel((0..len).map(|_| rng.uniform()).collect())
}

/// The definition of normalisation.
fn normalize(image: &RgbImage, mean: &Mean) -> Vec<f32> {
    let value = |(i, &byte): (usize, &u8)| match mean {
        Mean::Channel { mean, std } => (f32::from(byte) / 255.0 - mean[i % 3]) / std[i % 3],
        Mean::Pixel(mean) => f32::from(byte) / 255.0 - mean[i],
        Mean::Grey { .. } => unreachable!("batches have three channels"),
    };
    image.pixels().iter().enumerate().map(value).collect()
}

/// `crop` x `crop` of `[side, side, 3]` floats from `(x, y)` on, zeros beyond them.
fn crop(floats: &[f32], side: usize, (x, y): (isize, isize), crop: usize) -> Vec<f32> {
    let at = |i: usize| {
        let (x, y) = (x + (i / 3 % crop) as isize, y + (i / 3 / crop) as isize);
        let inside = |v: isize| (0..side as isize).contains(&v);
        let place = || (y as usize * side + x as usize) * 3 + i % 3;
        if inside(x) && inside(y) { floats[place()] } else { 0.0 }
    };
    (0..crop * crop * 3).map(at).collect()
}

fn mirrored(floats: &[f32], width: usize) -> Vec<f32> {
    let rows = floats.chunks_exact(width * 3);
    rows.flat_map(|row| row.chunks_exact(3).rev().flatten().copied()).collect()
}

fn flipped(crop: Crop) -> Augmentation {
    Augmentation { crop, flip: true, ..Augmentation::NONE }
}

fn padded(pad: usize, flip: bool) -> Augmentation {
    Augmentation { flip, ..flipped(Crop::Pad { pad }) }
}

fn scaled(shortest: usize, longest: usize) -> Augmentation {
    let colour = Some(ColourShift::IMAGENET);
    Augmentation { colour, ..flipped(Crop::Scale { shortest, longest }) }
}

/// How often each candidate occurs for image 0 over many epochs; every input must be one.
fn occurrences(batches: &Batches, epochs: u64, candidates: &[Vec<f32>]) -> Vec<usize> {
    let mut counts = vec![0; candidates.len()];
    let mut out = vec![f32::NAN; batches.input_len()];
    for epoch in 0..epochs {
        batches.fill(epoch, &[0], &mut out, &mut [9]).unwrap();
        let found = candidates.iter().position(|candidate| *candidate == out);
        counts[found.expect("an input is one of the candidates")] += 1;
    }
    counts
}

/// Each of the candidates is as likely as the others (six standard deviations).
fn assert_uniform(counts: &[usize], epochs: u64) {
    let expected = epochs as f64 / counts.len() as f64;
    let far = |&count: &usize| (count as f64 - expected).abs() > 6.0 * expected.sqrt();
    assert!(!counts.iter().any(far), "expected {expected}: {counts:?}");
}

#[test]
fn padded_crops_and_flips_are_those_of_the_paper() {
    let side = 7;
    let view = View::of(side, side);
    let image = noise(side, side, "square");
    for mean in [channels(), pixels(view.input_len())] {
        let data = Images(vec![Some(image.clone())]);
        let normalized = normalize(&image, &mean);
        let mut candidates = Vec::new();
        for (x, y) in (-2..=2).flat_map(|y| (-2..=2).map(move |x| (x, y))) {
            candidates.push(crop(&normalized, side, (x, y), side));
        }
        let epochs = 6000;
        let count = |augment, candidates: &[Vec<f32>]| {
            let batches = Batches::training(&data, view, &mean, augment, 3).unwrap();
            assert_uniform(&occurrences(&batches, epochs, candidates), epochs);
        };
        count(padded(2, false), &candidates);
        let flips: Vec<_> = candidates.iter().map(|floats| mirrored(floats, side)).collect();
        count(padded(2, true), &[candidates, flips].concat());
        let flip = Augmentation { flip: true, ..Augmentation::NONE };
        count(flip, &[normalized.clone(), mirrored(&normalized, side)]);
        count(Augmentation::NONE, &[normalized]);
    }
}

#[test]
fn padding_may_be_wider_than_the_image() {
    let view = View { resize: None, ..View::of(2, 2) };
    let data = Images(vec![Some(noise(2, 2, "small"))]);
    let augment = padded(5, true);
    let batches = Batches::training(&data, view, &channels(), augment, 0).unwrap();
    let mut out = [f32::NAN; 12];
    for epoch in 0..500 {
        batches.fill(epoch, &[0], &mut out, &mut [0]).unwrap();
        assert!(out.iter().all(|x| x.is_finite()));
    }
}

#[test]
fn crops_of_photographs_are_uniform() {
    let image = noise(14, 9, "photograph");
    let view = View::of(5, 4);
    // The shorter side becomes 6, the longer 6 * 14 / 9 = 9: six places across, three down.
    let resized = resize(&image, 9, 6);
    for mean in [channels(), pixels(view.input_len())] {
        let mut candidates = Vec::new();
        for (x, y) in (0..3).flat_map(|y| (0..6).map(move |x| (x, y))) {
            let rows = (y..y + 4).flat_map(|y| resized.row(y)[x * 3..(x + 4) * 3].to_vec());
            let mut image = RgbImage::new(4, 4, rows.collect());
            candidates.push(normalize(&image, &mean));
            image.mirror();
            candidates.push(normalize(&image, &mean));
        }
        let data = Images(vec![Some(image.clone())]);
        let augment = flipped(Crop::Resize { side: 6 });
        let batches = Batches::training(&data, view, &mean, augment, 1).unwrap();
        assert_uniform(&occurrences(&batches, 4000, &candidates), 4000);
        let narrow = flipped(Crop::Resize { side: 3 });
        let error = Batches::training(&data, view, &mean, narrow, 1).err().unwrap();
        assert!(error.to_string().ends_with("at least the crop of 4, found 3"), "{error}");
    }
}

#[test]
fn evaluation_is_the_preprocessing_of_inference() {
    let images = [(40, 30), (32, 32), (32, 50), (20, 33)].map(|(w, h)| noise(w, h, "eval"));
    let data = Images(images.iter().cloned().map(Some).collect());
    for resize in [None, Some(36), Some(32)] {
        let how = Preprocess { view: View { resize, ..View::cifar() }, ..Preprocess::cifar() };
        let batches = Batches::evaluation(&data, how.view, &how.mean);
        let mut out = vec![f32::NAN; 4 * how.input_len()];
        batches.fill(0, &[0, 1, 2, 3], &mut out, &mut [9; 4]).unwrap();
        for (image, out) in images.iter().zip(out.chunks_exact(how.input_len())) {
            let mut expected = vec![f32::NAN; how.input_len()];
            how.apply(image, &mut expected);
            assert_eq!(out, expected);
        }
    }
}

/// Every output is some crop of the image at some scale, mirrored or not, and a shift of each colour.
#[test]
fn scale_and_colour_are_random_crops_with_one_shift_a_channel() {
    let image = noise(30, 25, "scales");
    let data = Images(vec![Some(image.clone()); 40]);
    let view = View::of(20, 16);
    let mean = Mean::Channel { mean: [0.0; 3], std: [1.0; 3] };
    let augment = scaled(17, 19);
    let batches = Batches::training(&data, view, &mean, augment, 1).unwrap();
    let indices: Vec<usize> = (0..40).collect();
    let mut out = vec![f32::NAN; 40 * view.input_len()];
    batches.fill(0, &indices, &mut out, &mut [9; 40]).unwrap();
    let mut seen = [0; 4];
    for out in out.chunks_exact(view.input_len()) {
        let shift = |scaled: &RgbImage, [left, top]: [usize; 2], flip: bool, i: usize| {
            let (x, y, c) = (i / 3 % 16, i / 48, i % 3);
            let x = left + if flip { 15 - x } else { x };
            out[i] - f32::from(scaled.row(top + y)[x * 3 + c]) / 255.0
        };
        let found = (17..20).find_map(|side| {
            let scaled = resize(&image, side * 30 / 25, side);
            let places = (0..scaled.width() - 15)
                .flat_map(|left| (0..side - 15).map(move |top| [left, top]))
                .flat_map(|corner| [false, true].map(|flip| (corner, flip)));
            places.into_iter().find_map(|(corner, flip)| {
                let first = [0, 1, 2].map(|c| shift(&scaled, corner, flip, c));
                let same = |i| (shift(&scaled, corner, flip, i) - first[i % 3]).abs() < 1e-5;
                (0..out.len()).all(same).then_some((side, flip, first))
            })
        });
        let (side, flip, shift) = found.expect("a crop");
        seen[side - 17] += 1;
        seen[3] += usize::from(flip);
        // Six deviations of the largest component.
        assert!(shift.iter().all(|x| x.abs() < 0.1), "{shift:?}");
        assert!(shift.iter().any(|x| x.abs() > 1e-5), "no shift at all");
    }
    assert!(seen.iter().all(|&n| n > 3) && seen[3] < 37, "{seen:?}");
    let narrow = scaled(15, 19);
    assert!(Batches::training(&data, view, &mean, narrow, 1).is_err());
}

fn with_threads<T: Send>(threads: usize, run: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run)
}

#[test]
fn batches_are_the_same_for_any_number_of_threads_and_never_change() {
    let data = MemoryDataset::demo(1, 0..100);
    let indices: Vec<usize> = (0..100).rev().step_by(3).collect();
    let run = |seed, epoch| {
        let augment = padded(4, true);
        let batches = Batches::training(&data, View::cifar(), &channels(), augment, seed).unwrap();
        let mut out = vec![f32::NAN; indices.len() * batches.input_len()];
        let mut labels = vec![0; indices.len()];
        batches.fill(epoch, &indices, &mut out, &mut labels).unwrap();
        assert!(labels.iter().zip(&indices).all(|(&label, index)| label == index % 10));
        out
    };
    let one = with_threads(1, || run(5, 2));
    for threads in [2, 3, 8] {
        assert!(with_threads(threads, || run(5, 2)) == one, "{threads} threads");
    }
    assert!(run(5, 3) != one && run(6, 2) != one);
    let bytes = one.iter().flat_map(|x| x.to_bits().to_le_bytes());
    let hash = bytes.fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    assert_eq!(hash, 0xC053_6CD3_66AE_4E49, "{hash:#x}");
}

#[test]
fn the_first_image_that_fails_is_named() {
    let mut images = vec![Some(noise(8, 8, "good")); 200];
    images[60] = None;
    images[150] = None;
    let data = Images(images);
    let view = View::of(8, 8);
    for threads in [1, 4] {
        for (indices, failed) in
            [((0..200).collect::<Vec<_>>(), 60), ((0..200).rev().collect(), 150)]
        {
            let batches = Batches::evaluation(&data, view, &channels());
            let mut out = vec![0.0; 200 * batches.input_len()];
            let error = with_threads(threads, || {
                batches.fill(0, &indices, &mut out, &mut [0; 200]).unwrap_err().to_string()
            });
            assert_eq!(error, format!("image {failed}: no such file or folder"));
        }
        let error = with_threads(threads, || Mean::channels_of(&data, view).unwrap_err());
        assert_eq!(error.to_string(), "image 60: no such file or folder");
    }
}

#[test]
fn means_are_exact() {
    let view = View { resize: None, ..View::of(5, 5) };
    // The channel blue is always 7.
    let images: Vec<RgbImage> = (0..300)
        .map(|i| {
            let mut pixels = noise(5, 5, &i.to_string()).pixels().to_vec();
            pixels.iter_mut().skip(2).step_by(3).for_each(|blue| *blue = 7);
            RgbImage::new(5, 5, pixels)
        })
        .collect();
    let data = Images(images.iter().cloned().map(Some).collect());
    let Mean::Channel { mean, std } = Mean::channels_of(&data, view).unwrap() else { panic!() };
    for c in 0..3 {
        let values = images.iter().flat_map(|image| image.pixels().iter().skip(c).step_by(3));
        let values: Vec<f64> = values.map(|&byte| f64::from(byte) / 255.0).collect();
        let n = values.len() as f64;
        let exact = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|x| (x - exact) * (x - exact)).sum::<f64>() / n;
        assert!((f64::from(mean[c]) - exact).abs() < 1e-7);
        let expected = if c == 2 { 1.0 } else { variance.sqrt() };
        assert!((f64::from(std[c]) - expected).abs() < 1e-7, "{} {expected}", std[c]);
    }
    let Mean::Pixel(mean) = Mean::pixels_of(&data, view).unwrap() else { panic!() };
    for (i, &mean) in mean.iter().enumerate() {
        let sum: u64 = images.iter().map(|image| u64::from(image.pixels()[i])).sum();
        assert_eq!(mean, (sum as f64 / 300.0 / 255.0) as f32);
    }
    for threads in [1, 3] {
        let again = with_threads(threads, || Mean::pixels_of(&data, view).unwrap());
        assert_eq!(again, Mean::Pixel(mean.clone()));
    }
}
