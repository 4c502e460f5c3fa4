//! A network prepared for inference, and its runs.

use super::MAX_INPUT_SIDE;
use super::plan::{Op, Plan, Source, Step, convs};
use crate::conv::{self, Filter};
use crate::gemm::{Backend, Epilogue};
use crate::model::{BN_EPSILON, ConvBn, Network, ParamSource};
use crate::ops::{Linear, global_avg_pool, max_pool, shortcut_pad};
use crate::runtime::{AlignedBuf, awake};
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

/// A convolution with its batch norm folded in.
struct Folded {
    filter: Filter,
    bias: Vec<f32>,
}

/// A network with its weights, ready to run on the threads of the current rayon pool.
///
/// Batch norm after a convolution is an affine map of each channel, so it moves into the filters
/// (scale, rounded once from f64) and a bias.
pub struct Session {
    network: Network,
    isa: Isa,
    convs: Vec<Folded>,
    linear: Linear,
    plan: Option<Plan>,
    buffers: Vec<AlignedBuf>,
}

impl Session {
    /// Prepares `network` with the weights of `params`.
    pub fn new(network: &Network, params: &dyn ParamSource, backend: Backend) -> Self {
        let isa = match backend {
            Backend::Native(isa) => isa,
            Backend::Matrixmultiply => Isa::best(),
        };
        let layers: Vec<&ConvBn> = convs(network).collect();
        let convs = layers.par_iter().map(|conv| fold(conv, params, backend)).collect();
        let fc = &network.fc;
        let linear = Linear::new(backend, &params.tensor(fc.weight), &params.tensor(fc.bias));
        let network = network.clone();
        Self { network, isa, convs, linear, plan: None, buffers: Vec::new() }
    }

    /// The network it runs.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The logits, `[batch, classes]`, of `input`, `[batch, height, width, 3]` (preprocessed).
    ///
    /// The first run of a size plans and allocates; those after it reuse the memory.
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
        let size = (batch, height, width);
        let plan = match self.plan.take() {
            Some(plan) if (plan.batch, plan.height, plan.width) == size => plan,
            _ => Plan::new(&self.network, batch, height, width)?,
        };
        self.buffers.resize_with(plan.slots.len(), AlignedBuf::default);
        for (buffer, &len) in self.buffers.iter_mut().zip(&plan.slots) {
            buffer.grow_to(len);
        }
        awake(|| plan.steps.iter().for_each(|step| self.step(step, input)));
        let logits = &self.buffers[plan.logits][..batch * self.network.fc.out_features];
        self.plan = Some(plan);
        Ok(logits)
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
                let Folded { filter, bias } = &self.convs[*layer];
                let residual = residual.map(|slot| &self.buffers[slot][..step.len]);
                let epilogue = Epilogue { bias: Some(bias), residual, relu: *relu };
                conv::forward(shape, from, filter, &epilogue, output);
            }
            Op::MaxPool(shape) => max_pool(self.isa, shape, from, output),
            Op::ShortcutPad(shape) => shortcut_pad(shape, from, output),
            Op::GlobalAvgPool { pixels, channels } => {
                global_avg_pool(self.isa, *pixels, *channels, from, output);
            }
            Op::Linear => self.linear.forward(from, output),
        }
        self.buffers[step.to] = buffer;
    }
}

/// Bytes of activations that a [`Session`] holds for batches of `batch` images of `height` x `width`.
///
/// # Errors
/// If the images are too small for the network.
pub fn activation_bytes(
    network: &Network,
    batch: usize,
    height: usize,
    width: usize,
) -> Result<usize, InferError> {
    let plan = Plan::new(network, batch, height, width)?;
    Ok(plan.slots.iter().sum::<usize>() * size_of::<f32>())
}

/// y = gamma · (conv(x) - mean) / √(var + ε) + beta as a convolution with a bias.
fn fold(conv: &ConvBn, params: &dyn ParamSource, backend: Backend) -> Folded {
    let (gamma, beta) = (params.tensor(conv.gamma), params.tensor(conv.beta));
    let (mean, var) = (params.tensor(conv.running_mean), params.tensor(conv.running_var));
    let scale: Vec<f64> = gamma
        .iter()
        .zip(&*var)
        .map(|(&gamma, &var)| f64::from(gamma) / (f64::from(var) + f64::from(BN_EPSILON)).sqrt())
        .collect();
    let bias = beta
        .iter()
        .zip(&*mean)
        .zip(&scale)
        .map(|((&beta, &mean), scale)| (f64::from(beta) - f64::from(mean) * scale) as f32)
        .collect();
    // Filters do not depend on the size of the images.
    let shape = conv.shape(0, 0, 0);
    let mut filter = Filter::zeros(backend, &shape);
    filter.pack(&params.tensor(conv.weight), Some(&scale));
    Folded { filter, bias }
}
