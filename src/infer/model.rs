//! A network with its weights, ready for any number of callers at a time.

use super::InferError;
use super::layers::Layers;
use super::plan::Plan;
use super::steps::Means;
use crate::conv::Convolutions;
use crate::gemm::Backend;
use crate::model::{Network, ParamSource};
use crate::runtime::{Tasks, Team};

/// A network with its weights. All callers share it, through `&Model` or `Arc<Model>`, from any thread. Each
/// caller has a [`Session`](super::Session) of its own.
///
/// Batch norm after a convolution is an affine map of each channel, so it is folded into the filters (a
/// scale, rounded once from f64) and a bias. A layer's weights are read, folded and packed when a run first
/// needs them in that form, once for all sessions. The model keeps their source for that.
pub struct Model<'w> {
    network: Network,
    weights: Box<dyn ParamSource + Send + 'w>,
    means: Means,
    layers: Layers,
}

impl<'w> Model<'w> {
    /// `network` with the weights of `params`.
    pub fn new(network: &Network, params: impl ParamSource + Send + 'w, backend: Backend) -> Self {
        Self {
            network: network.clone(),
            weights: Box::new(params),
            means: Means { backend, convolutions: Convolutions::default() },
            layers: Layers::new(network),
        }
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

    pub(super) fn layers(&self) -> &Layers {
        &self.layers
    }

    /// How inputs of a size run.
    pub(super) fn plan(&self, size: [usize; 3], threads: usize) -> Result<Plan, InferError> {
        Plan::new(&self.network, self.means, size, threads)
    }

    /// What the last layer has for `class`: a weight of each feature, and the bias.
    pub(super) fn class_weights(&self, class: usize) -> Result<(Vec<f32>, f32), InferError> {
        let fc = &self.network.fc;
        let mut row = Vec::with_capacity(fc.in_features);
        let part = class * fc.in_features..(class + 1) * fc.in_features;
        self.weights.read(fc.weight, part, &mut |values| row.extend_from_slice(values))?;
        let mut bias = 0.0;
        self.weights.read(fc.bias, class..class + 1, &mut |values| bias = values[0])?;
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
        self.layers.pack(team, plan, &self.network, &*self.weights, self.means.backend, meanwhile)
    }
}

impl std::fmt::Debug for Model<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Model({})", self.network.spec.name)
    }
}
