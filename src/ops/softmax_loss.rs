//! Cross-entropy of the softmax, with label smoothing and mixed targets, and its gradient.
//!
//! With the smoothed target q = (1 - s) · onehot(label) + s / classes (Szegedy et al., 2016) and
//! p = softmax(logits), the loss of an image is -Σ q · log p, and its gradient by the logits p - q. Where
//! images are mixed (mixup, CutMix), q is a weighted mean of the targets of both, and so is the loss.
//! All of it is f64 with portable exponentials and logarithms, each image by itself, images summed in
//! order.

use super::narrow;
use crate::runtime::{ChunksMut, Team};

/// The loss of some images, and how many of them were right.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    /// The sum of the images' losses. NaN if any logit was.
    pub sum: f64,
    /// Images whose label has the largest logit.
    pub top1: usize,
    /// Images whose label has one of the five largest logits.
    pub top5: usize,
}

/// The loss of `logits`, `[images, classes]`, for the class `labels` of each image.
///
/// `dlogits`, of the same shape, becomes the gradient of the mean loss over `images_a_step` images,
/// of which these may be only some.
///
/// Of equal logits, the class with the lower index is the better one; a label whose logit is NaN is
/// wrong.
///
/// # Panics
/// If the sizes do not fit together or a label is not below the number of classes.
pub fn softmax_loss(
    team: &mut Team,
    logits: &[f32],
    labels: &[usize],
    smoothing: f64,
    images_a_step: usize,
    dlogits: &mut [f32],
) -> Loss {
    let mixed = Mixed { labels, share: 1.0 };
    mixed_softmax_loss(team, logits, mixed, smoothing, images_a_step, dlogits)
}

/// The classes of images that are mixed in pairs: each with the one at its place when they are reversed.
#[derive(Clone, Copy, Debug)]
pub struct Mixed<'a> {
    /// Each image's own class.
    pub labels: &'a [usize],
    /// How much of the target it is, 0..=1; the rest is the partner's class. With 1, nothing is mixed.
    pub share: f64,
}

/// As [`softmax_loss`], of mixed images. Ranks are those of each image's own class.
///
/// # Panics
/// As for [`softmax_loss`].
pub fn mixed_softmax_loss(
    team: &mut Team,
    logits: &[f32],
    Mixed { labels, share }: Mixed,
    smoothing: f64,
    images_a_step: usize,
    dlogits: &mut [f32],
) -> Loss {
    if labels.is_empty() {
        assert!(logits.is_empty() && dlogits.is_empty(), "logits without images");
        return Loss::default();
    }
    let classes = logits.len() / labels.len();
    assert_eq!(logits.len(), labels.len() * classes, "logits of {} images", labels.len());
    assert_eq!(dlogits.len(), logits.len(), "size of the gradient");
    assert!(labels.iter().all(|&label| label < classes), "a label beyond {classes} classes");
    let mut images = vec![(0.0_f64, 0); labels.len()];
    let parts = (ChunksMut::new(&mut images, 1), ChunksMut::new(dlogits, classes));
    team.for_each_part(parts, |i, (result, dlogits), _| {
        let (logits, label) = (&logits[i * classes..][..classes], labels[i]);
        let target = [(label, share), (labels[labels.len() - 1 - i], 1.0 - share)];
        let loss = image(logits, target, smoothing, images_a_step as f64, dlogits);
        result[0] = (loss, rank(logits, label));
    });
    Loss {
        sum: images.iter().map(|(loss, _)| loss).sum(),
        top1: images.iter().filter(|(_, rank)| *rank < 1).count(),
        top5: images.iter().filter(|(_, rank)| *rank < 5).count(),
    }
}

