//! The weights of a resizing along one axis, as Pillow computes them: a triangle as wide as the scale
//! (never narrower than one input each side), in f64, normalised, rounded to 22 binary places.
//!
//! Every output of a [`Filter`] has as many taps: those that would have fewer have some of weight 0, which
//! changes nothing. So loops over taps have one length.

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

/// Where an output's triangle lies.
struct Triangle {
    center: f64,
    support: f64,
    /// Inputs under it, `first..last`.
    first: usize,
    last: usize,
}

impl Triangle {
    fn new(from: usize, to: usize, output: usize) -> Self {
        if from == to {
            // A pass that changes nothing is left out.
            return Self { center: 0.0, support: 1.0, first: output, last: output + 1 };
        }
        let scale = from as f64 / to as f64;
        let support = scale.max(1.0);
        let center = (output as f64 + 0.5) * scale;
        let first = (center - support + 0.5).max(0.0) as usize;
        let last = ((center + support + 0.5) as usize).min(from);
        Self { center, support, first, last }
    }

    /// Appends the weights of its inputs to `weights`.
    fn weights(&self, exact: &mut Vec<f64>, weights: &mut Vec<i32>) {
        exact.clear();
        exact.extend((self.first..self.last).map(|input| {
            let distance = (input as f64 - self.center + 0.5) * (1.0 / self.support);
            (1.0 - distance.abs()).max(0.0)
        }));
        let sum: f64 = exact.iter().sum();
        weights.extend(exact.iter().map(|weight| {
            let normalised = if sum == 0.0 { *weight } else { weight / sum };
            (0.5 + normalised * f64::from(1 << PRECISION)) as i32
        }));
    }
}

impl Filter {
    /// Outputs `start..start + count` of an axis resized from `from` to `to` pixels.
    pub(super) fn new(from: usize, to: usize, start: usize, count: usize) -> Self {
        if from == to {
            let starts = (start..start + count).collect();
            return Self { starts, weights: vec![1 << PRECISION; count], taps: 1 };
        }
        let triangle = |output| Triangle::new(from, to, output);
        let outputs = start..start + count;
        let taps = outputs.clone().map(triangle).map(|t| t.last - t.first).max().unwrap_or(1);
        let mut starts = Vec::with_capacity(count);
        let mut weights = Vec::with_capacity(count * taps);
        let mut exact = Vec::new();
        for triangle in outputs.map(triangle) {
            let first = triangle.first.min(from - taps);
            let end = weights.len() + taps;
            weights.extend((first..triangle.first).map(|_| 0));
            triangle.weights(&mut exact, &mut weights);
            weights.resize(end, 0);
            starts.push(first);
        }
        Self { starts, weights, taps }
    }

    /// The range of inputs that count for outputs `start..start + count` of an axis resized from `from` to `to`
    /// pixels, without the filter.
    pub(super) fn inputs(from: usize, to: usize, start: usize, count: usize) -> (usize, usize) {
        let last = Triangle::new(from, to, start + count - 1).last;
        (Triangle::new(from, to, start).first, last)
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
            let filter = Filter::new(from, to, 0, to);
            let (first, last) = filter.reach();
            assert!(last <= from, "{from} to {to}: {first}..{last}");
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
