//! What batch norm sees of given images, and the same network written so that this is what its running
//! statistics say.
//!
//! Published weights may have batch norm folded or rescaled: a variance of 1 with scales of 50 is as good as
//! any in evaluation. In training, batch norm divides by the batch's own deviation, and the network would be
//! another one at the first step. So the statistics of some images are measured in evaluation, and scale and
//! shift are rewritten for them: the same function, fit to go on with.

use std::collections::BTreeMap;

use crate::model::{BN_EPSILON, BlockShortcut, ConvBn, Network, Params, TensorId};
use crate::ops::batch_norm::Statistics;

/// Mean and variance of what each batch norm of a network has seen, joined in f64 in the order in which
/// batches came.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// By the layer's scale.
    pub(super) layers: BTreeMap<TensorId, Moments>,
}

/// Of each channel.
#[derive(Clone, Debug)]
pub(super) struct Moments {
    pub(super) count: f64,
    pub(super) mean: Vec<f64>,
    /// Σ (x - mean)².
    pub(super) squares: Vec<f64>,
}

impl Measured {
    /// Joins the statistics of one more batch to those of the layer with the scale `gamma` (Chan, Golub &
    /// LeVeque, 1983).
    pub(super) fn add(&mut self, gamma: TensorId, batch: &Statistics) {
        let channels = batch.mean.len();
        let Moments { count, mean, squares } = self.layers.entry(gamma).or_insert_with(|| {
            Moments { count: 0.0, mean: vec![0.0; channels], squares: vec![0.0; channels] }
        });
        let pixels = batch.pixels as f64;
        let total = *count + pixels;
        let (share, weight) = (pixels / total, *count * pixels / total);
        for c in 0..channels {
            let distance = f64::from(batch.mean[c]) - mean[c];
            mean[c] += distance * share;
            squares[c] += f64::from(batch.var[c]) * pixels + distance * distance * weight;
        }
        *count = total;
    }

    /// Rewrites `params`, so that the running statistics of each batch norm are those measured, and in
    /// evaluation the network computes the same function as before, but for rounding: with the running mean m
    /// and variance v of before, and μ and σ² measured,
    ///
    /// γ′ = γ·√((σ²+ε)/(v+ε)), β′ = β + γ·(μ-m)/√(v+ε).
    ///
    /// Both are computed in f64 from μ and σ² as they are stored, so each is wrong by one rounding only.
    ///
    /// # Panics
    /// If a layer was not measured.
    pub fn rewrite(&self, network: &Network, params: &mut Params) {
        batch_norms(network).for_each(|conv| self.rewrite_one(conv, params));
    }

    /// The standard deviation of what the batch norm of `conv` gave in evaluation, over all images, pixels and
    /// channels together: that of γ·(y-m)/√(v+ε) + β, whose moments follow from those of each channel's y.
    ///
    /// # Panics
    /// If the layer was not measured.
    pub fn deviation(&self, conv: &ConvBn, params: &Params) -> f64 {
        let moments = self.layers.get(&conv.gamma).expect("every batch norm was measured");
        let value = |id: TensorId, c: usize| f64::from(params.get(id)[c]);
        let outputs: Vec<(f64, f64)> = (0..conv.out_channels)
            .map(|c| {
                let var = value(conv.running_var, c) + f64::from(BN_EPSILON);
                let scale = value(conv.gamma, c) / var.sqrt();
                let centred = moments.mean[c] - value(conv.running_mean, c);
                let mean = scale * centred + value(conv.beta, c);
                (mean, scale * scale * moments.squares[c] / moments.count)
            })
            .collect();
        let channels = outputs.len() as f64;
        let mean = outputs.iter().map(|(mean, _)| mean).sum::<f64>() / channels;
        let spread = |&(own, var): &(f64, f64)| var + (own - mean) * (own - mean);
        (outputs.iter().map(spread).sum::<f64>() / channels).sqrt()
    }

    fn rewrite_one(&self, conv: &ConvBn, params: &mut Params) {
        let moments = self.layers.get(&conv.gamma).expect("every batch norm was measured");
        for c in 0..conv.out_channels {
            let value = |id: TensorId| f64::from(params.get(id)[c]);
            let (gamma, beta) = (value(conv.gamma), value(conv.beta));
            let (mean, var) = (value(conv.running_mean), value(conv.running_var));
            let new_mean = moments.mean[c] as f32;
            let new_var = (moments.squares[c] / moments.count) as f32;
            let epsilon = f64::from(BN_EPSILON);
            let ratio = (f64::from(new_var) + epsilon) / (var + epsilon);
            let moved = gamma * (f64::from(new_mean) - mean) / (var + epsilon).sqrt();
            params.get_mut(conv.gamma)[c] = (gamma * ratio.sqrt()) as f32;
            params.get_mut(conv.beta)[c] = (beta + moved) as f32;
            params.get_mut(conv.running_mean)[c] = new_mean;
            params.get_mut(conv.running_var)[c] = new_var;
        }
    }
}

