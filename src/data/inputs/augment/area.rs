//! Rectangles of random area and shape, as torchvision draws them for `RandomResizedCrop` (Szegedy et
//! al., 2015: "scale and aspect ratio" crops) and for `RandomErasing` (Zhong et al., 2017).
//!
//! Precision and rounding follow torchvision: uniform numbers and the ratio in f32, the rest in f64.

use crate::data::Window;
use crate::runtime::Rng;

/// Rectangles that are tried before something else is done.
const TRIES: usize = 10;

/// Bounds of width / height of a crop, torchvision's.
const CROP_RATIO: [f32; 2] = [3.0 / 4.0, 4.0 / 3.0];

/// Bounds of an erased share of the image and of its height / width, torchvision's.
const ERASED: [f32; 2] = [0.02, 0.33];
const ERASED_RATIO: [f32; 2] = [0.3, 3.3];

/// Part of an image of `width` x `height` that has a share of its area from `least` to 1.
pub(super) fn crop([width, height]: [usize; 2], least: f32, rng: &mut Rng) -> Window {
    for _ in 0..TRIES {
        let [w, h] = sides(width * height, [least, 1.0], CROP_RATIO, rng);
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            let top = rng.below(height - h + 1);
            let left = rng.below(width - w + 1);
            return Window { left, top, width: w, height: h };
        }
    }
    // The largest part in the middle whose shape is within the bounds.
    let [narrow, wide] = [3.0 / 4.0, 4.0 / 3.0];
    let ratio = width as f64 / height as f64;
    let (w, h) = if ratio < narrow {
        (width, round(width as f64 / narrow))
    } else if ratio > wide {
        (round(height as f64 * wide), height)
    } else {
        (width, height)
    };
    Window { left: (width - w) / 2, top: (height - h) / 2, width: w, height: h }
}

/// What is erased of an input of `side` x `side`: none if no try fits into it.
pub(super) fn erased(side: usize, rng: &mut Rng) -> Option<Window> {
    (0..TRIES).find_map(|_| {
        let [height, width] = sides(side * side, ERASED, ERASED_RATIO, rng);
        (height < side && width < side).then(|| {
            let top = rng.below(side - height + 1);
            let left = rng.below(side - width + 1);
            Window { left, top, width, height }
        })
    })
}

/// Two sides whose product is a random share of `area` and whose ratio, first to second, is random
/// between bounds, uniformly in its logarithm.
fn sides(area: usize, share: [f32; 2], ratio: [f32; 2], rng: &mut Rng) -> [usize; 2] {
    let area = area as f64 * f64::from(rng.uniform_in(share[0], share[1]));
    let [low, high] = ratio.map(|ratio| libm::log(f64::from(ratio)) as f32);
    let ratio = libm::exp(f64::from(rng.uniform_in(low, high))) as f32;
    [area * f64::from(ratio), area / f64::from(ratio)].map(|square| round(square.sqrt()))
}

/// As Python's `round`.
fn round(x: f64) -> usize {
    x.round_ties_even() as usize
}
