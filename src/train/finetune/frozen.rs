//! The steps of a run whose backbone is frozen: those of the classifier, on features that are computed before.

use super::super::data::TrainData;
use super::super::error::RunError;
use super::Backbone;
use crate::gemm::Backend;
use crate::learn::classifier_step;
use crate::model::{Network, Params, Role, TensorInfo};
use crate::ops::{Linear, Loss};
use crate::runtime::{Crew, Watch};

/// The features of a run's images, and how the classifier sees them while it is trained.
///
/// The curvature of the loss grows with the features' scale and with their mean, which has nothing to do with
/// what they tell. So a step is that of a classifier of z = (x - μ) / s, with the mean μ and the root s of the
/// mean square distance from it, of all training images: the same learning rate serves any network. The
/// parameters are those for x all the time. (With W′ = s·W and b′ = b + W·μ the logits are W′·z + b′, and a
/// change of W′ by D and of b′ by d is one of W by D/s and of b by d - (D/s)·μ.)
pub(in crate::train) struct Frozen {
    train: Vec<f32>,
    val: Vec<f32>,
    /// Features of an image.
    width: usize,
    /// μ
    mean: Vec<f64>,
    /// 1/s
    scale: f64,
    /// The x and the z of a step's images.
    batch: [Vec<f32>; 2],
    crew: Crew,
}

impl Frozen {
    /// Computes the features of all images of `data`, or takes them from where they are kept.
    ///
    /// # Errors
    /// An image cannot be read, the features are not finite, or `watch` stopped it.
    pub(in crate::train) fn compute(
        backbone: &Backbone,
        data: &TrainData,
        notes: &mut Vec<String>,
        watch: &dyn Watch,
    ) -> Result<Self, RunError> {
        let train = "training images through the backbone";
        let train = backbone.features(&*data.train, train, notes, watch)?;
        let val = "validation images through the backbone";
        let val = data.val.as_deref().map(|data| backbone.features(data, val, notes, watch));
        let val = val.transpose()?.unwrap_or_default();
        Ok(Self::new(train, val, backbone.network.fc.in_features))
    }

    /// With the features `train` and `val`, `width` an image.
    pub(in crate::train) fn new(train: Vec<f32>, val: Vec<f32>, width: usize) -> Self {
        let images = (train.len() / width).max(1) as f64;
        let mut mean = vec![0.0; width];
        for x in train.chunks_exact(width) {
            mean.iter_mut().zip(x).for_each(|(mean, &x)| *mean += f64::from(x));
        }
        mean.iter_mut().for_each(|mean| *mean /= images);
        let mut square = 0.0;
        for x in train.chunks_exact(width) {
            square +=
                mean.iter().zip(x).map(|(mean, &x)| (f64::from(x) - mean).powi(2)).sum::<f64>();
        }
        // Where all images have the same features there is nothing to learn, at any scale.
        let scale = if square > 0.0 { (images / square).sqrt() } else { 1.0 };
        Self { train, val, width, mean, scale, batch: Default::default(), crew: Crew::default() }
    }

    /// What the learning rate of each tensor is multiplied by. The backbone stands still.
    pub(in crate::train) fn rate(&self, info: &TensorInfo) -> f32 {
        match info.role {
            Role::LinearWeight => self.scale as f32,
            Role::LinearBias => 1.0,
            _ => 0.0,
        }
    }

    /// Loss of the training images `indices`, of the classes `labels`, and the gradients of the classifier of z,
    /// in their places of `gradients`.
    pub(in crate::train) fn step(
        &mut self,
        backend: Backend,
        network: &Network,
        params: &Params,
        indices: &[usize],
        labels: &[usize],
        label_smoothing: f64,
        gradients: &mut [f32],
    ) -> Loss {
        let Self { train, width, mean, scale, batch, crew, .. } = self;
        batch.iter_mut().for_each(Vec::clear);
        for &index in indices {
            let x = &train[index * *width..][..*width];
            batch[0].extend_from_slice(x);
            let z = x.iter().zip(&*mean).map(|(&x, mean)| ((f64::from(x) - mean) * *scale) as f32);
            batch[1].extend(z);
        }
        let batch = [&batch[0][..], &batch[1]];
        crew.run(|team| {
            let smoothing = label_smoothing;
            classifier_step(team, backend, network, params, batch, labels, smoothing, gradients)
        })
    }

    /// What a change of the weight, which was `before`, means for the bias.
    pub(in crate::train) fn follow(&self, network: &Network, before: &[f32], params: &mut Params) {
        let fc = &network.fc;
        let rows =
            before.chunks_exact(self.width).zip(params.get(fc.weight).chunks_exact(self.width));
        let moved = |(old, new): (&[f32], &[f32])| -> f64 {
            let changes = old.iter().zip(new).map(|(&old, &new)| f64::from(new) - f64::from(old));
            changes.zip(&self.mean).map(|(change, mean)| change * mean).sum()
        };
        let moved: Vec<f64> = rows.map(moved).collect();
        for (bias, moved) in params.get_mut(fc.bias).iter_mut().zip(moved) {
            *bias = (f64::from(*bias) - moved) as f32;
        }
    }

