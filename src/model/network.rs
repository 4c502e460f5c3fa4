//! The executable description of a network: the layers in order, with the tensors they use.
//!
//! Inference and training walk it: stem, blocks, classifier. Which rule of the paper leads to which
//! layer is decided here and nowhere else.
//!
//! Every convolution is followed by batch norm. ReLU follows every convolution's batch norm, except
//! that of the last one in a residual block: there the shortcut is added first, then ReLU. A
//! projection has no ReLU of its own. After the last block comes global average pooling, then the
//! classifier.

use std::sync::Arc;

use super::archs::{BlockKind, Family};
use super::source::{ParamSource, SourceError};
use super::spec::{Downsample, ModelSpec, Shortcut, StrideIn};
use super::tensors::{Role, TensorId, TensorInfo, TensorTable};
use crate::conv::ConvShape;

/// What batch norm adds to the variance.
pub const BN_EPSILON: f32 = 1e-5;

/// A convolution without bias and the batch norm after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvBn {
    /// torchvision's name of the convolution, e.g. `layer1.0.conv1`.
    pub name: String,
    /// Side of the square filter, in pixels.
    pub kernel: usize,
    /// Step in both directions, in pixels.
    pub stride: usize,
    /// Zero pixels added on each of the four sides.
    pub padding: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Parts of input and output channels that are convolved each for itself; 1 is a usual convolution.
    pub groups: usize,
    /// Filters, `[out, in / groups, kernel, kernel]`.
    pub weight: TensorId,
    /// Batch norm's scale, `[out]`.
    pub gamma: TensorId,
    /// Batch norm's shift, `[out]`.
    pub beta: TensorId,
    /// Batch norm's running mean, `[out]`.
    pub running_mean: TensorId,
    /// Batch norm's running variance, `[out]`.
    pub running_var: TensorId,
}

impl ConvBn {
    /// Its batch norm, gamma · (x - mean) / √(var + ε) + beta, as a factor and a shift of each output channel; the
    /// shift is rounded from f64.
    ///
    /// # Errors
    /// The source cannot be read.
    pub fn batch_norm(
        &self,
        params: &dyn ParamSource,
    ) -> Result<(Vec<f64>, Vec<f32>), SourceError> {
        let (gamma, beta) = (params.tensor(self.gamma)?, params.tensor(self.beta)?);
        let (mean, var) = (params.tensor(self.running_mean)?, params.tensor(self.running_var)?);
        let factor = |(&gamma, &var): (&f32, &f32)| {
            f64::from(gamma) / (f64::from(var) + f64::from(BN_EPSILON)).sqrt()
        };
        let factors: Vec<f64> = gamma.iter().zip(&*var).map(factor).collect();
        let shift =
            |out: usize| (f64::from(beta[out]) - f64::from(mean[out]) * factors[out]) as f32;
        let shifts = (0..self.out_channels).map(shift).collect();
        Ok((factors, shifts))
    }

    /// Its geometry, without regard to groups, on a batch of images of `height` x `width` pixels.
    pub fn shape(&self, batch: usize, height: usize, width: usize) -> ConvShape {
        ConvShape {
            batch,
            height,
            width,
            in_channels: self.in_channels,
            out_channels: self.out_channels,
            kernel: self.kernel,
            stride: self.stride,
            padding: self.padding,
        }
    }
}

/// What is added to the last batch norm of a block before the ReLU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockShortcut {
    /// Nothing: a block of a plain network.
    None,
    /// The block's input.
    Identity,
    /// Every `stride`-th pixel of the block's input, between channels of zeros (option A).
    Pad {
        /// Step in both directions, in pixels, from pixel 0 on.
        stride: usize,
        /// Channels of zeros before the input's.
        channels_before: usize,
        /// Channels of zeros after the input's.
        channels_after: usize,
    },
    /// A 1x1 convolution of the block's input and its batch norm (options B and C).
    Project(ConvBn),
}

/// A block: two or three convolutions, and what bypasses them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// torchvision's name, e.g. `layer1.0`.
    pub name: String,
    /// A 2x2/2 max-pool comes before the first convolution (plain networks only).
    pub pool: bool,
    /// The convolutions in order.
    pub convs: Vec<ConvBn>,
    /// A 2x2/2 average pool comes before the projection; at an odd side's end it averages what there is.
    pub shortcut_pool: bool,
    /// What is added at the end.
    pub shortcut: BlockShortcut,
}

impl Block {
    /// Its tensor that lies first in the flat buffer.
    pub(crate) fn first(&self) -> TensorId {
        let projection = match &self.shortcut {
            BlockShortcut::Project(conv) => Some(conv),
            _ => None,
        };
        let weights = self.convs.iter().chain(projection).map(|conv| conv.weight);
        weights.min().expect("a block has layers")
    }
}

