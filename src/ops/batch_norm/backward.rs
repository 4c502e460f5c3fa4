//! The gradients of batch normalisation and of the ReLU after it.
//!
//! With dz the gradient that passes the ReLU, and sums over all m pixels:
//!
//! ```text
//! dβ = Σ dz        dγ = Σ dz · x̂        dx = γ / √(var + ε) · (dz - dβ/m - x̂ · dγ/m)
//! ```
//!
//! dx needs both sums, hence two passes. It is an affine map of dz and x, a · dz + b · x + c.

use super::super::channels::{BlockSums, Cut, Pixelwise, each_vector, sum_block};
use super::super::narrow;
use super::{Coefficients, Statistics, task_len};
use crate::runtime::{ChunksMut, Team};
use crate::simd::{Isa, Simd, SimdOp};
use std::ops::Range;

/// Which gradients pass the ReLU after the normalisation: those where its output is positive.
#[derive(Clone, Copy, Debug)]
pub enum ReluMask<'a> {
    /// There is no ReLU: all pass.
    None,
    /// The ReLU's output, kept; of the gradient's shape. For the end of a block, where a shortcut
    /// was added before the ReLU.
    Output(&'a [f32]),
    /// What the forward pass normalised with: the output is computed again from x, to the same bits.
    Recompute(&'a Coefficients),
}

impl<'a> ReluMask<'a> {
    /// The mask of a part of the tensor.
    fn part(self, range: Range<usize>) -> Self {
        match self {
            ReluMask::Output(out) => ReluMask::Output(&out[range]),
            other => other,
        }
    }

    fn check(self, len: usize, channels: usize) {
        match self {
            ReluMask::None => {}
            ReluMask::Output(out) => assert_eq!(out.len(), len, "size of the ReLU's output"),
            ReluMask::Recompute(c) => assert_eq!(c.scale.len(), channels, "channels of the mask"),
        }
    }

    /// `gradient` where it passes, else 0, for `len` values `x` from `at` on, in the channels from
    /// `channel` on.
    #[inline(always)]
    fn apply<S: Simd>(
        self,
        s: S,
        gradient: S::V,
        x: S::V,
        at: usize,
        channel: usize,
        len: usize,
    ) -> S::V {
        let out = match self {
            ReluMask::None => return gradient,
            ReluMask::Output(out) => s.load(&out[at..at + len]),
            ReluMask::Recompute(c) => {
                let channels = channel..channel + len;
                s.fma(x, s.load(&c.scale[channels.clone()]), s.load(&c.shift[channels]))
            }
        };
        let zero = s.splat(0.0);
        s.if_gt(out, zero, gradient, zero)
    }
}

/// dγ and dβ, `[channels]` each, from the convolution's output `x` and the gradient `dout` of the
/// output, both `[pixels, channels]`.
///
/// # Panics
/// If the sizes do not fit together.
pub fn backward_sums(
    team: &mut Team,
    isa: Isa,
    x: &[f32],
    dout: &[f32],
    mask: ReluMask,
    statistics: &Statistics,
    epsilon: f32,
) -> (Vec<f32>, Vec<f32>) {
    let channels = statistics.mean.len();
    assert_eq!(x.len(), statistics.pixels * channels, "pixels of the statistics");
    assert_eq!(dout.len(), x.len(), "size of the gradient");
    mask.check(x.len(), channels);
    let cut = Cut::new(statistics.pixels, channels);
    let len = cut.chunk * channels;
    let chunks: Vec<Sums<f64>> = team.map(x.len().div_ceil(len), |chunk, _| {
        let range = chunk * len..x.len().min((chunk + 1) * len);
        let (x, dout, mask) = (&x[range.clone()], &dout[range.clone()], mask.part(range));
        let mean = &statistics.mean;
        isa.dispatch(Chunk { x, dout, mask, mean, block: cut.block * channels })
    });
    let mut total = Sums::new(channels);
    for chunk in &chunks {
        total.add(chunk);
    }
    let dgamma = (0..channels)
        .map(|c| narrow(total.products[c] * statistics.inverse_std(c, epsilon)))
        .collect();
    (dgamma, total.gradients.iter().map(|&sum| narrow(sum)).collect())
}

/// Sums over pixels, `[channels]` each.
struct Sums<T> {
    /// Σ dz.
    gradients: Vec<T>,
    /// Σ dz · (x - mean).
    products: Vec<T>,
}

impl<T: Copy + Default> Sums<T> {
    fn new(channels: usize) -> Self {
        Self { gradients: vec![T::default(); channels], products: vec![T::default(); channels] }
    }
}

impl Sums<f64> {
    #[inline(always)]
    fn add<T: Copy + Into<f64>>(&mut self, other: &Sums<T>) {
        for (sum, &more) in self.gradients.iter_mut().zip(&other.gradients) {
            *sum += more.into();
        }
        for (sum, &more) in self.products.iter_mut().zip(&other.products) {
            *sum += more.into();
        }
    }
}

/// The sums of one chunk.
struct Chunk<'a> {
    x: &'a [f32],
    dout: &'a [f32],
    mask: ReluMask<'a>,
    mean: &'a [f32],
    /// Floats a block.
    block: usize,
}

