//! Which scales meet in each convolution: those of what it reads, adds and writes.

use crate::infer::InferError;
use crate::int8::Finish;
use crate::model::{
    Block, BlockShortcut, ConvBn, Network, Quantized, QuantizedConv, Scale, Weights,
};

/// A convolution in the order in which plans number them.
pub(super) struct Place<'q> {
    pub(super) conv: &'q ConvBn,
    pub(super) numbers: &'q QuantizedConv,
    /// Of what it reads; none for the image.
    pub(super) input: Option<Scale>,
    /// Of what is added.
    pub(super) residual: Option<Scale>,
}

/// The convolutions of `network` as plans number them, and the scale of the last activation.
pub(super) fn places<'q>(
    network: &'q Network,
    quantized: &'q Quantized,
) -> (Vec<Place<'q>>, Scale) {
    let mut numbers = quantized.convs.iter();
    let mut next = || numbers.next().expect("numbers of each convolution");
    let mut places = Vec::with_capacity(quantized.convs.len());
    let mut x = None;
    for conv in std::iter::once(&network.stem).chain(&network.deep_stem) {
        let numbers = next();
        places.push(Place { conv, numbers, input: x, residual: None });
        x = Some(numbers.output);
    }
    let mut x = x.expect("there is a stem");
    for block in &network.blocks {
        // Stored in torchvision's order, a projection last; planned first.
        let of_convs: Vec<_> = block.convs.iter().map(|conv| (conv, next())).collect();
        let residual = match &block.shortcut {
            BlockShortcut::None => None,
            BlockShortcut::Identity | BlockShortcut::Pad { .. } => Some(x),
            BlockShortcut::Project(conv) => {
                let numbers = next();
                places.push(Place { conv, numbers, input: Some(x), residual: None });
                Some(numbers.output)
            }
        };
        x = of_block(block, of_convs, x, residual, &mut places);
    }
    (places, x)
}

/// Appends the convolutions of `block` that are not its projection; the scale of what comes out.
fn of_block<'q>(
    block: &Block,
    convs: Vec<(&'q ConvBn, &'q QuantizedConv)>,
    mut x: Scale,
    residual: Option<Scale>,
    places: &mut Vec<Place<'q>>,
) -> Scale {
    for (i, (conv, numbers)) in convs.into_iter().enumerate() {
        let residual = residual.filter(|_| i + 1 == block.convs.len());
        places.push(Place { conv, numbers, input: Some(x), residual });
        x = numbers.output;
    }
    x
}

impl Place<'_> {
    /// What becomes of the sums, and the factor of the residual. Computed in f64, rounded once.
    ///
    /// # Errors
    /// Scales are so far apart that a number overflows.
    pub(super) fn finish(&self, quantized: &Quantized) -> Result<(Finish, f32), InferError> {
        let Self { conv, numbers, input, residual } = self;
        let output = f64::from(numbers.output.scale);
        let residual_factor = residual.map_or(0.0, |scale| f64::from(scale.scale) / output);
        let mut zero = f64::from(numbers.output.zero_point);
        zero -= residual.map_or(0.0, |scale| residual_factor * f64::from(scale.zero_point));
        let (factor, shift): (Vec<f64>, Vec<f64>) = match &numbers.weights {
            // The product is in f32, of real numbers.
            Weights::F32(_) => numbers
                .bias
                .iter()
                .map(|&bias| (1.0 / output, f64::from(bias) / output + zero))
                .unzip(),
            Weights::I8 { values, scales } => {
                let filters = values.chunks_exact(values.len() / conv.out_channels);
                let step = input.map_or(1.0, |scale| f64::from(scale.scale));
                let taps = conv.kernel * conv.kernel;
                let channel =
                    filters.zip(scales).zip(&numbers.bias).map(|((filter, &scale), &bias)| {
                        let scale = step * f64::from(scale);
                        // What the sum is for an image, or an activation, of zeros.
                        let of_zeros: f64 = match input {
                            Some(input) => {
                                let sum: i64 = filter.iter().map(|&w| i64::from(w)).sum();
                                sum as f64 * f64::from(input.zero_point)
                            }
                            None => filter
                                .chunks_exact(taps)
                                .zip(&quantized.input.offset)
                                .map(|(filter, &offset)| {
                                    let sum: i64 = filter.iter().map(|&w| i64::from(w)).sum();
                                    sum as f64 * f64::from(offset)
                                })
                                .sum(),
                        };
                        (scale / output, (f64::from(bias) - scale * of_zeros) / output + zero)
                    });
                channel.unzip()
            }
        };
        let numbers = (factor, shift);
        match &self.numbers.weights {
            Weights::I8 { values, .. } => {
                let sums = largest_sums(values, conv.out_channels);
                checked(&conv.name, sums, numbers, residual_factor)
            }
            // Cut before they are rounded.
            Weights::F32(_) => {
                let none = std::iter::repeat_n(0.0, conv.out_channels);
                checked(&conv.name, none, numbers, residual_factor)
            }
        }
    }
}

/// The numbers of layer `name`, whose sums are at most `most` (by channel), if what becomes of them is not too
/// large to be rounded.
pub(super) fn checked(
    name: &str,
    most: impl Iterator<Item = f64>,
    (factor, shift): (Vec<f64>, Vec<f64>),
    residual: f64,
) -> Result<(Finish, f32), InferError> {
    let largest = most.zip(&factor).zip(&shift).map(|((sum, factor), shift)| {
        (sum * factor).abs() + shift.abs() + (f64::from(u8::MAX) * residual).abs()
    });
    // NaN is no number below it either.
    if !largest.into_iter().all(|most| most <= f64::from(Finish::MOST)) {
        return Err(InferError::Scales { layer: name.to_owned() });
    }
    let [factor, shift] = [factor, shift].map(|v| v.into_iter().map(|x| x as f32).collect());
    Ok((Finish::new(factor, shift), residual as f32))
}

/// The largest sum, either way, of each of `out` filters over integers.
pub(super) fn largest_sums(values: &[i8], out: usize) -> impl Iterator<Item = f64> {
    values.chunks_exact((values.len() / out).max(1)).map(|filter| {
        let sum: i64 = filter.iter().map(|&w| i64::from(w).abs()).sum();
        (sum * i64::from(u8::MAX)) as f64
    })
}
