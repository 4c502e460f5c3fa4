//! What a computation reads: values as they lie, or with the batch norm and the ReLU before them still to be applied.
//!
//! The activation between two convolutions is so never stored: whoever reads it applies the map to the rows it
//! is about to use, with the operations of [`normalize`](crate::ops::batch_norm::normalize), so that the bits are the
//! same.

use crate::runtime::Team;
use crate::simd::{Isa, Simd, SimdOp};
use std::ops::Range;

/// The left operand of a layer, `[pixels, channels]`.
#[derive(Clone, Copy)]
pub struct Operand<'a> {
    values: &'a [f32],
    activation: Option<Activation<'a>>,
}

/// Floats that a task writes where all of an operand is.
const TASK: usize = 32 * 1024;

/// relu(x · scale + shift), channel by channel.
#[derive(Clone, Copy)]
struct Activation<'a> {
    isa: Isa,
    scale: &'a [f32],
    shift: &'a [f32],
}

impl<'a> Operand<'a> {
    /// relu(`values` · `scale` + `shift`), the last two `[channels]`, computed by `isa`.
    ///
    /// # Panics
    /// If there is not a whole number of pixels.
    pub fn activated(isa: Isa, values: &'a [f32], scale: &'a [f32], shift: &'a [f32]) -> Self {
        assert_eq!(scale.len(), shift.len(), "channels of scale and shift");
        assert!(values.len().is_multiple_of(scale.len()), "{} values", values.len());
        Self { values, activation: Some(Activation { isa, scale, shift }) }
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// The values, if nothing is to be applied.
    pub(crate) fn plain(&self) -> Option<&'a [f32]> {
        self.activation.is_none().then_some(self.values)
    }

    /// Calls `compute` with all values, none of them still to be computed.
    pub(crate) fn with_plain(&self, team: &mut Team, compute: impl FnOnce(&mut Team, &[f32])) {
        let Some(Activation { isa, scale, .. }) = self.activation else {
            return compute(team, self.values);
        };
        let (values, mut team) = team.take(self.len());
        let len = (TASK / scale.len()).max(1) * scale.len();
        team.for_each_chunk(values, len, |task, to, _| self.write(isa, task * len, to));
        compute(&mut team, values);
    }

    /// Writes the values from `at` on, the first of a pixel, to `to`, which are whole pixels.
    ///
    /// # Panics
    /// If there are fewer.
    pub(crate) fn write(&self, isa: Isa, at: usize, to: &mut [f32]) {
        let channels = self.activation.map_or(to.len(), |map| map.scale.len()).max(1);
        let (rows, columns) = (to.len() / channels, 0..channels);
        self.write_rows(isa, channels, at, rows, columns, to, channels);
    }

    /// Writes `to[i * stride + j]` = value `at + i * channels + columns.start + j`, for `rows` pixels and all `columns`.
    ///
    /// # Panics
    /// If there are fewer, or `channels` are not those of the operand.
    pub(super) fn write_rows(
        &self,
        isa: Isa,
        channels: usize,
        at: usize,
        rows: usize,
        columns: Range<usize>,
        to: &mut [f32],
        stride: usize,
    ) {
        let fits = |map: Activation| map.scale.len() == channels && at.is_multiple_of(channels);
        assert!(self.activation.is_none_or(fits), "pixels of {channels} channels");
        if rows > 0 {
            let &Self { values, activation } = self;
            let isa = activation.map_or(isa, |map| map.isa);
            isa.dispatch(Write { values, activation, channels, at, rows, columns, to, stride });
        }
    }
}

impl<'a, T: AsRef<[f32]> + ?Sized> From<&'a T> for Operand<'a> {
    fn from(values: &'a T) -> Self {
        Self { values: values.as_ref(), activation: None }
    }
}

/// See [`Operand::write_rows`].
struct Write<'a> {
    values: &'a [f32],
    activation: Option<Activation<'a>>,
    channels: usize,
    at: usize,
    rows: usize,
    columns: Range<usize>,
    to: &'a mut [f32],
    stride: usize,
}

impl SimdOp for Write<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let Self { values, activation, channels, at, rows, columns, to, stride } = self;
        for (i, to) in to.chunks_mut(stride.max(1)).take(rows).enumerate() {
            let from = &values[at + i * channels..][columns.clone()];
            let to = &mut to[..columns.len()];
            let Some(Activation { scale, shift, .. }) = activation else {
                s.copy(from, to);
                continue;
            };
            let maps = scale[columns.clone()]
                .chunks(S::LANES)
                .zip(shift[columns.clone()].chunks(S::LANES));
            let values = from.chunks(S::LANES).zip(to.chunks_mut(S::LANES));
            for ((x, to), (scale, shift)) in values.zip(maps) {
                let y = s.fma(s.load(x), s.load(scale), s.load(shift));
                s.store(s.max(s.splat(0.0), y), to);
            }
        }
    }
}