impl SimdOp for Chunk<'_> {
    type Output = Sums<f64>;

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) -> Sums<f64> {
        let channels = self.mean.len();
        let mut total = Sums::new(channels);
        let mut sums = Sums::new(channels);
        for start in (0..self.x.len()).step_by(self.block) {
            let range = start..(start + self.block).min(self.x.len());
            let mut block = Block {
                x: &self.x[range.clone()],
                dout: &self.dout[range.clone()],
                mask: self.mask.part(range),
                mean: self.mean,
                sums: &mut sums,
            };
            sum_block(s, channels, &mut block);
            total.add(&sums);
        }
        total
    }
}

/// One block and its sums.
struct Block<'a> {
    x: &'a [f32],
    dout: &'a [f32],
    mask: ReluMask<'a>,
    mean: &'a [f32],
    sums: &'a mut Sums<f32>,
}

impl BlockSums for Block<'_> {
    #[inline(always)]
    fn group<S: Simd, const VECTORS: usize>(&mut self, s: S, first: usize, end: usize) -> usize {
        let channels = self.mean.len();
        let mut gradients = [s.splat(0.0); VECTORS];
        let mut products = gradients;
        let mut means = gradients;
        for (v, mean) in means.iter_mut().enumerate() {
            *mean = s.load(&self.mean[first + v * S::LANES..end]);
        }
        for start in (0..self.x.len()).step_by(channels) {
            let x = &self.x[start + first..start + end];
            let dout = &self.dout[start + first..start + end];
            for v in 0..VECTORS {
                let (offset, len) = (v * S::LANES, S::LANES.min(end - first - v * S::LANES));
                let x = s.load(&x[offset..]);
                let dout = s.load(&dout[offset..]);
                let (at, channel) = (start + first + offset, first + offset);
                let dz = self.mask.apply(s, dout, x, at, channel, len);
                gradients[v] = s.add(gradients[v], dz);
                products[v] = s.fma(dz, s.sub(x, means[v]), products[v]);
            }
        }
        for v in 0..VECTORS {
            let at = first + v * S::LANES;
            s.store(gradients[v], &mut self.sums.gradients[at..end]);
            s.store(products[v], &mut self.sums.products[at..end]);
        }
        end
    }
}

/// dx as an affine map of dz and x in each channel: a · dz + b · x + c.
#[derive(Clone, Debug, PartialEq)]
pub struct Backward {
    /// γ / √(var + ε), `[channels]`.
    pub a: Vec<f32>,
    /// -a · dγ / (m · √(var + ε)), `[channels]`.
    pub b: Vec<f32>,
    /// -a · dβ / m - b · mean, `[channels]`.
    pub c: Vec<f32>,
}