/// The classifier: `logits = weight * features + bias`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullyConnected {
    /// Features in.
    pub in_features: usize,
    /// Classes out.
    pub out_features: usize,
    /// `[out, in]`.
    pub weight: TensorId,
    /// `[out]`.
    pub bias: TensorId,
}

/// A network as a list of layers.
#[derive(Clone, Debug)]
pub struct Network {
    /// Which network this is.
    pub spec: ModelSpec,
    /// The first convolution.
    pub stem: ConvBn,
    /// The other convolutions of a deep stem, each with its ReLU; else none.
    pub deep_stem: Vec<ConvBn>,
    /// A 3x3/2 max-pool with padding 1 follows the last ReLU of the stem (ImageNet family).
    pub stem_pool: bool,
    /// The blocks of all stages, in order.
    pub blocks: Vec<Block>,
    /// The classifier.
    pub fc: FullyConnected,
    tensors: Arc<TensorTable>,
}

impl Network {
    /// The layers of `spec`.
    pub fn new(spec: &ModelSpec) -> Self {
        let mut build = Builder { spec, tensors: TensorTable::default() };
        let (stem, deep_stem) = build.stem();
        let mut blocks = Vec::with_capacity(spec.stages.iter().sum());
        let mut channels = deep_stem.last().unwrap_or(&stem).out_channels;
        for (stage, &count) in spec.stages.iter().enumerate() {
            for index in 0..count {
                let block = build.block(stage, index, channels);
                channels = block.convs[block.convs.len() - 1].out_channels;
                blocks.push(block);
            }
        }
        let fc = build.linear(channels);
        let tensors = Arc::new(build.tensors);
        Self {
            spec: spec.clone(),
            stem,
            deep_stem,
            stem_pool: spec.family == Family::ImageNet,
            blocks,
            fc,
            tensors,
        }
    }

    /// All tensors, in torchvision's order.
    pub fn tensors(&self) -> &[TensorInfo] {
        self.tensors.infos()
    }

    /// The tensors and the layout of the flat buffers.
    pub fn table(&self) -> &Arc<TensorTable> {
        &self.tensors
    }

    /// One tensor's name, shape and role.
    pub fn tensor(&self, id: TensorId) -> &TensorInfo {
        self.tensors.info(id)
    }

    /// The tensor called `name`.
    pub fn find(&self, name: &str) -> Option<TensorId> {
        self.tensors.find(name)
    }

    /// Number of learnable parameters (running statistics are none).
    pub fn parameters(&self) -> usize {
        self.tensors().iter().filter(|t| t.role.is_learnable()).map(TensorInfo::len).sum()
    }

    /// Channels of the pooled features that the classifier sees.
    pub fn features(&self) -> usize {
        self.fc.in_features
    }

    /// Channels of the images.
    pub fn in_channels(&self) -> usize {
        self.stem.in_channels
    }

    /// Pixels of an image from one pixel of the last feature map to the next, in both directions: 32 for
    /// ImageNet's networks, 4 for CIFAR's.
    pub fn stride(&self) -> usize {
        let convs = |convs: &[ConvBn]| convs.iter().map(|conv| conv.stride).product::<usize>();
        let pool = |there: bool| if there { 2 } else { 1 };
        let blocks = self.blocks.iter().map(|block| convs(&block.convs) * pool(block.pool));
        let stem = self.stem.stride * convs(&self.deep_stem) * pool(self.stem_pool);
        stem * blocks.product::<usize>()
    }

    /// Every convolution: the stem's, then block by block; a projection after its block's own.
    pub fn convs(&self) -> impl Iterator<Item = &ConvBn> {
        let blocks = self.blocks.iter().flat_map(|block| {
            let projection = match &block.shortcut {
                BlockShortcut::Project(conv) => Some(conv),
                _ => None,
            };
            block.convs.iter().chain(projection)
        });
        std::iter::once(&self.stem).chain(&self.deep_stem).chain(blocks)
    }
}

/// Appends tensors in torchvision's order while the layers are made.
struct Builder<'a> {
    spec: &'a ModelSpec,
    tensors: TensorTable,
}

