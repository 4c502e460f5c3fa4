//! A run in memory: its state, the next step, validation. What is on disk is [`Run`](super::Run)'s.

use std::sync::Arc;
use std::time::Instant;

use super::config::Config;
use super::data::{TrainData, view};
use super::error::RunError;
use super::finetune::Frozen;
use super::schedule::LearningRate;
use super::state::State;
use crate::data::{Batches, Dataset, Mixing, Sampler, SettingError, View};
use crate::gemm::Backend;
use crate::infer::{Model, Session};
use crate::learn::{Batch, Learner, NotFinite, Sgd, finite, in_flat, update_ema};
use crate::model::{Network, Params, Role, TensorInfo};
pub(super) use crate::numerics::VALIDATION_BATCH;
use crate::ops::{Loss, softmax_loss};
use crate::runtime::{AlignedBuf, Crew, alone};
use crate::simd::Isa;

/// Training images that are prepared between two looks whether to stop.
const PREPARED: usize = 64;

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Weight updates done, this one included.
    pub step: u64,
    /// Its learning rate.
    pub lr: f64,
    /// Mean loss of its images.
    pub loss: f64,
    /// Fraction of them classified right; none if images are mixed.
    pub top1: Option<f64>,
    /// Images.
    pub images: usize,
    /// Seconds in which its images were prepared.
    pub data_seconds: f64,
    /// Seconds it took, those included.
    pub seconds: f64,
}

/// What validation found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Validation {
    /// Mean loss, without label smoothing.
    pub loss: f64,
    /// Fraction classified right.
    pub top1: f64,
    /// Fraction with the right class among the first five.
    pub top5: f64,
}

/// How a validation ended.
pub(super) enum Validated {
    Found(Validation),
    /// There are no images.
    Nothing,
    Stopped,
}

/// A run in memory.
pub(super) struct Trainer<'a> {
    pub(super) state: State,
    network: Network,
    backend: Backend,
    isa: Isa,
    learner: Learner,
    /// For what comes after the learner's work.
    crew: Crew,
    sgd: Sgd,
    learning_rate: LearningRate,
    images: &'a dyn Dataset,
    train: Batches<'a>,
    /// The side that `train` is for.
    side: usize,
    mixing: Mixing,
    val: Option<Batches<'a>>,
    /// Where only the classifier is trained: the features of all images.
    frozen: Option<Frozen>,
    sampler: Sampler,
    gradients: AlignedBuf,
    input: AlignedBuf,
    labels: Vec<usize>,
}

impl<'a> Trainer<'a> {
    /// Goes on where `state` is. A run with a frozen backbone has the features of its images.
    pub(super) fn new(
        state: State,
        data: &'a TrainData,
        frozen: Option<Frozen>,
        backend: Backend,
    ) -> Result<Self, RunError> {
        let config = &state.config;
        let network = Network::new(&config.spec()?);
        let sampler =
            Sampler::new(config.seed, data.train.len(), config.batch, state.progress.step)?;
        let side = config.side_in(sampler.epoch());
        let train = batches(&state, &network, &*data.train, side)?;
        let val = data.val.as_deref().filter(|val| !val.is_empty()).map(|val| {
            let view = seen(&state, &network, &*data.train, config.side);
            Batches::evaluation(val, view, &state.inference.preprocess.mean)
        });
        let rate = |info: &TensorInfo| match (&frozen, info.role) {
            (Some(frozen), _) => frozen.rate(info),
            (None, Role::LinearWeight | Role::LinearBias) => 1.0,
            (None, _) => config.backbone_lr as f32,
        };
        let side_len = if frozen.is_some() { 0 } else { config.largest_side() };
        Ok(Self {
            learner: Learner::new(&network, backend).with_convolutions(config.convolutions),
            crew: Crew::default(),
            sgd: Sgd::with_rates(network.table(), config.sgd(), rate),
            learning_rate: config.learning_rate(),
            gradients: AlignedBuf::zeroed(network.table().learnable_len()),
            input: AlignedBuf::zeroed(config.batch * 3 * side_len.pow(2)),
            labels: vec![0; config.batch],
            isa: backend.isa(),
            backend,
            mixing: config.mixing(),
            images: &*data.train,
            network,
            train,
            side,
            val,
            frozen,
            sampler,
            state,
        })
    }

    /// What computes gradients.
    pub(super) fn learner_mut(&mut self) -> &mut Learner {
        &mut self.learner
    }

    pub(super) fn config(&self) -> &Config {
        &self.state.config
    }

