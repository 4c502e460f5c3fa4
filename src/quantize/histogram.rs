//! How often an activation has which values, counted in one pass without knowing its range before.
//!
//! Each half, above and below 0, has [`BINS`] bins of equal width up to a power of two; when a value lies beyond it,
//! the power grows, and bins are merged. Counts are integers and merging is exact, so the result depends on the
//! values alone, not on their order or on who counted them.

/// Bins on each side of 0.
pub const BINS: usize = 4096;

/// The smallest range is 2 to this power: all that is smaller lies in its first bin.
const LEAST: i32 = -100;

/// Counts of values.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// The range is from -2^exponent to 2^exponent.
    exponent: i32,
    /// By size; of 0 only those that are not exactly 0.
    positive: Vec<u64>,
    negative: Vec<u64>,
    zeros: u64,
    not_finite: u64,
    min: f32,
    max: f32,
}

/// Values of a histogram that are spread evenly from `low` to `high`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// How many they are.
    pub count: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            exponent: LEAST,
            positive: vec![0; BINS],
            negative: vec![0; BINS],
            zeros: 0,
            not_finite: 0,
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
        }
    }
}

impl Histogram {
    /// That of `values`.
    pub fn of(values: &[f32]) -> Self {
        let mut found = Self::default();
        let mut largest = 0.0_f32;
        for &x in values {
            let finite = x.is_finite();
            found.not_finite += u64::from(!finite);
            let x = if finite { x } else { 0.0 };
            largest = largest.max(x.abs());
            found.min = found.min.min(x);
            found.max = found.max.max(x);
        }
        found.exponent = exponent_above(largest).max(LEAST);
        let scale = power(BINS.ilog2() as i32 - found.exponent) as f32;
        for &x in values.iter().filter(|x| x.is_finite()) {
            // Exact, since the scale is a power of two; below BINS, since x is below the range's end.
            let bin = (x.abs() * scale) as usize;
            match x {
                _ if x > 0.0 => found.positive[bin] += 1,
                _ if x < 0.0 => found.negative[bin] += 1,
                _ => found.zeros += 1,
            }
        }
        found
    }

    /// Adds the counts of `other`.
    pub fn add(&mut self, other: &Self) {
        let exponent = self.exponent.max(other.exponent);
        self.widen(exponent);
        let shift = exponent - other.exponent;
        for (to, from) in
            [(&mut self.positive, &other.positive), (&mut self.negative, &other.negative)]
        {
            from.iter().enumerate().for_each(|(i, count)| to[merged(i, shift)] += count);
        }
        self.zeros += other.zeros;
        self.not_finite += other.not_finite;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// Makes 2^`exponent` the end of the range.
    fn widen(&mut self, exponent: i32) {
        let shift = exponent - self.exponent;
        if shift == 0 {
            return;
        }
        for bins in [&mut self.positive, &mut self.negative] {
            for i in 0..BINS {
                let count = std::mem::take(&mut bins[i]);
                bins[merged(i, shift)] += count;
            }
        }
        self.exponent = exponent;
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.zeros + self.positive.iter().chain(&self.negative).sum::<u64>()
    }

    /// How many values were NaN or infinite; they are not counted otherwise.
    pub fn not_finite(&self) -> u64 {
        self.not_finite
    }

    /// How many values are exactly 0.
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// The smallest value, or 0 if that is smaller.
    pub fn min(&self) -> f32 {
        self.min.min(0.0)
    }

    /// The largest value, or 0 if that is larger.
    pub fn max(&self) -> f32 {
        self.max.max(0.0)
    }

    /// The bins that have values, from the lowest to the highest; exact zeros are in none.
    pub fn bins(&self) -> impl Iterator<Item = Bin> {
        let width = power(self.exponent) / BINS as f64;
        let (min, max) = (f64::from(self.min()), f64::from(self.max()));
        let filled = |&(_, &count): &(usize, &u64)| count > 0;
        let below = self.negative.iter().enumerate().rev().filter(filled);
        let below = below.map(move |(i, &count)| {
            let (low, high) = (-((i + 1) as f64) * width, -(i as f64) * width);
            Bin { low: low.max(min), high, count }
        });
        let above = self.positive.iter().enumerate().filter(filled);
        let above = above.map(move |(i, &count)| {
            let (low, high) = (i as f64 * width, (i + 1) as f64 * width);
            Bin { low, high: high.min(max), count }
        });
        below.chain(above)
    }
}

/// Where the counts of bin `i` are when the range has been doubled `shift` times.
fn merged(i: usize, shift: i32) -> usize {
    i.checked_shr(shift as u32).unwrap_or(0)
}

/// 2^`exponent`, exactly.
fn power(exponent: i32) -> f64 {
    f64::from_bits(((1023 + exponent) as u64) << 52)
}

/// The least exponent whose power of two is above `x`, which is finite and not negative.
fn exponent_above(x: f32) -> i32 {
    (x.to_bits() >> 23) as i32 - 126
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Rng;

    fn values(count: usize) -> Vec<f32> {
        let mut rng = Rng::named(5, "values");
        // Of very different sizes, some exactly 0.
        (0..count)
            .map(|i| match i % 7 {
                0 => 0.0,
                1 => 100.0 * rng.normal(),
                _ => rng.normal(),
            })
            .collect()
    }

    #[test]
    fn the_order_does_not_matter() {
        let values = values(5000);
        let whole = Histogram::of(&values);
        for size in [1, 7, 640] {
            let mut forward = Histogram::default();
            values.chunks(size).for_each(|part| forward.add(&Histogram::of(part)));
            let mut backward = Histogram::default();
            values.chunks(size).rev().for_each(|part| backward.add(&Histogram::of(part)));
            assert!(forward == whole && backward == whole, "{size}");
        }
        assert_eq!(whole.count(), 5000);
        assert_eq!(whole.zeros(), 5000_u64.div_ceil(7));
        assert_eq!(whole.max(), values.iter().copied().fold(0.0, f32::max));
        assert_eq!(whole.min(), values.iter().copied().fold(0.0, f32::min));
    }

    #[test]
    fn values_lie_in_their_bins() {
        let values = values(3000);
        let found = Histogram::of(&values);
        let mut counted = 0;
        for bin in found.bins() {
            let inside = |&&x: &&f32| {
                let x = f64::from(x);
                if x > 0.0 {
                    bin.low <= x && x <= bin.high
                } else {
                    bin.low <= x && x < 0.0 && x <= bin.high
                }
            };
            let inside = values.iter().filter(inside).count() as u64;
            // Those on an edge may be counted in the neighbour.
            assert!(inside >= bin.count, "{bin:?}: {inside}");
            counted += bin.count;
        }
        assert_eq!(counted + found.zeros(), 3000);
    }

    #[test]
    fn extremes_have_a_place() {
        let values = [f32::MAX, -f32::MAX, f32::MIN_POSITIVE, 1e-45, -0.0, 1.0];
        let found = Histogram::of(&values);
        assert_eq!((found.count(), found.zeros(), found.max()), (6, 1, f32::MAX));
        assert!(found.bins().all(|bin| bin.low.is_finite() && bin.high.is_finite()));
        assert_eq!(Histogram::of(&[f32::NAN, f32::INFINITY, 2.0]).not_finite(), 2);
        let none = Histogram::default();
        assert_eq!((none.count(), none.min(), none.max(), none.bins().count()), (0, 0.0, 0.0, 0));
    }
}
