//! Batch norm's statistics of a network that has been trained, as a true average over training images.
//!
//! That is what the authors did for their published networks (`learn::average` says how it differs from the moving
//! average of training).

use super::measured::measure_parts;
use crate::conv::Convolutions;
use crate::data::{self, Dataset, Preprocess, epoch_order};
use crate::gemm::Backend;
use crate::learn::{Learner, Measured, TooSmall, finite, is_folded, training_bytes};
use crate::model::{Network, Params};
use crate::numerics::AVERAGED_BATCH;
use crate::runtime::{Watch, available_memory};

/// The seed of the order whose first images are taken: the default of training.
const SEED: u64 = 0;

/// Why there is no average.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AverageError {
    /// An image cannot be read, or it was stopped ([`data::Error::Interrupted`]).
    #[error(transparent)]
    Data(#[from] data::Error),
    /// The images are too small for the network.
    #[error(transparent)]
    TooSmall(#[from] TooSmall),
    /// There are fewer images.
    #[error("expected 2 to {images} images, which is all there are to train on, found {asked}")]
    Images {
        /// Training images.
        images: usize,
        /// Those asked for.
        asked: usize,
    },
    /// There are no statistics.
    #[error(
        "batch norm has no statistics to average: every mean is 0 and every variance 1, so they were folded into \
         scales and shifts when the weights were published, or the network was never trained"
    )]
    Folded,
    /// It is a network that this program cannot train.
    #[error("the statistics of {0} cannot be averaged: running it as in training is not supported")]
    NotTrainable(String),
    /// There is not enough memory.
    #[error(
        "running {batch} images of {side} x {side} pixels as in training takes about {} MB, and {} are available",
        needed.div_ceil(1_000_000),
        available / 1_000_000
    )]
    Memory {
        /// Images that run together.
        batch: usize,
        /// Side of an input, in pixels.
        side: usize,
        /// Bytes.
        needed: u64,
        /// Bytes.
        available: u64,
    },
    /// Activations overflow.
    #[error("the network's activations of these images are not finite")]
    NotFinite,
}

/// Replaces the running statistics of `params` by the average over the centre views, prepared by `preprocess`, of
/// `images` images of `data`: the first of epoch 0's order with the seed 0.
///
/// They run in batches of 32, the authors' batch of each of 8 processors, or a little smaller ones, all of the same
/// size but for one image; each as in training. Mean and variance are those of all their values
/// together. The result depends on data, network, and `images` alone. `watch` is told how far it is.
///
/// # Errors
/// [`AverageError`]; `params` are as before then.
pub fn average_batch_norm(
    network: &Network,
    params: &mut Params,
    data: &dyn Dataset,
    images: usize,
    preprocess: &Preprocess,
    backend: Backend,
    convolutions: Convolutions,
    watch: &dyn Watch,
) -> Result<(), AverageError> {
    if !network.spec.is_trainable() {
        return Err(AverageError::NotTrainable(network.spec.name.clone()));
    }
    if is_folded(network, params) {
        return Err(AverageError::Folded);
    }
    if images < 2 || images > data.len() {
        return Err(AverageError::Images { images: data.len(), asked: images });
    }
    // In the order of the epoch, not of the data: batches are as mixed as in training.
    let order = epoch_order(SEED, 0, data.len());
    let parts = equal_parts(&order[..images], AVERAGED_BATCH);
    let (batch, side) = (parts[0].len(), preprocess.view.crop);
    let needed = training_bytes(network, batch, batch, side);
    if let Some(available) = available_memory().filter(|&available| needed > available) {
        return Err(AverageError::Memory { batch, side, needed, available });
    }
    let mut learner = Learner::new(network, backend).with_convolutions(convolutions);
    let (mut measured, stopped) = (Measured::default(), || watch.stopped());
    let what = "training images averaged for batch norm";
    measure_parts::<AverageError>(data, preprocess, &parts, watch, what, |input, images| {
        learner.average(params, input, images, side, &mut measured, &stopped)
    })?;
    let mut averaged = params.clone();
    measured.replace(network, &mut averaged);
    if !finite(averaged.statistics()) {
        return Err(AverageError::NotFinite);
    }
    *params = averaged;
    Ok(())
}

