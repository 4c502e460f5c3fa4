//! What a training step keeps between its forward and its backward pass.
//!
//! Kept are each convolution's raw output, each block's output and batch norm's coefficients; the
//! normalised activations between them are never stored: whoever reads one computes it. All buffers are allocated once for a batch size.

use super::profile::Work;
use crate::conv::{Algorithm, BackwardFilter, ConvShape, Convolutions, Filter};
use crate::gemm::Backend;
use crate::model::{Block, BlockShortcut, ConvBn, Network};
use crate::ops::batch_norm::{Coefficients, Statistics};
use crate::ops::{PoolShape, ShortcutPad};
use crate::runtime::AlignedBuf;

/// Height, width and channels of an activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
}

/// A convolution and its batch norm.
pub(super) struct Unit {
    pub(super) conv: ConvBn,
    pub(super) shape: ConvShape,
    /// The filters, packed anew for each pass.
    pub(super) filter: Filter,
    pub(super) backward_filter: BackwardFilter,
    /// That of the gradient of the filters.
    pub(super) by: Algorithm,
    /// The convolution's raw output, NHWC.
    pub(super) y: AlignedBuf,
    /// Of `y`, and the affine map that they and the parameters make.
    pub(super) batch: Option<(Statistics, Coefficients)>,
}

/// A max-pool and what it chose.
pub(super) struct Pool {
    pub(super) shape: PoolShape,
    pub(super) out: AlignedBuf,
    pub(super) argmax: Vec<u8>,
}

/// What bypasses a block.
pub(super) enum Shortcut {
    None,
    Identity,
    Pad(ShortcutPad),
    Project(Box<Unit>),
}

/// A block of the network.
pub(super) struct BlockTape {
    pub(super) pool: Option<Pool>,
    pub(super) units: Vec<Unit>,
    pub(super) shortcut: Shortcut,
    /// After the last ReLU.
    pub(super) out: AlignedBuf,
}

/// Everything kept, and the scratch buffers of both passes.
pub(super) struct Tape {
    pub(super) batch: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) stem: Unit,
    pub(super) stem_pool: Option<Pool>,
    /// The stem's activated output, where no pool follows it.
    pub(super) stem_out: AlignedBuf,
    pub(super) blocks: Vec<BlockTape>,
    /// Pixels of the last activation.
    pub(super) pixels: usize,
    /// `[batch, features]`
    pub(super) features: AlignedBuf,
    /// `[batch, classes]`
    pub(super) logits: AlignedBuf,
    /// Gradients: of an output, of a convolution's output, of an input. The first is spare in the forward pass, too.
    pub(super) gradients: [AlignedBuf; 3],
}

impl Tape {
    /// The buffers for `batch` images of `height` x `width`; none if some activation has no pixels.
    pub(super) fn new(
        network: &Network,
        (backend, convolutions): (Backend, Convolutions),
        batch: usize,
        height: usize,
        width: usize,
    ) -> Option<Self> {
        let mut build = Builder { backend, convolutions, batch, largest: 0 };
        let image = Size { height, width, channels: 3 };
        let (stem, mut size) = build.unit(&network.stem, image);
        let mut stem_out = AlignedBuf::default();
        let stem_pool = network.stem_pool.then(|| build.pool(&mut size, 3, 2, 1));
        if stem_pool.is_none() {
            stem_out = build.buffer(size);
        }
        let mut blocks = Vec::with_capacity(network.blocks.len());
        for block in &network.blocks {
            let tape;
            (tape, size) = build.block(block, size);
            blocks.push(tape);
        }
        if size.height * size.width == 0 {
            return None;
        }
        let scratch = || AlignedBuf::zeroed(build.largest);
        Some(Self {
            batch,
            height,
            width,
            stem,
            stem_pool,
            stem_out,
            blocks,
            pixels: size.height * size.width,
            features: AlignedBuf::zeroed(batch * size.channels),
            logits: AlignedBuf::zeroed(batch * network.fc.out_features),
            gradients: [scratch(), scratch(), scratch()],
        })
    }

    /// The convolutions' statistics of the last forward pass.
    pub(super) fn statistics(&self) -> Vec<(ConvBn, Statistics)> {
        let of_blocks = self.blocks.iter().flat_map(|block| {
            let projection = match &block.shortcut {
                Shortcut::Project(unit) => Some(&**unit),
                _ => None,
            };
            block.units.iter().chain(projection)
        });
        let units = std::iter::once(&self.stem).chain(of_blocks);
        units.map(|unit| (unit.conv.clone(), unit.batch().0.clone())).collect()
    }

