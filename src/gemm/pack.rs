//! Where panels come from: B packed once, A block by block from a source.

use super::Backend;
#[cfg(feature = "matrixmultiply")]
use super::by_matrixmultiply;
use super::kernels::Kernel;
use super::operand::Operand;
use super::pack_filters::PackFilters;
use crate::runtime::{AlignedBuf, Tasks, Team};
use crate::simd::Isa;
use std::ops::Range;

/// The left operand: `rows` x `k`, wherever its values are.
pub trait ASource: Sync {
    /// Rows of A.
    fn rows(&self) -> usize;
    /// Columns of A.
    fn k(&self) -> usize;
    /// A as it lies in memory and the distance of its rows, if the kernel should read it there in a
    /// product with `columns` columns.
    fn in_place(&self, _columns: usize) -> Option<(&[f32], usize)> {
        None
    }
    /// Writes `dst[i * stride + j]` = A[part.row + i, part.k + j] for all i, j of `part`, with the
    /// vectors of `isa`.
    fn pack(&self, isa: Isa, part: Part, dst: &mut [f32], stride: usize);
}

/// A rectangle of A.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The first row.
    pub row: usize,
    /// How many rows.
    pub rows: usize,
    /// The first column.
    pub k: usize,
    /// How many columns.
    pub steps: usize,
}

/// A row-major matrix in memory.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    values: Operand<'a>,
    rows: usize,
    k: usize,
}

impl<'a> Matrix<'a> {
    /// `values` as `rows` rows of `k`.
    ///
    /// # Panics
    /// If their number differs.
    pub fn new(values: impl Into<Operand<'a>>, rows: usize, k: usize) -> Self {
        let values = values.into();
        assert_eq!(Some(values.len()), rows.checked_mul(k), "a matrix of {rows} x {k}");
        Self { values, rows, k }
    }
}

/// Rows a multiple of this apart (floats) fall on one set of the first-level cache, so they are copied
/// into a panel with a better stride.
const FAR_APART: usize = 1024;
/// Rows a multiple of this apart fall on two, which is felt where many panels of B pass by.
const APART: usize = 512;
/// Columns of B from which it is.
const MANY_COLUMNS: usize = 256;

impl ASource for Matrix<'_> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn k(&self) -> usize {
        self.k
    }

    fn in_place(&self, columns: usize) -> Option<(&[f32], usize)> {
        let unit = if columns < MANY_COLUMNS { FAR_APART } else { APART };
        let near = self.k == 0 || !self.k.is_multiple_of(unit);
        self.values.plain().filter(|_| near).map(|values| (values, self.k))
    }

    fn pack(&self, isa: Isa, part: Part, dst: &mut [f32], stride: usize) {
        let Part { row, rows, k, steps } = part;
        self.values.write_rows(isa, self.k, row * self.k, rows, k..k + steps, dst, stride);
    }
}

/// The right operand, `k` x `n`, packed for whoever will multiply.
pub struct PackedB {
    k: usize,
    n: usize,
    pub(super) layout: Layout,
}

pub(super) enum Layout {
    Panels(Panels),
    /// Row-major, as `matrixmultiply` takes it.
    #[cfg(feature = "matrixmultiply")]
    Plain(Vec<f32>),
}

impl PackedB {
    /// A matrix of zeros.
    ///
    /// # Panics
    /// If it is larger than the address space.
    pub fn zeros(backend: Backend, k: usize, n: usize) -> Self {
        let layout = match backend {
            Backend::Native(isa) => Layout::Panels(Panels::zeros(Kernel::of(isa), k, n)),
            #[cfg(feature = "matrixmultiply")]
            Backend::Matrixmultiply => Layout::Plain(vec![0.0; floats(k, n)]),
        };
        Self { k, n, layout }
    }

    /// The tasks that pack another matrix of the same size in its place. `write` writes some columns: it is given which,
    /// and their panel, whose rows are as many values apart as its last argument says; beyond these columns they
    /// stay as they are.
    pub fn pack_panels<'a>(
        &'a mut self,
        write: impl Fn(Range<usize>, &mut [f32], usize) + Sync + Send + 'a,
    ) -> Tasks<'a> {
        match &mut self.layout {
            Layout::Panels(panels) => panels.pack(write),
            // One task, since a reference need not be fast.
            #[cfg(feature = "matrixmultiply")]
            Layout::Plain(values) => {
                let (len, n) = (values.len().max(1), self.n);
                Tasks::of_chunks(values, len, move |_, values, _| write(0..n, values, n))
            }
        }
    }

    /// The tasks that pack filters, `[n, k / taps, taps]`, each times its `scale` (rounded once): filter
    /// j becomes column j, tap by tap. `read` calls what it is given with the filters' values in a
    /// range; it is asked for each filter once, for some at a time, from many threads.
    ///
    /// # Panics
    /// If there are not n factors, or `taps` does not divide k; a task if `read` gives another number of
    /// values than it was asked for.
    pub fn pack_filters<'a>(
        &'a mut self,
        taps: usize,
        scale: Option<&'a [f64]>,
        read: impl Fn(Range<usize>, &mut dyn FnMut(&[f32])) + Sync + Send + 'a,
    ) -> Tasks<'a> {
        let &mut Self { k, n, ref mut layout } = self;
        assert!(k.is_multiple_of(taps), "{taps} taps in a filter of {k}");
        assert!(scale.is_none_or(|scale| scale.len() == n), "number of scales");
        let channels = k / taps;
        match layout {
            Layout::Panels(panels) => panels.pack_filters([channels, taps], scale, read),
            #[cfg(feature = "matrixmultiply")]
            Layout::Plain(values) => {
                by_matrixmultiply::pack_filters(values, [k, n], taps, scale, read)
            }
        }
    }

    /// Packs `values`, `[k, n]` row-major.
    ///
    /// # Panics
    /// If their number is not k · n.
    pub fn from_rows(
        team: &mut Team,
        backend: Backend,
        k: usize,
        n: usize,
        values: &[f32],
    ) -> Self {
        assert_eq!(Some(values.len()), k.checked_mul(n), "a matrix of {k} x {n}");
        let mut packed = Self::zeros(backend, k, n);
        let write = |columns: Range<usize>, panel: &mut [f32], stride: usize| {
            for (row, values) in panel.chunks_exact_mut(stride).zip(values.chunks_exact(n)) {
                row[..columns.len()].copy_from_slice(&values[columns.clone()]);
            }
        };
        packed.pack_panels(write).run(team);
        packed
    }

    /// Rows of B.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Columns of B.
    pub fn n(&self) -> usize {
        self.n
    }

    /// The panels, if it is packed for a kernel of ours.
    pub(crate) fn panels(&self) -> Option<&Panels> {
        match &self.layout {
            Layout::Panels(panels) => Some(panels),
            #[cfg(feature = "matrixmultiply")]
            Layout::Plain(_) => None,
        }
    }
}

