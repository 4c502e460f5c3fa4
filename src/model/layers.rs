//! What every layer with weights sees for a given image size: shapes and multiply-accumulates.
//!
//! The list behind `inspect` and the benches. Table 1 of the paper counts the same way: one
//! multiply-accumulate a tap, convolutions and classifier only.

use super::network::{Block, BlockShortcut, ConvBn, FullyConnected, Network};

/// A layer with a weight matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer<'a> {
    /// A convolution with its batch norm.
    Conv(&'a ConvBn),
    /// The classifier.
    Linear(&'a FullyConnected),
}

/// A layer and the size of the maps before and after it, `(height, width)` in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerShape<'a> {
    /// The layer.
    pub layer: Layer<'a>,
    /// Height and width of its input; `(1, 1)` for the classifier.
    pub input: (usize, usize),
    /// Height and width of its output.
    pub output: (usize, usize),
}

impl LayerShape<'_> {
    /// torchvision's name of the layer, e.g. `layer1.0.conv1`.
    pub fn name(&self) -> &str {
        match self.layer {
            Layer::Conv(conv) => &conv.name,
            Layer::Linear(_) => "fc",
        }
    }

    /// Multiply-accumulates for one image.
    pub fn macs(&self) -> u64 {
        let per_pixel = match self.layer {
            Layer::Conv(c) => c.kernel * c.kernel * (c.in_channels / c.groups) * c.out_channels,
            Layer::Linear(l) => l.in_features * l.out_features,
        };
        per_pixel as u64 * self.output.0 as u64 * self.output.1 as u64
    }
}

impl Network {
    /// Every convolution and the classifier with its shapes, for images of `height` x `width`
    /// pixels, in the order of execution; a projection follows its block's own convolutions.
    /// Images below [`Network::min_side`] lead to empty maps.
    pub fn layers(&self, height: usize, width: usize) -> Vec<LayerShape<'_>> {
        let mut list = Vec::new();
        let mut size = convolve(&mut list, &self.stem, (height, width));
        for conv in &self.deep_stem {
            size = convolve(&mut list, conv, size);
        }
        if self.stem_pool {
            size = (pooled_3x3(size.0), pooled_3x3(size.1));
        }
        for block in &self.blocks {
            size = walk_block(&mut list, block, size);
        }
        list.push(LayerShape { layer: Layer::Linear(&self.fc), input: (1, 1), output: (1, 1) });
        list
    }

    /// Multiply-accumulates of convolutions and classifier for one image of `height` x `width`
    /// pixels. (Twice that is the number of floating-point operations.)
    pub fn macs(&self, height: usize, width: usize) -> u64 {
        self.layers(height, width).iter().map(LayerShape::macs).sum()
    }

    /// The smallest image side, in pixels, for which no map is empty: 1, or more where plain
    /// networks downsample by 2x2 max-pooling.
    pub fn min_side(&self) -> usize {
        let mut side = 1;
        while self.layers(side, side).iter().any(|layer| layer.output.0 == 0) {
            side += 1;
        }
        side
    }
}

fn convolve<'a>(
    list: &mut Vec<LayerShape<'a>>,
    conv: &'a ConvBn,
    input: (usize, usize),
) -> (usize, usize) {
    let shape = conv.shape(1, input.0, input.1);
    let output = (shape.out_height(), shape.out_width());
    list.push(LayerShape { layer: Layer::Conv(conv), input, output });
    output
}

fn walk_block<'a>(
    list: &mut Vec<LayerShape<'a>>,
    block: &'a Block,
    input: (usize, usize),
) -> (usize, usize) {
    let mut size = if block.pool { (input.0 / 2, input.1 / 2) } else { input };
    for conv in &block.convs {
        size = convolve(list, conv, size);
    }
    if let BlockShortcut::Project(conv) = &block.shortcut {
        let half = |side: usize| side.div_ceil(2);
        let pooled = if block.shortcut_pool { (half(input.0), half(input.1)) } else { input };
        convolve(list, conv, pooled);
    }
    size
}

/// A side after the stem's 3x3/2 max-pool with padding 1.
fn pooled_3x3(side: usize) -> usize {
    side.div_ceil(2)
}
