//! Running statistics of batch norm by a true average, not a moving one.
//!
//! The moving average of training forgets: it is of the last few dozen batches, which networks of before the last
//! steps have seen. The authors' published networks have statistics "strictly computed using average (not moving
//! average) on a sufficiently large training batch after the training procedure". Such a batch does not fit into
//! memory, so it is cut: each part runs as in training, every batch norm dividing by the part's own statistics, and
//! what each batch norm sees of all parts is joined as if it were one batch (Wu & Johnson, 2021, "precise batch
//! norm"). Nothing stored from before has an influence.

use super::Learner;
use super::forward::Norm;
use super::measure::Measured;
use super::step::TooSmall;
use crate::model::{Network, Params};

/// Whether the batch norms of `network` have no statistics to be taken again: publishers who fold them into scales
/// and shifts leave a mean of 0 and a variance of 1 everywhere, and so has a network that was never trained.
pub fn is_folded(network: &Network, params: &Params) -> bool {
    let all = |id, value| params.get(id).iter().all(|&x| x == value);
    network.convs().all(|conv| all(conv.running_mean, 0.0) && all(conv.running_var, 1.0))
}

impl Learner {
    /// Runs `images` of `side` x `side`, `input` is `[images, side, side, 3]`, through the network as in training,
    /// and adds each batch norm's statistics of them to `measured`. The running statistics of `params` do not matter.
    /// False if it was `stopped` before; then `measured` is as before.
    ///
    /// # Errors
    /// If the images are too small for the network.
    ///
    /// # Panics
    /// If the size of the input does not fit, or there are no images.
    pub fn average(
        &mut self,
        params: &Params,
        input: &[f32],
        images: usize,
        side: usize,
        measured: &mut Measured,
        stopped: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool, TooSmall> {
        let Some(tape) = self.forward(params, input, images, side, &mut Norm::Batch, stopped)?
        else {
            return Ok(false);
        };
        tape.statistics().iter().for_each(|(conv, batch)| measured.add(conv.gamma, batch));
        Ok(true)
    }
}

impl Measured {
    /// Replaces the running statistics of `params` by those measured, and leaves everything else as it is. The variance
    /// is the unbiased one, as that of training.
    ///
    /// # Panics
    /// If a layer was not measured, or of one pixel only.
    pub fn replace(&self, network: &Network, params: &mut Params) {
        for conv in network.convs() {
            let moments = self.layers.get(&conv.gamma).expect("every batch norm was measured");
            assert!(moments.count > 1.0, "one value has no variance");
            let write = |to: &mut [f32], values: &[f64], by: f64| {
                to.iter_mut().zip(values).for_each(|(to, value)| *to = (value / by) as f32);
            };
            write(params.get_mut(conv.running_mean), &moments.mean, 1.0);
            write(params.get_mut(conv.running_var), &moments.squares, moments.count - 1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::Backend;
    use crate::infer::Session;
    use crate::learn::Batch;
    use crate::model::{InitOptions, ModelSpec, Options, Role, initialize};
    use crate::runtime::Rng;
    use crate::simd::Isa;

    const SIDE: usize = 33;
    const IMAGES: usize = 12;

    fn network(name: &str) -> Network {
        Network::new(&ModelSpec::new(name, Options::default()).unwrap())
    }

    fn input(images: usize) -> Vec<f32> {
        let mut rng = Rng::named(3, "input");
        (0..images * SIDE * SIDE * 3).map(|_| rng.normal()).collect()
    }

    fn averaged(network: &Network, params: &Params, parts: &[usize]) -> Params {
        let mut learner = Learner::new(network, Backend::Native(Isa::best()));
        let (mut measured, mut after) = (Measured::default(), params.clone());
        let (whole, mut done) = (input(parts.iter().sum()), 0);
        for &images in parts {
            let part = &whole[done * SIDE * SIDE * 3..][..images * SIDE * SIDE * 3];
            assert!(learner.average(params, part, images, SIDE, &mut measured, &|| false).unwrap());
            done += images;
        }
        measured.replace(network, &mut after);
        after
    }

    /// One batch is all there is: evaluation with its statistics is training on it, but that training divides by the
    /// biased variance. Only the statistics have changed, and what they were before does not matter.
    #[test]
    fn evaluation_with_the_average_of_a_batch_is_training_on_it() {
        for name in ["resnet20", "resnet18", "plain20"] {
            let network = network(name);
            let params = initialize(&network, 5, InitOptions::default());
            let after = averaged(&network, &params, &[IMAGES]);
            assert_eq!(after.learnable(), params.learnable());
            let mut other = params.clone();
            for (id, info) in network.table().iter() {
                if matches!(info.role, Role::RunningMean | Role::RunningVar) {
                    other.get_mut(id).fill(3.0);
                }
            }
            assert!(is_folded(&network, &params) && !is_folded(&network, &other));
            assert_eq!(averaged(&network, &other, &[IMAGES]).statistics(), after.statistics());

            let backend = Backend::Native(Isa::best());
            let mut learner = Learner::new(&network, backend);
            let (input, labels) = (input(IMAGES), vec![0; IMAGES]);
            let (height, width) = (SIDE, SIDE);
            let batch =
                Batch { input: &input, labels: &labels, height, width, label_smoothing: 0.0 };
            let mut gradients = vec![0.0; params.learnable().len()];
            learner.batch(&mut params.clone(), &batch, IMAGES, &mut gradients).unwrap();
            let mut session = Session::new(&network, &after, backend);
            let logits = session.run(&input, IMAGES, SIDE, SIDE).unwrap();
            let largest = logits.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            for (ours, theirs) in logits.iter().zip(learner.logits()) {
                // ResNet-18 at this size has 48 values a channel in its last layers.
                assert!((ours - theirs).abs() < 0.1 * largest, "{name}: {ours} {theirs}");
            }
        }
    }

    /// The stem's input does not depend on batch norm: its statistics are, to rounding, those of all images in any
    /// parts. Deeper layers see what parts have made of theirs.
    #[test]
    fn parts_are_joined_as_one_batch() {
        let network = network("resnet20");
        let params = initialize(&network, 5, InitOptions::default());
        let whole = averaged(&network, &params, &[IMAGES]);
        let parts = averaged(&network, &params, &[5, 5, 2]);
        let near = |id, tolerance: f32| {
            let pairs = whole.get(id).iter().zip(parts.get(id));
            pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) < tolerance
        };
        assert!(near(network.stem.running_mean, 1e-5) && near(network.stem.running_var, 1e-4));
        let last = network.blocks.last().and_then(|block| block.convs.last()).unwrap();
        assert!(!near(last.running_mean, 1e-5) && near(last.running_mean, 0.5));
    }

    #[test]
    fn any_threads_average_to_the_same_bits_and_a_stop_is_heard() {
        let network = network("resnet20");
        let params = initialize(&network, 5, InitOptions::default());
        let first = averaged(&network, &params, &[4, 3]);
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let found = pool.install(|| averaged(&network, &params, &[4, 3]));
            assert_eq!(found.statistics(), first.statistics(), "{threads} threads");
        }
        let mut learner = Learner::new(&network, Backend::Native(Isa::best()));
        let mut measured = Measured::default();
        let done = learner.average(&params, &input(2), 2, SIDE, &mut measured, &|| true);
        assert_eq!(done, Ok(false));
        assert!(measured.layers.is_empty());
    }
}
