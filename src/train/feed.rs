//! The images of the next step: which, and how they are prepared.

use std::ops::Range;
use std::time::Instant;

use super::config::Config;
use super::data::view;
use super::error::RunError;
use super::state::State;
use crate::data::{Batches, Dataset, Mixing, Sampler, SettingError, View};
use crate::learn::Batch;
use crate::model::Network;
use crate::runtime::{AlignedBuf, Crew};

/// Images that are prepared between two looks whether to stop: some large ones of each thread.
pub(super) fn together() -> usize {
    16.max(2 * rayon::current_num_threads())
}

/// What feeds the steps of a run, from where it is on.
pub(super) struct Feed<'a> {
    images: &'a dyn Dataset,
    train: Batches<'a>,
    /// The side that `train` is for.
    side: usize,
    mixing: Mixing,
    sampler: Sampler,
    /// The images of a batch that this process prepares, by their places in it.
    part: Range<usize>,
    input: AlignedBuf,
    labels: Vec<usize>,
    crew: Crew,
}

/// The images of a step.
pub(super) struct Fed<'f> {
    pub(super) batch: Batch<'f>,
    /// The share of each micro-batch, where images are mixed.
    pub(super) shares: Vec<f64>,
    /// Seconds that it took.
    pub(super) seconds: f64,
}

impl<'a> Feed<'a> {
    /// Whole batches of `images`, from the next step of `state` on.
    pub(super) fn new(
        state: &State,
        network: &Network,
        images: &'a dyn Dataset,
    ) -> Result<Self, SettingError> {
        let State { config, progress, .. } = state;
        let sampler = Sampler::new(config.seed, images.len(), config.batch, progress.step)?;
        let side = config.side_in(sampler.epoch());
        let input = if config.is_frozen() { 0 } else { config.batch * image_len(config) };
        Ok(Self {
            train: batches(state, network, images, side)?,
            mixing: config.mixing(),
            part: 0..config.batch,
            input: AlignedBuf::zeroed(input),
            labels: vec![0; config.batch],
            crew: Crew::default(),
            images,
            side,
            sampler,
        })
    }

    /// From now on only the images at the places `part` of a batch: whole micro-batches.
    pub(super) fn set_part(&mut self, part: Range<usize>, config: &Config) {
        self.labels = vec![0; part.len()];
        self.input = AlignedBuf::zeroed(part.len() * image_len(config));
        self.part = part;
    }

    pub(super) fn sampler(&self) -> &Sampler {
        &self.sampler
    }

    pub(super) fn is_mixed(&self) -> bool {
        self.mixing.is_on()
    }

    /// Must come before each step: its images may have another side than those before.
    pub(super) fn turn(&mut self, state: &State, network: &Network) -> Result<(), SettingError> {
        let side = state.config.side_in(self.sampler.epoch());
        if side != self.side {
            self.train = batches(state, network, self.images, side)?;
            self.side = side;
        }
        Ok(())
    }

    /// The numbers of the next step's images, and their classes; nothing is prepared.
    pub(super) fn next_classes(&mut self) -> (&[usize], &[usize]) {
        let indices = &self.sampler.next_batch().indices[self.part.clone()];
        let classes = indices.iter().map(|&index| self.images.label(index));
        self.labels.iter_mut().zip(classes).for_each(|(label, class)| *label = class);
        (indices, &self.labels)
    }

    /// The images of the next step, which is number `step` of the run `config`; none if it was `stopped`.
    pub(super) fn next(
        &mut self,
        config: &Config,
        step: u64,
        stopped: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Fed<'_>>, RunError> {
        let start = Instant::now();
        let image = self.train.input_len();
        let batch = self.sampler.next_batch();
        let indices = &batch.indices[self.part.clone()];
        let input = &mut self.input[..indices.len() * image];
        let together = together();
        let inputs = input.chunks_mut(together * image);
        let parts = indices.chunks(together).zip(inputs).zip(self.labels.chunks_mut(together));
        for ((indices, input), labels) in parts {
            if stopped() {
                return Ok(None);
            }
            self.train.fill(batch.epoch, indices, input, labels)?;
        }
        // It comes from the disk while the step is computed.
        let coming = self.sampler.coming();
        self.train.data().read_ahead(coming.get(self.part.clone()).unwrap_or(coming));
        let micro_batch = config.images_at_a_time();
        let first = (self.part.start / micro_batch) as u64;
        let mut shares = Vec::new();
        if self.mixing.is_on() {
            let (mixing, seed, side) = (self.mixing, config.seed, self.side);
            self.crew.run(|team| {
                for (i, images) in (first..).zip(input.chunks_mut(micro_batch * image)) {
                    shares.push(mixing.apply(team, seed, step, i, side, images));
                }
            });
        }
        let batch = Batch {
            input,
            labels: &self.labels,
            height: self.side,
            width: self.side,
            label_smoothing: config.label_smoothing,
        };
        Ok(Some(Fed { batch, shares, seconds: start.elapsed().as_secs_f64() }))
    }
}

/// Floats of the largest image.
fn image_len(config: &Config) -> usize {
    3 * config.largest_side().pow(2)
}

/// Batches of training images of `side` pixels.
fn batches<'a>(
    state: &State,
    network: &Network,
    data: &'a dyn Dataset,
    side: usize,
) -> Result<Batches<'a>, SettingError> {
    let State { config, inference, colours, .. } = state;
    let view = seen(state, network, data, side);
    let augment = config.augmentation(side, colours.as_ref());
    Batches::training(data, view, &inference.preprocess.mean, augment, config.seed)
}

/// How the run sees an image of `data` on inputs of `side` pixels: weights that it started from say so.
pub(super) fn seen(state: &State, network: &Network, data: &dyn Dataset, side: usize) -> View {
    if state.config.initial.is_none() {
        return view(side, network.spec.family, data);
    }
    let stated = state.inference.preprocess.view;
    let resize = stated.resize.map(|resize| resize * side / stated.crop);
    View { resize, crop: side, ..stated }
}