/// `items` in as few parts as have at most `most`, of equal lengths but for one, the longer first.
fn equal_parts<T>(items: &[T], most: usize) -> Vec<&[T]> {
    let count = items.len().div_ceil(most);
    let (least, longer) = (items.len() / count, items.len() % count);
    let (long, short) = items.split_at(longer * (least + 1));
    long.chunks(least + 1).chain(short.chunks(least)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::MemoryDataset;
    use crate::model::{InitOptions, ModelSpec, Options, Role, initialize};
    use crate::runtime::{Interrupt, Unwatched};
    use crate::simd::Isa;

    fn network() -> Network {
        Network::new(&ModelSpec::new("resnet20", Options::default()).unwrap())
    }

    /// Statistics that are not those of any images.
    fn params(network: &Network) -> Params {
        let mut params = initialize(network, 2, InitOptions::default());
        for (id, info) in network.table().iter() {
            if info.role == Role::RunningMean {
                params.get_mut(id).fill(0.5);
            }
        }
        params
    }

    fn average(params: &mut Params, images: usize, watch: &dyn Watch) -> Result<(), AverageError> {
        let data = MemoryDataset::demo(3, 0..90);
        let (how, backend) = (Preprocess::cifar(), Backend::Native(Isa::best()));
        let by = Convolutions::default();
        average_batch_norm(&network(), params, &data, images, &how, backend, by, watch)
    }

    #[test]
    fn parts_are_equal_but_for_one() {
        let lens = |len: usize, most| -> Vec<usize> {
            equal_parts(&vec![(); len], most).iter().map(|part| part.len()).collect()
        };
        assert_eq!(lens(65, 32), [22, 22, 21]);
        assert_eq!(lens(64, 32), [32, 32]);
        assert_eq!(lens(33, 32), [17, 16]);
        assert_eq!(lens(2, 32), [2]);
    }

    /// The stem's input is the images alone: its statistics, computed here by the definition over the same images.
    #[test]
    fn the_stem_sees_all_values_of_the_chosen_images() {
        let network = network();
        let mut params = params(&network);
        average(&mut params, 40, &Unwatched).unwrap();
        let data = MemoryDataset::demo(3, 0..90);
        let weights = params.get(network.stem.weight);
        let (mut sum, mut squares) = (vec![0.0; 16], vec![0.0; 16]);
        for &index in &epoch_order(0, 0, 90)[..40] {
            let mut input = vec![0.0; 32 * 32 * 3];
            Preprocess::cifar().apply(&data.image(index).unwrap(), &mut input);
            for (y, x, k) in (0..32 * 32 * 16).map(|i| (i / 16 / 32, i / 16 % 32, i % 16)) {
                let mut value = 0.0;
                for (c, dy, dx) in (0..27).map(|i| (i / 9, i / 3 % 3, i % 3)) {
                    let (y, x) = (y + dy, x + dx);
                    if (1..33).contains(&y) && (1..33).contains(&x) {
                        let input = input[((y - 1) * 32 + x - 1) * 3 + c];
                        value +=
                            f64::from(input) * f64::from(weights[(k * 3 + c) * 9 + dy * 3 + dx]);
                    }
                }
                sum[k] += value;
                squares[k] += value * value;
            }
        }
        let count = 40.0 * 1024.0;
        for k in 0..16 {
            let mean = sum[k] / count;
            let var = (squares[k] - sum[k] * mean) / (count - 1.0);
            let found = [network.stem.running_mean, network.stem.running_var];
            let [found_mean, found_var] = found.map(|id| f64::from(params.get(id)[k]));
            assert!((found_mean - mean).abs() < 1e-5, "channel {k}: {found_mean} {mean}");
            assert!((found_var / var - 1.0).abs() < 1e-4, "channel {k}: {found_var} {var}");
        }
    }

    #[test]
    fn what_cannot_be_averaged_is_said_and_changes_nothing() {
        let network = network();
        let before = params(&network);
        let interrupt = Interrupt::none();
        interrupt.raise();
        for (images, watch, words) in [
            (91, &Unwatched as &dyn Watch, "expected 2 to 90 images"),
            (1, &Unwatched, "expected 2 to 90 images"),
            (40, &interrupt, "interrupted"),
        ] {
            let mut params = before.clone();
            let error = average(&mut params, images, watch).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
            assert_eq!(params.statistics(), before.statistics());
        }
        let mut untrained = initialize(&network, 2, InitOptions::default());
        let error = average(&mut untrained, 40, &Unwatched).unwrap_err();
        assert!(matches!(error, AverageError::Folded), "{error}");
        let mut endless = before.clone();
        endless.get_mut(network.stem.weight).fill(f32::MAX);
        let error = average(&mut endless, 40, &Unwatched).unwrap_err();
        assert!(matches!(error, AverageError::NotFinite), "{error}");
    }
}
