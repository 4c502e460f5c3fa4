//! The engine at work without any file: ten drawn pictures, recognised again after distortion.
//!
//! The filters of a ResNet-20 are drawn at random (He initialisation). What they see in distorted
//! copies of ten pictures of the demo set is enough to tell the ten apart: regularised least squares
//! finds the weights of the classifier in closed form. It knows these ten pictures, not their kinds;
//! a stand-in until training exists.

use super::{Classifier, InferError, Session};
use crate::data::{Preprocessing, RgbImage, demo};
use crate::gemm::Backend;
use crate::model::{InitOptions, ModelSpec, Network, Options, Params, SpecError, initialize};
use crate::runtime::Rng;

/// Seed of pictures, distortions and filters.
const SEED: u64 = 1;
/// Copies that the classifier is fitted to, from index 0 on.
pub const FITTED: u64 = 500;
/// Copies that it has not seen, after those.
pub const UNSEEN: u64 = 500;

const ARCH: &str = "resnet20";
/// Places to which a copy may be shifted along each axis.
const SHIFT: usize = 5;
/// Standard deviation of the noise, of 255.
const NOISE: f32 = 10.0;
/// Copies a batch.
const BATCH: u64 = 100;
/// What the regularisation adds to each feature's sum of squares, relative to their mean.
const RIDGE: f64 = 1e-4;
/// The logit that the classifier is asked for at the right class (0 at the others): far enough from 0
/// that the softmax of a clear case is near 1.
const TARGET: f64 = 10.0;

/// A classifier of the ten pictures, and how good it is.
pub struct Demo {
    /// The network with its fitted classifier.
    pub classifier: Classifier,
    /// How many of the [`UNSEEN`] copies it gets right.
    pub right: usize,
}

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The network cannot be built.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The network cannot run.
    #[error(transparent)]
    Infer(#[from] InferError),
}

impl Demo {
    /// Draws pictures and filters, fits, and counts; a second or two.
    ///
    /// # Errors
    /// None in practice.
    pub fn new(backend: Backend) -> Result<Self, DemoError> {
        let classes = demo::CLASSES.len();
        let options = Options { classes: Some(classes), ..Options::default() };
        let network = Network::new(&ModelSpec::new(ARCH, options)?);
        let mut params = initialize(&network, SEED, InitOptions::default());
        let (weight, bias) = fit(&network, &params, backend)?;
        params.get_mut(network.fc.weight).copy_from_slice(&weight);
        params.get_mut(network.fc.bias).copy_from_slice(&bias);

        let session = Session::new(&network, &params, backend);
        let labels = demo::CLASSES.map(str::to_owned).to_vec();
        let mut classifier = Classifier::new(session, Preprocessing::cifar(), Some(labels))?;
        let mut right = 0;
        for first in (FITTED..FITTED + UNSEEN).step_by(BATCH as usize) {
            let (images, labels) = copies(first);
            for (found, label) in classifier.classify(&images, 1).into_iter().zip(labels) {
                right += usize::from(found?[0].index == label);
            }
        }
        Ok(Self { classifier, right })
    }
}

/// Copy `index` of one of the ten pictures, and its class: shifted, brighter or darker,
/// of more or less contrast, with noise. Classes go round.
pub fn copy(index: u64) -> (RgbImage, usize) {
    let (image, label) = demo::picture(SEED, index % demo::CLASSES.len() as u64);
    let mut rng = Rng::named(SEED, &format!("copy {index}"));
    let (left, top) = (rng.below(SHIFT), rng.below(SHIFT));
    let (brightness, contrast) = (rng.uniform_in(-20.0, 20.0), rng.uniform_in(0.8, 1.25));
    let side = demo::SIDE + 1 - SHIFT;
    let mut pixels = Vec::with_capacity(side * side * 3);
    for y in top..top + side {
        pixels.extend(image.row(y)[left * 3..(left + side) * 3].iter().map(|&value| {
            let value = (f32::from(value) - 128.0) * contrast + 128.0 + brightness;
            (value + NOISE * rng.normal()) as u8
        }));
    }
    (RgbImage::new(side, side, pixels), label)
}

fn copies(first: u64) -> (Vec<RgbImage>, Vec<usize>) {
    (first..first + BATCH).map(copy).unzip()
}

