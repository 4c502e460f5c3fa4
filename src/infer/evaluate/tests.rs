//! Outcomes, skipped images, ensembles and the dense test, on drawn images and networks that have not learnt.

use super::*;
use crate::data::{MemoryDataset, Preprocess, RgbImage};
use crate::gemm::Backend;
use crate::infer::Model;
use crate::model::{InitOptions, ModelSpec, Network, Options, initialize};
use crate::runtime::{Interrupt, Unwatched};
use crate::simd::Isa;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

fn classifier() -> Classifier {
    let network = Network::new(&ModelSpec::new("resnet20", Options::default()).unwrap());
    let params = initialize(&network, 1, InitOptions::default());
    let model = Model::new(&network, params, Backend::Native(Isa::best()));
    Classifier::new(model, Preprocess::cifar(), None).unwrap()
}

/// Images of the demo set, of which every `bad`-th (if it is not 0) cannot be read.
struct Set {
    images: MemoryDataset,
    bad: usize,
    good: Vec<usize>,
    stop: Option<(usize, Interrupt)>,
    read: AtomicUsize,
}

impl Set {
    fn new(images: u64, bad: usize) -> Self {
        let is_good = |i: &usize| bad == 0 || !i.is_multiple_of(bad);
        let good = (0..images as usize).filter(is_good).collect();
        let images = MemoryDataset::demo(3, 0..images);
        Self { images, bad, good, stop: None, read: AtomicUsize::new(0) }
    }
}

impl Dataset for Set {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn classes(&self) -> usize {
        self.images.classes()
    }

    fn class_names(&self) -> Option<&[String]> {
        None
    }

    fn label(&self, index: usize) -> usize {
        self.images.label(index)
    }

    fn image(&self, index: usize) -> Result<RgbImage, Error> {
        let read = self.read.fetch_add(1, Ordering::Relaxed);
        if let Some((_, interrupt)) = self.stop.as_ref().filter(|(at, _)| read >= *at) {
            interrupt.raise();
        }
        match self.bad {
            0 => self.images.image(index),
            bad if index.is_multiple_of(bad) => {
                Err(Error::Empty { path: PathBuf::from(format!("{index}.png")) })
            }
            _ => self.images.image(index),
        }
    }

    fn fingerprint(&self) -> String {
        String::new()
    }
}

const CLASSES: [usize; 10] = [3, 1, 2, 0, 4, 5, 6, 7, 8, 9];

fn run(set: &dyn Dataset, options: EvaluationOptions) -> Result<Evaluation, EvaluationError> {
    evaluate(&classifier(), set, &CLASSES, &options, &Unwatched)
}

#[test]
fn outcomes_are_those_of_the_classifier() {
    let set = Set::new(150, 0);
    for crops in [Crops::Center, Crops::Ten] {
        let classifier = classifier().with_crops(crops);
        let options = EvaluationOptions { mistakes: 7, ..EvaluationOptions::default() };
        let found = evaluate(&classifier, &set, &CLASSES, &options, &Unwatched).unwrap();
        let batch = if crops == Crops::Ten { 6 } else { 64 };
        let (mut top5, mut loss, mut confusion) = (0, 0.0, vec![0; 100]);
        let mut losses = Vec::new();
        let indices: Vec<usize> = (0..150).collect();
        for indices in indices.chunks(batch) {
            let images: Vec<_> = indices.iter().map(|&i| set.image(i).unwrap()).collect();
            for (&i, result) in indices.iter().zip(classifier.classify(&images, 10)) {
                let (result, truth) = (result.unwrap(), CLASSES[set.label(i)]);
                let rank = result.iter().position(|p| p.index == truth).unwrap();
                top5 += u64::from(rank < 5);
                confusion[truth * 10 + result[0].index] += 1;
                loss -= result[rank].probability.ln();
                if rank > 0 {
                    losses.push((-result[rank].probability.ln(), i));
                }
            }
        }
        let scores = &found.scores;
        assert_eq!((scores.images(), scores.in_top5()), (150, top5));
        assert!((scores.loss() - loss / 150.0).abs() < 1e-9, "{crops:?}");
        for (at, &count) in confusion.iter().enumerate() {
            assert_eq!(scores.confusion().get(&(at / 10, at % 10)).copied().unwrap_or(0), count);
        }
        losses.sort_by(|a, b| b.0.total_cmp(&a.0));
        let worst: Vec<usize> = losses.iter().take(7).map(|(_, i)| *i).collect();
        assert_eq!(found.mistakes.iter().map(|(i, _)| *i).collect::<Vec<_>>(), worst);
    }
}

