//! One step's work: loss and gradients of a batch.

use super::backward::{Gradients, Taker, backward};
use super::diverged::{self, NotFinite};
use super::forward::{Machine, Norm, Stopped, forward};
use super::measure::Measured;
use super::profile::{Part, Profile, StepTime, Work};
use super::tape::Tape;
use super::tree::Tree;
use crate::conv::Convolutions;
use crate::gemm::Backend;
use crate::model::{ConvBn, Network, Params};
use crate::ops::batch_norm::{Statistics, update_running};
use crate::ops::{Loss, Mixed, mixed_softmax_loss};
use crate::runtime::Crew;
use crate::simd::Isa;

/// A network in training: its buffers, for one size of batch.
///
/// Parameters and gradients belong to the caller. The gradients are in one flat buffer, in the layout of
/// [`Params::learnable`].
pub struct Learner {
    pub(super) network: Network,
    pub(super) backend: Backend,
    convolutions: Convolutions,
    pub(super) isa: Isa,
    pub(super) crew: Crew,
    pub(super) tape: Option<Tape>,
    /// Of the gradients of several micro-batches.
    pub(super) tree: Tree,
    profile: Option<Profile>,
}

/// The images are too small: some layer would have no pixels left.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("images of {width} x {height} pixels are too small for this network")]
#[non_exhaustive]
pub struct TooSmall {
    /// Height of the images, in pixels.
    pub height: usize,
    /// Width of the images, in pixels.
    pub width: usize,
}

impl Learner {
    /// A learner of `network`; buffers are allocated by the first batch, which panics if it is no network that
    /// can be trained whole ([`ModelSpec::is_trainable`](crate::ModelSpec::is_trainable)).
    pub fn new(network: &Network, backend: Backend) -> Self {
        Self {
            network: network.clone(),
            backend,
            convolutions: Convolutions::default(),
            isa: backend.isa(),
            crew: Crew::default(),
            tape: None,
            tree: Tree::default(),
            profile: None,
        }
    }

    /// The same, computing its convolutions by `convolutions`. Buffers that it has are freed.
    pub fn with_convolutions(self, convolutions: Convolutions) -> Self {
        Self { convolutions, tape: None, ..self }
    }

    /// Whether to note from now on where the time goes. What was noted before is forgotten.
    pub fn set_profiling(&mut self, on: bool) {
        self.profile = on.then(Profile::new);
    }

    /// Where the time of a batch went, the mean over those since it began to be noted; empty if it is not.
    pub fn step_times(&self) -> Vec<StepTime> {
        self.profile.as_ref().map(Profile::means).unwrap_or_default()
    }

    /// Loss and gradients of a batch.
    ///
    /// A batch of more than `micro_batch` images runs in micro-batches of that size, and their gradients are
    /// added up, by a binary tree over their numbers. Batch norm sees only the images of a micro-batch (He et al.
    /// 2015 had 8 of 32). Afterwards the running statistics of `params` follow each micro-batch's, in their order.
    ///
    /// # Errors
    /// If the images are too small for the network.
    ///
    /// # Panics
    /// If a size does not fit, the batch is empty, or a label is not a class.
    pub fn batch(
        &mut self,
        params: &mut Params,
        batch: &Batch,
        micro_batch: usize,
        gradients: &mut [f32],
    ) -> Result<Loss, TooSmall> {
        let loss = self.batch_unless(params, batch, micro_batch, gradients, &|| false)?;
        Ok(loss.expect("nothing stops it"))
    }