impl Backward {
    /// The map of a batch with `statistics`, whose sums were `dgamma` and `dbeta`.
    ///
    /// # Panics
    /// If the numbers of channels differ.
    pub fn new(
        statistics: &Statistics,
        gamma: &[f32],
        epsilon: f32,
        dgamma: &[f32],
        dbeta: &[f32],
    ) -> Self {
        let channels = statistics.mean.len();
        let same = [gamma, dgamma, dbeta].iter().all(|values| values.len() == channels);
        assert!(same, "channels of gamma and of its and beta's gradients");
        let pixels = statistics.pixels as f64;
        let mut map = Self { a: vec![], b: vec![], c: vec![] };
        for i in 0..channels {
            let inverse_std = statistics.inverse_std(i, epsilon);
            let a = f64::from(gamma[i]) * inverse_std;
            let b = narrow(-a * inverse_std * f64::from(dgamma[i]) / pixels);
            // From the rounded b: what its rounding does to a large mean must cancel.
            let centre = f64::from(b) * f64::from(statistics.mean[i]);
            map.a.push(narrow(a));
            map.b.push(b);
            map.c.push(narrow(-a * f64::from(dbeta[i]) / pixels - centre));
        }
        map
    }
}

/// dx = a · dz + b · x + c, the gradient of the convolution's output; and, if asked for, dz itself,
/// the gradient of the shortcut. All are `[pixels, channels]`.
///
/// # Panics
/// If the sizes differ or are not whole pixels.
pub fn backward_input(
    team: &mut Team,
    isa: Isa,
    x: &[f32],
    dout: &[f32],
    mask: ReluMask,
    map: &Backward,
    dx: &mut [f32],
    dz: Option<&mut [f32]>,
) {
    let channels = map.a.len();
    assert!(x.len().is_multiple_of(channels), "{} values of {channels}", x.len());
    assert!(dout.len() == x.len() && dx.len() == x.len(), "size of the gradients");
    assert!(dz.as_ref().is_none_or(|dz| dz.len() == x.len()), "size of the shortcut's gradient");
    mask.check(x.len(), channels);
    let len = task_len(channels);
    let parts = (ChunksMut::new(dx, len), dz.map(|dz| ChunksMut::new(dz, len)));
    team.for_each_part(parts, |task, (dx, dz), _| {
        let range = task * len..task * len + dx.len();
        let (x, dout, mask) = (&x[range.clone()], &dout[range.clone()], mask.part(range));
        isa.dispatch(Pixels { x, dout, mask, map, dx, dz });
    });
}

struct Pixels<'a> {
    x: &'a [f32],
    dout: &'a [f32],
    mask: ReluMask<'a>,
    map: &'a Backward,
    dx: &'a mut [f32],
    dz: Option<&'a mut [f32]>,
}

impl SimdOp for Pixels<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(mut self, s: S) {
        let channels = self.map.a.len();
        each_vector(s, self.dx.len() / channels, channels, &mut self);
    }
}

impl Pixelwise for Pixels<'_> {
    #[inline(always)]
    fn vector<S: Simd>(&mut self, s: S, at: usize, channel: usize, len: usize) {
        let (values, channels) = (at..at + len, channel..channel + len);
        let of_channel = |coefficients: &[f32]| s.load(&coefficients[channels.clone()]);
        let (a, b, c) = (of_channel(&self.map.a), of_channel(&self.map.b), of_channel(&self.map.c));
        let x = s.load(&self.x[values.clone()]);
        let dz = self.mask.apply(s, s.load(&self.dout[values.clone()]), x, at, channel, len);
        s.store(s.fma(a, dz, s.fma(b, x, c)), &mut self.dx[values.clone()]);
        if let Some(shortcut) = &mut self.dz {
            s.store(dz, &mut shortcut[values]);
        }
    }
}
