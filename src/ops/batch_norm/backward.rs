//! The gradients of batch normalisation and of the ReLU after it.
//!
//! With dz the gradient that passes the ReLU, and sums over all m pixels:
//!
//! ```text
//! dβ = Σ dz        dγ = Σ dz · x̂        dx = γ / √(var + ε) · (dz - dβ/m - x̂ · dγ/m)
//! ```
//!
//! dx needs both sums, hence two passes. It is an affine map of dz and x, a · dz + b · x + c.

use super::super::channels::{BlockSums, Blocks, Pixelwise, each_vector, sum_block};
use super::super::narrow;
use super::{Coefficients, Statistics, task_len};
use crate::gemm::AfterRows;
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

/// The sums that the gradients of a batch norm follow from. They may be taken while the gradient of its output is
/// computed, see [`BatchProducts::of`]: they are the same numbers as from all of it at once.
pub struct BatchProducts {
    isa: Isa,
    /// Two numbers a channel, see [`Block`].
    blocks: Blocks,
}

impl BatchProducts {
    /// Those of a tensor of `[pixels, channels]`, of which nothing is known yet.
    pub fn new(isa: Isa, pixels: usize, channels: usize) -> Self {
        Self { isa, blocks: Blocks::new(pixels, channels) }
    }

    /// Whoever is shown the rows of the gradient of the output, and zeroes what the ReLU stops. `x` is the
    /// convolution's output, `[pixels, channels]`, and `mask` the ReLU's.
    ///
    /// # Panics
    /// If the sizes do not fit together.
    pub fn of<'a>(
        &'a self,
        x: &'a [f32],
        mask: ReluMask<'a>,
        statistics: &'a Statistics,
    ) -> ProductsOf<'a> {
        let channels = statistics.mean.len();
        assert_eq!(x.len(), statistics.pixels * channels, "pixels of the statistics");
        mask.check(x.len(), channels);
        ProductsOf { products: self, x, mask, mean: &statistics.mean }
    }

    /// dγ and dβ, `[channels]` each, from the convolution's output `x` and the gradient `dout` of the
    /// output, both `[pixels, channels]`; of `dout`, what the ReLU stops becomes zero. Rows may have been shown
    /// before, if nothing has changed them since.
    ///
    /// # Panics
    /// If the sizes do not fit together.
    pub fn sums(
        &self,
        team: &mut Team,
        x: &[f32],
        dout: &mut [f32],
        mask: ReluMask,
        statistics: &Statistics,
        epsilon: f32,
    ) -> (Vec<f32>, Vec<f32>) {
        let channels = statistics.mean.len();
        assert_eq!(x.len(), statistics.pixels * channels, "pixels of the statistics");
        assert_eq!(dout.len(), x.len(), "size of the gradient");
        mask.check(x.len(), channels);
        let &Self { isa, ref blocks } = self;
        let len = blocks.chunk_len();
        let mut chunks: Vec<Sums> =
            (0..x.len().div_ceil(len)).map(|_| Sums::new(channels)).collect();
        let parts = (ChunksMut::new(dout, len), ChunksMut::new(&mut chunks, 1));
        team.for_each_part(parts, |chunk, (dout, sums), _| {
            let range = chunk * len..chunk * len + dout.len();
            let (x, mask, mean) = (&x[range.clone()], mask.part(range), &statistics.mean);
            let first = chunk * (len / blocks.block_len());
            isa.dispatch(Chunk { x, dout, mask, mean, blocks, first, sums: &mut sums[0] });
        });
        let mut total = Sums::new(channels);
        for chunk in &chunks {
            total.add(&chunk.gradients, &chunk.products);
        }
        let dgamma = (0..channels)
            .map(|c| narrow(total.products[c] * statistics.inverse_std(c, epsilon)))
            .collect();
        (dgamma, total.gradients.iter().map(|&sum| narrow(sum)).collect())
    }
}

/// Takes the sums of rows, see [`BatchProducts::of`].
pub struct ProductsOf<'a> {
    products: &'a BatchProducts,
    x: &'a [f32],
    mask: ReluMask<'a>,
    mean: &'a [f32],
}

impl AfterRows for ProductsOf<'_> {
    fn unit(&self) -> usize {
        self.products.blocks.unit()
    }

    fn rows(&self, first: usize, rows: &mut [f32]) {
        let (blocks, mean) = (&self.products.blocks, self.mean);
        let (inside, at) = blocks.inside(first, rows.len());
        let len = inside.len() * blocks.block_len();
        let range = inside.start * blocks.block_len()..inside.end * blocks.block_len();
        let (x, mask, dout) =
            (&self.x[range.clone()], self.mask.part(range), &mut rows[at..at + len]);
        self.products.isa.dispatch(Known { x, dout, mask, mean, blocks, first: inside.start });
    }
}

/// Σ dz and Σ dz · (x - mean) over pixels, `[channels]` each.
struct Sums {
    gradients: Vec<f64>,
    products: Vec<f64>,
}

impl Sums {
    fn new(channels: usize) -> Self {
        Self { gradients: vec![0.0; channels], products: vec![0.0; channels] }
    }