impl Builder<'_> {
    /// The first convolution, and the others of a deep stem.
    fn stem(&mut self) -> (ConvBn, Vec<ConvBn>) {
        let (channels, out) = (self.spec.in_channels, self.spec.stem_channels());
        match (self.spec.family, self.spec.variant.deep_stem) {
            (Family::Cifar, _) => (self.conv_bn("conv1", "bn1", 3, 1, channels, out), Vec::new()),
            (Family::ImageNet, None) => {
                (self.conv_bn("conv1", "bn1", 7, 2, channels, out), Vec::new())
            }
            // timm's numbers are those of a sequence of convolution, batch norm, ReLU.
            (Family::ImageNet, Some([first, second, last])) => {
                let stem = self.conv_bn("conv1.0", "conv1.1", 3, 2, channels, first);
                let middle = self.conv_bn("conv1.3", "conv1.4", 3, 1, first, second);
                (stem, vec![middle, self.conv_bn("conv1.6", "bn1", 3, 1, second, last)])
            }
        }
    }

    fn conv_bn(
        &mut self,
        conv: &str,
        bn: &str,
        kernel: usize,
        stride: usize,
        in_channels: usize,
        out_channels: usize,
    ) -> ConvBn {
        self.grouped(conv, bn, [kernel, stride, 1], in_channels, out_channels)
    }

    /// Padding is `kernel / 2`, as everywhere in the paper.
    fn grouped(
        &mut self,
        conv: &str,
        bn: &str,
        [kernel, stride, groups]: [usize; 3],
        in_channels: usize,
        out_channels: usize,
    ) -> ConvBn {
        let shape = vec![out_channels, in_channels / groups, kernel, kernel];
        let weight = self.tensors.push(format!("{conv}.weight"), shape, Role::ConvWeight);
        let mut norm =
            |field, role| self.tensors.push(format!("{bn}.{field}"), vec![out_channels], role);
        ConvBn {
            name: conv.to_owned(),
            kernel,
            stride,
            padding: kernel / 2,
            in_channels,
            out_channels,
            groups,
            weight,
            gamma: norm("weight", Role::Gamma),
            beta: norm("bias", Role::Beta),
            running_mean: norm("running_mean", Role::RunningMean),
            running_var: norm("running_var", Role::RunningVar),
        }
    }

    fn block(&mut self, stage: usize, index: usize, in_channels: usize) -> Block {
        let spec = self.spec;
        let name = format!("layer{}.{index}", stage + 1);
        let width = spec.stem_channels() << stage;
        let out_channels = width * spec.expansion();
        let halves = index == 0 && stage > 0;
        let pool = halves && spec.downsample == Downsample::MaxPool;
        let stride = if halves && !pool { 2 } else { 1 };

        let (stride_1x1, stride_3x3) = match spec.stride_in {
            StrideIn::Conv1x1 => (stride, 1),
            StrideIn::Conv3x3 => (1, stride),
        };
        // Kernel, stride, groups and output channels of each convolution (figure 5).
        let (groups, inner) = (spec.variant.groups, spec.variant.inner(width));
        let plan = match spec.block {
            BlockKind::Basic => vec![([3, stride, 1], width), ([3, 1, 1], width)],
            BlockKind::Bottleneck => vec![
                ([1, stride_1x1, 1], inner),
                ([3, stride_3x3, groups], inner),
                ([1, 1, 1], out_channels),
            ],
        };
        let mut convs = Vec::with_capacity(plan.len());
        let mut channels = in_channels;
        for (i, (geometry, out)) in (1..).zip(plan) {
            let (conv, bn) = (format!("{name}.conv{i}"), format!("{name}.bn{i}"));
            convs.push(self.grouped(&conv, &bn, geometry, channels, out));
            channels = out;
        }
        let shortcut = self.shortcut(&name, stride, in_channels, out_channels);
        let shortcut_pool = spec.variant.pooled_shortcut && stride == 2;
        Block { name, pool, convs, shortcut_pool, shortcut }
    }

    fn shortcut(
        &mut self,
        block: &str,
        stride: usize,
        in_channels: usize,
        out_channels: usize,
    ) -> BlockShortcut {
        let changes = stride != 1 || in_channels != out_channels;
        match self.spec.shortcut {
            None => BlockShortcut::None,
            Some(Shortcut::A) if changes => {
                let added = out_channels - in_channels;
                let channels_before = added / 2;
                BlockShortcut::Pad {
                    stride,
                    channels_before,
                    channels_after: added - channels_before,
                }
            }
            Some(Shortcut::B) if changes => self.project(block, stride, in_channels, out_channels),
            Some(Shortcut::C) => self.project(block, stride, in_channels, out_channels),
            Some(Shortcut::A | Shortcut::B) => BlockShortcut::Identity,
        }
    }

    fn project(
        &mut self,
        block: &str,
        stride: usize,
        in_channels: usize,
        out_channels: usize,
    ) -> BlockShortcut {
        // Of these networks the first is a pool everywhere, even where it does nothing.
        let (pools, stride) = if self.spec.variant.pooled_shortcut { (1, 1) } else { (0, stride) };
        let conv = format!("{block}.downsample.{pools}");
        let bn = format!("{block}.downsample.{}", pools + 1);
        BlockShortcut::Project(self.conv_bn(&conv, &bn, 1, stride, in_channels, out_channels))
    }

    fn linear(&mut self, in_features: usize) -> FullyConnected {
        let out_features = self.spec.classes;
        let shape = vec![out_features, in_features];
        FullyConnected {
            in_features,
            out_features,
            weight: self.tensors.push("fc.weight".to_owned(), shape, Role::LinearWeight),
            bias: self.tensors.push("fc.bias".to_owned(), vec![out_features], Role::LinearBias),
        }
    }
}
