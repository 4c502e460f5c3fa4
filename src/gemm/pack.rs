//! Where panels come from: B packed once, A block by block from a source.

use super::kernels::Kernel;
use crate::runtime::AlignedBuf;
use crate::simd::Isa;

/// The left operand: `rows` x `k`, wherever its values are.
pub trait ASource: Sync {
    /// Rows of A.
    fn rows(&self) -> usize;
    /// Columns of A.
    fn k(&self) -> usize;
    /// A as it lies in memory and the distance of its rows, if the kernel may read it there.
    fn in_place(&self) -> Option<(&[f32], usize)> {
        None
    }
    /// Writes `dst[i * stride + j]` = A[row + i, k + j] for `i < rows`, `j < steps`.
    fn pack(&self, row: usize, rows: usize, k: usize, steps: usize, dst: &mut [f32], stride: usize);
}

/// A row-major matrix in memory.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    k: usize,
}

impl<'a> Matrix<'a> {
    /// `values` as `rows` rows of `k`.
    ///
    /// # Panics
    /// If their number differs.
    pub fn new(values: &'a [f32], rows: usize, k: usize) -> Self {
        assert_eq!(values.len(), rows * k, "a matrix of {rows} x {k}");
        Self { values, rows, k }
    }
}

/// Rows this far apart (floats) or more fall on few sets of the first-level cache when the distance
/// is a power of two, so they are copied into a panel with a better stride.
const FAR_APART: usize = 512;

impl ASource for Matrix<'_> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn k(&self) -> usize {
        self.k
    }

    fn in_place(&self) -> Option<(&[f32], usize)> {
        (self.k < FAR_APART || !self.k.is_multiple_of(FAR_APART)).then_some((self.values, self.k))
    }

    fn pack(
        &self,
        row: usize,
        rows: usize,
        k: usize,
        steps: usize,
        dst: &mut [f32],
        stride: usize,
    ) {
        for (i, dst) in dst.chunks_mut(stride).take(rows).enumerate() {
            let at = (row + i) * self.k + k;
            dst[..steps].copy_from_slice(&self.values[at..at + steps]);
        }
    }
}

/// The right operand, `k` x `n`, packed for the kernel of one instruction set.
///
/// Panels of NR columns one after the other; in a panel, the NR values of each step of k side by
/// side. The last panel has as many vectors as its columns need, filled up with zeros.
pub struct PackedB {
    kernel: Kernel,
    k: usize,
    n: usize,
    values: AlignedBuf,
}

impl PackedB {
    /// Packs B[p, j] = `value(p, j)`.
    pub fn new(isa: Isa, k: usize, n: usize, value: impl Fn(usize, usize) -> f32) -> Self {
        let kernel = Kernel::of(isa);
        let mut packed = Self { kernel, k, n, values: AlignedBuf::zeroed(k * padded(&kernel, n)) };
        for panel in 0..n.div_ceil(kernel.nr) {
            let first = panel * kernel.nr;
            let columns = kernel.nr.min(n - first);
            let width = padded(&kernel, columns);
            let values = &mut packed.values[first * k..][..width * k];
            for (p, step) in values.chunks_exact_mut(width).enumerate() {
                for (j, v) in step[..columns].iter_mut().enumerate() {
                    *v = value(p, first + j);
                }
            }
        }
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

    /// The kernel that it is packed for.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// The values of `panel` from step `k` on, and how many columns it has.
    pub(super) fn panel(&self, panel: usize, k: usize) -> (&[f32], usize) {
        let first = panel * self.kernel.nr;
        let columns = self.kernel.nr.min(self.n - first);
        let width = padded(&self.kernel, columns);
        (&self.values[first * self.k..][..width * self.k][width * k..], columns)
    }
}

/// `columns` filled up to whole vectors.
fn padded(kernel: &Kernel, columns: usize) -> usize {
    columns.next_multiple_of(kernel.lanes)
}
