//! A step of the classifier alone, from features that a backbone has computed before.

use crate::gemm::Backend;
use crate::model::{Network, Params};
use crate::ops::{Linear, Loss, linear_backward, softmax_loss};
use crate::runtime::Team;

/// Loss of a batch of `features`, `[labels.len(), features]`, and the gradients of the classifier, written to
/// their places in `gradients`, which is laid out as [`Params::learnable`]. The other places stay as they are.
/// The gradient of the weight is taken as if the features were `inputs`: the same, or moved and scaled.
///
/// # Panics
/// If a size does not fit or a label is not a class.
pub(crate) fn classifier_step(
    team: &mut Team,
    backend: Backend,
    network: &Network,
    params: &Params,
    [features, inputs]: [&[f32]; 2],
    labels: &[usize],
    label_smoothing: f64,
    gradients: &mut [f32],
) -> Loss {
    let fc = &network.fc;
    let images = labels.len();
    assert_eq!(features.len(), images * fc.in_features, "features of {images} images");
    let (weight, bias) = (params.get(fc.weight), params.get(fc.bias));
    let mut logits = vec![0.0; images * fc.out_features];
    Linear::new(team, backend, weight, bias).forward(team, features, &mut logits);
    let mut dlogits = vec![0.0; logits.len()];
    let loss = softmax_loss(team, &logits, labels, label_smoothing, images, &mut dlogits);
    let mut dfeatures = vec![0.0; inputs.len()];
    let (mut dweight, mut dbias) = (vec![0.0; weight.len()], vec![0.0; bias.len()]);
    linear_backward(
        team,
        backend,
        inputs,
        weight,
        &dlogits,
        &mut dfeatures,
        &mut dweight,
        &mut dbias,
    );
    gradients[network.tensor(fc.weight).range()].copy_from_slice(&dweight);
    gradients[network.tensor(fc.bias).range()].copy_from_slice(&dbias);
    loss
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::Session;
    use crate::learn::{Batch, Learner, Measured};
    use crate::model::{InitOptions, ModelSpec, Options, initialize};
    use crate::runtime::{Rng, team};
    use crate::simd::Isa;

    /// Where the running statistics are the batch's, a whole step has the same features, and so the same loss
    /// and the same gradients of the classifier, but for rounding.
    #[test]
    fn gradients_are_those_of_a_whole_step() {
        let network = Network::new(&ModelSpec::new("resnet20", Options::default()).unwrap());
        let mut params = initialize(&network, 3, InitOptions::default());
        let mut rng = Rng::named(1, "input");
        let input: Vec<f32> = (0..6 * 16 * 16 * 3).map(|_| rng.normal()).collect();
        let labels = [1, 2, 3, 4, 9, 0];
        let backend = Backend::Native(Isa::best());
        let batch =
            Batch { input: &input, labels: &labels, height: 16, width: 16, label_smoothing: 0.1 };
        let mut learner = Learner::new(&network, backend);
        let mut measured = Measured::default();
        learner.measure(&params, &input, 6, 16, &mut measured, &|| false).unwrap();
        measured.rewrite(&network, &mut params);
        let mut whole = vec![0.0; params.learnable().len()];
        let expected = learner.batch(&mut params.clone(), &batch, 6, &mut whole).unwrap();

        let mut session = Session::new(&network, &params, backend);
        session.run(&input, 6, 16, 16).unwrap();
        let features = session.features();
        let mut own = vec![7.0; whole.len()];
        let inputs = [&features[..]; 2];
        let found = team(|team| {
            classifier_step(team, backend, &network, &params, inputs, &labels, 0.1, &mut own)
        });
        assert!((found.sum - expected.sum).abs() < 1e-4, "{} {}", found.sum, expected.sum);
        for (i, (a, b)) in own.iter().zip(&whole).enumerate() {
            let of_classifier = [network.fc.weight, network.fc.bias]
                .iter()
                .any(|&id| network.tensor(id).range().contains(&i));
            assert!(if of_classifier { (a - b).abs() < 1e-4 } else { *a == 7.0 }, "{i}: {a} {b}");
        }
    }
}
