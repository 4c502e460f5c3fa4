//! How a resized pixel is made of those around it: Pillow's kernels, by their usual names.

use std::fmt;
use std::str::FromStr;

/// What weighs the pixels around a resized one, as Pillow has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interpolation {
    /// The one pixel under the middle; no mean.
    Nearest,
    /// A triangle.
    #[default]
    Bilinear,
    /// A cubic (a = -0.5), which is negative in places: edges are sharper.
    Bicubic,
    /// A sinc under a sinc of three lobes.
    Lanczos,
}

impl Interpolation {
    /// All of them, with their names.
    const NAMES: [(Self, &str); 4] = [
        (Self::Nearest, "nearest"),
        (Self::Bilinear, "bilinear"),
        (Self::Bicubic, "bicubic"),
        (Self::Lanczos, "lanczos"),
    ];

    /// Pixels on each side that count where the scale is 1; of `Nearest` none but one.
    pub(super) fn support(self) -> f64 {
        match self {
            Self::Nearest => 0.0,
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    /// The weight of a pixel at a distance, in pixels of the smaller of the two images.
    pub(super) fn weight(self, distance: f64) -> f64 {
        let x = distance.abs();
        match self {
            Self::Nearest => 1.0,
            Self::Bilinear => (1.0 - x).max(0.0),
            // In Pillow's order of operations, to the last bit.
            Self::Bicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5,
            Self::Lanczos if (-3.0..3.0).contains(&distance) => {
                sinc(distance) * sinc(distance / 3.0)
            }
            Self::Bicubic | Self::Lanczos => 0.0,
        }
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let x = x * std::f64::consts::PI;
    // Not the system's: the weights are the same everywhere.
    libm::sin(x) / x
}

impl fmt::Display for Interpolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(kind, _)| kind == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

impl FromStr for Interpolation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::NAMES.iter().find(|(_, name)| text.eq_ignore_ascii_case(name));
        found
            .map(|(kind, _)| *kind)
            .ok_or_else(|| "bilinear, bicubic, nearest or lanczos".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for (kind, name) in Interpolation::NAMES {
            assert_eq!((kind.to_string().as_str(), name.parse()), (name, Ok(kind)));
        }
        assert_eq!("BiCubic".parse(), Ok(Interpolation::Bicubic));
        assert!("cubic".parse::<Interpolation>().is_err());
    }
}