    /// The logits of the validation images `indices`, which follow each other.
    pub(in crate::train) fn val_logits(
        &mut self,
        backend: Backend,
        network: &Network,
        params: &Params,
        indices: std::ops::Range<usize>,
    ) -> Vec<f32> {
        let fc = &network.fc;
        let features = &self.val[indices.start * self.width..indices.end * self.width];
        let mut logits = vec![0.0; indices.len() * fc.out_features];
        let (weight, bias) = (params.get(fc.weight), params.get(fc.bias));
        self.crew.run(|team| {
            Linear::new(team, backend, weight, bias).forward(team, features, &mut logits);
        });
        logits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{Sgd, SgdOptions};
    use crate::model::{InitOptions, ModelSpec, Options, initialize};
    use crate::runtime::{Rng, team};
    use crate::simd::Isa;

    /// The same steps as those of a classifier that is given z, in f64.
    #[test]
    fn steps_are_those_of_moved_and_scaled_features() {
        const WIDTH: usize = 64;
        const IMAGES: usize = 12;
        let options = Options { classes: Some(3), ..Options::default() };
        let network = Network::new(&ModelSpec::new("resnet20", options).unwrap());
        let mut params = initialize(&network, 3, InitOptions::default());
        let backbone = params.get(network.stem.weight).to_vec();
        let mut rng = Rng::named(1, "features");
        // A mean far larger than the differences.
        let train: Vec<f32> = (0..IMAGES * WIDTH).map(|_| 40.0 + rng.normal()).collect();
        let labels: Vec<usize> = (0..IMAGES).map(|i| i % 3).collect();
        let mut frozen = Frozen::new(train.clone(), Vec::new(), WIDTH);
        let s = 1.0 / frozen.scale;
        assert!((s - (WIDTH as f64).sqrt()).abs() < 1.0, "{s}");
        let z = |i: usize, j: usize| (f64::from(train[i * WIDTH + j]) - frozen.mean[j]) / s;
        let z: Vec<Vec<f64>> = (0..IMAGES).map(|i| (0..WIDTH).map(|j| z(i, j)).collect()).collect();
        let own = |params: &Params, o: usize| -> (Vec<f64>, f64) {
            let w = &params.get(network.fc.weight)[o * WIDTH..][..WIDTH];
            let w: Vec<f64> = w.iter().map(|&w| f64::from(w)).collect();
            let moved: f64 = w.iter().zip(&frozen.mean).map(|(w, mean)| w * mean).sum();
            let bias = f64::from(params.get(network.fc.bias)[o]) + moved;
            (w.into_iter().map(|w| w * s).collect(), bias)
        };
        let mut expected: Vec<(Vec<f64>, f64)> = (0..3).map(|o| own(&params, o)).collect();
        let mut velocity = vec![(vec![0.0; WIDTH], 0.0); 3];

        let options =
            SgdOptions { momentum: 0.9, nesterov: false, weight_decay: 0.0, decay_bn: false };
        let rate = |info: &TensorInfo| frozen.rate(info);
        let sgd = Sgd::with_rates(network.table(), options, rate);
        let backend = Backend::Native(Isa::best());
        let indices: Vec<usize> = (0..IMAGES).collect();
        let len = params.learnable().len();
        let (mut gradients, mut momentum) = (vec![0.0; len], vec![0.0; len]);
        for _ in 0..50 {
            let loss =
                frozen.step(backend, &network, &params, &indices, &labels, 0.0, &mut gradients);
            let before = params.get(network.fc.weight).to_vec();
            team(|team| {
                sgd.step(team, Isa::best(), params.learnable_mut(), &mut momentum, &gradients, 0.5);
            });
            frozen.follow(&network, &before, &mut params);

            let mut sum = 0.0;
            let mut gradient = vec![(vec![0.0; WIDTH], 0.0); 3];
            for (z, &label) in z.iter().zip(&labels) {
                let dot =
                    |(w, b): &(Vec<f64>, f64)| w.iter().zip(z).map(|(w, z)| w * z).sum::<f64>() + b;
                let logits: Vec<f64> = expected.iter().map(dot).collect();
                let total: f64 = logits.iter().map(|x| x.exp()).sum();
                sum -= (logits[label].exp() / total).ln();
                for (o, (weight, bias)) in gradient.iter_mut().enumerate() {
                    let d = logits[o].exp() / total - f64::from(u8::from(o == label));
                    weight.iter_mut().zip(z).for_each(|(w, z)| *w += d * z / IMAGES as f64);
                    *bias += d / IMAGES as f64;
                }
            }
            assert!((loss.sum - sum).abs() < 1e-3 * sum, "{} {sum}", loss.sum);
            for ((w, v), g) in expected.iter_mut().zip(&mut velocity).zip(&gradient) {
                for ((w, v), g) in w.0.iter_mut().zip(&mut v.0).zip(&g.0) {
                    *v = 0.9 * *v + g;
                    *w -= 0.5 * *v;
                }
                v.1 = 0.9 * v.1 + g.1;
                w.1 -= 0.5 * v.1;
            }
        }
        // It learns although the mean hides what the features tell.
        let loss = frozen.step(backend, &network, &params, &indices, &labels, 0.0, &mut gradients);
        assert!(loss.sum / (IMAGES as f64) < 0.3, "{}", loss.sum);
        assert_eq!(params.get(network.stem.weight), backbone);
    }
}
