//! The plan of a run: the steps in order, and which buffer each reads and writes.
//!
//! Made once for each size of input. A buffer is free again as soon as its last reader has run, so a
//! whole network needs three or four, each as large as the largest activation it ever holds.

use super::InferError;
use crate::conv::{Algorithm, ConvShape};
use crate::gemm::Backend;
use crate::model::{BlockShortcut, ConvBn, Network};
use crate::ops::{PoolShape, ShortcutPad};

/// The number of a buffer.
pub(super) type Slot = usize;

/// Where a step reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The batch of images.
    Input,
    /// A buffer.
    Slot(Slot),
}

/// What a step does.
#[derive(Clone, Debug)]
pub(super) enum Op {
    /// Convolution `layer` in the order of [`convs`], folded batch norm, residual, ReLU.
    Conv {
        layer: usize,
        shape: ConvShape,
        residual: Option<Slot>,
        relu: bool,
    },
    /// Convolution `layer`, folded batch norm, ReLU and max-pool.
    ConvMaxPool {
        layer: usize,
        shape: ConvShape,
        pool: PoolShape,
    },
    MaxPool(PoolShape),
    ShortcutPad(ShortcutPad),
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
    pub(super) to: Slot,
    pub(super) len: usize,
}

/// The steps of a run and the sizes of the buffers they need.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) batch: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) steps: Vec<Step>,
    pub(super) slots: Vec<usize>,
    /// Where the logits are.
    pub(super) logits: Slot,
}

/// The convolutions of a network in the order in which plans number them.
pub(super) fn convs(network: &Network) -> impl Iterator<Item = &ConvBn> {
    std::iter::once(&network.stem).chain(network.blocks.iter().flat_map(|block| {
        let projection = match &block.shortcut {
            BlockShortcut::Project(conv) => Some(conv),
            _ => None,
        };
        projection.into_iter().chain(&block.convs)
    }))
}

/// An activation: its place and its shape.
#[derive(Clone, Copy)]
struct Activation {
    at: Source,
    height: usize,
    width: usize,
    channels: usize,
}

impl Activation {
    fn shape(&self) -> [usize; 3] {
        [self.height, self.width, self.channels]
    }
}

impl Plan {
    /// The shapes of the convolutions, in the order of [`convs`].
    pub(super) fn convs(&self) -> impl Iterator<Item = &ConvShape> {
        self.steps.iter().filter_map(|step| match &step.op {
            Op::Conv { shape, .. } | Op::ConvMaxPool { shape, .. } => Some(shape),
            _ => None,
        })
    }

    /// The plan for `batch` images of `height` x `width` on `backend`.
    pub(super) fn new(
        network: &Network,
        backend: Backend,
        batch: usize,
        height: usize,
        width: usize,
    ) -> Result<Plan, InferError> {
        let mut planner = Planner { batch, steps: vec![], slots: vec![], free: vec![], layer: 0 };
        let image = Activation { at: Source::Input, height, width, channels: 3 };
        let mut x;
        if network.stem_pool {
            x = planner.conv_max_pool(backend, &network.stem, image, [3, 2, 1]);
        } else {
            x = planner.conv(&network.stem, image, None, true);
        }
        for block in &network.blocks {
            let residual = match &block.shortcut {
                BlockShortcut::None => None,
                BlockShortcut::Identity => Some(x),
                BlockShortcut::Pad { stride, channels_before, channels_after } => {
                    let channels = [*channels_before, *channels_after];
                    Some(planner.shortcut_pad(&block.name, x, *stride, channels))
                }
                BlockShortcut::Project(conv) => Some(planner.conv(conv, x, None, false)),
            };
            let mut y = x;
            if block.pool {
                y = planner.max_pool(&format!("{}.pool", block.name), y, [2, 2, 0]);
            }
            for (i, conv) in block.convs.iter().enumerate() {
                let last = i + 1 == block.convs.len();
                let next = planner.conv(conv, y, residual.filter(|_| last), true);
                if y.at != x.at {
                    planner.release(y);
                }
                y = next;
            }
            if let Some(residual) = residual.filter(|r| r.at != x.at) {
                planner.release(residual);
            }
            planner.release(x);
            x = y;
        }
        if x.height == 0 || x.width == 0 {
            return Err(InferError::TooSmall { height, width });
        }
        let pooled = planner.replace(x, |planner, x| {
            let op = Op::GlobalAvgPool { pixels: x.height * x.width, channels: x.channels };
            planner.step("avgpool", op, x, Activation { height: 1, width: 1, ..x })
        });
        let classes = network.fc.out_features;
        let logits = Activation { channels: classes, ..pooled };
        let logits = planner.step("fc", Op::Linear, pooled, logits);
        let Source::Slot(logits) = logits.at else { unreachable!("a step writes to a buffer") };
        Ok(Plan { batch, height, width, steps: planner.steps, slots: planner.slots, logits })
    }
}

