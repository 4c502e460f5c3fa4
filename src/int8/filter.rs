//! The filters of a convolution, packed for a kernel.

use super::kernels::{GROUP, Kernel};
use crate::conv::ConvShape;
use crate::runtime::{AlignedBuf, Tasks};

/// The most values under a filter: 255 · 127 · K, and with it every sum on the way, stays below 2³¹ (so does 255 · 128 · K of kernels that take 128 less of each value, and add it at the end).
pub(super) const MOST_VALUES: usize = (i32::MAX / (255 * 127)) as usize;

/// Filters of one convolution: panels of the kernel's columns one after the other; in a panel, for each group of
/// K, the group of each column side by side. The last panel has as many vectors as its columns need, filled up
/// with zeros.
pub struct Filter {
    pub(super) kernel: Kernel,
    shape: ConvShape,
    /// Groups of a row of the filter.
    pub(super) groups: usize,
    panels: AlignedBuf,
    /// By column: what a kernel that takes 128 less of each value has to add.
    pub(super) corrections: Vec<i32>,
}

impl Filter {
    /// Filters of zeros for convolutions like `shape`.
    ///
    /// # Panics
    /// If a filter has more than 66,311 values, whose sum could overflow.
    pub fn zeros(kernel: Kernel, shape: &ConvShape) -> Self {
        assert!(shape.k() <= MOST_VALUES, "sums of {shape:?} could overflow");
        let groups = (shape.kernel * shape.in_channels).div_ceil(GROUP);
        let columns = shape.out_channels.next_multiple_of(kernel.lanes);
        let panels = AlignedBuf::zeroed(shape.kernel * groups * columns);
        Self { kernel, shape: *shape, groups, panels, corrections: vec![0; columns] }
    }

    /// The tasks that pack `weights`, `[out_channels, in_channels, kernel, kernel]`.
    ///
    /// # Panics
    /// If they have another size than the shape says.
    pub fn pack_from<'a>(&'a mut self, weights: &'a [i8]) -> Tasks<'a> {
        let &mut Self { kernel, shape, groups, ref mut panels, ref mut corrections } = self;
        assert_eq!(weights.len(), shape.weight_len(), "number of weights");
        let (side, channels, k) = (shape.kernel, shape.in_channels, shape.k());
        for (correction, filter) in corrections.iter_mut().zip(weights.chunks_exact(k.max(1))) {
            *correction = 128 * filter.iter().map(|&w| i32::from(w)).sum::<i32>();
        }
        // A group is as long as a float.
        let panel_len = side * groups * kernel.nr;
        Tasks::of_chunks(panels, panel_len.max(1), move |panel, values, _| {
            let first = panel * kernel.nr;
            let columns = kernel.nr.min(shape.out_channels - first);
            let width = columns.next_multiple_of(kernel.lanes) * GROUP;
            let values: &mut [i8] = bytemuck::cast_slice_mut(values);
            for (line, run) in values.chunks_exact_mut(groups * width).enumerate() {
                for (column, filter) in
                    weights[first * k..].chunks_exact(k).take(columns).enumerate()
                {
                    for tap in 0..side {
                        let filter = filter[line * side + tap..].iter().step_by(side * side);
                        for (channel, &weight) in filter.take(channels).enumerate() {
                            let at = tap * channels + channel;
                            run[at / GROUP * width + column * GROUP + at % GROUP] = weight;
                        }
                    }
                }
            }
        })
    }

    /// Asserts that the filters are for convolutions like `shape`.
    pub(super) fn check(&self, shape: &ConvShape) {
        let geometry = |s: &ConvShape| (s.kernel, s.stride, s.in_channels, s.out_channels);
        assert_eq!(geometry(&self.shape), geometry(shape), "filter of {shape:?}");
    }

    /// Rows of the filter.
    pub(super) fn runs(&self) -> usize {
        self.shape.kernel
    }

    /// Filters.
    pub(super) fn columns(&self) -> usize {
        self.shape.out_channels
    }

    /// How many panels there are.
    pub(super) fn count(&self) -> usize {
        self.columns().div_ceil(self.kernel.nr)
    }

    /// Bytes of a whole panel.
    pub(super) fn panel_len(&self) -> usize {
        self.runs() * self.groups * self.kernel.nr * GROUP
    }

    /// The values of `panel`, and how many columns it has.
    pub(super) fn panel(&self, panel: usize) -> (&[i8], usize) {
        let values: &[i8] = bytemuck::cast_slice(&self.panels);
        let columns = self.kernel.nr.min(self.columns() - panel * self.kernel.nr);
        let len = self.runs() * self.groups * columns.next_multiple_of(self.kernel.lanes) * GROUP;
        (&values[panel * self.panel_len()..][..len], columns)
    }
}
