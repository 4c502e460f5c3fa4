//! The forward pass proper: an affine map of each channel, the shortcut, ReLU.

use super::super::channels::{Pixelwise, each_vector};
use super::{Coefficients, task_len};
use crate::runtime::Team;
use crate::simd::{Isa, Simd, SimdOp};

/// What is added after a normalisation.
#[derive(Clone, Copy, Debug)]
pub struct Residual<'a> {
    /// `[pixels, channels]`
    pub values: &'a [f32],
    /// The normalisation that they are still to go through themselves, as a projection's output is.
    pub map: Option<&'a Coefficients>,
}

/// out = relu(x · scale + shift + residual), residual and ReLU optional. `x`, the residual's values and `out`
/// are `[pixels, channels]`. NaN stays NaN.
///
/// # Panics
/// If their sizes differ or are not whole pixels.
pub fn normalize(
    team: &mut Team,
    isa: Isa,
    x: &[f32],
    coefficients: &Coefficients,
    residual: Option<Residual>,
    relu: bool,
    out: &mut [f32],
) {
    let channels = coefficients.scale.len();
    assert!(x.len().is_multiple_of(channels), "{} values of {channels}", x.len());
    assert_eq!(out.len(), x.len(), "size of the output");
    assert!(residual.is_none_or(|r| r.values.len() == x.len()), "size of the residual");
    let map = residual.and_then(|residual| residual.map);
    assert!(map.is_none_or(|map| map.scale.len() == channels), "channels of the residual");
    let len = task_len(channels);
    team.for_each_chunk(out, len, |task, out, _| {
        let x = &x[task * len..][..out.len()];
        let residual = residual.map(|r| r.values).map(|r| &r[task * len..][..x.len()]);
        isa.dispatch(Pixels { x, coefficients, residual, map, relu, out });
    });
}

struct Pixels<'a> {
    x: &'a [f32],
    coefficients: &'a Coefficients,
    residual: Option<&'a [f32]>,
    map: Option<&'a Coefficients>,
    relu: bool,
    out: &'a mut [f32],
}

impl SimdOp for Pixels<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(mut self, s: S) {
        let channels = self.coefficients.scale.len();
        each_vector(s, self.out.len() / channels, channels, &mut self);
    }
}

impl Pixelwise for Pixels<'_> {
    #[inline(always)]
    fn vector<S: Simd>(&mut self, s: S, at: usize, channel: usize, len: usize) {
        let (values, channels) = (at..at + len, channel..channel + len);
        let scale = s.load(&self.coefficients.scale[channels.clone()]);
        let shift = s.load(&self.coefficients.shift[channels.clone()]);
        let mut y = s.fma(s.load(&self.x[values.clone()]), scale, shift);
        if let Some(residual) = self.residual {
            let mut residual = s.load(&residual[values.clone()]);
            if let Some(Coefficients { scale, shift }) = self.map {
                let (scale, shift) = (s.load(&scale[channels.clone()]), s.load(&shift[channels]));
                residual = s.fma(residual, scale, shift);
            }
            y = s.add(y, residual);
        }
        if self.relu {
            y = s.max(s.splat(0.0), y);
        }
        s.store(y, &mut self.out[values]);
    }
}
