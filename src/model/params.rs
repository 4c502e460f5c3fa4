//! The numbers of a network: learnable tensors in one flat buffer, running statistics in another.
//!
//! One buffer makes the optimiser one sweep and a gradient's reduction one call.

use std::borrow::Cow;
use std::sync::Arc;

use super::network::Network;
use super::source::{ParamSource, SourceError};
use super::tensors::{TensorId, TensorTable};
use crate::runtime::AlignedBuf;

/// All tensors of a network, in memory.
#[derive(Clone, Debug)]
pub struct Params {
    table: Arc<TensorTable>,
    learnable: AlignedBuf,
    statistics: AlignedBuf,
}

impl Params {
    /// All zeros.
    pub fn zeros(network: &Network) -> Self {
        let table = Arc::clone(network.table());
        let learnable = AlignedBuf::zeroed(table.learnable_len());
        let statistics = AlignedBuf::zeroed(table.statistics_len());
        Self { table, learnable, statistics }
    }

    /// A copy of what `source` has for `network`.
    ///
    /// # Errors
    /// The source cannot be read.
    pub fn from_source(network: &Network, source: &dyn ParamSource) -> Result<Self, SourceError> {
        let mut params = Self::zeros(network);
        for (id, info) in network.table().iter() {
            let to = params.get_mut(id);
            source.read(id, 0..info.len(), &mut |values| to.copy_from_slice(values))?;
        }
        Ok(params)
    }

    /// The names, shapes and places of the tensors.
    pub fn table(&self) -> &Arc<TensorTable> {
        &self.table
    }

    /// A tensor's values.
    pub fn get(&self, id: TensorId) -> &[f32] {
        let info = self.table.info(id);
        let buf = if info.role.is_learnable() { &self.learnable } else { &self.statistics };
        &buf[info.range()]
    }

    /// A tensor's values, to change.
    pub fn get_mut(&mut self, id: TensorId) -> &mut [f32] {
        let info = self.table.info(id);
        let buf = if info.role.is_learnable() { &mut self.learnable } else { &mut self.statistics };
        &mut buf[info.range()]
    }

    /// The values of the tensor called `name`.
    pub fn by_name(&self, name: &str) -> Option<&[f32]> {
        self.table.find(name).map(|id| self.get(id))
    }

    /// The values of the tensor called `name`, to change.
    pub fn by_name_mut(&mut self, name: &str) -> Option<&mut [f32]> {
        self.table.find(name).map(|id| self.get_mut(id))
    }

    /// The flat buffer of learnable tensors; [`TensorInfo::range`](super::TensorInfo::range) says
    /// where each lies. The gaps between tensors are zero.
    pub fn learnable(&self) -> &[f32] {
        &self.learnable
    }

    /// The flat buffer of learnable tensors, to change; gaps must stay zero.
    pub fn learnable_mut(&mut self) -> &mut [f32] {
        &mut self.learnable
    }

    /// The flat buffer of running statistics.
    pub fn statistics(&self) -> &[f32] {
        &self.statistics
    }

    /// The flat buffer of running statistics, to change; gaps must stay zero.
    pub fn statistics_mut(&mut self) -> &mut [f32] {
        &mut self.statistics
    }
}

impl ParamSource for Params {
    fn tensor(&self, id: TensorId) -> Result<Cow<'_, [f32]>, SourceError> {
        Ok(Cow::Borrowed(self.get(id)))
    }
}