/// The loss of one image with a target of two classes and their shares; writes its gradient, divided by
/// `divisor`.
fn image(
    logits: &[f32],
    target: [(usize, f64); 2],
    smoothing: f64,
    divisor: f64,
    dlogits: &mut [f32],
) -> f64 {
    let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let powers: Vec<f64> = logits.iter().map(|&x| libm::exp(f64::from(x) - max)).collect();
    let sum: f64 = powers.iter().sum();
    let everywhere = smoothing / logits.len() as f64;
    for (class, (gradient, power)) in dlogits.iter_mut().zip(&powers).enumerate() {
        // A share of 1 gives the bits of a single class.
        let of = |(label, share)| if class == label { (1.0 - smoothing) * share } else { 0.0 };
        let target = everywhere + target.map(of).iter().sum::<f64>();
        *gradient = narrow((power / sum - target) / divisor);
    }
    let minus_log = |x: f32| libm::log(sum) - (f64::from(x) - max);
    // A class without a share may have an infinite loss.
    let shares = target.iter().filter(|(_, share)| *share > 0.0);
    let mut loss = (1.0 - smoothing)
        * shares.map(|&(label, share)| share * minus_log(logits[label])).sum::<f64>();
    if smoothing > 0.0 {
        loss += everywhere * logits.iter().map(|&x| minus_log(x)).sum::<f64>();
    }
    loss
}