    /// What one direction of the classifier takes.
    pub(super) fn classifier_work(&self) -> Work {
        let (features, logits) = (self.features.len(), self.logits.len());
        let weights = features / self.batch * (logits / self.batch);
        Work::product(self.batch * weights, features + logits + weights)
    }

    /// Floats of all buffers of activations, for the test of [`super::memory`].
    #[cfg(test)]
    pub(super) fn floats(&self) -> usize {
        let pool = |pool: &Option<Pool>| {
            pool.as_ref().map_or(0, |pool| pool.out.len() + pool.argmax.len() / size_of::<f32>())
        };
        let blocks = self.blocks.iter().map(|block| {
            let projected = match &block.shortcut {
                Shortcut::Project(unit) => unit.y.len(),
                _ => 0,
            };
            let units: usize = block.units.iter().map(|unit| unit.y.len()).sum();
            pool(&block.pool) + projected + units + block.out.len()
        });
        let scratch: usize = self.gradients.iter().map(|buffer| buffer.len()).sum();
        let stem = self.stem.y.len() + pool(&self.stem_pool) + self.stem_out.len();
        stem + blocks.sum::<usize>() + scratch
    }

    /// Whether it is for `batch` images of `height` x `width`.
    pub(super) fn fits(&self, batch: usize, height: usize, width: usize) -> bool {
        (self.batch, self.height, self.width) == (batch, height, width)
    }
}

struct Builder {
    backend: Backend,
    convolutions: Convolutions,
    batch: usize,
    /// Values of the largest activation.
    largest: usize,
}

impl Builder {
    fn buffer(&mut self, size: Size) -> AlignedBuf {
        let len = self.batch * size.height * size.width * size.channels;
        self.largest = self.largest.max(len);
        AlignedBuf::zeroed(len)
    }

    fn unit(&mut self, conv: &ConvBn, x: Size) -> (Unit, Size) {
        let shape = conv.shape(self.batch, x.height, x.width);
        let size = Size {
            height: shape.out_height(),
            width: shape.out_width(),
            channels: conv.out_channels,
        };
        let (by, backend) = (self.convolutions, self.backend);
        let unit = Unit {
            conv: conv.clone(),
            shape,
            filter: Filter::zeros_for(by.algorithm(backend, &shape), backend, &shape),
            backward_filter: BackwardFilter::zeros_for(
                by.of_input_gradient(backend, &shape),
                backend,
                &shape,
            ),
            by: by.of_weight_gradient(backend, &shape),
            y: self.buffer(size),
            batch: None,
        };
        (unit, size)
    }

    /// A max-pool of an activation of `size`, which becomes the output's.
    fn pool(&mut self, size: &mut Size, kernel: usize, stride: usize, padding: usize) -> Pool {
        let Size { height, width, channels } = *size;
        let shape =
            PoolShape { batch: self.batch, height, width, channels, kernel, stride, padding };
        *size = Size { height: shape.out_height(), width: shape.out_width(), channels };
        let out = self.buffer(*size);
        Pool { shape, argmax: vec![0; out.len()], out }
    }

    fn block(&mut self, block: &Block, x: Size) -> (BlockTape, Size) {
        let shortcut = match &block.shortcut {
            BlockShortcut::None => Shortcut::None,
            BlockShortcut::Identity => Shortcut::Identity,
            BlockShortcut::Pad { stride, channels_before, channels_after } => {
                Shortcut::Pad(ShortcutPad {
                    batch: self.batch,
                    height: x.height,
                    width: x.width,
                    channels: x.channels,
                    stride: *stride,
                    before: *channels_before,
                    after: *channels_after,
                })
            }
            BlockShortcut::Project(conv) => Shortcut::Project(Box::new(self.unit(conv, x).0)),
        };
        let mut size = x;
        let pool = block.pool.then(|| self.pool(&mut size, 2, 2, 0));
        let mut units = Vec::with_capacity(block.convs.len());
        for conv in &block.convs {
            let unit;
            (unit, size) = self.unit(conv, size);
            units.push(unit);
        }
        let out = self.buffer(size);
        (BlockTape { pool, units, shortcut, out }, size)
    }
}
