//! Which code multiplies: ours, or the `matrixmultiply` crate as a second opinion.

use super::{ASource, Epilogue, Part};
use crate::runtime::Team;
use crate::simd::Isa;

/// Who computes the products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The kernels of this crate, on the given instruction set.
    Native(Isa),
    /// A plain im2col and the `matrixmultiply` crate: a differential test of everything around the
    /// kernels, and an honest yardstick of their speed.
    Matrixmultiply,
}

impl Backend {
    /// The instruction set of everything that runs beside the products: the backend's own, or the
    /// fastest that this CPU has.
    pub fn isa(self) -> Isa {
        match self {
            Self::Native(isa) => isa,
            Self::Matrixmultiply => Isa::best(),
        }
    }
}

/// Rows that one task materialises and multiplies.
const ROWS: usize = 256;

/// C = epilogue(A · B) by `matrixmultiply`, `b` row-major `[k, n]`.
pub(super) fn by_matrixmultiply<A: ASource>(
    team: &mut Team,
    a: &A,
    b: &[f32],
    n: usize,
    c: &mut [f32],
    epilogue: &Epilogue,
) {
    let k = a.k();
    team.for_each_chunk(c, ROWS * n, |task, c, mut scratch| {
        let (first, rows) = (task * ROWS, c.len() / n);
        let (patches, _) = scratch.take(rows * k.max(1));
        if k > 0 {
            a.pack(Isa::best(), Part { row: first, rows, k: 0, steps: k }, patches, k);
        }
        // SAFETY: `patches` is rows x k, `b` k x n and `c` rows x n, all row-major and contiguous.
        unsafe {
            let (k_stride, n_stride) = (k as isize, n as isize);
            matrixmultiply::sgemm(
                rows,
                k,
                n,
                1.0,
                patches.as_ptr(),
                k_stride,
                1,
                b.as_ptr(),
                n_stride,
                1,
                0.0,
                c.as_mut_ptr(),
                n_stride,
                1,
            );
        }
        for (i, row) in c.chunks_exact_mut(n).enumerate() {
            for (j, value) in row.iter_mut().enumerate() {
                *value += epilogue.bias.map_or(0.0, |bias| bias[j]);
                *value += epilogue.residual.map_or(0.0, |r| r[(first + i) * n + j]);
                if epilogue.relu && *value < 0.0 {
                    *value = 0.0;
                }
            }
        }
    });
}
