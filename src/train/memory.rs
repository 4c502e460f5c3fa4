//! What a run takes of memory and disk, known before it takes it.

use super::config::Config;
use super::error::RunError;
use super::finetune::PART;
use super::trainer::VALIDATION_BATCH;
use crate::gemm::Backend;
use crate::infer::activation_bytes;
use crate::learn::training_bytes;
use crate::model::Network;

/// Bytes of memory that a run takes, within about a fifth; its images in memory are there already.
pub(super) fn needed(config: &Config, network: &Network, backend: Backend) -> u64 {
    let micro_batch = config.images_at_a_time();
    let weights = weights(network);
    let averages = if config.ema_decay.is_some() { weights } else { 0 };
    let images = config.data.train_images.saturating_add(config.data.val_images);
    let (training, run_by_session) = if config.is_frozen() {
        // And a part of them that is written or read.
        let features = images.saturating_add(2 * PART as u64);
        let features = features.saturating_mul(4 * network.fc.in_features as u64);
        // Of a batch: its features, normalised ones and their gradients; logits and theirs.
        let fc = &network.fc;
        let an_image = 4 * (3 * fc.in_features + 2 * fc.out_features) as u64;
        let batch = (config.batch as u64).saturating_mul(an_image);
        // Weights, velocity and gradients.
        (features.saturating_add(batch).saturating_add(3 * weights), images)
    } else {
        // Batch norm of weights from elsewhere is measured on the side that they are validated on.
        let measured = if config.initial.is_some() { config.side } else { 0 };
        let side = config.largest_side().max(measured);
        let training = training_bytes(network, config.batch, micro_batch, side);
        (training, config.data.val_images)
    };
    let measured = VALIDATION_BATCH.min(usize::try_from(run_by_session).unwrap_or(usize::MAX));
    let validation = if measured == 0 {
        0
    } else {
        let side = config.side;
        let image = 3 * side * side * size_of::<f32>();
        // Filters are packed for at most four times their size.
        activation_bytes(network, backend, measured, side, side).unwrap_or(0) as u64
            + (measured * image) as u64
            + 4 * weights
    };
    training.saturating_add(averages).saturating_add(validation)
}

/// An error if a run needs more memory than is `available`.
pub(super) fn check(needed: u64, available: Option<u64>, config: &Config) -> Result<(), RunError> {
    match available {
        Some(available) if needed > available => {
            Err(RunError::Memory { needed, available, batch: config.batch })
        }
        _ => Ok(()),
    }
}

/// Bytes of a run's folder at most: its files, and a new checkpoint beside the old one.
pub(super) fn disk(config: &Config, network: &Network) -> u64 {
    let weights = weights(network);
    let averages = if config.ema_decay.is_some() { weights } else { 0 };
    let velocity = network.table().learnable_len() as u64 * 4;
    2 * (weights + velocity + averages) + weights
}

fn weights(network: &Network) -> u64 {
    let table = network.table();
    4 * (table.learnable_len() + table.statistics_len()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Options;
    use crate::simd::Isa;
    use crate::train::Recipe;

    #[test]
    fn a_run_that_does_not_fit_is_refused_with_what_to_change() {
        let recipe = Recipe::FastCifar;
        let spec = recipe.spec("resnet18", Options::default()).unwrap();
        let mut config = recipe.config(&spec);
        let (network, backend) = (Network::new(&spec), Backend::Native(Isa::best()));
        let small = needed(&config, &network, backend);
        assert!((500 << 20..4 << 30).contains(&small), "{small}");
        // Beside the weights all of it grows with the batch.
        let of_batch = |batch| needed(&Config { batch, ..config.clone() }, &network, backend);
        let [one, many] = [1, 1024].map(of_batch);
        let an_image = |more: u64, images: usize| more as f64 / images as f64;
        let ratio = an_image(many - one, 1023) / an_image(small - one, config.batch - 1);
        assert!((ratio - 1.0).abs() < 0.05, "{ratio}");
        config.data.val_images = 1000;
        assert!(needed(&config, &network, backend) > small);
        check(small, Some(small), &config).unwrap();
        check(u64::MAX, None, &config).unwrap();
        let mut frozen = config.clone();
        frozen.freeze = crate::train::Freeze::Backbone;
        let features = needed(&frozen, &network, backend);
        assert!(features < small, "{features}");
        frozen.batch *= 2;
        let batch = needed(&frozen, &network, backend) - features;
        assert_eq!(
            batch,
            frozen.batch as u64 / 2 * 4 * (3 * 512 + 2 * network.fc.out_features as u64)
        );
        frozen.batch /= 2;
        frozen.data.train_images = 10_000_000;
        let more = needed(&frozen, &network, backend) - features;
        assert!(more.abs_diff(10_000_000 * 512 * 4) < 1 << 20, "{more}");
        config.batch = 1024;
        let large = needed(&config, &network, backend);
        let error = check(large, Some(8 << 30), &config).unwrap_err().to_string();
        for part in ["8.6 GB", "--batch", "1024", "--micro-batch"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