struct Planner {
    batch: usize,
    steps: Vec<Step>,
    slots: Vec<usize>,
    free: Vec<Slot>,
    layer: usize,
}

impl Planner {
    fn conv(
        &mut self,
        conv: &ConvBn,
        x: Activation,
        add: Option<Activation>,
        relu: bool,
    ) -> Activation {
        let shape = conv.shape(self.batch, x.height, x.width);
        let residual = add.and_then(|a| match a.at {
            Source::Slot(slot) => Some(slot),
            Source::Input => None,
        });
        let op = Op::Conv { layer: self.layer, shape, residual, relu };
        self.layer += 1;
        let y = Activation {
            at: x.at,
            height: shape.out_height(),
            width: shape.out_width(),
            channels: conv.out_channels,
        };
        self.step(&conv.name, op, x, y)
    }

    /// A convolution and the pool after it: one step where an algorithm computes rows.
    fn conv_max_pool(
        &mut self,
        backend: Backend,
        conv: &ConvBn,
        x: Activation,
        window: [usize; 3],
    ) -> Activation {
        let shape = conv.shape(self.batch, x.height, x.width);
        if Algorithm::of(backend, &shape) != Algorithm::Strip {
            let y = self.conv(conv, x, None, true);
            return self.replace(y, |planner, y| planner.max_pool("maxpool", y, window));
        }
        let between = Activation {
            height: shape.out_height(),
            width: shape.out_width(),
            channels: conv.out_channels,
            ..x
        };
        let (pool, y) = self.pooled(between, window);
        let op = Op::ConvMaxPool { layer: self.layer, shape, pool };
        self.layer += 1;
        self.step(&format!("{} + maxpool", conv.name), op, x, y)
    }

    fn max_pool(&mut self, name: &str, x: Activation, window: [usize; 3]) -> Activation {
        let (shape, y) = self.pooled(x, window);
        self.step(name, Op::MaxPool(shape), x, y)
    }

    /// The pool of `x` by a window of that size, stride and padding, and what comes out.
    fn pooled(
        &self,
        x: Activation,
        [kernel, stride, padding]: [usize; 3],
    ) -> (PoolShape, Activation) {
        let Activation { height, width, channels, .. } = x;
        let shape =
            PoolShape { batch: self.batch, height, width, channels, kernel, stride, padding };
        (shape, Activation { height: shape.out_height(), width: shape.out_width(), ..x })
    }

    fn shortcut_pad(
        &mut self,
        block: &str,
        x: Activation,
        stride: usize,
        [before, after]: [usize; 2],
    ) -> Activation {
        let Activation { height, width, channels, .. } = x;
        let shape =
            ShortcutPad { batch: self.batch, height, width, channels, stride, before, after };
        let y = Activation {
            at: x.at,
            height: shape.out_height(),
            width: shape.out_width(),
            channels: shape.out_channels(),
        };
        self.step(&format!("{block}.shortcut"), Op::ShortcutPad(shape), x, y)
    }

    /// Appends a step from `x` to an activation shaped like `y`, in a free buffer.
    fn step(&mut self, name: &str, op: Op, x: Activation, y: Activation) -> Activation {
        let (from_len, len) = (self.len(&x), self.len(&y));
        let to = self.acquire(len);
        let name = name.to_owned();
        let (input, output) = (x.shape(), y.shape());
        self.steps.push(Step { name, input, output, op, from: x.at, from_len, to, len });
        Activation { at: Source::Slot(to), ..y }
    }

    /// Appends a step after which `x` is not needed any more.
    fn replace(
        &mut self,
        x: Activation,
        step: impl FnOnce(&mut Self, Activation) -> Activation,
    ) -> Activation {
        let y = step(self, x);
        self.release(x);
        y
    }

    fn len(&self, x: &Activation) -> usize {
        self.batch * x.shape().iter().product::<usize>()
    }

    /// The smallest free buffer that is large enough, else the largest free one, enlarged.
    fn acquire(&mut self, len: usize) -> Slot {
        let fits = |slot: &Slot| (self.slots[*slot] < len, self.slots[*slot].abs_diff(len));
        let Some(best) = self.free.iter().copied().min_by_key(fits) else {
            self.slots.push(len);
            return self.slots.len() - 1;
        };
        self.free.retain(|&slot| slot != best);
        self.slots[best] = self.slots[best].max(len);
        best
    }

    fn release(&mut self, x: Activation) {
        if let Source::Slot(slot) = x.at {
            self.free.push(slot);
        }
    }
}
