//! Measures a classifier on labelled images.
//!
//! Images are prepared as in inference and run in batches as in a run's validation, so the weights of a run
//! give the digits of its validation again. An image that cannot be read ends the evaluation, or is skipped:
//! then its place in the batch is taken by the next one, and the result is that of a set without it.

use super::{Classifier, InferError, Outcome, Scores, Session, top_k, top_k_of_crops};
use crate::data::{Crops, Dataset, Error, Normalizer};
use crate::numerics::VALIDATION_BATCH;
use crate::ops::softmax_loss;
use crate::runtime::{AlignedBuf, ChunksMut, Watch, alone, team};

/// How a network is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvaluationOptions {
    /// Crops per batch, at least those of one image. It decides how convolutions are computed, so it can
    /// change the last digits.
    pub batch: usize,
    /// Whether an image that cannot be read is left out and listed, instead of ending the evaluation.
    pub skip_bad: bool,
    /// How many of the worst mistakes are kept.
    pub mistakes: usize,
}

impl Default for EvaluationOptions {
    /// The batch of validation; a bad image is an error; no mistakes are kept.
    fn default() -> Self {
        Self { batch: VALIDATION_BATCH, skip_bad: false, mistakes: 0 }
    }
}

impl EvaluationOptions {
    /// Images in a batch of which `crops` are used.
    pub fn images_a_batch(&self, crops: Crops) -> usize {
        (self.batch / crops.count()).max(1)
    }
}

/// What was found.
#[derive(Debug)]
pub struct Evaluation {
    /// The sums over all images.
    pub scores: Scores,
    /// The images that were classified wrong with the largest losses, by their numbers in the set; the
    /// largest loss first.
    pub mistakes: Vec<(usize, Outcome)>,
    /// Why images were skipped, in the order of the set.
    pub skipped: Vec<Error>,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluationError {
    /// An image cannot be read, or the evaluation was stopped ([`Error::Interrupted`]).
    #[error(transparent)]
    Data(#[from] Error),
    /// The network cannot run.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// The network's output for an image is not finite.
    #[error("{image}: {error}")]
    Image {
        /// The image, as the set calls it.
        image: String,
        /// What is wrong.
        error: InferError,
    },
    /// None of the images could be read.
    #[error("none of the {images} images can be read; the first: {first}")]
    NoneRead {
        /// Images of the set.
        images: usize,
        /// What is wrong with the first.
        first: Error,
    },
    /// The set has no images.
    #[error("there are no images to evaluate on")]
    NoImages,
}

/// Measures `classifier` on the images of `data`, in order, with the crops that it uses. `classes` says which
/// class of the network each class of the data is. `watch` is told of the images that are done, and may stop
/// it between images and between layers.
///
/// Accuracy is over all classes of the network, also if the data have only some. With several crops,
/// probabilities are averaged over them, and the loss is that of the averages.
///
/// # Errors
/// [`EvaluationError`]; [`Error::Interrupted`] if it was stopped.
///
/// # Panics
/// If `classes` does not have a class of the network for each of the data's.
pub fn evaluate(
    classifier: &Classifier,
    data: &dyn Dataset,
    classes: &[usize],
    options: &EvaluationOptions,
    watch: &dyn Watch,
) -> Result<Evaluation, EvaluationError> {
    let outputs = classifier.model().network().fc.out_features;
    assert_eq!(classes.len(), data.classes(), "a class of the network for each of the data");
    assert!(classes.iter().all(|&class| class < outputs), "a class beyond {outputs}");
    if data.is_empty() {
        return Err(EvaluationError::NoImages);
    }
    let (crops, side) = (classifier.crops(), classifier.preprocess().view.crop);
    let most = options.images_a_batch(crops).min(data.len());
    let mut reader = Reader::new(classifier, data, most, options.skip_bad, watch);
    let mut session = Session::of(classifier.model());
    let (mut scores, mut mistakes) = (Scores::new(outputs), Vec::new());
    while let Some((images, input)) = reader.next_batch()? {
        let batch = images.len() * crops.count();
        let logits = session.run_unless(input, batch, side, side, &|| watch.stopped())?;
        let logits = logits.ok_or(Error::Interrupted)?;
        let rows = logits.chunks_exact(outputs * crops.count());
        let mut outcomes = Vec::with_capacity(images.len());
        for (&index, row) in images.iter().zip(rows) {
            if !row.iter().all(|x| x.is_finite()) {
                let (image, error) = (data.name(index), InferError::NotFinite);
                return Err(EvaluationError::Image { image, error });
            }
            let outcome = outcome(row, outputs, crops, classes[data.label(index)]);
            outcomes.push(outcome);
            if !outcome.is_correct() {
                mistakes.push((index, outcome));
            }
        }
        scores.add(&outcomes);
        // Of equal losses the earlier image comes first: the sort is stable.
        mistakes.sort_by(|a, b| b.1.loss.total_cmp(&a.1.loss));
        mistakes.truncate(options.mistakes);
        watch.progress("images", reader.next as u64, Some(data.len() as u64));
    }
    let mut skipped = reader.skipped;
    match scores.images() {
        0 if !skipped.is_empty() => {
            let first = skipped.swap_remove(0);
            Err(EvaluationError::NoneRead { images: data.len(), first })
        }
        _ => Ok(Evaluation { scores, mistakes, skipped }),
    }
}

/// What the network made of an image with these `logits`, `[crops, classes]`.
fn outcome(logits: &[f32], classes: usize, crops: Crops, truth: usize) -> Outcome {
    match crops {
        Crops::Center => {
            // As validation counts.
            let mut ignored = vec![0.0; classes];
            let loss = alone(|team| softmax_loss(team, logits, &[truth], 0.0, 1, &mut ignored));
            let best = top_k(logits, 1)[0];
            Outcome {
                truth,
                predicted: best.index,
                probability: best.probability,
                in_top5: loss.top5 > 0,
                loss: loss.sum,
            }
        }
        Crops::Ten => {
            let order = top_k_of_crops(logits, classes, classes);
            let rank = order.iter().position(|p| p.index == truth).unwrap_or(classes);
            Outcome {
                truth,
                predicted: order[0].index,
                probability: order[0].probability,
                in_top5: rank < 5,
                loss: -libm::log(order[rank].probability),
            }
        }
    }
}

/// The numbers of images in a set, and their inputs.
type Batch<'i> = (Vec<usize>, &'i [f32]);

/// Reads a set batch by batch.
struct Reader<'a> {
    classifier: &'a Classifier,
    data: &'a dyn Dataset,
    normalizer: Normalizer,
    /// Images of a batch, unless the set ends.
    most: usize,
    skip_bad: bool,
    watch: &'a dyn Watch,
    /// The next image of the set.
    next: usize,
    skipped: Vec<Error>,
    /// `[images, crops, side, side, channels]`.
    input: AlignedBuf,
}

