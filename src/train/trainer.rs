//! A run in memory: its state, the next step, validation. What is on disk is [`Run`](super::Run)'s.

use std::sync::Arc;
use std::time::Instant;

use super::config::Config;
use super::data::TrainData;
use super::error::RunError;
use super::feed::{Fed, Feed, seen, together};
use super::finetune::Frozen;
use super::run_team::{Others, RunTeam, Task};
use super::schedule::LearningRate;
use super::state::State;
use crate::data::{self, Batches};
use crate::exchange::{Compute, Exchange, Update};
use crate::gemm::Backend;
use crate::infer::{Model, Session};
use crate::learn::{Learner, NotFinite, Sgd, Split, finite, in_flat, update_ema};
use crate::model::{Network, Params, Role, TensorInfo};
pub(super) use crate::numerics::VALIDATION_BATCH;
use crate::ops::{Loss, softmax_loss};
use crate::runtime::{AlignedBuf, Crew, alone};

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
    /// Where several processes train: what this one had of the others.
    pub others: Option<Others>,
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
    learner: Learner,
    /// For what comes after the learner's work.
    crew: Crew,
    sgd: Sgd,
    learning_rate: LearningRate,
    feed: Feed<'a>,
    val: Option<Batches<'a>>,
    /// Where only the classifier is trained: the features of all images.
    frozen: Option<Frozen>,
    /// Empty where there are other processes.
    gradients: AlignedBuf,
    /// Where there are others: what they share. The state has no velocity then.
    pub(super) team: Option<RunTeam<'a>>,
}