/// The convolutions of a network, each of which has a batch norm.
pub(super) fn batch_norms(network: &Network) -> impl Iterator<Item = &ConvBn> {
    let shortcuts = network.blocks.iter().filter_map(|block| match &block.shortcut {
        BlockShortcut::Project(conv) => Some(conv),
        _ => None,
    });
    let convs = network.blocks.iter().flat_map(|block| &block.convs).chain(shortcuts);
    std::iter::once(&network.stem).chain(convs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::Backend;
    use crate::infer::Session;
    use crate::learn::{Batch, Learner};
    use crate::model::{InitOptions, ModelSpec, Options, Role, initialize};
    use crate::runtime::Rng;
    use crate::simd::Isa;

    const SIDE: usize = 33;
    const IMAGES: usize = 10;

    /// Weights as some publishers leave them: means of 0, variances of 1, and scales and shifts of any size.
    fn rescaled(network: &Network) -> Params {
        let mut params = initialize(network, 5, InitOptions::default());
        let mut rng = Rng::named(5, "scales");
        for (id, info) in network.table().iter() {
            match info.role {
                Role::Gamma => params.get_mut(id).fill_with(|| 0.02 * rng.normal() + 0.05),
                Role::Beta => params.get_mut(id).fill_with(|| 0.3 * rng.normal()),
                Role::ConvWeight => params.get_mut(id).iter_mut().for_each(|w| *w *= 20.0),
                _ => {}
            }
        }
        params
    }

    fn input(seed: u64) -> Vec<f32> {
        let mut rng = Rng::named(seed, "input");
        (0..IMAGES * SIDE * SIDE * 3).map(|_| rng.normal()).collect()
    }

    fn logits(network: &Network, params: &Params, input: &[f32]) -> Vec<f32> {
        let mut session = Session::new(network, params, Backend::Native(Isa::best()));
        session.run(input, IMAGES, SIDE, SIDE).unwrap().to_vec()
    }

    #[test]
    fn the_same_function_in_evaluation_and_nearly_the_same_in_training() {
        for name in ["resnet20", "resnet18", "resnet50", "plain20"] {
            let network = Network::new(&ModelSpec::new(name, Options::default()).unwrap());
            let before = rescaled(&network);
            let backend = Backend::Native(Isa::best());
            let measure = |parts: &[usize]| {
                let (mut params, mut measured) = (before.clone(), Measured::default());
                let mut learner = Learner::new(&network, backend);
                let (whole, mut done) = (input(1), 0);
                for &images in parts {
                    let part = &whole[done * SIDE * SIDE * 3..][..images * SIDE * SIDE * 3];
                    let go_on =
                        learner.measure(&params, part, images, SIDE, &mut measured, &|| false);
                    assert!(go_on.unwrap());
                    done += images;
                }
                assert_eq!(params.learnable(), before.learnable(), "nothing is changed on the way");
                assert_eq!(params.statistics(), before.statistics());
                measured.rewrite(&network, &mut params);
                params
            };
            let after = measure(&[IMAGES]);

            // Every batch norm is wrong by a rounding of its scale and one of its shift, and each adds to
            // what comes after it: two roundings a layer of the largest logit.
            for seed in [1, 2] {
                let (old, new) = (
                    logits(&network, &before, &input(seed)),
                    logits(&network, &after, &input(seed)),
                );
                let largest = old.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
                let layers = network.layers(SIDE, SIDE).len() as f32;
                let bound = 2.0 * layers * f32::EPSILON * largest;
                let error =
                    old.iter().zip(&new).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
                assert!(error <= bound, "{name}: {error} of {largest}, bound {bound}");
            }

            // With the statistics of the images that were measured, training computes the same.
            let mut learner = Learner::new(&network, backend);
            let (labels, input) = (vec![0; IMAGES], input(1));
            let batch = Batch {
                input: &input,
                labels: &labels,
                height: SIDE,
                width: SIDE,
                label_smoothing: 0.0,
            };
            let mut distance = |params: &Params| {
                let mut gradients = vec![0.0; params.learnable().len()];
                learner.batch(&mut params.clone(), &batch, IMAGES, &mut gradients).unwrap();
                let old = logits(&network, &before, &input);
                let most = |values: &mut dyn Iterator<Item = f32>| values.fold(0.0_f32, f32::max);
                most(&mut old.iter().zip(learner.logits()).map(|(a, b)| (a - b).abs()))
                    / most(&mut old.iter().map(|a| a.abs()))
            };
            let (old, new) = (distance(&before), distance(&after));
            assert!(new < 1e-4 && old > 0.5, "{name}: {old} became {new}");

            // In parts it is the same but for rounding, in units of a channel's deviation: other sizes of batch
            // are computed by other algorithms.
            let parts = measure(&[4, 4, 2]);
            for conv in network.blocks.iter().flat_map(|block| &block.convs) {
                for c in 0..conv.out_channels {
                    let var = after.get(conv.running_var)[c];
                    let distance = |id: TensorId| (parts.get(id)[c] - after.get(id)[c]).abs();
                    let near = distance(conv.running_mean) <= 1e-4 * var.sqrt()
                        && distance(conv.running_var) <= 1e-4 * var;
                    assert!(near, "{name}: {} channel {c}", conv.name);
                }
            }
        }
    }

    /// Against the outputs themselves, of a layer whose inputs are known: the first.
    #[test]
    fn deviations_are_those_of_the_outputs() {
        let network = Network::new(&ModelSpec::new("resnet20", Options::default()).unwrap());
        let (params, input) = (rescaled(&network), input(1));
        let backend = Backend::Native(Isa::best());
        let mut measured = Measured::default();
        let mut learner = Learner::new(&network, backend);
        for part in input.chunks(4 * SIDE * SIDE * 3) {
            let images = part.len() / (SIDE * SIDE * 3);
            learner.measure(&params, part, images, SIDE, &mut measured, &|| false).unwrap();
        }
        let stem = &network.stem;
        let (weight, out) = (params.get(stem.weight), stem.out_channels);
        let mut outputs = Vec::new();
        let at = |n: usize, y: isize, x: isize, channel: usize| {
            let inside = |i: isize| (0..SIDE as isize).contains(&i);
            if !inside(y) || !inside(x) {
                return 0.0;
            }
            f64::from(input[((n * SIDE + y as usize) * SIDE + x as usize) * 3 + channel])
        };
        for n in 0..IMAGES {
            for (y, x) in (0..SIDE * SIDE).map(|i| ((i / SIDE) as isize, (i % SIDE) as isize)) {
                for o in 0..out {
                    let taps = (0..27).map(|k| {
                        let (channel, dy, dx) = (k / 9, k / 3 % 3, k % 3);
                        let pixel = at(n, y + dy as isize - 1, x + dx as isize - 1, channel);
                        pixel * f64::from(weight[o * 27 + k])
                    });
                    let value = |id: TensorId| f64::from(params.get(id)[o]);
                    let var = value(stem.running_var) + f64::from(BN_EPSILON);
                    let centred = taps.sum::<f64>() - value(stem.running_mean);
                    outputs.push(value(stem.gamma) * centred / var.sqrt() + value(stem.beta));
                }
            }
        }
        let mean = outputs.iter().sum::<f64>() / outputs.len() as f64;
        let var = outputs.iter().map(|z| (z - mean) * (z - mean)).sum::<f64>();
        let expected = (var / outputs.len() as f64).sqrt();
        let found = measured.deviation(stem, &params);
        assert!((found / expected - 1.0).abs() < 1e-5, "{found}, expected {expected}");
    }

    #[test]
    fn any_threads_measure_the_same_bits_and_a_stop_is_heard() {
        let network = Network::new(&ModelSpec::new("resnet20", Options::default()).unwrap());
        let params = rescaled(&network);
        let mut first: Option<Params> = None;
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for isa in Isa::available().into_iter().filter(|isa| isa.is_exact()) {
                let mut learner = Learner::new(&network, Backend::Native(isa));
                let (mut measured, mut after) = (Measured::default(), params.clone());
                pool.install(|| {
                    let stopped = || false;
                    learner.measure(&after, &input(1), IMAGES, SIDE, &mut measured, &stopped)
                })
                .unwrap();
                measured.rewrite(&network, &mut after);
                let first = first.get_or_insert_with(|| after.clone());
                assert_eq!(first.learnable(), after.learnable(), "{threads} threads, {isa}");
                assert_eq!(first.statistics(), after.statistics(), "{threads} threads, {isa}");
            }
        }
        let mut learner = Learner::new(&network, Backend::Native(Isa::best()));
        let mut measured = Measured::default();
        let done = learner.measure(&params, &input(1), IMAGES, SIDE, &mut measured, &|| true);
        assert_eq!(done, Ok(false));
    }
}
