//! Logits to predictions.

use crate::ops::softmax;

/// One class and how likely the network finds it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// The class.
    pub index: usize,
    /// Its share of the softmax, 0..1.
    pub probability: f64,
    /// What the classifier gave.
    pub logit: f32,
}

/// The `k` most likely classes (or all, if there are fewer), most likely first; of equals, the
/// one with the lower index.
pub fn top_k(logits: &[f32], k: usize) -> Vec<Prediction> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    let probabilities = softmax(logits);
    order
        .into_iter()
        .take(k)
        .map(|index| Prediction { index, probability: probabilities[index], logit: logits[index] })
        .collect()
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
}
