//! A network prepared for inference, and its runs.

use super::MAX_INPUT_SIDE;
use super::folded::Folded;
use super::layer_time::LayerTime;
use super::plan::{Op, Plan, Source, Step, convs};
use crate::conv::{self, Algorithm, ConvShape};
use crate::gemm::{Backend, Epilogue};
use crate::model::{ConvBn, Network, ParamSource};
use crate::ops::{Linear, conv_max_pool, global_avg_pool, max_pool, shortcut_pad};
use crate::runtime::{AlignedBuf, Profile, awake};
use crate::simd::Isa;
use rayon::prelude::*;

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
    backend: Backend,
    isa: Isa,
    /// By the number that plans give the layer: one for each algorithm that a plan has asked for.
    convs: Vec<Vec<Folded>>,
    linear: Option<Linear>,
    plan: Option<Plan>,
    buffers: Vec<AlignedBuf>,
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
            backend,
            isa,
            convs: convs(network).map(|_| Vec::new()).collect(),
            linear: None,
            plan: None,
            buffers: Vec::new(),
            profile: None,
        }
    }

    /// The network it runs.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Does what the first run of a size does before it runs: plans, and packs the weights that have
    /// not been needed so far.
    ///
    /// # Errors
    /// If the images are too small for the network.
    pub fn prepare(&mut self, batch: usize, height: usize, width: usize) -> Result<(), InferError> {
        let planned = self.plan.as_ref().map(|plan| (plan.batch, plan.height, plan.width));
        if planned != Some((batch, height, width)) {
            let plan = Plan::new(&self.network, self.backend, batch, height, width)?;
            self.pack(&plan);
            self.plan = Some(plan);
        }
        Ok(())
    }

    /// Packs what `plan` needs and is not packed yet, in parallel over layers and within them.
    fn pack(&mut self, plan: &Plan) {
        let Self { network, weights, backend, convs: packed, linear, .. } = self;
        let (weights, fc, backend) = (&**weights, &network.fc, *backend);
        // All are made before the first is written: so they share huge pages.
        let needed = convs(network).zip(packed).zip(plan.convs());
        let missing: Vec<(&ConvBn, &mut Folded)> = needed
            .filter(|((_, forms), shape)| form_for(backend, shape, forms).is_none())
            .map(|((conv, forms), shape)| {
                forms.push(Folded::zeros(conv, backend, shape));
                (conv, forms.last_mut().expect("just pushed"))
            })
            .collect();
        missing.into_par_iter().for_each(|(conv, folded)| folded.pack(conv, weights));
        linear.get_or_insert_with(|| {
            let mut linear = Linear::zeros(backend, fc.in_features, fc.out_features);
            let bias = weights.tensor(fc.bias);
            linear.pack_from(&bias, |part, pack| weights.read(fc.weight, part, pack));
            linear
        });
    }

    /// The logits, `[batch, classes]`, of `input`, `[batch, height, width, 3]` (preprocessed).
    ///
    /// The first run of a size [prepares](Self::prepare) and allocates; those after it reuse the
    /// memory.
    ///
    /// # Errors
    /// If the images are too small for the network.
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
        let plan = self.plan.take().expect("just prepared");
        self.buffers.resize_with(plan.slots.len(), AlignedBuf::default);
        for (buffer, &len) in self.buffers.iter_mut().zip(&plan.slots) {
            buffer.grow_to(len);
        }
        let mut profile = self.profile.take().map(|_| Profile::default());
        awake(|| {
            for step in &plan.steps {
                match &mut profile {
                    Some(profile) => profile.time(|| self.step(step, input)),
                    None => self.step(step, input),
                }
            }
        });
        self.profile = profile;
        let logits = &self.buffers[plan.logits][..batch * self.network.fc.out_features];
        self.plan = Some(plan);
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
        let timed = plan.steps.iter().zip(profile.times());
        timed.map(|(step, &time)| step.layer_time(self.backend, plan.batch, time)).collect()
    }

    fn step(&mut self, step: &Step, input: &[f32]) {
        let mut buffer = std::mem::take(&mut self.buffers[step.to]);
        let output = &mut buffer[..step.len];
        let from = match step.from {
            Source::Input => input,
            Source::Slot(slot) => &self.buffers[slot][..step.from_len],
        };
        match &step.op {
            Op::Conv { layer, shape, residual, relu } => {
                let Folded { filter, bias } = self.folded(*layer, shape);
                let residual = residual.map(|slot| &self.buffers[slot][..step.len]);
                let epilogue = Epilogue { bias: Some(bias), residual, relu: *relu };
                conv::forward(shape, from, filter, &epilogue, output);
            }
            Op::ConvMaxPool { layer, shape, pool } => {
                let Folded { filter, bias } = self.folded(*layer, shape);
                let epilogue = Epilogue { bias: Some(bias), residual: None, relu: true };
                conv_max_pool(self.isa, shape, pool, from, filter, &epilogue, output);
            }
            Op::MaxPool(shape) => max_pool(self.isa, shape, from, output),
            Op::ShortcutPad(shape) => shortcut_pad(shape, from, output),
            Op::GlobalAvgPool { pixels, channels } => {
                global_avg_pool(self.isa, *pixels, *channels, from, output);
            }
            Op::Linear => {
                self.linear.as_ref().expect("packed with its plan").forward(from, output);
            }
        }
        self.buffers[step.to] = buffer;
    }

    /// What plans call `layer`, for convolutions of `shape`.
    fn folded(&self, layer: usize, shape: &ConvShape) -> &Folded {
        form_for(self.backend, shape, &self.convs[layer]).expect("packed with its plan")
    }
}

/// The one of `forms` that the algorithm for `shape` takes.
fn form_for<'a>(backend: Backend, shape: &ConvShape, forms: &'a [Folded]) -> Option<&'a Folded> {
    let algorithm = Algorithm::of(backend, shape);
    forms.iter().find(|folded| folded.filter.algorithm() == algorithm)
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
    let plan = Plan::new(network, backend, batch, height, width)?;
    Ok(plan.slots.iter().sum::<usize>() * size_of::<f32>())
}
