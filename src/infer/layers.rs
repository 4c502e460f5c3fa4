//! The layers of a network with weights, packed as plans need them.

use super::folded::Folded;
use super::plan::{Plan, convs};
use crate::conv::Algorithm;
use crate::gemm::Backend;
use crate::model::{ConvBn, Network, ParamSource};
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
    pub(super) fn pack(
        &mut self,
        plan: &Plan,
        network: &Network,
        weights: &dyn ParamSource,
        backend: Backend,
    ) {
        let Self { convs: packed, linear } = self;
        // All are made before the first is written: so they share huge pages.
        let needed = convs(network).zip(packed).zip(plan.convs());
        let missing: Vec<(&ConvBn, &mut Folded)> = needed
            .filter(|((_, forms), (algorithm, _))| form_for(*algorithm, forms).is_none())
            .map(|((conv, forms), (algorithm, shape))| {
                forms.push(Folded::zeros(conv, algorithm, backend, shape));
                (conv, forms.last_mut().expect("just pushed"))
            })
            .collect();
        missing.into_par_iter().for_each(|(conv, folded)| folded.pack(conv, weights));
        let fc = &network.fc;
        linear.get_or_insert_with(|| {
            let mut linear = Linear::zeros(backend, fc.in_features, fc.out_features);
            let bias = weights.tensor(fc.bias);
            linear.pack_from(&bias, |part, pack| weights.read(fc.weight, part, pack));
            linear
        });
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