/// Weight `[classes, features]` and bias `[classes]` that come closest, in squares, to the targets on
/// the features of the first [`FITTED`] copies.
fn fit(
    network: &Network,
    params: &Params,
    backend: Backend,
) -> Result<(Vec<f32>, Vec<f32>), DemoError> {
    let (classes, features) = (network.fc.out_features, network.features());
    let mut session = feature_session(network, params, backend)?;
    let preprocessing = Preprocessing::cifar();
    // Sums over copies of x xᵀ and x yᵀ, side by side, where x is the features and a 1.
    let (rows, columns) = (features + 1, features + 1 + classes);
    let mut sums = vec![vec![0.0_f64; columns]; rows];
    for first in (0..FITTED).step_by(BATCH as usize) {
        let (images, labels) = copies(first);
        let mut input = vec![0.0; images.len() * preprocessing.input_len()];
        for (image, input) in images.iter().zip(input.chunks_exact_mut(preprocessing.input_len())) {
            preprocessing.apply(image, input);
        }
        let seen = session.run(&input, images.len(), preprocessing.crop, preprocessing.crop)?;
        for (x, &label) in seen.chunks_exact(features).zip(&labels) {
            let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).chain([1.0]).collect();
            for (row, &a) in sums.iter_mut().zip(&x) {
                row.iter_mut().zip(&x).for_each(|(sum, b)| *sum += a * b);
                row[rows + label] += a * TARGET;
            }
        }
    }
    let mean = (0..features).map(|i| sums[i][i]).sum::<f64>() / features as f64;
    (0..features).for_each(|i| sums[i][i] += RIDGE * mean);
    eliminate(&mut sums);
    let solution = |class: usize, i: usize| sums[i][rows + class] as f32;
    let weight = (0..classes * features).map(|at| solution(at / features, at % features)).collect();
    Ok((weight, (0..classes).map(|class| solution(class, features)).collect()))
}

/// The same network with the identity as its classifier: its logits are the features.
fn feature_session(
    network: &Network,
    params: &Params,
    backend: Backend,
) -> Result<Session, DemoError> {
    let features = network.features();
    let options = Options { classes: Some(features), ..Options::default() };
    let bare = Network::new(&ModelSpec::new(ARCH, options)?);
    let mut copy = Params::zeros(&bare);
    for (from, to) in network.convs().zip(bare.convs()) {
        for (from, to) in [
            (from.weight, to.weight),
            (from.gamma, to.gamma),
            (from.beta, to.beta),
            (from.running_mean, to.running_mean),
            (from.running_var, to.running_var),
        ] {
            copy.get_mut(to).copy_from_slice(params.get(from));
        }
    }
    copy.get_mut(bare.fc.weight).iter_mut().step_by(features + 1).for_each(|x| *x = 1.0);
    Ok(Session::new(&bare, &copy, backend))
}

/// Gauss-Jordan elimination of the square part of `[A | B]`, symmetric and positive definite (so that
/// no pivoting is needed): afterwards B holds A⁻¹ B.
fn eliminate(rows: &mut [Vec<f64>]) {
    for i in 0..rows.len() {
        let pivot = rows[i][i];
        rows[i].iter_mut().for_each(|x| *x /= pivot);
        let row = rows[i].clone();
        for (_, other) in rows.iter_mut().enumerate().filter(|(j, _)| *j != i) {
            let factor = other[i];
            other.iter_mut().zip(&row).for_each(|(x, y)| *x -= factor * y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Isa;

    #[test]
    fn elimination_solves() {
        let mut rows = vec![vec![4.0, 1.0, 6.0], vec![1.0, 3.0, 7.0]];
        eliminate(&mut rows);
        assert!((rows[0][2] - 1.0).abs() < 1e-12 && (rows[1][2] - 2.0).abs() < 1e-12);
    }

    #[test]
    fn knows_its_pictures_again() {
        let demo = Demo::new(Backend::Native(Isa::best())).unwrap();
        println!("{} of {UNSEEN}", demo.right);
        assert!(demo.right > UNSEEN as usize * 9 / 10, "{} of {UNSEEN}", demo.right);
    }
}
