//! From the values of an activation to the integers that stand for them: where the range is cut, and what that costs.

use super::histogram::Histogram;
use crate::model::Scale;
use std::fmt;
use std::str::FromStr;

/// Of the values, those that [`RangeMethod::Percentile`] keeps, unless it is said.
pub const PERCENTILE: f64 = 99.99;

/// Steps between the integers 0 and 255.
const STEPS: f64 = 255.0;
/// Scales below are too small for a file; what has them is as good as 0 everywhere.
pub(super) const LEAST_SCALE: f64 = 1e-12;

/// How it is decided where the range of an activation ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RangeMethod {
    /// At the smallest and largest value seen.
    MinMax,
    /// So that this percentage of the values seen is inside.
    Percentile(f64),
    /// Where the mean square of what rounding and cutting change is least.
    Mse,
}

impl fmt::Display for RangeMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MinMax => f.write_str("minmax"),
            Self::Percentile(percent) => write!(f, "percentile {percent}"),
            Self::Mse => f.write_str("mse"),
        }
    }
}

impl FromStr for RangeMethod {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "minmax" => Ok(Self::MinMax),
            "percentile" => Ok(Self::Percentile(PERCENTILE)),
            "mse" => Ok(Self::Mse),
            _ => Err("expected minmax, percentile or mse".to_owned()),
        }
    }
}

/// The values between which integers stand for real numbers; 0 is one of them, or between.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// At most 0.
    pub low: f64,
    /// At least 0.
    pub high: f64,
}

impl Range {
    /// That of the values of `seen`, by `method`. Values that a ReLU made have no lower part.
    pub fn of(seen: &Histogram, method: RangeMethod) -> Self {
        let whole = Self { low: seen.min().into(), high: seen.max().into() };
        match method {
            RangeMethod::MinMax => whole,
            RangeMethod::Percentile(percent) => percentile(seen, percent, whole),
            RangeMethod::Mse => least_square(seen, whole),
        }
    }

    /// The scale whose integers cover it. Without a lower part the zero point is 0.
    pub fn scale(self) -> Scale {
        let step = (self.high - self.low) / STEPS;
        if step < LEAST_SCALE {
            return Scale { scale: 1.0, zero_point: 0 };
        }
        let zero_point = (-self.low / step).round_ties_even().clamp(0.0, STEPS) as u8;
        Scale { scale: step as f32, zero_point }
    }
}

/// So that `percent` of the values are inside: what may be outside is shared by both ends.
fn percentile(seen: &Histogram, percent: f64, whole: Range) -> Range {
    let outside = (1.0 - percent / 100.0).max(0.0) * seen.count() as f64;
    // Zeros are inside any range, but that of zeros alone shows nothing: one value is always inside.
    let outside = outside.min((seen.count() - seen.zeros()).saturating_sub(1) as f64);
    let outside = if whole.low < 0.0 { outside / 2.0 } else { outside };
    let bins: Vec<_> = seen.bins().collect();
    // From an end inwards, while no more values are passed than may be outside.
    let mut passed = 0.0;
    let high = bins.iter().rev().find(|bin| {
        passed += bin.count as f64;
        passed > outside
    });
    passed = 0.0;
    let low = bins.iter().find(|bin| {
        passed += bin.count as f64;
        passed > outside
    });
    Range {
        low: low.map_or(0.0, |bin| bin.low.min(0.0)),
        high: high.map_or(0.0, |bin| bin.high.max(0.0)),
    }
}