/// Bit for bit what the set without them gives: no batch is shorter for them.
#[test]
fn bad_images_end_it_or_are_skipped_without_a_trace() {
    let set = Set::new(200, 7);
    let error = run(&set, EvaluationOptions::default()).unwrap_err().to_string();
    assert!(error.starts_with("0.png: "), "{error}");
    let skip = EvaluationOptions { skip_bad: true, ..EvaluationOptions::default() };
    let found = run(&set, skip).unwrap();
    let skipped: Vec<String> = found.skipped.iter().map(ToString::to_string).collect();
    assert_eq!(skipped.len(), 29);
    assert!(skipped[1].starts_with("7.png: "), "{}", skipped[1]);
    let good = set.good.clone();
    let good = crate::data::Subset::new(std::sync::Arc::new(Set::new(200, 0)), good);
    assert_eq!(found.scores, run(&good, skip).unwrap().scores);
    let error = run(&Set::new(5, 1), skip).unwrap_err().to_string();
    assert!(error.contains("none of the 5 images can be read; the first: 0.png"), "{error}");
}

#[test]
fn it_is_stopped_between_images() {
    let interrupt = Interrupt::none();
    let mut set = Set::new(200, 0);
    set.stop = Some((70, interrupt.clone()));
    let options = EvaluationOptions { skip_bad: true, ..EvaluationOptions::default() };
    let error = evaluate(&classifier(), &set, &CLASSES, &options, &interrupt).unwrap_err();
    assert!(matches!(error, EvaluationError::Data(Error::Interrupted)), "{error}");
    assert!(set.read.load(Ordering::Relaxed) < 100);
}

/// A network of random weights by `seed` with names in the order of `classes`, whose outputs are in that order.
fn member(seed: u64, side: usize, classes: [usize; 10]) -> Classifier {
    let network = Network::new(&ModelSpec::new("resnet20", Options::default()).unwrap());
    let params = initialize(&network, seed, InitOptions::default());
    let model = Model::new(&network, params, Backend::Native(Isa::best()));
    let preprocess =
        Preprocess { view: crate::data::View::of(side + 3, side), ..Preprocess::cifar() };
    let names = classes.map(|class| format!("class {class}")).to_vec();
    Classifier::new(model, preprocess, Some(names)).unwrap()
}

