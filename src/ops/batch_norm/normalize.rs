//! The forward pass proper: an affine map of each channel, the shortcut, ReLU.

use super::{Coefficients, task_len};
use crate::simd::{Isa, Simd, SimdOp};
use rayon::prelude::*;

/// out = relu(x · scale + shift + residual), residual and ReLU optional. `x`, `residual` and `out`
/// are `[pixels, channels]`. NaN stays NaN.
///
/// # Panics
/// If their sizes differ or are not whole pixels.
pub fn normalize(
    isa: Isa,
    x: &[f32],
    coefficients: &Coefficients,
    residual: Option<&[f32]>,
    relu: bool,
    out: &mut [f32],
) {
    let channels = coefficients.scale.len();
    assert!(x.len().is_multiple_of(channels), "{} values of {channels}", x.len());
    assert_eq!(out.len(), x.len(), "size of the output");
    assert!(residual.is_none_or(|r| r.len() == x.len()), "size of the residual");
    let len = task_len(channels);
    x.par_chunks(len).zip(out.par_chunks_mut(len)).enumerate().for_each(|(task, (x, out))| {
        let residual = residual.map(|r| &r[task * len..][..x.len()]);
        isa.dispatch(Pixels { x, coefficients, residual, relu, out });
    });
}

struct Pixels<'a> {
    x: &'a [f32],
    coefficients: &'a Coefficients,
    residual: Option<&'a [f32]>,
    relu: bool,
    out: &'a mut [f32],
}

impl SimdOp for Pixels<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let Coefficients { scale, shift } = self.coefficients;
        let channels = scale.len();
        let zero = s.splat(0.0);
        for (pixel, out) in self.out.chunks_exact_mut(channels).enumerate() {
            for first in (0..channels).step_by(S::LANES) {
                let end = (first + S::LANES).min(channels);
                let at = pixel * channels + first..pixel * channels + end;
                let x = s.load(&self.x[at.clone()]);
                let mut y = s.fma(x, s.load(&scale[first..end]), s.load(&shift[first..end]));
                if let Some(residual) = self.residual {
                    y = s.add(y, s.load(&residual[at]));
                }
                if self.relu {
                    y = s.max(zero, y);
                }
                s.store(y, &mut out[first..end]);
            }
        }
    }
}
