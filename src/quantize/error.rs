//! Why a network cannot be quantised.

use super::FEWEST;
use crate::data;
use crate::infer::InferError;
use crate::model::SourceError;

/// Why a network cannot be quantised.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizeError {
    /// An image cannot be read, or it was stopped ([`data::Error::Interrupted`]).
    #[error(transparent)]
    Data(#[from] data::Error),
    /// The network cannot run.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// The weights can no longer be read.
    #[error(transparent)]
    Weights(#[from] SourceError),
    /// There are too few images to tell which values activations have.
    #[error(
        "expected at least {FEWEST} images to calibrate on, found {found}; the ranges of activations would be those of \
         these few images"
    )]
    TooFew {
        /// Images that there are, or that were asked for.
        found: usize,
    },
    /// None of the images that were chosen, or too few of them, can be read.
    #[error(
        "only {read} of {chosen} images can be read, and at least {FEWEST} are needed; the first: {first}"
    )]
    TooFewRead {
        /// Images that could be read.
        read: usize,
        /// Images that were chosen.
        chosen: usize,
        /// What is wrong with the first.
        first: data::Error,
    },
    /// An activation is NaN or infinite.
    #[error(
        "what layer {layer} makes of the images is not finite: with these weights and this preparation, its numbers \
         overflow"
    )]
    NotFinite {
        /// The layer.
        layer: String,
    },
    /// Weights or biases are too large to be stored.
    #[error("layer {layer} has weights or biases beyond ±1e12 once its batch norm is folded in")]
    TooLarge {
        /// The layer.
        layer: String,
    },
    /// An activation is too large for a scale that can be stored.
    #[error(
        "what layer {layer} makes of the images goes up to {max:e}, too much for 8 bits (scales end at 1e12): are these \
         trained weights, and is this their preparation?"
    )]
    Unbounded {
        /// The layer.
        layer: String,
        /// The largest amount.
        max: f32,
    },
    /// A layer that is to be kept in f32 is not there.
    #[error("there is no layer {name} to keep in f32{}", meant.as_ref().map_or(String::new(), |name| format!("; is {name} meant?")))]
    NoLayer {
        /// The name that was given.
        name: String,
        /// The most similar that there is.
        meant: Option<String>,
    },
    /// The network's inputs have other channels than images are prepared to have.
    #[error(
        "the network's inputs have {expected} channels, and this preparation of images gives {found}"
    )]
    Channels {
        /// Channels of the network.
        expected: usize,
        /// Channels of the preparation.
        found: usize,
    },
}