const IN_ORDER: [usize; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
const TURNED: [usize; 10] = [9, 8, 7, 6, 5, 4, 3, 2, 1, 0];

/// What a classifier alone makes of an image, by the names of its classes.
fn by_name(classifier: &Classifier, found: Vec<f64>) -> [f64; 10] {
    let mut named = [0.0; 10];
    for (index, p) in found.into_iter().enumerate() {
        let name = classifier.label(index).unwrap();
        named[name.strip_prefix("class ").unwrap().parse::<usize>().unwrap()] = p;
    }
    named
}

/// The mean of what each finds by itself, one image after the other, with its own preparation and the order of its
/// own classes. Other sizes of batch are computed by other algorithms, hence the rounding.
#[test]
fn an_ensemble_is_the_mean_of_its_networks() {
    let set = Set::new(23, 0);
    let members = [member(1, 32, IN_ORDER), member(2, 40, TURNED), member(3, 37, IN_ORDER)];
    for crops in [Crops::Center, Crops::Ten] {
        let members = members.clone().map(|classifier| classifier.with_crops(crops));
        let [first, rest @ ..] = members.clone();
        let ensemble = Ensemble::new(first, rest).unwrap();
        let options = EvaluationOptions { batch: 20, mistakes: 23, ..EvaluationOptions::default() };
        let found = evaluate_ensemble(&ensemble, &set, &IN_ORDER, &options, &Unwatched).unwrap();
        let mut expected = Vec::new();
        for i in 0..23 {
            let image = set.image(i).unwrap();
            let mut mean = [0.0; 10];
            for classifier in &members {
                let mut own = vec![0.0; 10];
                for p in classifier.classify_one(&image, 10).unwrap() {
                    own[p.index] = p.probability;
                }
                let named = by_name(classifier, own);
                mean.iter_mut().zip(named).for_each(|(sum, p)| *sum += p / 3.0);
            }
            expected.push(Outcome::of(&mean, set.label(i)));
        }
        let correct = expected.iter().filter(|outcome| outcome.is_correct()).count();
        assert_eq!(found.scores.correct(), correct as u64, "{crops:?}");
        assert_eq!(found.mistakes.len(), 23 - correct);
        for (i, outcome) in &found.mistakes {
            assert_eq!(outcome.predicted, expected[*i].predicted, "{crops:?} image {i}");
            assert!((outcome.loss - expected[*i].loss).abs() < 1e-4, "{crops:?} image {i}");
        }
        let loss = expected.iter().map(|outcome| outcome.loss).sum::<f64>() / 23.0;
        assert!((found.scores.loss() - loss).abs() < 1e-5, "{crops:?}");
    }
}

/// Bit for bit what each test by itself gives, averaged: the batch is the same two inputs.
#[test]
fn the_dense_test_of_an_ensemble_is_the_mean_of_its_networks() {
    let set = Set::new(5, 2);
    let members = [member(1, 32, IN_ORDER), member(2, 40, TURNED)];
    let scales = [vec![32, 45], vec![40]];
    let [first, second] = members.clone();
    let ensemble = Ensemble::new(first, [second]).unwrap();
    let options = EvaluationOptions { skip_bad: true, mistakes: 9, ..EvaluationOptions::default() };
    let found = evaluate_dense(&ensemble, &scales, &set, &IN_ORDER, &options, &Unwatched).unwrap();
    assert_eq!((found.scores.images(), found.skipped.len()), (2, 3));
    let outcomes = set.good.iter().map(|&i| {
        let image = set.images.image(i).unwrap();
        let mut mean = [0.0; 10];
        for (classifier, scales) in members.iter().zip(&scales) {
            let mut dense = Dense::new(classifier, scales).unwrap();
            let own = dense.probabilities(&image, &|| false).unwrap().unwrap();
            let named = by_name(classifier, own);
            mean.iter_mut().zip(named).for_each(|(sum, p)| *sum += p / 2.0);
        }
        (i, Outcome::of(&mean, set.label(i)))
    });
    let outcomes: Vec<_> = outcomes.collect();
    let mut scores = Scores::new(10);
    outcomes.iter().for_each(|(_, outcome)| scores.add(&[*outcome]));
    assert_eq!(found.scores, scores);
    let options = EvaluationOptions { skip_bad: false, ..options };
    let error = evaluate_dense(&ensemble, &scales, &set, &IN_ORDER, &options, &Unwatched);
    assert!(error.unwrap_err().to_string().starts_with("0.png: "));
}

/// Ten crops run together are the mean of ten that are cut and run one by one. A batch of one is computed by other
/// algorithms than one of ten, so it is so to rounding: 20 layers of sums of at most 576 terms in f32.
#[test]
fn ten_crops_are_the_mean_of_each_by_itself() {
    let set = Set::new(6, 0);
    let classifier = member(4, 28, IN_ORDER);
    let preprocess = classifier.preprocess().clone();
    let ten = classifier.clone().with_crops(Crops::Ten);
    let options = EvaluationOptions { mistakes: 6, ..EvaluationOptions::default() };
    let found = evaluate(&ten, &set, &IN_ORDER, &options, &Unwatched).unwrap();
    let as_it_is = crate::data::View { resize: None, ..preprocess.view };
    let single = Classifier::new(
        classifier.model().clone(),
        Preprocess { view: as_it_is, ..preprocess.clone() },
        None,
    )
    .unwrap();
    let mut loss = 0.0;
    for i in 0..6 {
        let image = set.image(i).unwrap();
        // By hand: shorter side 31, corners and middle of 28, then mirrored.
        let resized = crate::data::resize(&image, 31, 31);
        let mut mirrored = resized.clone();
        mirrored.mirror();
        let mut mean = [0.0; 10];
        for whole in [&resized, &mirrored] {
            for (left, top) in [(0, 0), (3, 0), (0, 3), (3, 3), (2, 2)] {
                let rows = (top..top + 28).flat_map(|y| whole.row(y)[left * 3..][..84].to_vec());
                let crop = RgbImage::new(28, 28, rows.collect());
                for p in single.classify_one(&crop, 10).unwrap() {
                    mean[p.index] += p.probability / 10.0;
                }
            }
        }
        loss += Outcome::of(&mean, set.label(i)).loss / 6.0;
        if let Some((_, outcome)) = found.mistakes.iter().find(|(wrong, _)| *wrong == i) {
            assert!((outcome.loss - Outcome::of(&mean, set.label(i)).loss).abs() < 1e-4, "{i}");
        }
    }
    assert!((found.scores.loss() - loss).abs() < 1e-4, "{} {loss}", found.scores.loss());
}
