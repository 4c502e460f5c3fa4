//! Why there is no prediction.

use super::MAX_INPUT_SIDE;
use crate::model::SourceError;

/// Why there is no prediction.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum InferError {
    /// The images are too small: some layer would have no pixels left.
    #[error("images of {width} x {height} pixels are too small for this network")]
    TooSmall {
        /// Height of the images, in pixels.
        height: usize,
        /// Width of the images, in pixels.
        width: usize,
    },
    /// The images are larger than inputs may be.
    #[error("images of {side} x {side} pixels are too large; at most {MAX_INPUT_SIDE} per side")]
    TooLarge {
        /// Side of the images, in pixels.
        side: usize,
    },
    /// There are not as many class names as classes.
    #[error("expected {classes} labels, one per class, found {found}")]
    Labels {
        /// Classes of the network.
        classes: usize,
        /// Names given.
        found: usize,
    },
    /// The per-pixel mean does not have the size of the input.
    #[error("the weights' per-pixel mean has {found} numbers; an input of {side} x {side} needs {expected}",
            expected = side * side * 3)]
    PixelMean {
        /// Side of the input, in pixels.
        side: usize,
        /// Numbers in the mean.
        found: usize,
    },
    /// The network's inputs have other channels than images are prepared to have.
    #[error(
        "the network's inputs have {expected} channels; images give 3, or 1 (grey), and this preparation \
         {channels}; the library runs inputs of any channels (infer::Session)"
    )]
    Channels {
        /// Channels that images give.
        channels: usize,
        /// Channels that the network's inputs have.
        expected: usize,
    },
    /// The network has a single output, so there are no classes to choose from.
    #[error(
        "the network has a single output, for yes or no; classifying needs at least two classes (the \
         softmax of one is always 100 %)"
    )]
    OneOutput,
    /// The network gave infinities or NaN.
    #[error("the network's output is not finite: with this preprocessing, its numbers overflow")]
    NotFinite,
    /// The scales of a network in 8 bits do not fit together.
    #[error("the scales around layer {layer} are so far apart that its numbers overflow")]
    Scales {
        /// The layer.
        layer: String,
    },
    /// A network in 8 bits needs kernels of the crate's own.
    #[error(
        "a network in 8 bits runs on the built-in kernels only, not on the matrixmultiply crate"
    )]
    QuantizedBackend,
    /// The weights can no longer be read, or have changed since they were opened.
    #[error(transparent)]
    Weights(#[from] SourceError),
}