    #[inline(always)]
    fn add<T: Copy + Into<f64>>(&mut self, gradients: &[T], products: &[T]) {
        for (sum, &more) in self.gradients.iter_mut().zip(gradients) {
            *sum += more.into();
        }
        for (sum, &more) in self.products.iter_mut().zip(products) {
            *sum += more.into();
        }
    }
}

/// Looks at some whole blocks.
struct Known<'a> {
    x: &'a [f32],
    dout: &'a mut [f32],
    mask: ReluMask<'a>,
    mean: &'a [f32],
    blocks: &'a Blocks,
    /// The number of the first.
    first: usize,
}

impl SimdOp for Known<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let Self { x, dout, mask, mean, blocks, first } = self;
        let len = blocks.block_len();
        for (i, (x, dout)) in x.chunks_exact(len).zip(dout.chunks_exact_mut(len)).enumerate() {
            let mut sums = vec![0.0; 2 * mean.len()].into_boxed_slice();
            let mask = mask.part(i * len..(i + 1) * len);
            sum_block(s, mean.len(), &mut Block { x, dout, mask, mean, sums: &mut sums });
            blocks.set(first + i, sums);
        }
    }
}

/// The sums of one chunk.
struct Chunk<'a> {
    x: &'a [f32],
    dout: &'a mut [f32],
    mask: ReluMask<'a>,
    mean: &'a [f32],
    blocks: &'a Blocks,
    /// The number of its first block.
    first: usize,
    sums: &'a mut Sums,
}

impl SimdOp for Chunk<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let Self { x, dout, mask, mean, blocks, first, sums } = self;
        let len = blocks.block_len();
        let mut computed = vec![0.0; 2 * mean.len()];
        for (i, (x, dout)) in x.chunks(len).zip(dout.chunks_mut(len)).enumerate() {
            let numbers = match blocks.get(first + i) {
                Some(numbers) => numbers,
                None => {
                    let mask = mask.part(i * len..i * len + x.len());
                    let sums = &mut computed;
                    sum_block(s, mean.len(), &mut Block { x, dout, mask, mean, sums });
                    &computed
                }
            };
            let (gradients, products) = numbers.split_at(mean.len());
            sums.add(gradients, products);
        }
    }
}

/// One block.
struct Block<'a> {
    x: &'a [f32],
    /// Becomes dz.
    dout: &'a mut [f32],
    mask: ReluMask<'a>,
    mean: &'a [f32],
    /// Σ dz of each channel, then Σ dz · (x - mean).
    sums: &'a mut [f32],
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
            let dout = &mut self.dout[start + first..start + end];
            for v in 0..VECTORS {
                let (offset, len) = (v * S::LANES, S::LANES.min(end - first - v * S::LANES));
                let x = s.load(&x[offset..]);
                let dout = &mut dout[offset..];
                let (at, channel) = (start + first + offset, first + offset);
                let dz = self.mask.apply(s, s.load(dout), x, at, channel, len);
                s.store(dz, dout);
                gradients[v] = s.add(gradients[v], dz);
                products[v] = s.fma(dz, s.sub(x, means[v]), products[v]);
            }
        }
        let (sums, sums_of_products) = self.sums.split_at_mut(channels);
        for v in 0..VECTORS {
            let at = first + v * S::LANES;
            s.store(gradients[v], &mut sums[at..end]);
            s.store(products[v], &mut sums_of_products[at..end]);
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

/// dx = a · dz + b · x + c, the gradient of the convolution's output: written to `dx`, or, where there is none, over
/// `dz`. All are `[pixels, channels]`.
///
/// # Panics
/// If the sizes differ or are not whole pixels.
pub fn backward_input(
    team: &mut Team,
    isa: Isa,
    x: &[f32],
    dz: &mut [f32],
    map: &Backward,
    dx: Option<&mut [f32]>,
) {
    let channels = map.a.len();
    assert!(x.len().is_multiple_of(channels), "{} values of {channels}", x.len());
    let (dz, dx): (Option<&[f32]>, _) = match dx {
        Some(dx) => (Some(dz), dx),
        None => (None, dz),
    };
    let sizes = [dx.len(), dz.map_or(dx.len(), |dz| dz.len())];
    assert!(sizes == [x.len(); 2], "size of the gradients");
    let len = task_len(channels);
    team.for_each_chunk(dx, len, |task, dx, _| {
        let range = task * len..task * len + dx.len();
        let (x, dz) = (&x[range.clone()], dz.map(|dz| &dz[range]));
        isa.dispatch(Pixels { x, dz, map, dx });
    });
}

struct Pixels<'a> {
    x: &'a [f32],
    /// If none, it is what is in `dx`.
    dz: Option<&'a [f32]>,
    map: &'a Backward,
    dx: &'a mut [f32],
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
        let Backward { a, b, c } = self.map;
        let (a, b) = (s.load(&a[channels.clone()]), s.load(&b[channels.clone()]));
        let c = s.load(&c[channels]);
        let x = s.load(&self.x[values.clone()]);
        let dz = s.load(&self.dz.unwrap_or(self.dx)[values.clone()]);
        s.store(s.fma(a, dz, s.fma(b, x, c)), &mut self.dx[values]);
    }
}
