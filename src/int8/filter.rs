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
            let panel = Panel {
                side,
                channels,
                groups,
                width: columns.next_multiple_of(kernel.lanes),
                values: bytemuck::cast_slice_mut(values),
            };
            panel.pack(&weights[first * k..(first + columns) * k]);
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

/// A panel that is being packed: of each line of the filters its groups, of each group that of each column.
struct Panel<'a> {
    side: usize,
    channels: usize,
    /// Of a line.
    groups: usize,
    /// Columns, with those that fill up the last vector.
    width: usize,
    values: &'a mut [[i8; GROUP]],
}

impl Panel<'_> {
    /// Packs filters, `[columns, channels, side, side]`.
    fn pack(self, filters: &[i8]) {
        let Self { side, channels, groups, width, values } = self;
        let taps = side * side;
        if !channels.is_multiple_of(GROUP) {
            for (column, filter) in filters.chunks_exact(channels * taps).enumerate() {
                for (at, &weight) in filter.iter().enumerate() {
                    let (channel, tap) = (at / taps, at % taps);
                    let place = tap % side * channels + channel;
                    let group = tap / side * groups + place / GROUP;
                    values[group * width + column][place % GROUP] = weight;
                }
            }
            return;
        }
        // A group is four channels at one place of the filter.
        for (column, filter) in filters.chunks_exact(channels * taps).enumerate() {
            for (quad, block) in filter.chunks_exact(GROUP * taps).enumerate() {
                let (ab, cd) = block.split_at(2 * taps);
                let ((a, b), (c, d)) = (ab.split_at(taps), cd.split_at(taps));
                for line in 0..side {
                    for x in 0..side {
                        let (tap, group) = (line * side + x, line * groups + x * channels / GROUP);
                        values[(group + quad) * width + column] = [a[tap], b[tap], c[tap], d[tap]];
                    }
                }
            }
        }
    }
}
