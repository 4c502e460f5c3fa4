//! A network prepared for inference, and its runs.

use super::MAX_INPUT_SIDE;
use super::layer_time::LayerTime;
use super::layers::Layers;
use super::plan::{Means, Plan, Section};
use super::run::Runner;
use crate::conv::Convolutions;
use crate::gemm::Backend;
use crate::model::{Network, ParamSource, SourceError};
use crate::runtime::{AlignedBuf, Profile, awake};
use crate::simd::Isa;
use rayon::prelude::*;
use std::sync::Mutex;

/// Why there is no prediction.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum InferError {
    /// Some layer would have no pixels left.
    #[error("images of {width} x {height} pixels are too small for this network")]
    TooSmall {
        /// Height of the images, in pixels.
        height: usize,
        /// Width of the images, in pixels.
        width: usize,
    },
    /// Inputs for which memory would hardly suffice.
    #[error("images of {side} x {side} pixels are too large; at most {MAX_INPUT_SIDE} a side")]
    TooLarge {
        /// Side of the images, in pixels.
        side: usize,
    },
    /// Class names that cannot be those of the network.
    #[error("expected {classes} labels, one a class, found {found}")]
    Labels {
        /// Classes of the network.
        classes: usize,
        /// Names given.
        found: usize,
    },
    /// A per-pixel mean that is not of the input's size.
    #[error("the weights' per-pixel mean has {found} numbers; an input of {side} x {side} needs {expected}",
            expected = side * side * 3)]
    PixelMean {
        /// Side of the input, in pixels.
        side: usize,
        /// Numbers in the mean.
        found: usize,
    },
    /// One output, which is no choice among classes.
    #[error(
        "the network has one output, for yes or no; at least two classes are needed to name what an \
         image shows (the softmax of one is always 100 %)"
    )]
    OneOutput,
    /// The file of weights cannot be read any more, or has changed since it was opened.
    #[error(transparent)]
    Weights(#[from] SourceError),
    /// The network gave infinities or NaN.
    #[error("the network's output is not finite: the numbers overflow with this preprocessing")]
    NotFinite,
}

/// A network with its weights, ready to run on the threads of the current rayon pool.
///
/// Batch norm after a convolution is an affine map of each channel, so it moves into the filters
/// (scale, rounded once from f64) and a bias. A layer's weights are read, folded and packed when a
/// run first needs them; the session keeps their source for that.
pub struct Session<'w> {
    network: Network,
    weights: Box<dyn ParamSource + Send + 'w>,
    means: Means,
    isa: Isa,
    layers: Layers,
    plan: Option<Plan>,
    /// Sets of buffers: as many as threads have been in a front at a time.
    buffers: Mutex<Vec<Vec<AlignedBuf>>>,
    /// What the front of the network makes of the whole batch.
    between: AlignedBuf,
    logits: AlignedBuf,
    profile: Option<Profile>,
}

impl<'w> Session<'w> {
    /// A session of `network` with the weights of `params`.
    pub fn new(network: &Network, params: impl ParamSource + Send + 'w, backend: Backend) -> Self {
        let isa = match backend {
            Backend::Native(isa) => isa,
            Backend::Matrixmultiply => Isa::best(),
        };
        Self {
            network: network.clone(),
            weights: Box::new(params),
            means: Means { backend, convolutions: Convolutions::default() },
            isa,
            layers: Layers::new(network),
            plan: None,
            buffers: Mutex::default(),
            between: AlignedBuf::default(),
            logits: AlignedBuf::default(),
            profile: None,
        }
    }

    /// The same with a choice of the algorithms for convolutions. Without it, each is computed by the
    /// fastest; a choice changes speed, memory and the last digits.
    pub fn with_convolutions(self, convolutions: Convolutions) -> Self {
        let means = Means { convolutions, ..self.means };
        Self { means, plan: None, ..self }
    }

    /// The network it runs.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Does what the first run of a size does before it runs: plans, and packs the weights that have
    /// not been needed so far.
    ///
    /// # Errors
    /// If the images are too small for the network, or the weights cannot be read.
    pub fn prepare(&mut self, batch: usize, height: usize, width: usize) -> Result<(), InferError> {
        let planned = self.plan.as_ref().map(|plan| (plan.batch, plan.height, plan.width));
        if planned != Some((batch, height, width)) {
            let (size, threads) = ([batch, height, width], rayon::current_num_threads());
            let plan = Plan::new(&self.network, self.means, size, threads)?;
            self.layers.pack(&plan, &self.network, &*self.weights, self.means.backend)?;
            self.plan = Some(plan);
        }
        Ok(())
    }

