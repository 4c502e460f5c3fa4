//! The numbers of a network in 8 bits: what quantisation makes of trained parameters, and what int8 inference
//! runs on.
//!
//! A real value `x` is stored as an integer `q` with `x = scale · (q - zero_point)`. Activations are u8 with one
//! scale a tensor; weights are i8 within ±127 with one scale an output channel and zero point 0. Batch norm is
//! folded into weights and biases. An activation after a ReLU has zero point 0, so padding with zeros is
//! padding with the integer 0; only the image has paddings of its own.

/// How the integers of an activation stand for real values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// The real value of a step, above 0 and finite.
    pub scale: f32,
    /// The integer that stands for 0.
    pub zero_point: u8,
}

/// How a preprocessed image becomes integers: channel `c` of an input `x` is
/// `clamp(round(x · factor[c] + offset[c]), 0, 255)`, rounded half to even.
///
/// Of images that were normalised channel by channel, factor and offset undo it: the integers are the very
/// pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct InputScale {
    /// By channel; above 0 and finite.
    pub factor: Vec<f32>,
    /// By channel, 0 to 255: what stands for 0.
    pub offset: Vec<f32>,
    /// By channel: the integer that pads, the one nearest to `offset`.
    pub padding: Vec<u8>,
}

/// Filters, `[out, in / groups, kernel, kernel]`, or the classifier's weights, `[out, in]`.
#[derive(Clone, Debug, PartialEq)]
pub enum Weights {
    /// Integers within ±127, and the scale of each output channel.
    I8 {
        /// The integers.
        values: Vec<i8>,
        /// By output channel; above 0 and finite.
        scales: Vec<f32>,
    },
    /// A layer that is kept in f32 (batch norm folded); what it reads and writes are integers still.
    F32(Vec<f32>),
}

/// A convolution with batch norm folded in.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedConv {
    /// The integers of the first convolution stand for its filters divided by [`InputScale::factor`], so that they
    /// apply to the image's integers; its filters in f32 apply to the preprocessed image.
    pub weights: Weights,
    /// Real, by output channel: of the folded convolution of the preprocessed image or activation.
    pub bias: Vec<f32>,
    /// Of what comes out: after the ReLU, and after the addition where a block ends.
    pub output: Scale,
}

/// The classifier.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedLinear {
    /// `[classes, features]`.
    pub weights: Weights,
    /// By class.
    pub bias: Vec<f32>,
    /// Of the pooled features that it reads.
    pub input: Scale,
}

/// A network in 8 bits.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// Of the image.
    pub input: InputScale,
    /// In the order of [`Network::convs`](super::Network::convs).
    pub convs: Vec<QuantizedConv>,
    /// The classifier.
    pub fc: QuantizedLinear,
}
