//! What is said about how images become inputs: by a file's metadata or by flags, all of it or a part.
//! The complete description is [`data::Preprocess`](crate::data::Preprocess).

use crate::data::{CropMode, Interpolation};

/// Largest side in pixels that `resize`, `crop` and `pad` may have.
pub(super) const MAX_SIDE: usize = 16_384;

/// How images become inputs, as far as it is stated; `None` where it is not.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StatedPreprocess {
    /// Subtracted from red, green and blue in 0..1.
    pub mean: Option<[f32; 3]>,
    /// Divides red, green and blue after that.
    pub std: Option<[f32; 3]>,
    /// Side of the black square in whose middle smaller images are put, before all else.
    pub pad: Option<usize>,
    /// Pixels of the shorter side after resizing.
    pub resize: Option<usize>,
    /// Pixels of the side of the square crop.
    pub crop: Option<usize>,
    /// How images are resized.
    pub interpolation: Option<Interpolation>,
    /// Which sides are resized, and where the crop lies.
    pub crop_mode: Option<CropMode>,
}

impl StatedPreprocess {
    /// What is stated here, and what `other` states where nothing is.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self {
            mean: self.mean.or(other.mean),
            std: self.std.or(other.std),
            pad: self.pad.or(other.pad),
            resize: self.resize.or(other.resize),
            crop: self.crop.or(other.crop),
            interpolation: self.interpolation.or(other.interpolation),
            crop_mode: self.crop_mode.or(other.crop_mode),
        }
    }

    /// What is stated here, and for the rest what a publisher says beside the file. Sizes and how they are
    /// meant belong together: whoever says one of them says all. So do mean and deviation.
    #[must_use]
    pub(super) fn or_published(&self, published: &Self) -> Self {
        let Self { mean, std, pad, resize, crop, interpolation, crop_mode } = *self;
        let mut all = self.or(published);
        if mean.is_some() || std.is_some() {
            (all.mean, all.std) = (mean, std);
        }
        let sides = [pad, resize, crop].iter().any(Option::is_some);
        if sides || interpolation.is_some() || crop_mode.is_some() {
            all = Self { pad, resize, crop, interpolation, crop_mode, ..all };
        }
        all
    }

    /// The names of the fields about which nothing is said and whose standard values are assumed. (Padding
    /// and the crop's mode are exceptions that are stated, never assumed. Interpolation is said to be
    /// assumed only with the sizes: files that state those and not it are older than it, and bilinear.)
    pub fn unstated(&self) -> Vec<&'static str> {
        let Self { mean, std, resize, crop, interpolation, pad: _, crop_mode: _ } = self;
        [
            ("mean", mean.is_none()),
            ("std", std.is_none()),
            ("resize", resize.is_none()),
            ("crop", crop.is_none()),
            ("interpolation", interpolation.is_none() && resize.is_none() && crop.is_none()),
        ]
        .into_iter()
        .filter_map(|(name, unstated)| unstated.then_some(name))
        .collect()
    }
}

/// Reads the mean `r,g,b` of pixels in 0..1; a single number stands for all channels.
///
/// # Errors
/// What was expected instead, and what to do about numbers for pixels in 0..255.
pub fn parse_mean(text: &str) -> Result<[f32; 3], String> {
    let mean = parse_triple(text, "three numbers r,g,b from 0 to 1")?;
    in_unit(mean, |x| (0.0..=1.0).contains(&x), "three numbers r,g,b from 0 to 1")
}

/// Reads the standard deviation `r,g,b` of pixels in 0..1.
///
/// # Errors
/// As for [`parse_mean`].
pub fn parse_std(text: &str) -> Result<[f32; 3], String> {
    let expected = "three positive numbers r,g,b up to 1";
    in_unit(parse_triple(text, expected)?, |x| x > 0.0 && x <= 1.0, expected)
}

fn parse_triple(text: &str, expected: &str) -> Result<[f32; 3], String> {
    let numbers: Option<Vec<f32>> = text.split(',').map(|x| x.trim().parse().ok()).collect();
    let numbers = numbers.map(|numbers| match numbers[..] {
        [all] => vec![all; 3],
        _ => numbers,
    });
    numbers
        .and_then(|numbers| <[f32; 3]>::try_from(numbers).ok())
        .filter(|numbers| numbers.iter().all(|x| x.is_finite()))
        .ok_or_else(|| expected.to_owned())
}

/// `numbers` if all are `valid`; numbers above 1 are those of pixels in 0..255, most likely.
fn in_unit(numbers: [f32; 3], valid: fn(f32) -> bool, expected: &str) -> Result<[f32; 3], String> {
    if numbers.into_iter().all(valid) {
        return Ok(numbers);
    }
    if numbers.iter().all(|x| (0.0..=255.0).contains(x)) && numbers.iter().any(|&x| x > 1.0) {
        let [r, g, b] = numbers.map(|x| format!("{:.4}", x / 255.0));
        return Err(format!(
            "{expected}, for pixels that were divided by 255 (these numbers divided by 255 are \
             {r},{g},{b})"
        ));
    }
    Err(expected.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_bytes_are_refused_with_what_to_do() {
        assert_eq!(parse_mean("0.5, 0,1"), Ok([0.5, 0.0, 1.0]));
        let error = parse_mean("123.675,116.28,103.53").unwrap_err();
        assert!(error.ends_with("divided by 255 are 0.4850,0.4560,0.4060)"), "{error}");
        assert!(parse_std("58.395,57.12,57.375").unwrap_err().contains("0.2290,0.2240,0.2250"));
        for wrong in ["0,1,1", "-0.1,1,1", "NaN,1,1", "inf,1,1", "1,1", "1,1,1,1", "1;1;1", ""] {
            assert!(parse_std(wrong).is_err(), "{wrong}");
        }
        for wrong in ["-1,0,0", "NaN,0,0", "0,0", "x"] {
            assert_eq!(parse_mean(wrong).unwrap_err(), "three numbers r,g,b from 0 to 1");
        }
    }

    #[test]
    fn sizes_of_two_files_are_never_mixed() {
        let published = StatedPreprocess {
            mean: Some([0.5; 3]),
            std: Some([0.5; 3]),
            resize: Some(303),
            crop: Some(288),
            interpolation: Some(Interpolation::Bicubic),
            ..StatedPreprocess::default()
        };
        let silent = StatedPreprocess::default();
        assert_eq!(silent.or_published(&published), published);
        // A copy from before there was a choice of interpolation.
        let old = StatedPreprocess { resize: Some(256), crop: Some(224), ..silent };
        let both = StatedPreprocess { mean: Some([0.5; 3]), std: Some([0.5; 3]), ..old };
        assert_eq!(old.or_published(&published), both);
        let mean = StatedPreprocess { mean: Some([0.0; 3]), ..silent };
        assert_eq!(
            mean.or_published(&published),
            StatedPreprocess { std: None, ..mean.or(&published) }
        );
    }

    #[test]
    fn what_is_stated_first_counts() {
        let asked = StatedPreprocess { crop: Some(288), ..StatedPreprocess::default() };
        let file = StatedPreprocess { crop: Some(224), pad: Some(32), ..asked };
        let both = asked.or(&file);
        assert_eq!((both.crop, both.pad, both.mean), (Some(288), Some(32), None));
        assert_eq!(both.unstated(), ["mean", "std", "resize"]);
    }
}
