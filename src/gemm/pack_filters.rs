//! Packing of filters: each is a run of memory and becomes a column of a panel.
//!
//! A network's first run packs all of its weights, and training packs them at every step, so this is a
//! transposition that keeps up with memory: block by block, the filters of a panel are scaled into a
//! buffer in the first-level cache and leave it in squares of four by four.

use crate::simd::{Simd, SimdOp};
use wide::f32x4;

/// The most columns of a panel.
const COLUMNS: usize = 32;
/// Values of each filter that are in flight: with what they become, a panel's fill the first-level
/// cache.
const BLOCK: usize = 128;
/// Side of the squares.
const SQUARE: usize = 4;

/// Packs one panel.
pub(super) struct PackFilters<'a> {
    /// `[columns, channels, taps]`.
    pub(super) filters: &'a [f32],
    /// A factor for each column.
    pub(super) scale: Option<&'a [f64]>,
    pub(super) channels: usize,
    pub(super) taps: usize,
    /// `[taps, channels, width]`; zeros where there are fewer columns.
    pub(super) panel: &'a mut [f32],
    /// A multiple of [`SQUARE`], at most [`COLUMNS`].
    pub(super) width: usize,
}

impl SimdOp for PackFilters<'_> {
    type Output = ();

    /// The compiler makes vectors of the instruction set from these loops: they need no operation of
    /// `Simd`.
    #[inline(always)]
    fn eval<S: Simd>(self, _: S) {
        let Self { filters, scale, channels, taps, panel, width } = self;
        let k = channels * taps;
        let mut block = [[0.0; BLOCK]; COLUMNS];
        let (mut channel, mut tap) = (0, 0);
        for start in (0..k).step_by(BLOCK) {
            let len = BLOCK.min(k - start);
            for (j, (filter, block)) in filters.chunks_exact(k).zip(&mut block).enumerate() {
                let scale = scale.map_or(1.0, |scale| scale[j]);
                for (to, &weight) in block.iter_mut().zip(&filter[start..start + len]) {
                    *to = scaled(weight, scale);
                }
            }
            for at in (0..len).step_by(SQUARE) {
                let mut steps = [0; SQUARE];
                let steps = &mut steps[..SQUARE.min(len - at)];
                for step in &mut *steps {
                    *step = (tap * channels + channel) * width;
                    tap += 1;
                    if tap == taps {
                        (channel, tap) = (channel + 1, 0);
                    }
                }
                for column in (0..width).step_by(SQUARE) {
                    let square: [f32x4; SQUARE] = std::array::from_fn(|i| {
                        let values = &block[column + i][at..at + SQUARE];
                        f32x4::new(values.try_into().expect("four values"))
                    });
                    for (values, &mut step) in f32x4::transpose(square).iter().zip(&mut *steps) {
                        panel[step + column..][..SQUARE].copy_from_slice(values.as_array());
                    }
                }
            }
        }
    }
}

/// The product, rounded once.
#[inline(always)]
pub(super) fn scaled(weight: f32, scale: f64) -> f32 {
    (f64::from(weight) * scale) as f32
}