    /// The logits, `[batch, classes]`, of `input`, `[batch, height, width, 3]` (preprocessed).
    ///
    /// The first run of a size [prepares](Self::prepare) and allocates; those after it reuse the
    /// memory.
    ///
    /// # Errors
    /// If the images are too small for the network, or the weights cannot be read.
    ///
    /// # Panics
    /// If `input` has another size than `batch`, `height` and `width` say, or `batch` is zero.
    pub fn run(
        &mut self,
        input: &[f32],
        batch: usize,
        height: usize,
        width: usize,
    ) -> Result<&[f32], InferError> {
        assert!(batch > 0, "a batch has at least one image");
        assert_eq!(input.len(), batch * height * width * 3, "{batch} images of {width} x {height}");
        self.prepare(batch, height, width)?;
        let plan = self.plan.as_ref().expect("just prepared");
        let steps = plan.sections().map(|section| section.steps.len()).sum();
        self.profile = self.profile.take().map(|_| Profile::new(steps));
        let Self { layers, isa, buffers, between, logits, profile, .. } = self;
        let runner = Runner { layers, isa: *isa, profile: profile.as_ref() };
        let buffers = &*buffers;
        let run = |section: &Section, first_step, input: &[f32], output: &mut [f32]| {
            let spare = buffers.lock().expect("no panic while it is locked").pop();
            let mut own = spare.unwrap_or_default();
            runner.run(section, first_step, &mut own, input, output);
            buffers.lock().expect("no panic while it is locked").push(own);
        };
        let logits = logits.first_mut(plan.rest.output_len());
        awake(|| match &plan.front {
            None => run(&plan.rest, 0, input, logits),
            Some(front) => {
                let between = between.first_mut(plan.rest.input_len());
                let inputs = input.par_chunks_exact(front.input_len());
                let outputs = between.par_chunks_exact_mut(front.output_len());
                let both = inputs.zip(outputs).with_max_len(1);
                both.for_each(|(input, output)| run(front, 0, input, output));
                run(&plan.rest, front.steps.len(), between, logits);
            }
        });
        Ok(logits)
    }

    /// Whether runs take the time of each layer, for [`layer_times`](Self::layer_times).
    pub fn set_profiling(&mut self, on: bool) {
        self.profile = on.then(Profile::default);
    }

    /// What each layer of the last run took, in the order of execution; none unless
    /// [profiling](Self::set_profiling) was on.
    pub fn layer_times(&self) -> Vec<LayerTime<'_>> {
        let (Some(plan), Some(profile)) = (&self.plan, &self.profile) else { return Vec::new() };
        let front = plan.front.as_ref().map_or(0, |front| front.steps.len());
        let steps = plan.sections().flat_map(|section| &section.steps);
        let timed = steps.zip(profile.times()).enumerate();
        let threads = plan.threads as u32;
        timed
            .map(|(i, (step, time))| {
                step.layer_time(plan.batch, if i < front { time / threads } else { time })
            })
            .collect()
    }
}

/// Bytes of activations that a [`Session`] on `backend` holds for batches of `batch` images of
/// `height` x `width`.
///
/// # Errors
/// If the images are too small for the network.
pub fn activation_bytes(
    network: &Network,
    backend: Backend,
    batch: usize,
    height: usize,
    width: usize,
) -> Result<usize, InferError> {
    let threads = rayon::current_num_threads();
    let means = Means { backend, convolutions: Convolutions::default() };
    let plan = Plan::new(network, means, [batch, height, width], threads)?;
    let slots = |section: &Section| section.slots.iter().sum::<usize>();
    let front =
        plan.front.as_ref().map_or(0, |front| threads * slots(front) + plan.rest.input_len());
    Ok((front + slots(&plan.rest) + plan.rest.output_len()) * size_of::<f32>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{InitOptions, ModelSpec, Options, initialize};
    use crate::runtime::Rng;
    use rayon::ThreadPoolBuilder;

    /// With few threads each takes images of its own through the front, with many it does not.
    #[test]
    fn the_bits_do_not_depend_on_who_runs_the_front() {
        for (name, side, batch) in [("resnet18", 129, 6), ("resnet50", 97, 4), ("resnet20", 32, 32)]
        {
            let network = Network::new(&ModelSpec::new(name, Options::default()).unwrap());
            let params = initialize(&network, 3, InitOptions::default());
            let mut rng = Rng::named(3, "input");
            let input: Vec<f32> = (0..batch * side * side * 3).map(|_| rng.normal()).collect();
            let mut first: Option<Vec<f32>> = None;
            let mut fronts = 0;
            for threads in [1, 2, 3, 5, 33] {
                let mut session = Session::new(&network, &params, Backend::Native(Isa::best()));
                let mut run = || session.run(&input, batch, side, side).unwrap().to_vec();
                let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let logits = pool.install(&mut run);
                assert!(
                    *first.get_or_insert(logits.clone()) == logits,
                    "{name}, {threads} threads"
                );
                fronts += usize::from(session.plan.is_some_and(|plan| plan.front.is_some()));
            }
            assert!((1..5).contains(&fronts), "{name}: {fronts} of 5 runs had a front");
        }
    }

    #[test]
    fn a_session_serves_batches_of_all_sizes() {
        let network = Network::new(&ModelSpec::new("resnet20", Options::default()).unwrap());
        let params = initialize(&network, 3, InitOptions::default());
        let mut rng = Rng::named(4, "input");
        let input: Vec<f32> = (0..17 * 32 * 32 * 3).map(|_| rng.normal()).collect();
        let backend = Backend::Native(Isa::best());
        let mut kept = Session::new(&network, &params, backend);
        for batch in [16, 1, 17, 2, 16] {
            let input = &input[..batch * 32 * 32 * 3];
            let mut fresh = Session::new(&network, &params, backend);
            assert_eq!(kept.run(input, batch, 32, 32), fresh.run(input, batch, 32, 32), "{batch}");
        }
    }
}
