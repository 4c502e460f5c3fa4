//! How good a network is on labelled images: accuracy with its uncertainty, loss, calibration, and what is
//! taken for what.

use std::collections::BTreeMap;

/// The 0.975 quantile of the normal distribution: 95 % lie within.
const Z: f64 = 1.959_963_984_540_054;

/// Bins of equal width that probabilities are sorted into to compare them with accuracy.
pub const CALIBRATION_BINS: usize = 15;

/// What a network made of one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// The class it shows.
    pub truth: usize,
    /// The most likely class.
    pub predicted: usize,
    /// The probability of that class, 0..1.
    pub probability: f64,
    /// Whether the truth is among the five most likely classes.
    pub in_top5: bool,
    /// Minus the logarithm of the probability of the truth.
    pub loss: f64,
}

impl Outcome {
    /// Whether the most likely class is right.
    pub fn is_correct(&self) -> bool {
        self.truth == self.predicted
    }
}

/// Images whose most likely class has a probability within a range.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CalibrationBin {
    /// Images.
    pub images: u64,
    /// Those of them classified right.
    pub correct: u64,
    /// The sum of the probabilities.
    pub probability: f64,
}

/// Images of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassScore {
    /// Images that show it.
    pub images: u64,
    /// Those of them classified right.
    pub correct: u64,
}

impl ClassScore {
    /// Fraction classified right; `None` without images.
    pub fn accuracy(&self) -> Option<f64> {
        (self.images > 0).then(|| self.correct as f64 / self.images as f64)
    }
}

/// The sum of all outcomes.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    images: u64,
    correct: u64,
    in_top5: u64,
    loss: f64,
    bins: [CalibrationBin; CALIBRATION_BINS],
    per_class: Vec<ClassScore>,
    confusion: BTreeMap<(usize, usize), u64>,
}

impl Scores {
    /// Of no images so far, for a network of `classes` classes.
    pub fn new(classes: usize) -> Self {
        Self {
            images: 0,
            correct: 0,
            in_top5: 0,
            loss: 0.0,
            bins: [CalibrationBin::default(); CALIBRATION_BINS],
            per_class: vec![ClassScore::default(); classes],
            confusion: BTreeMap::new(),
        }
    }

    /// Adds the outcomes of a batch. Its losses are added to each other first, as in validation.
    ///
    /// # Panics
    /// If a class is not one of the network's.
    pub fn add(&mut self, batch: &[Outcome]) {
        for outcome in batch {
            let (one, right) = (1, u64::from(outcome.is_correct()));
            self.images += one;
            self.correct += right;
            self.in_top5 += u64::from(outcome.in_top5);
            let class = &mut self.per_class[outcome.truth];
            class.images += one;
            class.correct += right;
            let bin = &mut self.bins[bin_of(outcome.probability)];
            bin.images += one;
            bin.correct += right;
            bin.probability += outcome.probability;
            *self.confusion.entry((outcome.truth, outcome.predicted)).or_default() += one;
        }
        self.loss += batch.iter().map(|outcome| outcome.loss).sum::<f64>();
    }

    /// Images.
    pub fn images(&self) -> u64 {
        self.images
    }

    /// Images classified right.
    pub fn correct(&self) -> u64 {
        self.correct
    }

    /// Images with the right class among the five most likely.
    pub fn in_top5(&self) -> u64 {
        self.in_top5
    }

    /// Fraction classified right.
    pub fn top1(&self) -> f64 {
        self.correct as f64 / self.images as f64
    }

    /// Fraction with the right class among the five most likely.
    pub fn top5(&self) -> f64 {
        self.in_top5 as f64 / self.images as f64
    }

    /// Mean loss; infinite if an image's class had no probability at all.
    pub fn loss(&self) -> f64 {
        self.loss / self.images as f64
    }

    /// Expected calibration error (Guo et al., 2017): the mean difference between how probable the
    /// predictions of a bin are and how many of them are right, weighted by images.
    pub fn calibration_error(&self) -> f64 {
        let gap = |bin: &CalibrationBin| (bin.probability - bin.correct as f64).abs();
        self.bins.iter().map(gap).sum::<f64>() / self.images as f64
    }

    /// Images by the probability of their most likely class: bin `i` is of those above i / 15, up to
    /// (i + 1) / 15.
    pub fn bins(&self) -> &[CalibrationBin; CALIBRATION_BINS] {
        &self.bins
    }