    /// One weight update, unless it is `stopped` before: then there is no report, and the state is as it
    /// was. A stopped trainer takes no more steps.
    pub(super) fn step(
        &mut self,
        stopped: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<StepReport>, RunError> {
        let start = Instant::now();
        let Some((loss, data_seconds)) = self.loss(start, stopped)? else { return Ok(None) };
        let State { config, params, momentum, ema, progress, schedule, .. } = &mut self.state;
        let lr = self.learning_rate.at(progress.step, schedule);
        if !loss.sum.is_finite() {
            let at = in_flat(params, params.learnable(), "weights")
                .or_else(|| self.learner.not_finite())
                .or_else(|| in_flat(params, &self.gradients, "gradients"));
            return Err(self.diverged(at));
        }
        let Self { crew, sgd, isa, gradients, frozen, network, .. } = self;
        crew.run(|team| {
            let before = frozen.as_ref().map(|_| params.get(network.fc.weight).to_vec());
            sgd.step(team, *isa, params.learnable_mut(), momentum, gradients, lr);
            if let (Some(frozen), Some(before)) = (&*frozen, before) {
                frozen.follow(network, &before, params);
            }
            if let (Some(ema), Some(decay)) = (ema, config.ema_decay) {
                update_ema(team, *isa, ema, params, decay, progress.step);
            }
        });
        let (images, correct) = (self.labels.len(), loss.top1 as u64);
        *schedule = self.learning_rate.after_step(schedule, correct, images as u64);
        progress.step += 1;
        progress.cursor += images as u64;
        progress.loss_sum += loss.sum;
        progress.correct += correct;
        Ok(Some(StepReport {
            step: progress.step,
            lr: f64::from(lr),
            loss: loss.sum / images as f64,
            top1: (!self.mixing.is_on()).then_some(correct as f64 / images as f64),
            images,
            data_seconds,
            seconds: start.elapsed().as_secs_f64(),
        }))
    }

    /// Loss and gradients of the next batch, and the seconds since `start` in which its images were prepared;
    /// none if it is `stopped` before.
    fn loss(
        &mut self,
        start: Instant,
        stopped: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<(Loss, f64)>, RunError> {
        let side = self.state.config.side_in(self.sampler.epoch());
        if side != self.side {
            self.train = batches(&self.state, &self.network, self.images, side)?;
            self.side = side;
        }
        let batch = self.sampler.next_batch();
        let State { config, params, progress, .. } = &mut self.state;
        if let Some(frozen) = &mut self.frozen {
            let data = self.train.data();
            let classes = batch.indices.iter().map(|&index| data.label(index));
            self.labels.iter_mut().zip(classes).for_each(|(label, class)| *label = class);
            let loss = frozen.step(
                self.backend,
                &self.network,
                params,
                batch.indices,
                &self.labels,
                config.label_smoothing,
                &mut self.gradients,
            );
            return Ok(Some((loss, 0.0)));
        }
        let image = self.train.input_len();
        let input = &mut self.input[..batch.indices.len() * image];
        let inputs = input.chunks_mut(PREPARED * image);
        let parts =
            batch.indices.chunks(PREPARED).zip(inputs).zip(self.labels.chunks_mut(PREPARED));
        for ((indices, input), labels) in parts {
            if stopped() {
                return Ok(None);
            }
            self.train.fill(batch.epoch, indices, input, labels)?;
        }
        // It comes from the disk while the step is computed.
        self.train.data().read_ahead(self.sampler.coming());
        let micro_batch = config.micro_batch.unwrap_or(config.batch);
        let mut shares = Vec::new();
        if self.mixing.is_on() {
            let (mixing, seed, step) = (self.mixing, config.seed, progress.step);
            self.crew.run(|team| {
                for (i, images) in (0..).zip(input.chunks_mut(micro_batch * image)) {
                    shares.push(mixing.apply(team, seed, step, i, side, images));
                }
            });
        }
        let data_seconds = start.elapsed().as_secs_f64();
        let batch = Batch {
            input,
            labels: &self.labels,
            height: side,
            width: side,
            label_smoothing: config.label_smoothing,
        };
        let gradients = &mut self.gradients;
        let loss =
            self.learner.mixed_unless(params, &batch, micro_batch, &shares, gradients, stopped)?;
        Ok(loss.map(|loss| (loss, data_seconds)))
    }

    /// The learning rate of the last step.
    pub(super) fn last_rate(&self) -> f64 {
        let State { progress, schedule, .. } = &self.state;
        f64::from(self.learning_rate.at(progress.step.saturating_sub(1), schedule))
    }

    /// Whether all of the present epoch's steps are done.
    pub(super) fn at_epoch_end(&self) -> bool {
        let steps = self.state.progress.cursor / self.config().batch as u64;
        steps >= self.sampler.steps_per_epoch()
    }

    pub(super) fn is_finished(&self) -> bool {
        self.state.progress.step >= self.config().total_steps()
    }

    /// Turns to the next epoch, after a validation that found this error.
    pub(super) fn next_epoch(&mut self, error: Option<f64>) {
        let State { progress, schedule, .. } = &mut self.state;
        *schedule = self.learning_rate.after_epoch(schedule, error);
        progress.epoch += 1;
        (progress.cursor, progress.loss_sum, progress.correct) = (0, 0.0, 0);
    }

    /// Classifies the images that the run is measured on with the (averaged) weights; none if there are
    /// none, or if it is `stopped`. `done` hears after each batch how many there were so far.
    pub(super) fn validate(
        &mut self,
        stopped: &(dyn Fn() -> bool + Sync),
        done: &mut dyn FnMut(usize),
    ) -> Result<Validated, RunError> {
        let Some(val) = &self.val else { return Ok(Validated::Nothing) };
        let images = val.data().len();
        let params = self.state.averaged();
        let model = Model::new(&self.network, params, self.backend)
            .with_convolutions(self.state.config.convolutions);
        let mut session = Session::of(&Arc::new(model));
        let side = self.state.config.side;
        let most = VALIDATION_BATCH.min(images);
        let input_len = if self.frozen.is_some() { 0 } else { val.input_len() };
        let mut input = AlignedBuf::zeroed(most * input_len);
        let mut labels = vec![0; most];
        let mut ignored = vec![0.0; most * self.network.fc.out_features];
        let mut found = Validation::default();
        let indices: Vec<usize> = (0..images).collect();
        let mut seen = 0;
        for part in indices.chunks(most) {
            if stopped() {
                return Ok(Validated::Stopped);
            }
            let (input, labels) = (&mut input[..part.len() * input_len], &mut labels[..part.len()]);
            let logits = match &mut self.frozen {
                Some(frozen) => {
                    let classes = part.iter().map(|&index| val.data().label(index));
                    labels.iter_mut().zip(classes).for_each(|(label, class)| *label = class);
                    let part = seen..seen + part.len();
                    &frozen.val_logits(self.backend, &self.network, params, part)
                }
                None => {
                    val.fill(0, part, input, labels)?;
                    session.run(input, part.len(), side, side)?
                }
            };
            let ignored = &mut ignored[..logits.len()];
            let loss = alone(|team| softmax_loss(team, logits, labels, 0.0, images, ignored));
            found.loss += loss.sum;
            found.top1 += loss.top1 as f64;
            found.top5 += loss.top5 as f64;
            seen += part.len();
            done(seen);
        }
        let mean = |sum: f64| sum / images as f64;
        let Validation { loss, top1, top5 } = found;
        Ok(Validated::Found(Validation { loss: mean(loss), top1: mean(top1), top5: mean(top5) }))
    }

    /// An error if the state has a number that is not finite: it must not be saved.
    pub(super) fn check_finite(&self) -> Result<(), RunError> {
        let State { params, momentum, ema, .. } = &self.state;
        let statistics = |params: &Params| finite(params.statistics());
        let at = in_flat(params, params.learnable(), "weights")
            .or_else(|| in_flat(params, momentum, "velocity"))
            .or_else(|| {
                let fine = statistics(params)
                    && ema.as_ref().is_none_or(|ema| statistics(ema) && finite(ema.learnable()));
                let layer = "batch norm".to_owned();
                (!fine).then_some(NotFinite { of: "running statistics", layer })
            });
        at.map_or(Ok(()), |at| Err(self.diverged(Some(at))))
    }

    fn diverged(&self, at: Option<NotFinite>) -> RunError {
        let at = at.unwrap_or(NotFinite { of: "value", layer: "the loss".to_owned() });
        let step = self.state.progress.step + 1;
        RunError::Diverged { step, at, checkpoint: None }
    }
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
fn seen(state: &State, network: &Network, data: &dyn Dataset, side: usize) -> View {
    if state.config.initial.is_none() {
        return view(side, network.spec.family, data);
    }
    let stated = state.inference.preprocess.view;
    let resize = stated.resize.map(|resize| resize * side / stated.crop);
    View { resize, crop: side, ..stated }
}