/// Where the noise is least: first by eighths of a power of two, then by hundredths around the best; of two ends,
/// one after the other until none moves.
fn least_square(seen: &Histogram, whole: Range) -> Range {
    const COARSE: i32 = 48;
    let noise = |range: Range| Noise::of(seen, range.scale()).noise;
    let at = |end: f64, eighths: f64| end * (-eighths / 8.0).exp2();
    let mut best = whole;
    let mut least = noise(best);
    let mut attempt = |range: Range| {
        let found = noise(range);
        if found < least {
            (best, least) = (range, found);
        }
        best
    };
    let mut kept = whole;
    for _ in 0..4 {
        let before = kept;
        for i in 0..=COARSE {
            kept = attempt(Range { high: at(whole.high, f64::from(i)), ..kept });
        }
        if whole.low < 0.0 {
            for i in 0..=COARSE {
                kept = attempt(Range { low: at(whole.low, f64::from(i)), ..kept });
            }
        }
        for percent in -8..=8 {
            let high = (moved(kept.high, percent)).min(whole.high);
            kept = attempt(Range { high, ..kept });
        }
        for percent in -8..=8 {
            let low = (moved(kept.low, percent)).max(whole.low);
            kept = attempt(Range { low, ..kept });
        }
        if kept == before {
            break;
        }
    }
    kept
}

/// An end of a range, moved by some percent.
fn moved(end: f64, percent: i32) -> f64 {
    end * (1.0 + f64::from(percent) / 100.0)
}

/// What integers make of an activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// Sum of the squares of the values.
    pub signal: f64,
    /// Sum of the squares of what rounding and cutting change.
    pub noise: f64,
    /// Share of the values that are cut.
    pub clipped: f64,
}

impl Noise {
    /// That of the values of `seen` as integers of `scale`. Within a bin, values are taken as spread evenly.
    pub fn of(seen: &Histogram, scale: Scale) -> Self {
        let step = f64::from(scale.scale);
        let zero = f64::from(scale.zero_point);
        let (least, most) = (-zero, STEPS - zero);
        let (mut signal, mut noise, mut clipped) = (0.0, 0.0, 0.0);
        for bin in seen.bins() {
            let count = bin.count as f64;
            // In steps.
            let (a, b) = (bin.low / step, bin.high / step);
            let width = b - a;
            if width <= 0.0 {
                let square = (a - a.round_ties_even().clamp(least, most)).powi(2);
                noise += count * square;
                signal += count * bin.low * bin.low;
                clipped += if a < least - 0.5 || a > most + 0.5 { count } else { 0.0 };
                continue;
            }
            noise += count * (rounded(b, least, most) - rounded(a, least, most)) / width;
            let (low, high) = (bin.low, bin.high);
            signal += count * (low * low + low * high + high * high) / 3.0;
            let outside = (b - a.max(most + 0.5)).max(0.0) + (b.min(least - 0.5) - a).max(0.0);
            clipped += count * outside / width;
        }
        let count = seen.count().max(1) as f64;
        Self { signal, noise: noise * step * step, clipped: clipped / count }
    }

    /// Signal to noise in dB; none if there is no signal, or no noise.
    pub fn decibels(self) -> Option<f64> {
        decibels(self.signal, self.noise)
    }
}

/// Signal to noise in dB; none if there is no signal, or no noise.
pub(super) fn decibels(signal: f64, noise: f64) -> Option<f64> {
    (signal > 0.0 && noise > 0.0).then(|| 10.0 * (signal / noise).log10())
}

