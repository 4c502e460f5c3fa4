//! How the sides of an image become those of a crop: the arithmetic of the programs that weights come from.

use std::fmt;
use std::str::FromStr;

/// How an image is resized and where the crop lies. The names are timm's, but for `CenterFloor`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CropMode {
    /// Shorter side resized, shape kept; the crop from the middle, where half a pixel goes to the even
    /// neighbour (torchvision, timm).
    #[default]
    Center,
    /// The same, but half a pixel is dropped (transformers).
    CenterFloor,
    /// Both sides resized to the same length, whatever the shape.
    Squash,
    /// Longer side resized, shape kept; what is missing is filled with the mean colour.
    Border,
}

impl CropMode {
    const NAMES: [(Self, &str); 4] = [
        (Self::Center, "center"),
        (Self::CenterFloor, "center_floor"),
        (Self::Squash, "squash"),
        (Self::Border, "border"),
    ];

    /// Width and height of an image of `size` with `side` as its shorter, or longer, or both sides.
    pub(super) fn resized(self, [width, height]: [usize; 2], side: usize) -> [usize; 2] {
        match self {
            // As Python's int(side * long / short): exact for any size an image can have.
            Self::Center | Self::CenterFloor if width <= height => [side, side * height / width],
            Self::Center | Self::CenterFloor => [side * width / height, side],
            Self::Squash => [side; 2],
            Self::Border => {
                let ratio = width.max(height) as f64 / side as f64;
                // timm's rounding; its result may be 0, which no image can have.
                [width, height].map(|n| (n as f64 / ratio).round_ties_even().max(1.0) as usize)
            }
        }
    }

    /// Where a centred crop starts along an axis of `side` pixels.
    pub(super) fn center(self, side: usize, crop: usize) -> usize {
        let spare = side.saturating_sub(crop);
        match self {
            Self::CenterFloor => spare / 2,
            // Python's round() takes halves to the even neighbour.
            _ => (spare as f64 / 2.0).round_ties_even() as usize,
        }
    }

    /// Where something `len` long starts in the middle of `side`.
    pub(super) fn in_middle(self, len: usize, side: usize) -> usize {
        let spare = side - len;
        if self == Self::CenterFloor { spare.div_ceil(2) } else { spare / 2 }
    }
}

impl fmt::Display for CropMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(mode, _)| mode == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

impl FromStr for CropMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::NAMES.iter().find(|(_, name)| text.eq_ignore_ascii_case(name));
        found
            .map(|(mode, _)| *mode)
            .ok_or_else(|| "center, center_floor, squash or border".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for (mode, name) in CropMode::NAMES {
            assert_eq!((mode.to_string().as_str(), name.parse()), (name, Ok(mode)));
        }
        assert!("centre".parse::<CropMode>().is_err());
    }

    #[test]
    fn halves_of_a_pixel_go_where_each_program_has_them() {
        let starts = |mode: CropMode| [1, 3, 5, 7].map(|spare| mode.center(20 + spare, 20));
        assert_eq!(starts(CropMode::Center), [0, 2, 2, 4]);
        assert_eq!(starts(CropMode::CenterFloor), [0, 1, 2, 3]);
        assert_eq!([CropMode::Center, CropMode::CenterFloor].map(|m| m.in_middle(5, 8)), [1, 2]);
    }

    #[test]
    fn no_side_becomes_nothing() {
        assert_eq!(CropMode::Border.resized([1, 4000], 224), [1, 224]);
        assert_eq!(CropMode::Border.resized([500, 375], 224), [224, 168]);
        assert_eq!(CropMode::Squash.resized([500, 375], 224), [224, 224]);
    }
}