/// B for a kernel of ours: panels of NR columns one after the other; in a panel, the NR values of
/// each step of k side by side. The last panel has as many vectors as its columns need, filled up
/// with zeros.
pub(crate) struct Panels {
    pub(crate) kernel: Kernel,
    pub(crate) k: usize,
    pub(crate) n: usize,
    values: AlignedBuf,
}

const TOO_LARGE: &str = "a matrix larger than the address space";

/// The floats of a matrix of `k` x `n`.
fn floats(k: usize, n: usize) -> usize {
    k.checked_mul(n).expect(TOO_LARGE)
}

/// Floats of filters that a task packs, at least: half a megabyte.
const TASK: usize = 128 * 1024;

impl Panels {
    fn zeros(kernel: Kernel, k: usize, n: usize) -> Self {
        let width = n.checked_next_multiple_of(kernel.lanes).expect(TOO_LARGE);
        Self { kernel, k, n, values: AlignedBuf::zeroed(floats(k, width)) }
    }

    /// As [`PackedB::pack_panels`].
    fn pack<'a>(
        &'a mut self,
        write: impl Fn(Range<usize>, &mut [f32], usize) + Sync + Send + 'a,
    ) -> Tasks<'a> {
        let &mut Self { kernel, k, n, ref mut values } = self;
        Tasks::of_chunks(values, (kernel.nr * k).max(1), move |panel, values, _| {
            let first = panel * kernel.nr;
            let columns = kernel.nr.min(n - first);
            write(first..first + columns, values, columns.next_multiple_of(kernel.lanes));
        })
    }

    /// As [`PackedB::pack_filters`].
    fn pack_filters<'a>(
        &'a mut self,
        [channels, taps]: [usize; 2],
        scale: Option<&'a [f64]>,
        read: impl Fn(Range<usize>, &mut dyn FnMut(&[f32])) + Sync + Send + 'a,
    ) -> Tasks<'a> {
        let &mut Self { kernel, k, n, ref mut values } = self;
        // The last panel is the only one that may be narrower.
        let panel_len = (kernel.nr * k).max(1);
        let panels = TASK.div_ceil(panel_len);
        Tasks::of_chunks(values, panel_len * panels, move |task, values, _| {
            let first = task * panels * kernel.nr;
            let columns = first..n.min(first + panels * kernel.nr);
            read(columns.start * k..columns.end * k, &mut |filters| {
                assert_eq!(filters.len(), columns.len() * k, "number of weights");
                for (panel, values) in values.chunks_mut(panel_len).enumerate() {
                    let first = panel * kernel.nr;
                    let panel_columns = first..columns.len().min(first + kernel.nr);
                    let scale = scale.map(|scale| &scale[columns.clone()][panel_columns.clone()]);
                    kernel.isa().dispatch(PackFilters {
                        filters: &filters[panel_columns.start * k..panel_columns.end * k],
                        scale,
                        channels,
                        taps,
                        panel: values,
                        width: panel_columns.len().next_multiple_of(kernel.lanes),
                    });
                }
            });
        })
    }

    /// How many panels there are.
    pub(crate) fn count(&self) -> usize {
        self.n.div_ceil(self.kernel.nr)
    }

    /// The columns of some panels.
    pub(crate) fn columns(&self, panels: &Range<usize>) -> Range<usize> {
        let [start, end] = [panels.start, panels.end].map(|p| self.n.min(p * self.kernel.nr));
        start..end
    }

    /// The values of `panel` from step `k` on, and how many columns it has.
    pub(super) fn panel(&self, panel: usize, k: usize) -> (&[f32], usize) {
        let first = panel * self.kernel.nr;
        let columns = self.kernel.nr.min(self.n - first);
        let width = columns.next_multiple_of(self.kernel.lanes);
        (&self.values[first * self.k..][..width * self.k][width * k..], columns)
    }
}