/// The integral from 0 to `x` of the square of what rounding to the integers from `least` to `most` changes.
fn rounded(x: f64, least: f64, most: f64) -> f64 {
    let nearest = x.round_ties_even().clamp(least, most);
    let rest = x - nearest;
    nearest / 12.0 + rest.powi(3) / 3.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Rng;

    fn normal(count: usize, relu: bool) -> Vec<f32> {
        let mut rng = Rng::named(5, "values");
        let value = |_| if relu { rng.normal().max(0.0) } else { rng.normal() };
        (0..count).map(value).collect()
    }

    /// By the definition, value by value.
    fn measured(values: &[f32], scale: Scale) -> (f64, f64) {
        let (step, zero) = (f64::from(scale.scale), f64::from(scale.zero_point));
        let mut noise = 0.0;
        let mut clipped = 0;
        for &x in values {
            let q = (f64::from(x) / step).round_ties_even() + zero;
            clipped += usize::from(!(0.0..=255.0).contains(&q));
            noise += ((q.clamp(0.0, 255.0) - zero) * step - f64::from(x)).powi(2);
        }
        (noise, clipped as f64 / values.len() as f64)
    }

    #[test]
    fn the_noise_is_that_of_the_values() {
        for relu in [false, true] {
            let values = normal(200_000, relu);
            let seen = Histogram::of(&values);
            for method in [RangeMethod::MinMax, RangeMethod::Percentile(99.0), RangeMethod::Mse] {
                let scale = Range::of(&seen, method).scale();
                let found = Noise::of(&seen, scale);
                let (noise, clipped) = measured(&values, scale);
                assert!((found.noise / noise - 1.0).abs() < 0.02, "{method}: {found:?} {noise}");
                assert!((found.clipped - clipped).abs() < 2e-4, "{method}: {found:?} {clipped}");
            }
        }
    }

    #[test]
    fn zero_is_a_whole_number_and_relu_has_no_lower_part() {
        let relu = Histogram::of(&normal(1000, true));
        let signed = Histogram::of(&normal(1000, false));
        for method in [RangeMethod::MinMax, RangeMethod::Percentile(99.9), RangeMethod::Mse] {
            let range = Range::of(&relu, method);
            assert_eq!((range.low, range.scale().zero_point), (0.0, 0), "{method}");
            let range = Range::of(&signed, method);
            let zero = range.scale().zero_point;
            assert!(range.low < 0.0 && (100..=155).contains(&zero), "{method}: {zero}");
        }
        let whole = Range::of(&relu, RangeMethod::MinMax);
        assert_eq!(whole.scale().scale, (f64::from(relu.max()) / 255.0) as f32);
    }

    #[test]
    fn outliers_are_cut_where_that_pays() {
        let mut values = normal(100_000, true);
        values.push(1000.0);
        let seen = Histogram::of(&values);
        // One value of 1000 costs more than the rounding of all others saves; of 20 values, less.
        let mse = Range::of(&seen, RangeMethod::Mse);
        let noise = |range: Range| Noise::of(&seen, range.scale()).noise;
        for percent in 1..=100 {
            let other = Range { low: 0.0, high: 10.0 * f64::from(percent) };
            assert!(noise(mse) <= noise(other) * 1.01, "{mse:?} {other:?}");
        }
        let cut = Range::of(&seen, RangeMethod::Percentile(99.9));
        assert!((2.8..3.6).contains(&cut.high), "{cut:?}");
        assert_eq!(Range::of(&seen, RangeMethod::Percentile(100.0)).high, 1000.0);
    }

    /// More may be outside than there are values but zeros; still something has to be seen of them.
    #[test]
    fn a_range_is_never_that_of_zeros_alone() {
        for (values, low) in [(&[0.0, 0.0, 0.0, 2.0, 3.0][..], 0.0), (&[0.0, 0.0, 0.0, -2.0], -2.0)]
        {
            let range = Range::of(&Histogram::of(values), RangeMethod::Percentile(50.0));
            assert!(range.high > 1.9 || range.low < -1.9, "{range:?}");
            assert!((low - range.low).abs() < 0.1, "{range:?}");
        }
    }

    #[test]
    fn nothing_but_zeros_has_a_scale() {
        for method in [RangeMethod::MinMax, RangeMethod::Percentile(99.9), RangeMethod::Mse] {
            for values in [&[0.0; 9][..], &[1e-30], &[]] {
                let seen = Histogram::of(values);
                let scale = Range::of(&seen, method).scale();
                assert_eq!(scale, Scale { scale: 1.0, zero_point: 0 }, "{method}");
            }
        }
        assert_eq!(
            Noise::of(&Histogram::of(&[0.0; 9]), Scale { scale: 1.0, zero_point: 0 }).decibels(),
            None
        );
    }

    #[test]
    fn methods_are_read_by_name() {
        for name in ["minmax", "mse"] {
            assert_eq!(name.parse::<RangeMethod>().unwrap().to_string(), name);
        }
        assert_eq!("percentile".parse(), Ok(RangeMethod::Percentile(PERCENTILE)));
        assert!("median".parse::<RangeMethod>().is_err());
    }
}