/// How many classes are better than `label`; all of them if its logit is NaN.
fn rank(logits: &[f32], label: usize) -> usize {
    let own = logits[label];
    if own.is_nan() {
        return usize::MAX;
    }
    let better = |&(class, &logit): &(usize, &f32)| {
        logit > own || logit.is_nan() || (logit == own && class < label)
    };
    logits.iter().enumerate().filter(better).count()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_close, assert_gradient, everywhere, normals, wide};
    use super::*;
    use crate::runtime::team;
    use proptest::prelude::*;

    /// The mean loss as torch defines it: (1 - s) · nll + s · the mean of -log p over classes.
    fn forward(logits: &[f64], labels: &[usize], smoothing: f64) -> f64 {
        let classes = logits.len() / labels.len();
        let losses = logits.chunks(classes).zip(labels).map(|(x, &label)| {
            let log_sum = x.iter().map(|x| x.exp()).sum::<f64>().ln();
            let mean = x.iter().map(|x| log_sum - x).sum::<f64>() / classes as f64;
            (1.0 - smoothing) * (log_sum - x[label]) + smoothing * mean
        });
        losses.sum::<f64>() / labels.len() as f64
    }

    fn backward(logits: &[f64], labels: &[usize], smoothing: f64) -> Vec<f64> {
        let classes = logits.len() / labels.len();
        let mut gradient = Vec::new();
        for (x, &label) in logits.chunks(classes).zip(labels) {
            let sum: f64 = x.iter().map(|x| x.exp()).sum();
            for (class, x) in x.iter().enumerate() {
                let target =
                    f64::from(class == label) * (1.0 - smoothing) + smoothing / classes as f64;
                gradient.push((x.exp() / sum - target) / labels.len() as f64);
            }
        }
        gradient
    }

    #[test]
    fn the_reference_is_right() {
        let (logits, labels) = (wide(&normals(1, 12)), [0, 3, 1]);
        for smoothing in [0.0, 0.1] {
            let gradient = backward(&logits, &labels, smoothing);
            assert_gradient(|x| forward(x, &labels, smoothing), &logits, &gradient);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn equals_the_reference_everywhere(
            (images, classes) in (1..9_usize, 1..40_usize),
            smoothing in prop_oneof![Just(0.0), 0.0..0.9],
            seed in any::<u64>(),
        ) {
            let logits = normals(seed, images * classes);
            let labels: Vec<usize> = (0..images).map(|i| (seed as usize / 3 + i * 7) % classes).collect();
            let expected = backward(&wide(&logits), &labels, smoothing);
            let mean = forward(&wide(&logits), &labels, smoothing);
            for got in everywhere(|team, _| {
                let mut dlogits = vec![f32::NAN; logits.len()];
                let loss =
                    softmax_loss(team, &logits, &labels, smoothing, images, &mut dlogits);
                assert!((loss.sum / images as f64 - mean).abs() < 1e-12);
                vec![dlogits]
            }) {
                // One rounding to f32, of a value below 1.
                assert_close("dlogits", &got[0], &expected, |_| f64::from(f32::EPSILON));
            }
        }
    }

    fn reversed(labels: &[usize]) -> Vec<usize> {
        labels.iter().rev().copied().collect()
    }

    /// λ · CE(own class) + (1 - λ) · CE(the partner's class), and its gradient by finite differences.
    #[test]
    fn mixed_loss_is_a_weighted_mean_of_both() {
        let (logits, labels) = (normals(5, 21), [0, 3, 1]);
        let others = reversed(&labels);
        for share in [0.0, 0.3, 0.5, 1.0] {
            for smoothing in [0.0, 0.1] {
                let mean = |x: &[f64]| {
                    share * forward(x, &labels, smoothing)
                        + (1.0 - share) * forward(x, &others, smoothing)
                };
                let mut found = vec![f32::NAN; 21];
                let mixed = Mixed { labels: &labels, share };
                let loss =
                    team(|team| mixed_softmax_loss(team, &logits, mixed, smoothing, 3, &mut found));
                assert!((loss.sum / 3.0 - mean(&wide(&logits))).abs() < 1e-12);
                let pair = [&labels[..], &others].map(|of| backward(&wide(&logits), of, smoothing));
                let expected: Vec<f64> = pair[0]
                    .iter()
                    .zip(&pair[1])
                    .map(|(own, other)| share * own + (1.0 - share) * other)
                    .collect();
                assert_gradient(mean, &wide(&logits), &expected);
                assert_close("dlogits", &found, &expected, |_| f64::from(f32::EPSILON));
            }
        }
    }

    #[test]
    fn a_class_without_a_share_does_not_matter() {
        // Its loss is infinite.
        let logits = [0.0, f32::NEG_INFINITY, 1.0, 0.0, 0.5, 0.25];
        let mut dlogits = [0.0; 6];
        let mixed = Mixed { labels: &[0, 1], share: 1.0 };
        let loss = team(|team| mixed_softmax_loss(team, &logits, mixed, 0.0, 2, &mut dlogits));
        assert!(loss.sum.is_finite() && dlogits.iter().all(|x| x.is_finite()), "{loss:?}");
    }

    #[test]
    fn counts_ranks_with_ties_and_nan() {
        let logits = [1.0, 3.0, 3.0, 2.0, 0.0, -1.0, -2.0];
        let ranks: Vec<usize> = (0..7).map(|label| rank(&logits, label)).collect();
        assert_eq!(ranks, [3, 0, 1, 2, 4, 5, 6]);
        let mut dlogits = [0.0; 14];
        let loss = team(|team| {
            softmax_loss(team, &[logits, logits].concat(), &[1, 4], 0.0, 2, &mut dlogits)
        });
        assert_eq!((loss.top1, loss.top5), (1, 2));

        let diverged =
            team(|team| softmax_loss(team, &[f32::NAN, 1.0], &[0], 0.1, 1, &mut dlogits[..2]));
        assert!(diverged.sum.is_nan() && diverged.top5 == 0);
    }

    #[test]
    fn extreme_logits_have_a_finite_loss_and_no_denormal_gradients() {
        let mut dlogits = [f32::NAN; 3];
        let loss =
            team(|team| softmax_loss(team, &[1e4, -1e4, 9_905.0], &[1], 0.1, 1, &mut dlogits));
        assert!(loss.sum > 17_000.0 && loss.sum.is_finite());
        let loss = team(|team| softmax_loss(team, &[100.0, 5.0, 0.0], &[0], 0.0, 1, &mut dlogits));
        assert!(loss.sum < 1e-40 && dlogits == [0.0; 3], "{dlogits:?}");
    }

    #[test]
    #[should_panic(expected = "beyond 2 classes")]
    fn a_label_out_of_range_panics() {
        team(|team| softmax_loss(team, &[0.0, 1.0], &[2], 0.0, 1, &mut [0.0; 2]));
    }
}
