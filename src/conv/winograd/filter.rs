//! Filters in the transformed domain: one matrix a frequency, packed once for many uses.

use super::scheme::Scheme;
use crate::simd::{Isa, Simd, SimdOp};
use std::marker::PhantomData;

/// Where the nine taps of each pair of channels lie in a buffer of weights.
#[derive(Clone, Copy)]
pub(super) struct Taps<'a> {
    pub(super) weights: &'a [f32],
    /// From one channel that is summed over to the next.
    pub(super) channel_stride: usize,
    /// Whether the filter is turned round, as the gradient of the input needs it.
    pub(super) turned: bool,
    /// What each weight is multiplied by first.
    pub(super) scale: f64,
}

/// Channels that are transformed side by side.
const SIDE_BY_SIDE: usize = 16;

/// Transforms the filters of one output channel: `column[f * channels + c]` is frequency f of
/// channel c, computed in f64 and rounded once.
pub(super) fn transform_column<const M: usize, const T: usize, P: Scheme<M, T>>(
    isa: Isa,
    taps: Taps,
    column: &mut [f32],
) {
    isa.dispatch(Transform::<M, T, P> { taps, column, scheme: PhantomData });
}

struct Transform<'a, const M: usize, const T: usize, P> {
    taps: Taps<'a>,
    column: &'a mut [f32],
    scheme: PhantomData<P>,
}

impl<const M: usize, const T: usize, P: Scheme<M, T>> SimdOp for Transform<'_, M, T, P> {
    type Output = ();

    // Plain loops over the channels side by side: compiled for the instruction set, they are vectors.
    #[inline(always)]
    fn eval<S: Simd>(self, _: S) {
        let Taps { weights, channel_stride, turned, scale } = self.taps;
        let channels = self.column.len() / (T * T);
        for first in (0..channels).step_by(SIDE_BY_SIDE) {
            let mut taps = [[[0.0_f64; SIDE_BY_SIDE]; 3]; 3];
            for lane in 0..SIDE_BY_SIDE {
                let filter: &[f32; 9] =
                    weights[(first + lane) * channel_stride..].first_chunk().expect("nine taps");
                for (tap, &weight) in filter.iter().enumerate() {
                    let tap = if turned { 8 - tap } else { tap };
                    taps[tap / 3][tap % 3][lane] = f64::from(weight) * scale;
                }
            }
            let mut half = [[[0.0_f64; SIDE_BY_SIDE]; 3]; T];
            for x in 0..3 {
                for lane in 0..SIDE_BY_SIDE {
                    let by_y = P::filter([taps[0][x][lane], taps[1][x][lane], taps[2][x][lane]]);
                    for y in 0..T {
                        half[y][x][lane] = by_y[y];
                    }
                }
            }
            for (y, [left, middle, right]) in half.iter().enumerate() {
                let mut row = [[0.0_f32; SIDE_BY_SIDE]; T];
                for lane in 0..SIDE_BY_SIDE {
                    let by_x = P::filter([left[lane], middle[lane], right[lane]]);
                    for x in 0..T {
                        row[x][lane] = by_x[x] as f32;
                    }
                }
                for (x, values) in row.iter().enumerate() {
                    self.column[(y * T + x) * channels + first..][..SIDE_BY_SIDE]
                        .copy_from_slice(values);
                }
            }
        }
    }
}
