//! The reference backend: a plain im2col and the `matrixmultiply` crate, with B row-major.

use super::pack_filters::scaled;
use super::{ASource, Epilogue, Part};
use crate::runtime::{Scratch, Tasks, Team};
use crate::simd::Isa;
use std::ops::Range;

/// Rows that one task materialises and multiplies.
const ROWS: usize = 256;

/// C = epilogue(A · B) by `matrixmultiply`, `b` row-major `[k, n]`.
pub(super) fn product<A: ASource>(
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

/// C = Aᵀ · B over some rows of A, for some of its columns; `b` and `c` are row-major with `n` columns.
pub(super) fn transposed<A: ASource>(
    a: &A,
    b: &[f32],
    n: usize,
    of_rows: Range<usize>,
    of_columns: Range<usize>,
    c: &mut [f32],
    mut scratch: Scratch,
) {
    let (rows, columns) = (of_rows.len(), of_columns.len());
    let (patches, _) = scratch.take((rows * columns).max(1));
    if rows > 0 {
        let (row, k) = (of_rows.start, of_columns.start);
        a.pack(Isa::best(), Part { row, rows, k, steps: columns }, patches, columns);
    }
    let b = &b[of_rows.start * n..of_rows.end * n];
    // SAFETY: `patches` is rows x columns, read as its transpose; `b` is rows x n and `c`
    // columns x n, row-major and contiguous.
    unsafe {
        let (a_stride, stride) = (columns as isize, n as isize);
        matrixmultiply::sgemm(
            columns,
            rows,
            n,
            1.0,
            patches.as_ptr(),
            1,
            a_stride,
            b.as_ptr(),
            stride,
            1,
            0.0,
            c.as_mut_ptr(),
            stride,
            1,
        );
    }
}

/// As [`PackedB::pack_filters`](super::PackedB::pack_filters).
pub(super) fn pack_filters<'a>(
    values: &'a mut [f32],
    [k, n]: [usize; 2],
    taps: usize,
    scale: Option<&'a [f64]>,
    read: impl Fn(Range<usize>, &mut dyn FnMut(&[f32])) + Sync + Send + 'a,
) -> Tasks<'a> {
    let channels = k / taps;
    Tasks::of_chunks(values, (n * k).max(1), move |_, values, _| {
        read(0..n * k, &mut |filters| {
            assert_eq!(filters.len(), n * k, "number of weights");
            for (i, &weight) in filters.iter().enumerate() {
                let (column, channel, tap) = (i / k, i % k / taps, i % taps);
                let scale = scale.map_or(1.0, |scale| scale[column]);
                values[(tap * channels + channel) * n + column] = scaled(weight, scale);
            }
        });
    })
}
