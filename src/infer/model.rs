//! A network with its weights, ready for any number of callers at a time.

use super::InferError;
use super::layers::Layers;
use super::plan::Plan;
use super::quantized;
use super::steps::Means;
use crate::conv::Convolutions;
use crate::gemm::Backend;
use crate::int8::kernels::Kernel;
use crate::model::{Network, ParamSource, Quantized};
use crate::runtime::{Tasks, Team};
use crate::weights::WeightsFile;

/// A network with its weights. All callers share it, through `&Model` or `Arc<Model>`, from any thread. Each
/// caller has a [`Session`](super::Session) of its own.
///
/// Batch norm after a convolution is an affine map of each channel, so it is folded into the filters (a
/// scale, rounded once from f64) and a bias. A layer's weights are read, folded and packed when a run first
/// needs them in that form, once for all sessions. The model keeps their source for that.
pub struct Model<'w> {
    network: Network,
    means: Means,
    numbers: Numbers<'w>,
}

/// A model's weights, and their layers.
pub(super) enum Numbers<'w> {
    F32 {
        /// Where they are read from.
        weights: Box<dyn ParamSource + Send + 'w>,
        layers: Layers,
    },
    /// In 8 bits.
    Quantized(Box<quantized::Layers>),
}

impl<'w> Model<'w> {
    /// `network` with the weights of `params`.
    pub fn new(network: &Network, params: impl ParamSource + Send + 'w, backend: Backend) -> Self {
        Self {
            network: network.clone(),
            means: Means {
                backend,
                convolutions: Convolutions::default(),
                bytes: size_of::<f32>(),
            },
            numbers: Numbers::F32 { weights: Box::new(params), layers: Layers::new(network) },
        }
    }

    /// The network of a file of weights, in 8 bits if the file is.
    ///
    /// # Errors
    /// As for [`quantized`](Self::quantized).
    pub fn of_weights(weights: WeightsFile, backend: Backend) -> Result<Self, InferError> {
        let network = weights.network().clone();
        match weights.into_quantized() {
            Ok(quantized) => Self::quantized(&network, quantized, backend),
            Err(weights) => Ok(Self::new(&network, *weights, backend)),
        }
    }

    /// `network` in 8 bits. Its results are the same bits on every instruction set, for every batch size.
    ///
    /// # Errors
    /// `backend` is not the crate's own, or scales are so far apart that numbers overflow.
    ///
    /// # Panics
    /// If `quantized` are not the numbers of `network`.
    pub fn quantized(
        network: &Network,
        quantized: Quantized,
        backend: Backend,
    ) -> Result<Self, InferError> {
        let isa = backend.native().ok_or(InferError::QuantizedBackend)?;
        Self::quantized_with(network, quantized, backend, Kernel::of(isa))
    }

    /// As [`quantized`](Self::quantized), by a kernel that is not the fastest: for tests.
    #[doc(hidden)]
    pub fn quantized_with(
        network: &Network,
        quantized: Quantized,
        backend: Backend,
        kernel: Kernel,
    ) -> Result<Self, InferError> {
        let isa = backend.native().ok_or(InferError::QuantizedBackend)?;
        let layers = quantized::Layers::new(network, quantized, isa, kernel)?;
        Ok(Self {
            network: network.clone(),
            means: Means { backend, convolutions: Convolutions::Direct, bytes: 1 },
            numbers: Numbers::Quantized(Box::new(layers)),
        })
    }

    /// The same model with a choice of algorithms for convolutions. By default each is computed by the
    /// fastest. A choice changes speed, memory and the last digits of results.
    pub fn with_convolutions(self, convolutions: Convolutions) -> Self {
        Self { means: Means { convolutions, ..self.means }, ..self }
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The backend that computes matrix products.
    pub fn backend(&self) -> Backend {
        self.means.backend
    }

    pub(super) fn numbers(&self) -> &Numbers<'w> {
        &self.numbers
    }

    /// Whether it computes in 8 bits.
    pub fn is_quantized(&self) -> bool {
        matches!(self.numbers, Numbers::Quantized(_))
    }

    /// How inputs of a size run.
    pub(super) fn plan(&self, size: [usize; 3], threads: usize) -> Result<Plan, InferError> {
        Plan::new(&self.network, self.means, size, threads)
    }

    /// What the last layer has for `class`: a weight of each feature, and the bias.
    pub(super) fn class_weights(&self, class: usize) -> Result<(Vec<f32>, f32), InferError> {
        let weights = match &self.numbers {
            Numbers::F32 { weights, .. } => weights,
            Numbers::Quantized(layers) => return Ok(layers.class_weights(class)),
        };
        let fc = &self.network.fc;
        let mut row = Vec::with_capacity(fc.in_features);
        let part = class * fc.in_features..(class + 1) * fc.in_features;
        weights.read(fc.weight, part, &mut |values| row.extend_from_slice(values))?;
        let mut bias = 0.0;
        weights.read(fc.bias, class..class + 1, &mut |values| bias = values[0])?;
        Ok((row, bias))
    }

    /// Packs what `plan` needs and nobody has packed so far; the tasks `meanwhile` run in the same loop.
    /// Two callers who need a form at the same time pack it both, and one of the two is kept: none waits
    /// for the other.
    pub(super) fn pack(
        &self,
        team: &mut Team,
        plan: &Plan,
        meanwhile: Option<Tasks>,
    ) -> Result<(), InferError> {
        let network = &self.network;
        match &self.numbers {
            Numbers::F32 { weights, layers } => {
                layers.pack(team, plan, network, &**weights, self.means.backend, meanwhile)
            }
            Numbers::Quantized(layers) => layers.pack(team, plan, network, meanwhile),
        }
    }
}

impl std::fmt::Debug for Model<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Model({})", self.network.spec.name)
    }
}
