//! The layers of a network with weights, packed as plans need them.

use super::folded::{Folded, packed_from};
use super::plan::{Plan, convs};
use crate::conv::Algorithm;
use crate::gemm::Backend;
use crate::model::{ConvBn, Network, ParamSource, SourceError};
use crate::ops::Linear;
use rayon::prelude::*;

/// The layers with weights.
pub(super) struct Layers {
    /// By the number that plans give the layer: one for each algorithm that a plan has asked for.
    convs: Vec<Vec<Folded>>,
    linear: Option<Linear>,
}

impl Layers {
    /// Those of `network`, none packed yet.
    pub(super) fn new(network: &Network) -> Self {
        Self { convs: convs(network).map(|_| Vec::new()).collect(), linear: None }
    }

    /// Packs what `plan` needs and is not packed yet, in parallel over layers and within them.
    ///
    /// # Errors
    /// The weights cannot be read; what was packed before stays.
    pub(super) fn pack(
        &mut self,
        plan: &Plan,
        network: &Network,
        weights: &dyn ParamSource,
        backend: Backend,
    ) -> Result<(), SourceError> {
        // All are made before the first is written: so they share huge pages.
        let needed = convs(network).zip(&self.convs).zip(plan.convs()).enumerate();
        let mut missing: Vec<(usize, &ConvBn, Folded)> = needed
            .filter(|(_, ((_, forms), (algorithm, _)))| form_for(*algorithm, forms).is_none())
            .map(|(layer, ((conv, _), (algorithm, shape)))| {
                (layer, conv, Folded::zeros(conv, algorithm, backend, shape))
            })
            .collect();
        missing.par_iter_mut().try_for_each(|(_, conv, folded)| folded.pack(conv, weights))?;
        // Only what is whole is kept.
        for (layer, _, folded) in missing {
            self.convs[layer].push(folded);
        }
        if self.linear.is_none() {
            let fc = &network.fc;
            let mut linear = Linear::zeros(backend, fc.in_features, fc.out_features);
            let bias = weights.tensor(fc.bias)?;
            packed_from(weights, fc.weight, |read| linear.pack_from(&bias, read))?;
            self.linear = Some(linear);
        }
        Ok(())
    }

    /// Convolution `layer` as `algorithm` takes it.
    pub(super) fn conv(&self, layer: usize, algorithm: Algorithm) -> &Folded {
        form_for(algorithm, &self.convs[layer]).expect("packed with its plan")
    }

    /// The classifier.
    pub(super) fn linear(&self) -> &Linear {
        self.linear.as_ref().expect("packed with its plan")
    }
}

/// The one of `forms` that `algorithm` takes.
fn form_for(algorithm: Algorithm, forms: &[Folded]) -> Option<&Folded> {
    forms.iter().find(|folded| folded.filter.algorithm() == algorithm)
}
