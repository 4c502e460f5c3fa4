//! What a plan consists of: steps, each of which reads one buffer and writes another.

use crate::conv::{Algorithm, ConvShape, Convolutions};
use crate::gemm::Backend;
use crate::ops::{HalfPool, PoolShape, ShortcutPad};

/// Who computes the layers, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Means {
    pub(super) backend: Backend,
    pub(super) convolutions: Convolutions,
    /// Of a value of an activation.
    pub(super) bytes: usize,
}

impl Means {
    /// How a convolution is computed. In 8 bits there is one way.
    pub(super) fn algorithm(self, shape: &ConvShape) -> Algorithm {
        match self.bytes {
            1 => Algorithm::Direct,
            _ => self.convolutions.algorithm(self.backend, shape),
        }
    }
}

/// The number of a buffer.
pub(super) type Slot = usize;

/// Where a step reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The section's input.
    Input,
    /// A buffer.
    Slot(Slot),
}

/// Where a step writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A buffer.
    Slot(Slot),
    /// The section's output.
    Output,
}

/// What a step does.
#[derive(Clone, Debug)]
pub(super) enum Op {
    /// Convolution `layer` in the order of [`convs`], folded batch norm, residual, ReLU. With several bundles
    /// of channels, which lie one after the other, each is a convolution of `shape`.
    Conv {
        layer: usize,
        shape: ConvShape,
        algorithm: Algorithm,
        residual: Option<Source>,
        relu: bool,
        bundles: usize,
    },
    /// Convolution `layer` by [`Algorithm::Strip`], folded batch norm, ReLU and max-pool.
    ConvMaxPool {
        layer: usize,
        shape: ConvShape,
        pool: PoolShape,
    },
    MaxPool(PoolShape),
    ShortcutPad(ShortcutPad),
    HalfPool(HalfPool),
    /// The channels of each pixel into bundles, one after the other.
    Split {
        channels: usize,
        bundles: usize,
    },
    /// The reverse.
    Join {
        channels: usize,
        bundles: usize,
    },
    GlobalAvgPool {
        pixels: usize,
        channels: usize,
    },
    /// The classifier.
    Linear,
}

/// One step: read, compute, write `len` values.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// The layer's name.
    pub(super) name: String,
    /// Height, width and channels of an image it reads.
    pub(super) input: [usize; 3],
    /// Height, width and channels of an image it writes.
    pub(super) output: [usize; 3],
    pub(super) op: Op,
    pub(super) from: Source,
    pub(super) from_len: usize,
    pub(super) to: Target,
    pub(super) len: usize,
}

/// Steps from one activation to another, for some images.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) steps: Vec<Step>,
    /// Floats of each buffer.
    pub(super) slots: Vec<usize>,
}

impl Section {
    /// Floats that it reads.
    pub(super) fn input_len(&self) -> usize {
        self.steps.first().map_or(0, |step| step.from_len)
    }

    /// Floats that it writes.
    pub(super) fn output_len(&self) -> usize {
        self.steps.last().map_or(0, |step| step.len)
    }
}
