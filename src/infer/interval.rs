//! How uncertain an accuracy is that was measured on a number of images.

/// The 0.975 quantile of the normal distribution: 95 % lie within.
const Z: f64 = 1.959_963_984_540_054;

/// The 95 % interval of a fraction of which `correct` of `images` were found (Wilson, 1927). It stays within
/// 0..1, and is right for few images and for all or none correct, too. Of no images, 0..1.
pub fn wilson(correct: u64, images: u64) -> [f64; 2] {
    if images == 0 {
        return [0.0, 1.0];
    }
    let (n, p) = (images as f64, correct as f64 / images as f64);
    let middle = p + Z * Z / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    // Exact at the ends, where rounding may leave a trace.
    let low = if correct == 0 { 0.0 } else { (middle - half) / scale };
    let high = if correct == images { 1.0 } else { (middle + half) / scale };
    [low, high]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of scipy's `binomtest(k, n).proportion_ci(method="wilson")`.
    #[test]
    fn intervals_are_wilsons() {
        for (correct, images, expected) in [
            (127, 167, [0.690_356_517_608_663_6, 0.818_887_553_476_625_2]),
            (0, 10, [0.0, 0.277_532_799_862_889_26]),
            (10, 10, [0.722_467_200_137_110_9, 1.0]),
            (1, 1, [0.206_549_314_377_237_45, 1.0]),
        ] {
            let found = wilson(correct, images);
            for (found, expected) in found.into_iter().zip(expected) {
                assert!((found - expected).abs() < 1e-12, "{correct} of {images}: {found}");
            }
        }
        assert_eq!(wilson(0, 0), [0.0, 1.0]);
    }
}
