//! What networks made of image after image, added up.

use super::Evaluation;
use crate::data::{Dataset, Error};
use crate::infer::{Outcome, Scores};

/// The sums so far.
pub(super) struct Tally<'a> {
    data: &'a dyn Dataset,
    /// The network's class for each of the data's.
    classes: &'a [usize],
    scores: Scores,
    mistakes: Vec<(usize, Outcome)>,
    /// How many mistakes are kept.
    most: usize,
}

impl<'a> Tally<'a> {
    /// Of no images so far, for networks of `outputs` classes.
    pub(super) fn new(
        data: &'a dyn Dataset,
        classes: &'a [usize],
        outputs: usize,
        most: usize,
    ) -> Self {
        Self { data, classes, scores: Scores::new(outputs), mistakes: Vec::new(), most }
    }

    /// The network's class that image `index` shows.
    pub(super) fn truth(&self, index: usize) -> usize {
        self.classes[self.data.label(index)]
    }

    /// Adds what was made of a batch of images, by their numbers.
    pub(super) fn add(&mut self, images: &[usize], outcomes: &[Outcome]) {
        self.scores.add(outcomes);
        let wrong = images.iter().zip(outcomes).filter(|(_, outcome)| !outcome.is_correct());
        self.mistakes.extend(wrong.map(|(&index, &outcome)| (index, outcome)));
        // Of equal losses the earlier image comes first: the sort is stable.
        self.mistakes.sort_by(|a, b| b.1.loss.total_cmp(&a.1.loss));
        self.mistakes.truncate(self.most);
    }

    /// The result, where images were `skipped`.
    pub(super) fn end(self, skipped: Vec<Error>) -> Evaluation {
        let Self { scores, mistakes, .. } = self;
        Evaluation { scores, mistakes, skipped }
    }
}

impl Outcome {
    /// What was made of an image of class `truth`, if these are the `probabilities` of all classes. Of equally
    /// likely classes the one with the lower index comes first.
    pub(super) fn of(probabilities: &[f64], truth: usize) -> Self {
        let before = |&(class, p): &(usize, &f64)| {
            let order = p.total_cmp(&probabilities[truth]);
            order.is_gt() || (order.is_eq() && class < truth)
        };
        let rank = probabilities.iter().enumerate().filter(before).count();
        let better = |best: usize, class: usize| {
            if probabilities[class].total_cmp(&probabilities[best]).is_gt() { class } else { best }
        };
        let predicted = (0..probabilities.len()).fold(0, better);
        Self {
            truth,
            predicted,
            probability: probabilities[predicted],
            in_top5: rank < 5,
            loss: -libm::log(probabilities[truth]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equally_likely_classes_the_lower_comes_first() {
        let outcome = |truth| Outcome::of(&[0.1, 0.2, 0.2, 0.1, 0.1, 0.1, 0.2], truth);
        let in_top5: Vec<usize> = (0..7).filter(|&truth| outcome(truth).in_top5).collect();
        assert_eq!(in_top5, [0, 1, 2, 3, 6]);
        let correct: Vec<usize> = (0..7).filter(|&truth| outcome(truth).is_correct()).collect();
        assert_eq!(correct, [1]);
        assert_eq!(outcome(6).loss, -libm::log(0.2));
    }
}