impl<'a> Reader<'a> {
    fn new(
        classifier: &'a Classifier,
        data: &'a dyn Dataset,
        most: usize,
        skip_bad: bool,
        watch: &'a dyn Watch,
    ) -> Self {
        let preprocess = classifier.preprocess();
        let len = most * classifier.crops().count() * preprocess.input_len();
        Self {
            classifier,
            data,
            normalizer: Normalizer::new(&preprocess.mean),
            most,
            skip_bad,
            watch,
            next: 0,
            skipped: Vec::new(),
            input: AlignedBuf::zeroed(len),
        }
    }

    /// The numbers of the next images that can be read, and their inputs; `None` after the last.
    fn next_batch(&mut self) -> Result<Option<Batch<'_>>, Error> {
        let len = self.input.len() / self.most;
        let mut images = Vec::with_capacity(self.most);
        while images.len() < self.most && self.next < self.data.len() {
            let start = images.len();
            let count = (self.most - start).min(self.data.len() - self.next);
            for (i, read) in self.read(start, count).into_iter().enumerate() {
                match read {
                    Ok(()) => {
                        let (from, to) = ((start + i) * len, images.len() * len);
                        if from > to {
                            self.input.copy_within(from..from + len, to);
                        }
                        images.push(self.next + i);
                    }
                    Err(error) if self.skip_bad && !matches!(error, Error::Interrupted) => {
                        self.skipped.push(error);
                    }
                    Err(error) => return Err(error),
                }
            }
            self.next += count;
        }
        let input = &self.input[..images.len() * len];
        Ok((!images.is_empty()).then_some((images, input)))
    }

    /// Reads the next `count` images into the inputs from place `start` on, in parallel.
    fn read(&mut self, start: usize, count: usize) -> Vec<Result<(), Error>> {
        let Self { classifier, data, ref normalizer, watch, next, .. } = *self;
        let (preprocess, crops) = (classifier.preprocess(), classifier.crops());
        let len = self.input.len() / self.most;
        let mut results: Vec<Result<(), Error>> = (0..count).map(|_| Ok(())).collect();
        let inputs = ChunksMut::new(&mut self.input[start * len..][..count * len], len);
        let parts = (inputs, ChunksMut::new(&mut results, 1));
        let read = |index, input: &mut [f32]| {
            if watch.stopped() {
                return Err(Error::Interrupted);
            }
            preprocess.write(normalizer, &data.image(index)?, crops, input);
            Ok(())
        };
        team(|team| {
            team.for_each_part(parts, |i, (input, result), _| result[0] = read(next + i, input));
        });
        results
    }
}

#[cfg(test)]
mod tests {
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
                assert_eq!(
                    scores.confusion().get(&(at / 10, at % 10)).copied().unwrap_or(0),
                    count
                );
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
}
