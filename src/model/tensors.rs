//! The tensors of a network: names, shapes, roles, and where each lies in the flat buffers.
//!
//! Learnable tensors share one flat buffer and running statistics another, so that the optimiser is
//! one sweep and an average of statistics another. Each tensor starts at a multiple of 16 floats
//! (64 bytes); the gaps are zero and stay zero under any elementwise update.

use std::collections::HashMap;
use std::ops::Range;

/// Floats that every tensor's start is a multiple of: one cache line.
const ALIGN: usize = 16;

/// A tensor of a network, by its place in [`TensorTable::infos`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(usize);

impl TensorId {
    /// The place in [`TensorTable::infos`].
    pub fn index(self) -> usize {
        self.0
    }
}

/// What a tensor is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A convolution's filters, `[out, in, kernel, kernel]`.
    ConvWeight,
    /// Batch norm's scale, `[channels]`.
    Gamma,
    /// Batch norm's shift, `[channels]`.
    Beta,
    /// Batch norm's running mean, `[channels]`; not learnable.
    RunningMean,
    /// Batch norm's running (unbiased) variance, `[channels]`; not learnable.
    RunningVar,
    /// The classifier's matrix, `[classes, features]`.
    LinearWeight,
    /// The classifier's bias, `[classes]`.
    LinearBias,
}

impl Role {
    /// False for running statistics.
    pub fn is_learnable(self) -> bool {
        !matches!(self, Self::RunningMean | Self::RunningVar)
    }
}

/// One tensor of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// torchvision's name, e.g. `layer1.0.conv1.weight`.
    pub name: String,
    /// Dimensions, outermost first; the last varies fastest.
    pub shape: Vec<usize>,
    /// What it is for; also says which of the two flat buffers holds it.
    pub role: Role,
    /// Where it starts in its flat buffer, in floats.
    pub offset: usize,
}

impl TensorInfo {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True if a dimension is zero; no network has such a tensor.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the tensor lies in its flat buffer, in floats.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.len()
    }
}

/// All tensors of a network in torchvision's order, and the layout of the two flat buffers.
#[derive(Clone, Debug, Default)]
pub struct TensorTable {
    infos: Vec<TensorInfo>,
    by_name: HashMap<String, TensorId>,
    learnable_len: usize,
    statistics_len: usize,
}

impl TensorTable {
    /// Appends a tensor.
    pub(super) fn push(&mut self, name: String, shape: Vec<usize>, role: Role) -> TensorId {
        let id = TensorId(self.infos.len());
        let end =
            if role.is_learnable() { &mut self.learnable_len } else { &mut self.statistics_len };
        let info = TensorInfo { name, shape, role, offset: *end };
        *end += info.len().next_multiple_of(ALIGN);
        self.by_name.insert(info.name.clone(), id);
        self.infos.push(info);
        id
    }

    /// All tensors, in torchvision's order.
    pub fn infos(&self) -> &[TensorInfo] {
        &self.infos
    }

    /// All tensors with their ids, in torchvision's order.
    pub fn iter(&self) -> impl Iterator<Item = (TensorId, &TensorInfo)> {
        self.infos.iter().enumerate().map(|(i, info)| (TensorId(i), info))
    }

    /// One tensor.
    pub fn info(&self, id: TensorId) -> &TensorInfo {
        &self.infos[id.0]
    }

    /// The tensor called `name`.
    pub fn find(&self, name: &str) -> Option<TensorId> {
        self.by_name.get(name).copied()
    }

    /// Floats in the flat buffer of learnable tensors, gaps included: the length that buffers of
    /// gradients and momentum have too.
    pub fn learnable_len(&self) -> usize {
        self.learnable_len
    }

    /// Floats in the flat buffer of running statistics, gaps included.
    pub fn statistics_len(&self) -> usize {
        self.statistics_len
    }
}