    /// Each class of the network, by index.
    pub fn per_class(&self) -> &[ClassScore] {
        &self.per_class
    }

    /// How many images of a class (first) are taken for a class (second), where there are any; sorted.
    pub fn confusion(&self) -> &BTreeMap<(usize, usize), u64> {
        &self.confusion
    }
}

/// The bin of a probability: the lower end does not belong to a bin, the upper does.
fn bin_of(probability: f64) -> usize {
    let bin = (probability * CALIBRATION_BINS as f64).ceil() as usize;
    bin.clamp(1, CALIBRATION_BINS) - 1
}

/// The 95 % interval of a fraction of which `correct` of `images` were found (Wilson, 1927). It stays within
/// 0..1, and is right for few images and for all or none correct, too. Of no images, 0..1.
pub fn wilson(correct: u64, images: u64) -> [f64; 2] {
    if images == 0 {
        return [0.0, 1.0];
    }
    let (n, p) = (images as f64, correct as f64 / images as f64);
    let middle = p + Z * Z / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    // Exact at the ends, where rounding may leave a trace.
    let low = if correct == 0 { 0.0 } else { (middle - half) / scale };
    let high = if correct == images { 1.0 } else { (middle + half) / scale };
    [low, high]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(truth: usize, predicted: usize, probability: f64) -> Outcome {
        Outcome { truth, predicted, probability, in_top5: truth < 2, loss: 0.5 }
    }

    /// Values of SciPy's `binomtest(correct, images).proportion_ci(method="wilson")`.
    #[test]
    fn intervals_are_wilsons() {
        for (correct, images, expected) in [
            (127, 167, [0.690_356_517_608_663_6, 0.818_887_553_476_625_2]),
            (0, 10, [0.0, 0.277_532_799_862_889_26]),
            (10, 10, [0.722_467_200_137_110_9, 1.0]),
            (1, 1, [0.206_549_314_377_237_45, 1.0]),
            (37_000, 50_000, [0.736_136_937_869_458_6, 0.743_826_186_958_951_9]),
        ] {
            let found = wilson(correct, images);
            for (found, expected) in found.into_iter().zip(expected) {
                assert!((found - expected).abs() < 1e-12, "{correct} of {images}: {found}");
            }
        }
        assert_eq!(wilson(0, 0), [0.0, 1.0]);
    }

    #[test]
    fn counts_are_by_truth_and_prediction() {
        let mut scores = Scores::new(4);
        scores.add(&[outcome(0, 0, 0.9), outcome(0, 3, 0.8)]);
        scores.add(&[outcome(3, 0, 0.4)]);
        assert_eq!((scores.images(), scores.correct(), scores.in_top5()), (3, 1, 2));
        assert_eq!((scores.top1(), scores.top5(), scores.loss()), (1.0 / 3.0, 2.0 / 3.0, 0.5));
        let accuracies: Vec<_> = scores.per_class().iter().map(ClassScore::accuracy).collect();
        assert_eq!(accuracies, [Some(0.5), None, None, Some(0.0)]);
        let confusion: Vec<_> = scores.confusion().iter().map(|(&at, &n)| (at, n)).collect();
        assert_eq!(confusion, [((0, 0), 1), ((0, 3), 1), ((3, 0), 1)]);
    }

    #[test]
    fn calibration_compares_probability_and_accuracy_in_bins() {
        let mut scores = Scores::new(2);
        // Bin 10 (10/15, 11/15]: 0.7 and 0.7, one right. Bin 14: 1.0, right. Bin 0: 0.01, wrong.
        scores.add(&[outcome(0, 0, 0.7), outcome(0, 1, 0.7), outcome(1, 1, 1.0)]);
        scores.add(&[outcome(1, 0, 0.01)]);
        let images: Vec<u64> = scores.bins().iter().map(|bin| bin.images).collect();
        assert_eq!((images[10], images[14], images[0], images.iter().sum()), (2, 1, 1, 4));
        let expected = (2.0 * (0.7 - 0.5) + 0.0 + 0.01) / 4.0;
        assert!((scores.calibration_error() - expected).abs() < 1e-12);
        // The ends of bins.
        assert_eq!([0.0, 1e-9, 0.2, 0.200_001, 1.0].map(bin_of), [0, 0, 2, 3, 14]);
    }
}
