//! The built-in images are not trivial: a linear classifier fitted to them is wrong on most others.

use resnet_cpu::data::demo;

const INPUTS: usize = demo::SIDE * demo::SIDE * 3;
const CLASSES: usize = demo::CLASSES.len();

/// Pixels in -1..1 and the class.
fn image(index: u64) -> (Vec<f32>, usize) {
    let (image, label) = demo::image(1, index);
    (image.pixels().iter().map(|&byte| f32::from(byte) / 127.5 - 1.0).collect(), label)
}

fn scores(weights: &[Vec<f32>], input: &[f32]) -> Vec<f32> {
    let dot = |w: &Vec<f32>| {
        let (wide, rest) = w.as_chunks::<16>();
        let mut sums = [0.0; 16];
        for (w, x) in wide.iter().zip(input.as_chunks::<16>().0) {
            for i in 0..16 {
                sums[i] += w[i] * x[i];
            }
        }
        // The weight beyond the inputs is the bias.
        sums.iter().sum::<f32>() + rest.iter().sum::<f32>()
    };
    weights.iter().map(dot).collect()
}

fn best(scores: &[f32]) -> usize {
    (0..CLASSES).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap()
}

#[test]
fn a_linear_classifier_is_of_little_use() {
    let train: Vec<_> = (0..3000).map(image).collect();
    let mut weights = vec![vec![0.0_f32; INPUTS + 1]; CLASSES];
    let epochs = 20;
    for epoch in 0..epochs {
        let lr = 1e-3 * (1.0 - epoch as f32 / epochs as f32);
        for (input, label) in &train {
            let scores = scores(&weights, input);
            let most = scores.iter().copied().fold(f32::MIN, f32::max);
            let sum: f32 = scores.iter().map(|score| (score - most).exp()).sum();
            for (class, (weights, score)) in weights.iter_mut().zip(&scores).enumerate() {
                let error = (score - most).exp() / sum - f32::from(u8::from(class == *label));
                let (weights, bias) = weights.split_at_mut(INPUTS);
                weights.iter_mut().zip(input).for_each(|(w, x)| *w -= lr * error * x);
                bias[0] -= lr * error;
            }
        }
    }
    let right =
        (10_000..11_000).map(image).filter(|(x, label)| best(&scores(&weights, x)) == *label);
    let right = right.count();
    let fitted = train.iter().filter(|(x, label)| best(&scores(&weights, x)) == *label).count();
    println!("{right} of 1000 new images, {fitted} of {} known ones", train.len());
    assert!(right < 500, "{right} of 1000");
    assert!(right > 120 && fitted > 900, "it did learn something: {right}, {fitted}");
}
