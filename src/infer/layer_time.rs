//! Which layer each step of a plan is, and the time that it takes.

use super::steps::{Op, Step};
use crate::conv::ConvShape;
use std::time::Duration;

/// The time that a layer took in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerTime<'a> {
    /// torchvision's name of the layer, or one in its style where torchvision has no such layer.
    pub name: &'a str,
    /// Height, width and channels of what it reads.
    pub input: [usize; 3],
    /// Height, width and channels of what it writes.
    pub output: [usize; 3],
    /// How it is computed.
    pub algorithm: &'static str,
    /// Multiply-accumulates for the whole batch by the layer's definition (of a convolution in groups, with
    /// the zeros that it is computed with); 0 for layers without weights.
    pub macs: u64,
    /// Wall time; the mean over threads for layers that each thread runs for images of its own.
    pub time: Duration,
}

impl Step {
    /// What the step took for all `batch` images of a run, of a network in 8 bits or not.
    pub(super) fn layer_time(
        &self,
        batch: usize,
        time: Duration,
        quantized: bool,
    ) -> LayerTime<'_> {
        let &Step { ref name, input, output, .. } = self;
        let (algorithm, macs) = match &self.op {
            Op::Conv { shape, algorithm, bundles, .. } => {
                let shape = ConvShape { batch, ..*shape };
                let name = if quantized { "int8 gemm" } else { algorithm.name(&shape) };
                (name, (bundles * shape.macs()) as u64)
            }
            Op::ConvMaxPool { shape, .. } => {
                ("strip gemm + pool", ConvShape { batch, ..*shape }.macs() as u64)
            }
            Op::MaxPool(_) => ("max pool", 0),
            Op::ShortcutPad(_) => ("pad", 0),
            Op::HalfPool(_) => ("average pool", 0),
            Op::Split { .. } | Op::Join { .. } => ("copy", 0),
            Op::GlobalAvgPool { .. } => ("average pool", 0),
            Op::Linear => (
                if quantized { "int8 gemm" } else { "gemm" },
                (batch * input[2] * output[2]) as u64,
            ),
        };
        LayerTime { name, input, output, algorithm, macs, time }
    }
}
