//! Which values a chart of falling curves shows.

use std::ops::Range;

use super::chart::Curve;

/// The part of the curves, from their begin, that may be above the chart: the errors of a network that has hardly been
/// trained would leave no room for the others.
const BEGIN: f64 = 0.15;

/// Points of a curve from which its first, that of the first epoch, is never after its begin.
const MANY: usize = 4;

/// The values that a chart of falling curves shows: up to the largest after their begin; from 0 unless all are far
/// from it. `None` if there are none.
pub fn after_begin<'a>(curves: impl Iterator<Item = &'a Curve> + Clone) -> Option<Range<f64>> {
    let points = || curves.clone().flat_map(|curve| &curve.points).filter(|p| p.1.is_finite());
    let end = points().fold(0.0, |end, p| p.0.max(end));
    let later = |curve: &Curve| {
        let rest = curve.points.iter().skip(usize::from(curve.points.len() >= MANY));
        let rest = rest.filter(|p| p.0 >= BEGIN * end && p.1.is_finite());
        rest.map(|p| p.1).reduce(f64::max)
    };
    let high = curves.clone().filter_map(later).fold(0.0, f64::max);
    let low = points().fold(high, |low, p| p.1.min(low));
    let low = if low < 0.5 * high { 0.0 } else { 0.95 * low };
    (high > low).then_some(low..1.05 * high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::Line;

    #[test]
    fn the_begin_may_be_above_the_chart() {
        let curve = |points: &[(f64, f64)]| Curve {
            name: String::new(),
            hue: 0,
            line: Line::Solid,
            points: points.to_vec(),
        };
        let falling = curve(&[(1.0, 9.0), (10.0, 4.0), (50.0, f64::NAN), (100.0, 1.0)]);
        let range = |curves: &[Curve]| after_begin(curves.iter());
        assert_eq!(range(std::slice::from_ref(&falling)), Some(0.95..1.05));
        let longer = curve(&[(10.0, 8.0), (20.0, 2.0), (100.0, 0.5)]);
        assert_eq!(range(&[falling, longer]), Some(0.0..2.1));
        let short = curve(&[(25.0, 90.0), (50.0, 2.0), (75.0, 1.5), (100.0, 0.9)]);
        assert_eq!(range(&[short]), Some(0.0..2.1));
        assert_eq!(range(&[curve(&[(1.0, 1.0), (2.0, 0.8)])]), Some(0.76..1.05));
        // One that rises again is seen as a whole.
        let rising = curve(&[(1.0, 9.0), (2.0, 0.9), (3.0, 1.4), (4.0, 2.0)]);
        assert_eq!(range(&[rising]), Some(0.0..2.1));
        assert_eq!(range(&[]), None);
        assert_eq!(range(&[curve(&[(1.0, 0.0)])]), None);
    }
}
