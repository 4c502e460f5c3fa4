//! Filters in the transformed domain: one matrix a frequency, packed once for many uses.

use super::scheme::Scheme;
use crate::simd::{Isa, Simd, SimdOp};
use std::marker::PhantomData;

/// Where the nine taps of each pair of channels lie in a buffer of weights.
#[derive(Clone, Copy)]
pub(super) struct Taps<'a> {
    pub(super) weights: &'a [f32],
    /// Channels that are summed over.
    pub(super) channels: usize,
    /// Channels of the output.
    pub(super) outputs: usize,
    /// From one to the next.
    pub(super) out_stride: usize,
    /// From one channel that is summed over to the next.
    pub(super) channel_stride: usize,
    /// Whether the filter is turned round, as the gradient of the input needs it.
    pub(super) turned: bool,
    /// What the weights of each output are multiplied by first.
    pub(super) scale: Option<&'a [f64]>,
}

/// Outputs that are transformed side by side, as long as there are so many.
const MANY: usize = 16;
/// The same for those that are left.
const FEW: usize = 4;

/// Channels by which weights are fetched ahead: each output's lie far from the next one's.
const AHEAD: usize = 8;

/// Transforms filters: `panel`, rows `stride` apart, has T · T parts of equal length, and row c of part f becomes frequency f
/// of channel c, computed in f64 and rounded once. There are whole fours of outputs.
pub(super) fn transform_filters<const M: usize, const T: usize, P: Scheme<M, T>>(
    isa: Isa,
    taps: Taps,
    panel: &mut [f32],
    stride: usize,
) {
    isa.dispatch(Transform::<M, T, P> { taps, panel, stride, scheme: PhantomData });
}

struct Transform<'a, const M: usize, const T: usize, P> {
    taps: Taps<'a>,
    panel: &'a mut [f32],
    stride: usize,
    scheme: PhantomData<P>,
}

impl<const M: usize, const T: usize, P: Scheme<M, T>> SimdOp for Transform<'_, M, T, P> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(mut self, s: S) {
        let Taps { outputs, channels, .. } = self.taps;
        let frequency = self.panel.len() / (T * T);
        for channel in 0..channels {
            let mut first = 0;
            while first + MANY <= outputs {
                self.outputs::<S, MANY>(s, channel, frequency, first);
                first += MANY;
            }
            while first < outputs {
                self.outputs::<S, FEW>(s, channel, frequency, first);
                first += FEW;
            }
        }
    }
}

impl<const M: usize, const T: usize, P: Scheme<M, T>> Transform<'_, M, T, P> {
    /// Those of `N` outputs from `first` on. Plain loops over the outputs side by side: compiled for the
    /// instruction set, they are vectors.
    #[inline(always)]
    fn outputs<S: Simd, const N: usize>(
        &mut self,
        s: S,
        channel: usize,
        frequency: usize,
        first: usize,
    ) {
        let Taps { weights, out_stride, channel_stride, turned, scale, .. } = self.taps;
        let mut scales = [1.0; N];
        if let Some(scale) = scale {
            scales.copy_from_slice(&scale[first..first + N]);
        }
        let mut taps = [[[0.0_f64; N]; 3]; 3];
        for lane in 0..N {
            let at = (first + lane) * out_stride + channel * channel_stride;
            s.prefetch_read(weights.as_ptr().wrapping_add(at + AHEAD * channel_stride));
            let filter: &[f32; 9] = weights[at..].first_chunk().expect("nine taps");
            for (tap, &weight) in filter.iter().enumerate() {
                let tap = if turned { 8 - tap } else { tap };
                taps[tap / 3][tap % 3][lane] = f64::from(weight) * scales[lane];
            }
        }
        let mut half = [[[0.0_f64; N]; 3]; T];
        for x in 0..3 {
            for lane in 0..N {
                let by_y = P::filter([taps[0][x][lane], taps[1][x][lane], taps[2][x][lane]]);
                for y in 0..T {
                    half[y][x][lane] = by_y[y];
                }
            }
        }
        for (y, [left, middle, right]) in half.iter().enumerate() {
            let mut row = [[0.0_f32; N]; T];
            for lane in 0..N {
                let by_x = P::filter([left[lane], middle[lane], right[lane]]);
                for x in 0..T {
                    row[x][lane] = by_x[x] as f32;
                }
            }
            for (x, values) in row.iter().enumerate() {
                let at = (y * T + x) * frequency + channel * self.stride + first;
                self.panel[at..][..N].copy_from_slice(values);
            }
        }
    }
}
