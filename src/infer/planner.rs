//! Makes the steps of a section, one after the other.
//!
//! A buffer is free again as soon as its last reader has been planned, so a whole network needs three
//! or four, each as large as the largest activation it ever holds.

use super::grouped::{bundles, of_bundle};
use super::steps::{Means, Op, Section, Slot, Source, Step, Target};
use crate::conv::{Algorithm, ConvShape};
use crate::model::{Block, BlockShortcut, ConvBn, Network};
use crate::ops::{HalfPool, PoolShape, ShortcutPad};

/// An activation: its place and its shape.
#[derive(Clone, Copy)]
pub(super) struct Activation {
    at: Source,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
}

impl Activation {
    fn shape(&self) -> [usize; 3] {
        [self.height, self.width, self.channels]
    }
}

pub(super) struct Planner {
    means: Means,
    /// Images of the section.
    batch: usize,
    /// Images of the whole run.
    of: usize,
    steps: Vec<Step>,
    slots: Vec<usize>,
    free: Vec<Slot>,
    layer: usize,
}

impl Planner {
    /// A planner for `batch` images of a run of `of`.
    pub(super) fn new(means: Means, batch: usize, of: usize) -> Self {
        Self { means, batch, of, steps: vec![], slots: vec![], free: vec![], layer: 0 }
    }

    /// The images as the section's input.
    pub(super) fn image(&self, network: &Network, height: usize, width: usize) -> Activation {
        Activation { at: Source::Input, height, width, channels: network.in_channels() }
    }

    /// The output `x` of the section that `before` has planned as the input of this one.
    pub(super) fn follow(&mut self, before: &Planner, x: Activation) -> Activation {
        self.layer = before.layer;
        Activation { at: Source::Input, ..x }
    }

    /// The first convolutions, and the pool after them where there is one.
    pub(super) fn stem(&mut self, network: &Network, x: Activation) -> Activation {
        let window = [3, 2, 1];
        let mut convs = vec![&network.stem];
        convs.extend(&network.deep_stem);
        let mut x = x;
        for (i, conv) in convs.iter().enumerate() {
            let pooled = network.stem_pool && i + 1 == convs.len();
            let algorithm = self.algorithm(&conv.shape(self.of, x.height, x.width));
            x = self.replace(x, |planner, x| match (pooled, algorithm) {
                (true, Algorithm::Strip) => planner.conv_max_pool(conv, x, window),
                (true, _) => {
                    let y = planner.conv(conv, x, None, true);
                    planner.replace(y, |planner, y| planner.max_pool("maxpool", y, window))
                }
                (false, _) => planner.conv(conv, x, None, true),
            });
        }
        x
    }

    /// A block, after which `x` is not needed any more.
    pub(super) fn block(&mut self, block: &Block, x: Activation) -> Activation {
        let residual = match &block.shortcut {
            BlockShortcut::None => None,
            BlockShortcut::Identity => Some(x),
            BlockShortcut::Pad { stride, channels_before, channels_after } => {
                let channels = [*channels_before, *channels_after];
                Some(self.shortcut_pad(&block.name, x, *stride, channels))
            }
            BlockShortcut::Project(conv) if block.shortcut_pool => {
                let pooled = self.half_pool(&format!("{}.avgpool", block.name), x);
                Some(self.replace(pooled, |planner, x| planner.conv(conv, x, None, false)))
            }
            BlockShortcut::Project(conv) => Some(self.conv(conv, x, None, false)),
        };
        let mut y = x;
        if block.pool {
            y = self.max_pool(&format!("{}.pool", block.name), y, [2, 2, 0]);
        }
        for (i, conv) in block.convs.iter().enumerate() {
            let last = i + 1 == block.convs.len();
            let next = self.conv(conv, y, residual.filter(|_| last), true);
            if y.at != x.at {
                self.release(y);
            }
            y = next;
        }
        if let Some(residual) = residual.filter(|r| r.at != x.at) {
            self.release(residual);
        }
        self.release(x);
        y
    }

    /// The pool over all pixels, and the classifier.
    pub(super) fn head(&mut self, network: &Network, x: Activation) -> Activation {
        let pooled = self.replace(x, |planner, x| {
            let op = Op::GlobalAvgPool { pixels: x.height * x.width, channels: x.channels };
            planner.step("avgpool", op, x, Activation { height: 1, width: 1, ..x })
        });
        let logits = Activation { channels: network.fc.out_features, ..pooled };
        self.step("fc", Op::Linear, pooled, logits)
    }

    /// The section: its last step writes the output.
    pub(super) fn section(mut self) -> Section {
        if let Some(last) = self.steps.last_mut() {
            last.to = Target::Output;
        }
        let mut slots = vec![0; self.slots.len()];
        for step in &self.steps {
            if let Target::Slot(slot) = step.to {
                slots[slot] = step.len.max(slots[slot]);
            }
        }
        Section { steps: self.steps, slots }
    }

    fn conv(
        &mut self,
        conv: &ConvBn,
        x: Activation,
        add: Option<Activation>,
        relu: bool,
    ) -> Activation {
        let shape = of_bundle(conv, conv.shape(self.batch, x.height, x.width));
        let algorithm = self.algorithm(&ConvShape { batch: self.of, ..shape });
        let (height, width) = (shape.out_height(), shape.out_width());
        let y = Activation { height, width, channels: conv.out_channels, ..x };
        let (layer, bundles) = (self.layer, bundles(conv));
        self.layer += 1;
        let residual = add.map(|add| add.at);
        let op = Op::Conv { layer, shape, algorithm, residual, relu, bundles };
        if bundles == 1 {
            return self.step(&conv.name, op, x, y);
        }
        assert!(residual.is_none(), "a residual would have to be split, too");
        let (split, join) = (
            Op::Split { channels: x.channels, bundles },
            Op::Join { channels: y.channels, bundles },
        );
        let x = self.step(&format!("{}.split", conv.name), split, x, x);
        let y = self.replace(x, |planner, x| planner.step(&conv.name, op, x, y));
        self.replace(y, |planner, y| planner.step(&format!("{}.join", conv.name), join, y, y))
    }

    /// How a convolution is computed, whose `shape` is that of the whole run.
    fn algorithm(&self, shape: &ConvShape) -> Algorithm {
        self.means.algorithm(shape)
    }

    /// A convolution and the pool after it as one step.
    fn conv_max_pool(&mut self, conv: &ConvBn, x: Activation, window: [usize; 3]) -> Activation {
        let shape = conv.shape(self.batch, x.height, x.width);
        let (height, width) = (shape.out_height(), shape.out_width());
        let between = Activation { height, width, channels: conv.out_channels, ..x };
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

    fn half_pool(&mut self, name: &str, x: Activation) -> Activation {
        let Activation { height, width, channels, .. } = x;
        let shape = HalfPool { batch: self.batch, height, width, channels };
        let y = Activation { height: shape.out_height(), width: shape.out_width(), ..x };
        self.step(name, Op::HalfPool(shape), x, y)
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
        let (from, place) = (x.at, Target::Slot(to));
        self.steps.push(Step { name, input, output, op, from, from_len, to: place, len });
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
