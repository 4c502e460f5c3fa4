//! Where the time of a training step goes: each layer, each part of the work on it.
//!
//! A step is a list of parts that follow one another. Each says when it has been done and what it was; the time since
//! the one before is its own, so the parts add up to the whole, whatever lies between them.

use std::fmt;
use std::time::{Duration, Instant};

use crate::conv::{Algorithm, ConvShape};

/// A part of the work on a layer in a training step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The layer's output; with what is taken from it or done to it in the same pass.
    Forward,
    /// Filters from where they are stored to where they are read, in either pass.
    Pack,
    /// A batch norm's statistics, as far as they are not taken with the output, and its map.
    Statistics,
    /// A batch norm applied, with the shortcut and the ReLU that follow it.
    Normalise,
    /// The gradient of the layer's input.
    InputGradient,
    /// The gradient of a convolution's filters.
    FilterGradient,
    /// The gradients of a batch norm's input, scale and shift, as far as they are not taken elsewhere.
    NormGradient,
    /// The loss and its gradient.
    Loss,
    /// The sum of the gradients of micro-batches.
    Sum,
    /// The optimiser's update, and that of the weights' moving average.
    Update,
    /// The images of the batch, as far as computing waits for them.
    Images,
}

/// What a part of a step has to do, by its definition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    /// How it is computed, where there is a choice.
    algorithm: &'static str,
    macs: u64,
    bytes: u64,
}

/// The time that a part of the work on a layer took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepTime {
    /// torchvision's name of the layer, or one in its style; empty for what is of no layer.
    pub layer: String,
    /// The part.
    pub part: Part,
    /// How it is computed, where there is a choice; else empty.
    pub algorithm: &'static str,
    /// Multiply-accumulates for the whole batch, by the definition.
    pub macs: u64,
    /// Bytes of the tensors that it reads and writes, each once; 0 if they count elsewhere.
    pub bytes: u64,
    /// Wall time.
    pub time: Duration,
}

impl StepTime {
    /// That of `part`, which is of no layer.
    pub fn of_no_layer(part: Part, time: Duration) -> Self {
        Self { layer: String::new(), part, algorithm: "", macs: 0, bytes: 0, time }
    }

    /// That of an update of `learnable` weights.
    pub fn update(learnable: usize, time: Duration) -> Self {
        // Read: weights, momentum and gradients; written: the first two.
        let Work { bytes, .. } = Work::moves(5 * learnable);
        Self { bytes, ..Self::of_no_layer(Part::Update, time) }
    }
}

/// The times of batches so far.
#[derive(Debug)]
pub(super) struct Profile {
    batches: u32,
    last: Instant,
    times: Vec<StepTime>,
}

impl Profile {
    pub(super) fn new() -> Self {
        Self { batches: 0, last: Instant::now(), times: Vec::new() }
    }

    /// A batch begins.
    pub(super) fn begin(&mut self) {
        self.batches += 1;
        self.last = Instant::now();
    }

    /// All since the last part that was done was this part.
    pub(super) fn done(&mut self, layer: &str, part: Part, work: Work) {
        let now = Instant::now();
        let time = now - std::mem::replace(&mut self.last, now);
        let known = self.times.iter_mut().find(|old| old.part == part && old.layer == layer);
        let Work { algorithm, macs, bytes } = work;
        match known {
            Some(old) => {
                (old.macs, old.bytes) = (old.macs + macs, old.bytes + bytes);
                old.time += time;
            }
            None => {
                self.times.push(StepTime {
                    layer: layer.into(),
                    part,
                    algorithm,
                    macs,
                    bytes,
                    time,
                });
            }
        }
    }

    /// The means over all batches, in the order in which parts were done first.
    pub(super) fn means(&self) -> Vec<StepTime> {
        let batches = self.batches.max(1);
        let mean = |time: &StepTime| StepTime {
            macs: time.macs / u64::from(batches),
            bytes: time.bytes / u64::from(batches),
            time: time.time / batches,
            ..time.clone()
        };
        self.times.iter().map(mean).collect()
    }
}

