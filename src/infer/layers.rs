//! The layers of a network with weights, packed as plans need them, for all callers at once.

use super::InferError;
use super::folded::Folded;
use super::grouped;
use super::plan::{Plan, convs};
use crate::conv::Algorithm;
use crate::gemm::Backend;
use crate::model::{Network, ParamSource, SourceError, TensorId};
use crate::ops::Linear;
use crate::runtime::{Tasks, Team};
use std::sync::OnceLock;

/// The layers with weights. What is packed stays as it is; what is not is packed aside and then set.
pub(super) struct Layers {
    /// By the number that plans give the layer: a place for each algorithm.
    convs: Vec<[OnceLock<Folded>; Algorithm::ALL.len()]>,
    linear: OnceLock<Linear>,
}

/// A convolution that is being packed.
struct Missing {
    layer: usize,
    algorithm: Algorithm,
    weight: TensorId,
    folded: Folded,
    /// Of each filter.
    scale: Vec<f64>,
    /// Of a convolution in groups, the filters of its bundles; else none, they are read as they are packed.
    bundled: Vec<Vec<f32>>,
}

impl Layers {
    /// Those of `network`, none packed yet.
    pub(super) fn new(network: &Network) -> Self {
        let convs = convs(network).map(|_| Default::default()).collect();
        Self { convs, linear: OnceLock::new() }
    }

    /// Packs what `plan` needs and is not packed yet. All of it and `meanwhile` is one loop.
    pub(super) fn pack(
        &self,
        team: &mut Team,
        plan: &Plan,
        network: &Network,
        weights: &dyn ParamSource,
        backend: Backend,
        meanwhile: Option<Tasks>,
    ) -> Result<(), InferError> {
        // All are made before the first is written: so they share huge pages.
        let mut missing = Vec::new();
        for ((layer, conv), (algorithm, shape)) in convs(network).enumerate().zip(plan.convs()) {
            if self.form(layer, algorithm).get().is_none() {
                let (folded, scale) = Folded::zeros(conv, algorithm, backend, shape, weights)?;
                let bundled = match folded.filters.len() {
                    1 if conv.groups == 1 => Vec::new(),
                    _ => grouped::filters(conv, weights)?,
                };
                missing.push(Missing {
                    layer,
                    algorithm,
                    weight: conv.weight,
                    folded,
                    scale,
                    bundled,
                });
            }
        }
        let fc = &network.fc;
        let mut linear = match self.linear.get() {
            Some(_) => None,
            None => Some((
                Linear::zeros(backend, fc.in_features, fc.out_features),
                weights.tensor(fc.bias)?,
            )),
        };

        let failed: OnceLock<SourceError> = OnceLock::new();
        let keep_error = |result: Result<(), SourceError>| {
            if let Err(error) = result {
                let _ = failed.set(error);
            }
        };
        let mut tasks: Vec<Tasks> = meanwhile.into_iter().collect();
        for Missing { weight, folded, scale, bundled, .. } in &mut missing {
            let id = *weight;
            if bundled.is_empty() {
                tasks.push(folded.filters[0].pack_from(Some(scale), move |part, pack| {
                    keep_error(weights.read(id, part, pack));
                }));
                continue;
            }
            let scales = scale.chunks_exact(scale.len() / bundled.len());
            for ((filter, values), scale) in folded.filters.iter_mut().zip(bundled).zip(scales) {
                tasks.push(filter.pack_from(Some(scale), |part, pack| pack(&values[part])));
            }
        }
        if let Some((linear, bias)) = &mut linear {
            tasks.push(linear.pack_from(bias, move |part, pack| {
                keep_error(weights.read(fc.weight, part, pack));
            }));
        }
        Tasks::all(team, tasks);
        if let Some(error) = failed.into_inner() {
            return Err(error.into());
        }

        // Where somebody else was faster, theirs is as good.
        for Missing { layer, algorithm, folded, .. } in missing {
            let _ = self.form(layer, algorithm).set(folded);
        }
        if let Some((linear, _)) = linear {
            let _ = self.linear.set(linear);
        }
        Ok(())
    }

    /// Convolution `layer` as `algorithm` takes it.
    pub(super) fn conv(&self, layer: usize, algorithm: Algorithm) -> &Folded {
        self.form(layer, algorithm).get().expect("packed with its plan")
    }

    /// The classifier.
    pub(super) fn linear(&self) -> &Linear {
        self.linear.get().expect("packed with its plan")
    }

    /// The place of the form of `layer` that `algorithm` takes.
    fn form(&self, layer: usize, algorithm: Algorithm) -> &OnceLock<Folded> {
        let place = Algorithm::ALL.iter().position(|&other| other == algorithm);
        &self.convs[layer][place.expect("one of all algorithms")]
    }
}
