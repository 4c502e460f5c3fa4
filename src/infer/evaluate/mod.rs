//! Measures a classifier on labelled images.
//!
//! Images are prepared as in inference and run in batches as in a run's validation, so the weights of a run
//! give the digits of its validation again. An image that cannot be read ends the evaluation, or is skipped:
//! then its place in the batch is taken by the next one, and the result is that of a set without it.

mod reader;
mod tally;
#[cfg(test)]
mod tests;

use super::{
    Classifier, Dense, DenseError, Ensemble, InferError, Outcome, Scores, Session,
    mean_probabilities, top_k,
};
use crate::data::{Crops, Dataset, Error};
use crate::numerics::VALIDATION_BATCH;
use crate::ops::softmax_loss;
use crate::runtime::{Watch, alone};
use reader::{Images, Inputs, Reader, Source};
use tally::Tally;

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
    /// An image cannot be tested densely.
    #[error("{image}: {error}")]
    Dense {
        /// The image, as the set calls it.
        image: String,
        /// What is wrong.
        error: DenseError,
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
    evaluate_ensemble(&classifier.clone().into(), data, classes, options, watch)
}

/// As [`evaluate`], of several networks whose probabilities are averaged, each over its own crops first.
///
/// # Errors
/// As for [`evaluate`].
///
/// # Panics
/// As for [`evaluate`].
pub fn evaluate_ensemble(
    ensemble: &Ensemble,
    data: &dyn Dataset,
    classes: &[usize],
    options: &EvaluationOptions,
    watch: &dyn Watch,
) -> Result<Evaluation, EvaluationError> {
    let mut tally = begin(ensemble, data, classes, options)?;
    let most = ensemble.classifiers().map(|c| options.images_a_batch(c.crops())).min();
    let most = most.unwrap_or(1).min(data.len());
    let mut reader = Reader::new(Source { data, watch }, most, options.skip_bad);
    let mut inputs = Inputs::new(ensemble, most);
    let mut networks: Vec<_> =
        ensemble.classifiers().map(|c| (c, Session::of(c.model()))).collect();
    let outputs = ensemble.classes();
    while let Some(images) = reader.next_batch(&mut inputs)? {
        let mut means = vec![0.0; images.len() * outputs];
        let mut outcomes = Vec::with_capacity(images.len());
        let alone = networks.len() == 1;
        for (i, (classifier, session)) in networks.iter_mut().enumerate() {
            let (crops, side) = (classifier.crops(), classifier.preprocess().view.crop);
            let (input, batch) = (inputs.of(i, images.len()), images.len() * crops.count());
            let logits = session.run_unless(input, batch, side, side, &|| watch.stopped())?;
            let logits = logits.ok_or(Error::Interrupted)?;
            let rows = logits.chunks_exact(outputs * crops.count());
            for ((&index, row), mean) in
                images.iter().zip(rows).zip(means.chunks_exact_mut(outputs))
            {
                if !row.iter().all(|x| x.is_finite()) {
                    let (image, error) = (data.name(index), InferError::NotFinite);
                    return Err(EvaluationError::Image { image, error });
                }
                if alone && crops == Crops::Center {
                    outcomes.push(as_validation(row, tally.truth(index)));
                } else {
                    ensemble.add(i, &mean_probabilities(row, outputs), mean);
                }
            }
        }
        if outcomes.is_empty() {
            let means = images.iter().zip(means.chunks_exact(outputs));
            outcomes.extend(means.map(|(&index, mean)| Outcome::of(mean, tally.truth(index))));
        }
        tally.add(&images, &outcomes);
        reader.report();
    }
    end(tally, reader, data)
}

/// As [`evaluate_ensemble`], by the dense test: whole images at several `scales`, see [`Dense`]. The scales are those
/// of each network in turn, in pixels of the shorter side; crops, and the batch of `options`, do not matter.
///
/// # Errors
/// As for [`evaluate`]; [`EvaluationError::Dense`] for an image that is too long, or for which there is no memory,
/// also where images that cannot be read are skipped.
///
/// # Panics
/// As for [`evaluate`], or if there are not scales for each network.
pub fn evaluate_dense(
    ensemble: &Ensemble,
    scales: &[Vec<usize>],
    data: &dyn Dataset,
    classes: &[usize],
    options: &EvaluationOptions,
    watch: &dyn Watch,
) -> Result<Evaluation, EvaluationError> {
    assert_eq!(scales.len(), ensemble.classifiers().len(), "scales for each network");
    let mut tally = begin(ensemble, data, classes, options)?;
    let tests = ensemble.classifiers().zip(scales).map(|(c, scales)| Dense::new(c, scales));
    let mut tests: Vec<Dense> = tests.collect::<Result<_, _>>()?;
    // Decoded in parallel, and no more in memory than that takes. Results do not depend on how many.
    let most = rayon::current_num_threads();
    let mut reader = Reader::new(Source { data, watch }, most, options.skip_bad);
    let mut read = Images::default();
    while let Some(images) = reader.next_batch(&mut read)? {
        for (place, &index) in images.iter().enumerate() {
            let Some(image) = read.take(place) else { continue };
            let mut mean = vec![0.0; ensemble.classes()];
            for (i, test) in tests.iter_mut().enumerate() {
                let found = test.probabilities(&image, &|| watch.stopped());
                let failed = |error| EvaluationError::Dense { image: data.name(index), error };
                let found = found.map_err(failed)?.ok_or(Error::Interrupted)?;
                ensemble.add(i, &found, &mut mean);
            }
            tally.add(&[index], &[Outcome::of(&mean, tally.truth(index))]);
        }
        reader.report();
    }
    end(tally, reader, data)
}

fn begin<'a>(
    ensemble: &Ensemble,
    data: &'a dyn Dataset,
    classes: &'a [usize],
    options: &EvaluationOptions,
) -> Result<Tally<'a>, EvaluationError> {
    let outputs = ensemble.classes();
    assert_eq!(classes.len(), data.classes(), "a class of the network for each of the data");
    assert!(classes.iter().all(|&class| class < outputs), "a class beyond {outputs}");
    if data.is_empty() {
        return Err(EvaluationError::NoImages);
    }
    Ok(Tally::new(data, classes, outputs, options.mistakes))
}

fn end(tally: Tally, reader: Reader, data: &dyn Dataset) -> Result<Evaluation, EvaluationError> {
    let mut found = tally.end(reader.skipped());
    match found.scores.images() {
        0 if !found.skipped.is_empty() => {
            let first = found.skipped.swap_remove(0);
            Err(EvaluationError::NoneRead { images: data.len(), first })
        }
        _ => Ok(found),
    }
}

/// What the network made of an image with these `logits`, as validation counts it.
fn as_validation(logits: &[f32], truth: usize) -> Outcome {
    let mut ignored = vec![0.0; logits.len()];
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
