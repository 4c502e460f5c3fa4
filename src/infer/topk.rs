//! Logits to predictions.

use std::cmp::Ordering;

use crate::ops::softmax;

/// A class and its probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// The class.
    pub index: usize,
    /// Its probability by the softmax, 0..1; with several crops, the mean of theirs.
    pub probability: f64,
    /// Its logit; `None` for an average of several crops.
    pub logit: Option<f32>,
}

/// The `k` most likely classes (or all, if there are fewer), most likely first. Of equally likely ones, the
/// one with the lower index comes first.
pub fn top_k(logits: &[f32], k: usize) -> Vec<Prediction> {
    let probabilities = softmax(logits);
    let prediction = |index: usize| Prediction {
        index,
        probability: probabilities[index],
        logit: Some(logits[index]),
    };
    let order = descending(logits.len(), |a, b| logits[a].total_cmp(&logits[b]));
    order.into_iter().take(k).map(prediction).collect()
}

/// As [`top_k`], with the softmax averaged over crops; `logits` is `[crops, classes]`.
///
/// # Panics
/// If `classes` is zero.
pub fn top_k_of_crops(logits: &[f32], classes: usize, k: usize) -> Vec<Prediction> {
    let mean = mean_probabilities(logits, classes);
    let order = descending(classes, |a, b| mean[a].total_cmp(&mean[b]));
    let prediction = |index: usize| Prediction { index, probability: mean[index], logit: None };
    order.into_iter().take(k).map(prediction).collect()
}

/// The softmax averaged over crops, `[classes]`; `logits` is `[crops, classes]`.
///
/// # Panics
/// If `classes` is zero.
pub(super) fn mean_probabilities(logits: &[f32], classes: usize) -> Vec<f64> {
    let rows = logits.chunks_exact(classes);
    let crops = rows.len() as f64;
    let mut mean = vec![0.0; classes];
    rows.for_each(|row| mean.iter_mut().zip(softmax(row)).for_each(|(sum, p)| *sum += p));
    mean.iter_mut().for_each(|sum| *sum /= crops);
    mean
}

/// The numbers below `len` from the largest to the smallest; of equals the lower first.
fn descending(len: usize, compare: impl Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    order.sort_by(|&a, &b| compare(b, a));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_by_logit_then_index() {
        let found: Vec<_> = top_k(&[0.5, 2.0, 2.0, -1.0], 3).iter().map(|p| p.index).collect();
        assert_eq!(found, [1, 2, 0]);
        assert_eq!(top_k(&[1.0], 5).len(), 1);
    }

    #[test]
    fn shares_of_crops_are_averaged() {
        // Shares 0.2 and 0.8, then 0.9 and 0.1: the sums of the logits would say otherwise.
        let logits = [0.0, 4_f32.ln(), 9_f32.ln(), 0.0];
        let found = top_k_of_crops(&logits, 2, 5);
        assert_eq!(
            found.iter().map(|p| (p.index, p.logit)).collect::<Vec<_>>(),
            [(0, None), (1, None)]
        );
        assert!(
            (found[0].probability - 0.55).abs() < 1e-7
                && (found[1].probability - 0.45).abs() < 1e-7
        );
        let equal: Vec<_> = top_k_of_crops(&[1.0; 6], 3, 2).iter().map(|p| p.index).collect();
        assert_eq!(equal, [0, 1]);
    }
}
