//! The weights of a resizing along one axis, as Pillow computes them: a kernel as wide as the scale (never
//! narrower than it is), in f64, normalised, rounded to 22 binary places.
//!
//! Every output of a [`Filter`] has as many taps: those that would have fewer have some of weight 0, which
//! changes nothing. So loops over taps have one length.

use super::super::Interpolation;

/// Binary places of a weight: 32 bits less 8 of the pixel and 2 of headroom.
pub(super) const PRECISION: u32 = 32 - 8 - 2;

/// The taps of a run of outputs along one axis.
pub(super) struct Filter {
    /// The first input of each output.
    starts: Vec<usize>,
    /// `[outputs, taps]`, in units of 2^-22.
    weights: Vec<i32>,
    taps: usize,
}

/// What resizing along an axis is: its pixels before and after, and the kernel.
#[derive(Clone, Copy)]
pub(super) struct Axis {
    /// Pixels before.
    pub(super) from: usize,
    /// Pixels after.
    pub(super) to: usize,
    /// The kernel.
    pub(super) interpolation: Interpolation,
}

/// Where an output's kernel lies.
struct Place {
    center: f64,
    /// Pixels of one unit of the kernel.
    scale: f64,
    /// Inputs under it, `first..last`.
    first: usize,
    last: usize,
}

impl Axis {
    /// Whether a pass along it changes nothing, or moves whole pixels: one input an output.
    fn is_one_to_one(self) -> bool {
        self.from == self.to || self.interpolation == Interpolation::Nearest
    }

    /// The inputs of outputs `start..start + count` where each has one.
    pub(super) fn inputs_one_to_one(self, start: usize, count: usize) -> Vec<usize> {
        let Self { from, to, .. } = self;
        if from == to {
            return (start..start + count).collect();
        }
        // Pillow adds the scale from pixel to pixel, so its rounding is that of the sum.
        let scale = from as f64 / to as f64;
        let mut position = scale * 0.5;
        (0..start).for_each(|_| position += scale);
        let next = |_| {
            let input = (position as usize).min(from - 1);
            position += scale;
            input
        };
        (0..count).map(next).collect()
    }

    fn place(self, output: usize) -> Place {
        let Self { from, to, interpolation } = self;
        let exact = from as f64 / to as f64;
        let scale = exact.max(1.0);
        let support = interpolation.support() * scale;
        let center = (output as f64 + 0.5) * exact;
        let first = (center - support + 0.5).max(0.0) as usize;
        let last = ((center + support + 0.5) as usize).min(from);
        Place { center, scale, first, last }
    }
}

impl Place {
    /// Appends the weights of its inputs to `weights`.
    fn weights(&self, kind: Interpolation, exact: &mut Vec<f64>, weights: &mut Vec<i32>) {
        exact.clear();
        exact.extend(
            (self.first..self.last)
                .map(|input| kind.weight((input as f64 - self.center + 0.5) * (1.0 / self.scale))),
        );
        let sum: f64 = exact.iter().sum();
        weights.extend(exact.iter().map(|weight| {
            let normalised = if sum == 0.0 { *weight } else { weight / sum };
            let half = if normalised < 0.0 { -0.5 } else { 0.5 };
            (half + normalised * f64::from(1 << PRECISION)) as i32
        }));
    }
}

impl Filter {
    /// Outputs `start..start + count` of an axis.
    pub(super) fn new(axis: Axis, start: usize, count: usize) -> Self {
        if axis.is_one_to_one() {
            let starts = axis.inputs_one_to_one(start, count);
            return Self { starts, weights: vec![1 << PRECISION; count], taps: 1 };
        }
        let place = |output| axis.place(output);
        let outputs = start..start + count;
        let taps = outputs.clone().map(place).map(|p| p.last - p.first).max().unwrap_or(1);
        let mut starts = Vec::with_capacity(count);
        let mut weights = Vec::with_capacity(count * taps);
        let mut exact = Vec::new();
        for place in outputs.map(place) {
            let first = place.first.min(axis.from - taps);
            let end = weights.len() + taps;
            weights.extend((first..place.first).map(|_| 0));
            place.weights(axis.interpolation, &mut exact, &mut weights);
            weights.resize(end, 0);
            starts.push(first);
        }
        Self { starts, weights, taps }
    }

    /// The range of inputs that count for outputs `start..start + count` of an axis, without the filter.
    pub(super) fn inputs(axis: Axis, start: usize, count: usize) -> (usize, usize) {
        if axis.is_one_to_one() {
            let inputs = axis.inputs_one_to_one(start, count);
            return (inputs[0], inputs[count - 1] + 1);
        }
        (axis.place(start).first, axis.place(start + count - 1).last)
    }

    /// Taps of each output.
    pub(super) fn taps(&self) -> usize {
        self.taps
    }

    /// The first input of each output, and its weights.
    #[inline(always)]
    pub(super) fn outputs(&self) -> impl Iterator<Item = (usize, &[i32])> {
        self.starts.iter().copied().zip(self.weights.chunks_exact(self.taps))
    }

    /// The range of inputs that some output has a tap on, of weight 0 or not.
    pub(super) fn reach(&self) -> (usize, usize) {
        let last = self.starts.iter().max().map_or(0, |start| start + self.taps);
        (self.starts[0], last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_sum_to_one_and_stay_on_the_axis() {
        for (from, to) in
            [(500, 341), (375, 256), (375, 480), (3, 7), (7, 3), (9000, 32), (1, 5), (5, 1)]
        {
            for interpolation in ["nearest", "bilinear", "bicubic", "lanczos"] {
                let interpolation = interpolation.parse().unwrap();
                let axis = Axis { from, to, interpolation };
                let filter = Filter::new(axis, 0, to);
                let (first, last) = filter.reach();
                assert!(last <= from, "{from} to {to}: {first}..{last}");
                let counted = Filter::inputs(axis, 0, to);
                assert!(first <= counted.0 && counted.1 <= last);
                for (start, weights) in filter.outputs() {
                    assert!(first <= start && start + weights.len() <= last);
                    assert_eq!(weights.len(), filter.taps());
                    let sum: i32 = weights.iter().sum();
                    let off = (sum - (1 << PRECISION)).unsigned_abs() as usize;
                    assert!(off <= weights.len(), "{from} to {to}: off by {off}");
                }
            }
        }
    }
}