/// What a step found, before anything but the weights follows from it.
struct Found {
    loss: Loss,
    data_seconds: f64,
    others: Option<Others>,
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
        let feed = Feed::new(&state, &network, &*data.train)?;
        let val = data.val.as_deref().filter(|val| !val.is_empty()).map(|val| {
            let view = seen(&state, &network, &*data.train, config.side);
            Batches::evaluation(val, view, &state.inference.preprocess.mean)
        });
        let rate = |info: &TensorInfo| match (&frozen, info.role) {
            (Some(frozen), _) => frozen.rate(info),
            (None, Role::LinearWeight | Role::LinearBias) => 1.0,
            (None, _) => config.backbone_lr as f32,
        };
        Ok(Self {
            learner: Learner::new(&network, backend).with_convolutions(config.convolutions),
            crew: Crew::default(),
            sgd: Sgd::with_rates(network.table(), config.sgd(), rate),
            learning_rate: config.learning_rate(),
            gradients: AlignedBuf::zeroed(network.table().learnable_len()),
            team: None,
            backend,
            network,
            feed,
            val,
            frozen,
            state,
        })
    }

    /// Goes on as one of several processes, all of which have the same state.
    pub(super) fn share(&mut self, exchange: &'a dyn Exchange) -> Result<(), RunError> {
        let config = &self.state.config;
        let team = RunTeam::new(exchange, &self.network, config, &self.state.momentum)?;
        self.feed.set_part(team.images(), config);
        self.team = Some(team);
        (self.state.momentum, self.gradients) = Default::default();
        Ok(())
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
        self.feed.turn(&self.state, &self.network)?;
        let lr = self.learning_rate.at(self.state.progress.step, &self.state.schedule);
        let found = match (&self.team, &self.frozen) {
            (Some(_), _) => self.shared(lr, stopped)?,
            (None, Some(_)) => Some(self.of_classifier(lr)?),
            (None, None) => self.alone(lr, stopped)?,
        };
        let Some(Found { loss, data_seconds, others }) = found else { return Ok(None) };
        let State { config, params, ema, progress, schedule, .. } = &mut self.state;
        if let (Some(ema), Some(decay)) = (ema, config.ema_decay) {
            let isa = self.backend.isa();
            self.crew.run(|team| update_ema(team, isa, ema, params, decay, progress.step));
        }
        let (images, correct) = (config.batch, loss.top1 as u64);
        *schedule = self.learning_rate.after_step(schedule, correct, images as u64);
        progress.step += 1;
        progress.cursor += images as u64;
        progress.loss_sum += loss.sum;
        progress.correct += correct;
        Ok(Some(StepReport {
            step: progress.step,
            lr: f64::from(lr),
            loss: loss.sum / images as f64,
            top1: (!self.feed.is_mixed()).then_some(correct as f64 / images as f64),
            images,
            data_seconds,
            seconds: start.elapsed().as_secs_f64(),
            others,
        }))
    }

    /// The optimiser's step by all of the batch's gradients; none if it is `stopped` before.
    fn alone(
        &mut self,
        lr: f32,
        stopped: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Found>, RunError> {
        let State { config, params, momentum, progress, .. } = &mut self.state;
        let Some(fed) = self.feed.next(config, progress.step, stopped)? else { return Ok(None) };
        let micro_batch = config.images_at_a_time();
        let Fed { batch, shares, seconds: data_seconds } = fed;
        let gradients = &mut self.gradients;
        let loss =
            self.learner.mixed_unless(params, &batch, micro_batch, &shares, gradients, stopped)?;
        let Some(loss) = loss else { return Ok(None) };
        if !loss.sum.is_finite() {
            return Err(self.diverged_step());
        }
        let (sgd, isa) = (&self.sgd, self.backend.isa());
        let weights = params.learnable_mut();
        self.crew.run(|team| sgd.step(team, isa, weights, momentum, gradients, lr));
        Ok(Some(Found { loss, data_seconds, others: None }))
    }

    /// The same, where only the classifier is trained.
    fn of_classifier(&mut self, lr: f32) -> Result<Found, RunError> {
        let State { config, params, momentum, .. } = &mut self.state;
        let frozen = self.frozen.as_mut().expect("only the classifier is trained");
        let (indices, labels) = self.feed.next_classes();
        let (network, gradients) = (&self.network, &mut self.gradients);
        let smoothing = config.label_smoothing;
        let loss =
            frozen.step(self.backend, network, params, indices, labels, smoothing, gradients);
        if !loss.sum.is_finite() {
            return Err(self.diverged_step());
        }
        let (sgd, isa) = (&self.sgd, self.backend.isa());
        self.crew.run(|team| {
            let before = params.get(network.fc.weight).to_vec();
            sgd.step(team, isa, params.learnable_mut(), momentum, gradients, lr);
            frozen.follow(network, &before, params);
        });
        Ok(Found { loss, data_seconds: 0.0, others: None })
    }

    /// The same, as one of several processes.
    fn shared(
        &mut self,
        lr: f32,
        stopped: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Found>, RunError> {
        let State { config, params, progress, .. } = &mut self.state;
        let team = self.team.as_mut().expect("there are other processes");
        team.announce(Task::Step);
        let update = Update { sgd: &self.sgd, isa: self.backend.isa(), lr };
        let mut data_seconds = 0.0;
        let stepped = team.step(params, &update, stopped, |compute| {
            let Compute { params, blocks, handover, stopped } = compute;
            let fed = self.feed.next(config, progress.step, stopped)?;
            let Some(Fed { batch, shares, seconds }) = fed else { return Ok(None) };
            data_seconds = seconds;
            let micro_batch = config.images_at_a_time();
            let split = Split { micro_batch, blocks, images: config.batch, shares: &shares };
            Ok(self.learner.blocks_unless(params, &batch, &split, handover, stopped)?)
        })?;
        let Some((loss, others)) = stepped else { return Ok(None) };
        if !loss.sum.is_finite() {
            return Err(self.diverged_step());
        }
        Ok(Some(Found { loss, data_seconds, others: Some(others) }))
    }

    /// The error of a step whose loss is not finite.
    fn diverged_step(&self) -> RunError {
        let params = &self.state.params;
        let at = in_flat(params, params.learnable(), "weights")
            .or_else(|| self.learner.not_finite())
            .or_else(|| {
                let gradients = &self.gradients;
                (!gradients.is_empty()).then(|| in_flat(params, gradients, "gradients"))?
            });
        self.diverged(at)
    }

    /// The learning rate of the last step.
    pub(super) fn last_rate(&self) -> f64 {
        let State { progress, schedule, .. } = &self.state;
        f64::from(self.learning_rate.at(progress.step.saturating_sub(1), schedule))
    }

    /// Whether all of the present epoch's steps are done.
    pub(super) fn at_epoch_end(&self) -> bool {
        let steps = self.state.progress.cursor / self.config().batch as u64;
        steps >= self.feed.sampler().steps_per_epoch()
    }

    pub(super) fn is_finished(&self) -> bool {
        self.state.progress.step >= self.config().total_steps()
    }

    /// Turns to the next epoch, after a validation that found this error.
    pub(super) fn next_epoch(&mut self, error: Option<f64>) {
        if let Some(team) = &self.team {
            team.announce(Task::NextEpoch(error.map(f64::to_bits)));
        }
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
        let indices: Vec<usize> = (0..images).collect();
        // Of one part of the images after the other.
        let mut measure = |number: usize, part: &[usize]| -> Result<Loss, RunError> {
            let (input, labels) = (&mut input[..part.len() * input_len], &mut labels[..part.len()]);
            let logits = match &mut self.frozen {
                Some(frozen) => {
                    let classes = part.iter().map(|&index| val.data().label(index));
                    labels.iter_mut().zip(classes).for_each(|(label, class)| *label = class);
                    let first = number * most;
                    let part = first..first + part.len();
                    &frozen.val_logits(self.backend, &self.network, params, part)
                }
                None => {
                    let together = together();
                    let inputs = input.chunks_mut(together * input_len);
                    let labels = labels.chunks_mut(together);
                    for ((part, input), labels) in part.chunks(together).zip(inputs).zip(labels) {
                        if stopped() {
                            return Err(data::Error::Interrupted.into());
                        }
                        val.fill(0, part, input, labels)?;
                    }
                    let logits = session.run_unless(input, part.len(), side, side, stopped)?;
                    logits.ok_or(data::Error::Interrupted)?
                }
            };
            let ignored = &mut ignored[..logits.len()];
            Ok(alone(|team| softmax_loss(team, logits, labels, 0.0, images, ignored)))
        };
        let parts: Vec<&[usize]> = indices.chunks(most).collect();
        let losses = match &mut self.team {
            Some(team) => {
                team.announce(Task::Validate);
                team.validate(parts.len(), stopped, |number| {
                    let loss = measure(number, parts[number])?;
                    done(images.min((number + 1) * most));
                    Ok(loss)
                })?
            }
            None => {
                let mut losses = Vec::with_capacity(parts.len());
                for (number, part) in parts.iter().enumerate() {
                    if stopped() {
                        return Ok(Validated::Stopped);
                    }
                    match measure(number, part) {
                        Ok(loss) => losses.push(loss),
                        Err(RunError::Data(data::Error::Interrupted)) => {
                            return Ok(Validated::Stopped);
                        }
                        Err(error) => return Err(error),
                    }
                    done(images.min((number + 1) * most));
                }
                Some(losses)
            }
        };
        let Some(losses) = losses else { return Ok(Validated::Stopped) };
        let mut found = Validation::default();
        for loss in losses {
            found.loss += loss.sum;
            found.top1 += loss.top1 as f64;
            found.top5 += loss.top5 as f64;
        }
        let mean = |sum: f64| sum / images as f64;
        let Validation { loss, top1, top5 } = found;
        Ok(Validated::Found(Validation { loss: mean(loss), top1: mean(top1), top5: mean(top5) }))
    }

    /// The state's velocity becomes that of all processes, until [`forget_momentum`](Self::forget_momentum); on the first,
    /// which writes it.
    pub(super) fn collect_momentum(&mut self) {
        if let Some(team) = &self.team {
            team.announce(Task::Collect);
            self.state.momentum = team.collect_momentum(self.state.params.learnable().len());
        }
    }

    /// Frees what was collected.
    pub(super) fn forget_momentum(&mut self) {
        if self.team.is_some() {
            self.state.momentum = AlignedBuf::default();
        }
    }

    /// The run is over for all processes.
    pub(super) fn end(&self, finished: bool) {
        if let Some(team) = &self.team {
            team.announce(Task::End { finished });
        }
    }

    /// An error if the state has a number that is not finite: it must not be saved.
    pub(super) fn check_finite(&self) -> Result<(), RunError> {
        let State { params, momentum, ema, .. } = &self.state;
        let statistics = |params: &Params| finite(params.statistics());
        let at = in_flat(params, params.learnable(), "weights")
            // Where there are other processes, it is here only while it is saved.
            .or_else(|| (!momentum.is_empty()).then(|| in_flat(params, momentum, "velocity"))?)
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