impl Work {
    /// One direction of a convolution.
    pub(super) fn conv(shape: &ConvShape, algorithm: Algorithm) -> Self {
        let floats = shape.input_len() + shape.output_len() + shape.weight_len();
        let macs = shape.macs() as u64;
        Self { algorithm: algorithm.name(shape), macs, ..Self::moves(floats) }
    }

    /// A product of `macs` multiply-accumulates whose operands and result have `floats`.
    pub(super) fn product(macs: usize, floats: usize) -> Self {
        Self { macs: macs as u64, ..Self::moves(floats) }
    }

    /// Both, by the first one's algorithm.
    pub(super) fn and(self, other: Self) -> Self {
        Self { macs: self.macs + other.macs, bytes: self.bytes + other.bytes, ..self }
    }

    /// Reads and writes `floats`, no more.
    pub(super) fn moves(floats: usize) -> Self {
        Self { bytes: (floats * size_of::<f32>()) as u64, ..Self::default() }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Forward => "forward",
            Self::Pack => "pack",
            Self::Statistics => "statistics",
            Self::Normalise => "normalise",
            Self::InputGradient => "input gradient",
            Self::FilterGradient => "filter gradient",
            Self::NormGradient => "norm gradient",
            Self::Loss => "loss",
            Self::Sum => "sum",
            Self::Update => "update",
            Self::Images => "images",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::Backend;
    use crate::learn::{Batch, Learner};
    use crate::model::{InitOptions, ModelSpec, Network, Options, initialize};
    use crate::simd::Isa;

    #[test]
    fn parts_add_up_to_the_step_and_its_products() {
        for name in ["resnet20", "resnet50", "plain20"] {
            let network = Network::new(&ModelSpec::new(name, Options::default()).unwrap());
            let mut params = initialize(&network, 3, InitOptions::default());
            let side = 32;
            let (input, labels) = (vec![0.5; 4 * side * side * 3], [0, 1, 2, 3]);
            let batch = Batch {
                input: &input,
                labels: &labels,
                height: side,
                width: side,
                label_smoothing: 0.0,
            };
            let mut plain = vec![0.0; params.learnable().len()];
            let (mut profiled, mut start) = (plain.clone(), params.clone());
            let mut learner = Learner::new(&network, Backend::Native(Isa::best()));
            let loss = learner.batch(&mut start, &batch, 2, &mut plain).unwrap();
            assert!(learner.step_times().is_empty(), "it is off");

            learner.set_profiling(true);
            let begin = Instant::now();
            for _ in 0..3 {
                let found = learner.batch(&mut params, &batch, 2, &mut profiled).unwrap();
                assert!(found.sum == loss.sum && profiled == plain, "no bit is changed");
            }
            let times = learner.step_times();
            let whole = times.iter().map(|time| 3 * time.time).sum::<Duration>();
            assert!(whole <= begin.elapsed(), "{name}: no time is counted twice");

            // Three products of the forward pass's size, but for the stem's, whose input has no gradient.
            let (shapes, macs) = (network.layers(side, side), network.macs(side, side));
            let stem = shapes[0].macs();
            let found: u64 = times.iter().map(|time| time.macs).sum();
            assert_eq!(found, 4 * (3 * macs - stem), "{name}");
            let mut keys: Vec<_> =
                times.iter().map(|time| (&time.layer, time.part as u8)).collect();
            let parts = keys.len();
            keys.sort_unstable();
            keys.dedup();
            assert_eq!(keys.len(), parts, "{name}: a part twice");
            // Statistics are taken while outputs are written.
            let moves = |time: &StepTime| time.bytes > 0;
            assert!(times.iter().all(|t| moves(t) != (t.part == Part::Statistics)), "{times:?}");
        }
    }
}
