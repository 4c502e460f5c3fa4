//! A network for the demo set without training: random filters and a classifier fitted to what they
//! see.
//!
//! The filters of a ResNet-20 are drawn at random (He et al. 2015b); the 64 features behind them tell
//! the ten shapes apart better than chance, and regularised least squares finds the best weights for
//! them in closed form. A stand-in until training exists.

use super::{Classifier, InferError, Session};
use crate::conv::{self, ConvShape, Filter};
use crate::data::{Preprocessing, RgbImage, demo};
use crate::gemm::{Backend, Epilogue};
use crate::model::{
    BN_EPSILON, BlockShortcut, ConvBn, InitOptions, ModelSpec, Network, Options, Params, SpecError,
    initialize,
};
use crate::ops::{ShortcutPad, shortcut_pad};

/// Seed of the pictures and of the filters.
pub const SEED: u64 = 1;
/// Pictures that the classifier is fitted to, from index 0 on.
pub const FITTED: u64 = 2000;
/// Pictures that it has not seen, after those.
pub const UNSEEN: u64 = 500;

const ARCH: &str = "resnet20";
/// Pictures a batch.
const BATCH: u64 = 100;
/// What the regularisation adds to each feature's sum of squares, relative to their mean.
const RIDGE: f64 = 1e-7;
/// The logit that the classifier is asked for at the right class (0 at the others): far enough from 0
/// that the softmax of a clear case is near 1.
const TARGET: f64 = 10.0;

/// A classifier of the demo set, and how good it is.
pub struct Demo {
    /// The network with its fitted classifier.
    pub classifier: Classifier,
    /// How many of the [`UNSEEN`] pictures it gets right.
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
        calibrate(&network, &mut params, backend);
        let (weight, bias) = fit(&network, &params, backend)?;
        params.get_mut(network.fc.weight).copy_from_slice(&weight);
        params.get_mut(network.fc.bias).copy_from_slice(&bias);

        let session = Session::new(&network, &params, backend);
        let labels = demo::CLASSES.map(str::to_owned).to_vec();
        let mut classifier = Classifier::new(session, Preprocessing::cifar(), Some(labels))?;
        let mut right = 0;
        for first in (FITTED..FITTED + UNSEEN).step_by(BATCH as usize) {
            let (images, labels) = pictures(first);
            for (found, label) in classifier.classify(&images, 1).into_iter().zip(labels) {
                right += usize::from(found?[0].index == label);
            }
        }
        Ok(Self { classifier, right })
    }
}

fn pictures(first: u64) -> (Vec<RgbImage>, Vec<usize>) {
    (first..first + BATCH).map(|index| demo::picture(SEED, index)).unzip()
}

/// Sets the batch norms' running statistics to those of a batch, layer by layer, so that every random
/// filter has outputs on both sides of its ReLU.
fn calibrate(network: &Network, params: &mut Params, backend: Backend) {
    let how = Preprocessing::cifar();
    let (images, _) = pictures(0);
    let mut input = vec![0.0; images.len() * how.input_len()];
    for (image, input) in images.iter().zip(input.chunks_exact_mut(how.input_len())) {
        how.apply(image, input);
    }
    let side = how.crop;
    let (mut x, mut side) = normalized(&network.stem, params, backend, &input, side);
    relu(&mut x);
    for block in &network.blocks {
        let (mut y, mut y_side) = (x.clone(), side);
        for (i, conv) in block.convs.iter().enumerate() {
            (y, y_side) = normalized(conv, params, backend, &y, y_side);
            if i + 1 < block.convs.len() {
                relu(&mut y);
            }
        }
        if let BlockShortcut::Pad { stride, channels_before: before, channels_after: after } =
            block.shortcut
        {
            let channels = block.convs[0].in_channels;
            let batch = BATCH as usize;
            let shape =
                ShortcutPad { batch, height: side, width: side, channels, stride, before, after };
            let mut padded = vec![0.0; y.len()];
            shortcut_pad(&shape, &x, &mut padded);
            x = padded;
        }
        y.iter_mut().zip(&x).for_each(|(y, x)| *y += x);
        relu(&mut y);
        (x, side) = (y, y_side);
    }
}

fn relu(values: &mut [f32]) {
    values.iter_mut().for_each(|x| *x = x.max(0.0));
}

/// The output of `conv` and the batch norm after it for a batch of `side` x `side` pixels, and its side;
/// the batch norm's statistics become those of this output.
fn normalized(
    conv: &ConvBn,
    params: &mut Params,
    backend: Backend,
    input: &[f32],
    side: usize,
) -> (Vec<f32>, usize) {
    let shape = ConvShape {
        batch: BATCH as usize,
        height: side,
        width: side,
        in_channels: conv.in_channels,
        out_channels: conv.out_channels,
        kernel: conv.kernel,
        stride: conv.stride,
        padding: conv.padding,
    };
    let filter = Filter::new(backend, params.get(conv.weight), None, &shape);
    let mut output = vec![0.0; shape.output_len()];
    conv::forward(&shape, input, &filter, &Epilogue::default(), &mut output);
    let channels = conv.out_channels;
    for channel in 0..channels {
        let values = || output[channel..].iter().step_by(channels).map(|&x| f64::from(x));
        let count = shape.rows() as f64;
        let mean = values().sum::<f64>() / count;
        let variance = values().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        params.get_mut(conv.running_mean)[channel] = mean as f32;
        params.get_mut(conv.running_var)[channel] = variance as f32;
        let scale = 1.0 / (variance + f64::from(BN_EPSILON)).sqrt();
        for x in output[channel..].iter_mut().step_by(channels) {
            *x = ((f64::from(*x) - mean) * scale) as f32;
        }
    }
    (output, shape.out_height())
}

/// Weight `[classes, features]` and bias `[classes]` that come closest, in squares, to the targets on
/// the features of the first [`FITTED`] pictures.
fn fit(
    network: &Network,
    params: &Params,
    backend: Backend,
) -> Result<(Vec<f32>, Vec<f32>), DemoError> {
    let (classes, features) = (network.fc.out_features, network.features());
    let mut session = feature_session(network, params, backend)?;
    let preprocessing = Preprocessing::cifar();
    // Sums over pictures of x xᵀ and x yᵀ, side by side, where x is the features and a 1.
    let (rows, columns) = (features + 1, features + 1 + classes);
    let mut sums = vec![vec![0.0_f64; columns]; rows];
    for first in (0..FITTED).step_by(BATCH as usize) {
        let (images, labels) = pictures(first);
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
    fn is_far_better_than_chance() {
        let demo = Demo::new(Backend::Native(Isa::best())).unwrap();
        println!("{} of {UNSEEN}", demo.right);
        assert!(demo.right > UNSEEN as usize * 2 / 5, "{} of {UNSEEN}", demo.right);
    }
}