    /// As [`batch`](Self::batch), but it stops before the next layer when `stopped` returns true. Then
    /// there is no loss, `params` are as before, and the gradients are meaningless.
    ///
    /// # Errors
    /// If the images are too small for the network.
    ///
    /// # Panics
    /// As for [`batch`](Self::batch).
    pub fn batch_unless(
        &mut self,
        params: &mut Params,
        batch: &Batch,
        micro_batch: usize,
        gradients: &mut [f32],
        stopped: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Loss>, TooSmall> {
        self.mixed_unless(params, batch, micro_batch, &[], gradients, stopped)
    }

    /// As [`batch_unless`](Self::batch_unless), of images that are mixed in pairs, each with the one at its
    /// place when its micro-batch is reversed. `shares`, one a micro-batch, say how much of an image's target
    /// is its own class; the rest is its partner's. Without any, images are not mixed.
    ///
    /// # Errors
    /// If the images are too small for the network.
    ///
    /// # Panics
    /// As for [`batch`](Self::batch), or if there are shares, but not one a micro-batch.
    pub fn mixed_unless(
        &mut self,
        params: &mut Params,
        batch: &Batch,
        micro_batch: usize,
        shares: &[f64],
        gradients: &mut [f32],
        stopped: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Loss>, TooSmall> {
        let parts = batch.labels.len().div_ceil(micro_batch.max(1));
        assert!(shares.is_empty() || shares.len() == parts, "a share for each micro-batch");
        let image = batch.height * batch.width * 3;
        assert!(!batch.labels.is_empty() && micro_batch > 0, "a batch has images");
        assert_eq!(batch.input.len(), batch.labels.len() * image, "{} images", batch.labels.len());
        assert_eq!(gradients.len(), params.learnable().len(), "gradients");
        if let Some(profile) = &mut self.profile {
            profile.begin();
        }
        let mut total = Loss::default();
        let mut statistics = Vec::with_capacity(parts);
        self.tree.begin();
        for (i, part) in micro_batches(batch, micro_batch).enumerate() {
            let images = batch.labels.len();
            let share = shares.get(i).copied();
            let mut tree = std::mem::take(&mut self.tree);
            let mut to = tree.next(gradients);
            let loss = self.part(params, &part, share, images, &mut to, None, stopped);
            self.tree = tree;
            let Some(loss) = loss? else { return Ok(None) };
            let additions = self.tree.add(&mut self.crew, self.isa, gradients, i + 1 == parts);
            if let Some(profile) = &mut self.profile
                && additions > 0
            {
                profile.done("", Part::Sum, Work::moves(3 * additions * gradients.len()));
            }
            statistics.push(self.statistics());
            total.sum += loss.sum;
            total.top1 += loss.top1;
            total.top5 += loss.top5;
        }
        for statistics in &statistics {
            follow(params, statistics);
        }
        Ok(Some(total))
    }

    /// Loss and gradients of a micro-batch in a batch of `images`, unless it is `stopped`. A `taker` takes the gradients
    /// away when they are final.
    pub(super) fn part<'a, 'v>(
        &mut self,
        params: &'a Params,
        part: &Batch,
        share: Option<f64>,
        images: usize,
        gradients: &'a mut &'v mut [f32],
        taker: Option<&'a mut (dyn Taker<'v> + 'a)>,
        stopped: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Loss>, TooSmall> {
        let &Batch { input, labels, height, width, label_smoothing } = part;
        self.fit_tape(labels.len(), height, width)?;
        let Self { ref network, backend, isa, ref mut crew, ref mut tape, ref mut profile, .. } =
            *self;
        let tape = tape.as_mut().expect("just made");
        let profile = profile.as_mut();
        let loss = crew.run(|team| {
            let machine = &mut Machine { backend, isa, team, stopped, profile };
            forward(machine, network, tape, params, &mut Norm::Batch, input)?;
            let mut dlogits = vec![0.0; tape.logits.len()];
            let logits = &tape.logits;
            let mixed = Mixed { labels, share: share.unwrap_or(1.0) };
            let loss = mixed_softmax_loss(
                machine.team,
                logits,
                mixed,
                label_smoothing,
                images,
                &mut dlogits,
            );
            machine.done("", Part::Loss, Work::moves(2 * logits.len()));
            let mut gradients = Gradients { params, values: gradients, taker };
            backward(machine, network, tape, input, &dlogits, &mut gradients)?;
            Ok::<_, Stopped>(loss)
        });
        Ok(loss.ok())
    }

    /// What each batch norm saw of the last micro-batch.
    pub(super) fn statistics(&self) -> Vec<(ConvBn, Statistics)> {
        self.tape.as_ref().map(Tape::statistics).unwrap_or_default()
    }

    /// Makes the tape one for `images` of `height` x `width`.
    pub(super) fn fit_tape(
        &mut self,
        images: usize,
        height: usize,
        width: usize,
    ) -> Result<(), TooSmall> {
        let spec = &self.network.spec;
        assert!(spec.is_trainable(), "{spec}: training all of it is not supported");
        if !self.tape.as_ref().is_some_and(|tape| tape.fits(images, height, width)) {
            // Freed first: the two together might not fit.
            self.tape = None;
            let tape =
                Tape::new(&self.network, (self.backend, self.convolutions), images, height, width);
            self.tape = Some(tape.ok_or(TooSmall { height, width })?);
        }
        Ok(())
    }

    /// Runs `images` of `side` x `side`, `input` is `[images, side, side, 3]`, through the network as in
    /// evaluation, and adds each batch norm's statistics of them to `measured`. False if it was `stopped`
    /// before; then `measured` is meaningless.
    ///
    /// # Errors
    /// If the images are too small for the network.
    ///
    /// # Panics
    /// If the size of the input does not fit, or there are no images.
    pub fn measure(
        &mut self,
        params: &Params,
        input: &[f32],
        images: usize,
        side: usize,
        measured: &mut Measured,
        stopped: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool, TooSmall> {
        let norm = &mut Norm::Running(measured);
        Ok(self.forward(params, input, images, side, norm, stopped)?.is_some())
    }

    /// Runs `images` of `side` x `side` through the network, normalised by `norm`; what there is of them then, unless
    /// it was `stopped` before.
    pub(super) fn forward(
        &mut self,
        params: &Params,
        input: &[f32],
        images: usize,
        side: usize,
        norm: &mut Norm,
        stopped: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<&Tape>, TooSmall> {
        assert!(images > 0, "a batch has images");
        assert_eq!(input.len(), images * side * side * 3, "{images} images");
        self.fit_tape(images, side, side)?;
        let Self { ref network, backend, isa, ref mut crew, ref mut tape, .. } = *self;
        let tape = tape.as_mut().expect("just made");
        let done = crew.run(|team| {
            let machine = &mut Machine { backend, isa, team, stopped, profile: None };
            forward(machine, network, tape, params, norm, input)
        });
        Ok(done.is_ok().then_some(&*tape))
    }

    /// The first layer of the last micro-batch's forward pass with an output that is not finite.
    pub(crate) fn not_finite(&self) -> Option<NotFinite> {
        diverged::in_tape(&self.network, self.tape.as_ref()?)
    }

    /// The logits of the last micro-batch, `[images, classes]`.
    pub fn logits(&self) -> &[f32] {
        self.tape.as_ref().map_or(&[], |tape| &tape.logits)
    }
}

/// Share of a batch's statistics in the running ones.
const MOMENTUM: f64 = 0.1;

/// Moves the running statistics of each batch norm towards a micro-batch's.
pub(crate) fn follow(params: &mut Params, statistics: &[(ConvBn, Statistics)]) {
    for (conv, batch) in statistics {
        let [mut mean, mut var] =
            [conv.running_mean, conv.running_var].map(|id| params.get(id).to_vec());
        update_running(&mut mean, &mut var, batch, MOMENTUM);
        params.get_mut(conv.running_mean).copy_from_slice(&mean);
        params.get_mut(conv.running_var).copy_from_slice(&var);
    }
}

/// The micro-batches of a batch, in order; the last may be smaller.
pub(super) fn micro_batches<'b>(
    batch: &Batch<'b>,
    micro_batch: usize,
) -> impl Iterator<Item = Batch<'b>> + use<'b> {
    let batch = *batch;
    let image = batch.height * batch.width * 3;
    let inputs = batch.input.chunks(micro_batch * image);
    inputs.zip(batch.labels.chunks(micro_batch)).map(move |(input, labels)| Batch {
        input,
        labels,
        ..batch
    })
}

/// A batch of images, preprocessed, and what is in them.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// `[labels.len(), height, width, 3]`
    pub input: &'a [f32],
    /// A class for each image.
    pub labels: &'a [usize],
    /// Height of the images, in pixels.
    pub height: usize,
    /// Width of the images, in pixels.
    pub width: usize,
    /// Share of the target that is spread over all classes, 0..1.
    pub label_smoothing: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{InitOptions, ModelSpec, Options, initialize};
    use crate::runtime::Rng;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_step_stopped_at_any_layer_leaves_no_trace() {
        let network = Network::new(&ModelSpec::new("resnet20", Options::default()).unwrap());
        let start = initialize(&network, 3, InitOptions::default());
        let mut rng = Rng::named(1, "input");
        let input: Vec<f32> = (0..4 * 16 * 16 * 3).map(|_| rng.normal()).collect();
        let labels = [1, 2, 3, 4];
        let batch =
            Batch { input: &input, labels: &labels, height: 16, width: 16, label_smoothing: 0.0 };
        let backend = Backend::Native(Isa::best());
        let gradients = || vec![0.0; start.learnable().len()];
        let (mut expected, mut params) = (gradients(), start.clone());
        let loss = Learner::new(&network, backend).batch(&mut params, &batch, 2, &mut expected);
        let loss = loss.unwrap();
        let statistics = params.statistics().to_vec();

        let (mut found, mut params) = (gradients(), start.clone());
        let mut learner = Learner::new(&network, backend);
        let mut stops = 0;
        loop {
            let asked = AtomicUsize::new(0);
            let stopped = || asked.fetch_add(1, Ordering::Relaxed) == stops;
            match learner.batch_unless(&mut params, &batch, 2, &mut found, &stopped).unwrap() {
                None => assert_eq!(params.statistics(), start.statistics(), "stop {stops}"),
                Some(last) => {
                    assert_eq!(last.sum.to_bits(), loss.sum.to_bits());
                    break;
                }
            }
            // Some stops are enough: a prime, so that both passes of both micro-batches are hit.
            stops += 7;
        }
        // 19 convolutions, forwards and, but for the stem, backwards, twice.
        assert!(stops >= 2 * (19 + 18), "{stops}");
        assert_eq!((found, params.statistics()), (expected, &statistics[..]));
    }
}
