//! Random changes of brightness, contrast, saturation and hue: torchvision's `ColorJitter` on PIL images,
//! bit for bit as Pillow computes it on 8-bit RGB.

use crate::data::RgbImage;
use crate::data::sampler::shuffle;
use crate::runtime::Rng;

/// How much colours change at random; 0 means not at all. The four changes come in random order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Jitter {
    /// The image is multiplied by a factor in [max(0, 1 - this), 1 + this].
    pub brightness: f64,
    /// The difference from the image's mean grey is multiplied by such a factor.
    pub contrast: f64,
    /// The difference of each pixel from its grey is multiplied by such a factor.
    pub saturation: f64,
    /// Hues are turned by a share of the circle in [-this, this], at most 0.5.
    pub hue: f64,
}

/// A change that was drawn: brightness, contrast, saturation (each a factor) or hue (a share of the circle).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Change {
    Brightness(f32),
    Contrast(f32),
    Saturation(f32),
    Hue(f32),
}

impl Jitter {
    /// Whether it changes anything.
    pub fn is_on(self) -> bool {
        self != Self::default()
    }

    /// What is done to an image: an order of the four, then the amounts of those that are on.
    pub(super) fn draw(self, rng: &mut Rng) -> Vec<Change> {
        let mut order = [0, 1, 2, 3];
        shuffle(rng, &mut order);
        let mut factor = |strength: f64| {
            let [least, most] = [(1.0 - strength).max(0.0) as f32, (1.0 + strength) as f32];
            (strength > 0.0).then(|| rng.uniform_in(least, most))
        };
        let brightness = factor(self.brightness).map(Change::Brightness);
        let contrast = factor(self.contrast).map(Change::Contrast);
        let saturation = factor(self.saturation).map(Change::Saturation);
        let hue = (self.hue > 0.0)
            .then(|| Change::Hue(rng.uniform_in(-self.hue as f32, self.hue as f32)));
        let changes = [brightness, contrast, saturation, hue];
        order.into_iter().filter_map(|i| changes[i]).collect()
    }
}

impl Change {
    /// Changes `image`.
    pub(super) fn apply(self, image: &mut RgbImage) {
        match self {
            Self::Brightness(factor) => blend_with(image, 0, factor),
            Self::Contrast(factor) => {
                let pixels = image.pixels().as_chunks::<3>().0;
                let sum: u64 = pixels.iter().map(|&pixel| u64::from(grey(pixel))).sum();
                let mean = sum as f64 / pixels.len() as f64;
                blend_with(image, (mean + 0.5) as u8, factor);
            }
            Self::Saturation(factor) => {
                for pixel in image.pixels_mut().as_chunks_mut::<3>().0 {
                    let grey = grey(*pixel);
                    *pixel = pixel.map(|byte| blend(grey, byte, factor));
                }
            }
            Self::Hue(turn) => {
                // As numpy casts it: towards zero, then modulo 256.
                let turn = (f64::from(turn) * 255.0) as i32 as u8;
                for pixel in image.pixels_mut().as_chunks_mut::<3>().0 {
                    let [hue, saturation, value] = to_hsv(*pixel);
                    *pixel = to_rgb([hue.wrapping_add(turn), saturation, value]);
                }
            }
        }
    }
}

/// Moves every byte towards `grey` or away from it.
fn blend_with(image: &mut RgbImage, grey: u8, factor: f32) {
    let table: [u8; 256] = std::array::from_fn(|byte| blend(grey, byte as u8, factor));
    image.pixels_mut().iter_mut().for_each(|byte| *byte = table[usize::from(*byte)]);
}

/// Pillow's `Image.blend` of two bytes; a factor beyond 1 leads away from the first.
fn blend(from: u8, to: u8, factor: f32) -> u8 {
    // The cast cuts off below 0 and above 255, as Pillow does.
    (f32::from(from) + factor * (f32::from(to) - f32::from(from))) as u8
}

/// `image` as Pillow converts it to "L", in each of its three channels.
pub(in super::super) fn to_grey(image: &RgbImage) -> RgbImage {
    let mut image = image.clone();
    image
        .pixels_mut()
        .as_chunks_mut::<3>()
        .0
        .iter_mut()
        .for_each(|pixel| *pixel = [grey(*pixel); 3]);
    image
}

/// Pillow's conversion to "L": ITU-R 601-2 in 16 binary places.
fn grey([r, g, b]: [u8; 3]) -> u8 {
    ((u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471 + 0x8000) >> 16) as u8
}

/// Pillow's conversion to "HSV".
fn to_hsv([r, g, b]: [u8; 3]) -> [u8; 3] {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    if most == least {
        return [0, 0, most];
    }
    let range = f32::from(most - least);
    let saturation = range / f32::from(most);
    let [rc, gc, bc] = [r, g, b].map(|byte| f32::from(most - byte) / range);
    // Constants are doubles in C, so two of the sums are, and each is rounded to a float.
    let hue = if r == most {
        bc - gc
    } else if g == most {
        (2.0 + f64::from(rc) - f64::from(bc)) as f32
    } else {
        (4.0 + f64::from(gc) - f64::from(rc)) as f32
    };
    let hue = ((f64::from(hue) / 6.0 + 1.0) % 1.0) as f32;
    let byte = |x: f32| (f64::from(x) * 255.0) as u8;
    [byte(hue), byte(saturation), most]
}

/// Pillow's conversion from "HSV".
fn to_rgb([hue, saturation, value]: [u8; 3]) -> [u8; 3] {
    if saturation == 0 {
        return [value; 3];
    }
    let sixths = f64::from(hue) * 6.0 / 255.0;
    let sector = sixths.floor();
    let rest = f64::from((sixths - sector) as f32);
    let strength = f64::from((f64::from(saturation) / 255.0) as f32);
    let byte = |share: f64| (f64::from(value) * share).round() as u8;
    let p = byte(1.0 - strength);
    let q = byte(1.0 - strength * rest);
    let t = byte(1.0 - strength * (1.0 - rest));
    match sector as u8 % 6 {
        0 => [value, t, p],
        1 => [q, value, p],
        2 => [p, value, t],
        3 => [p, q, value],
        4 => [t, p, value],
        _ => [value, p, q],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All colours there are, against checksums of Pillow 12.1.1 (`check_augment.py` prints them).
    #[test]
    fn hue_and_saturation_of_all_colours_are_pillows() {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../../../../tests/data/augment.json")).unwrap();
        for (change, name) in [
            (Change::Hue(0.1), "hue 0.1"),
            (Change::Hue(-0.3), "hue -0.3"),
            (Change::Hue(0.0), "hue 0"),
            (Change::Saturation(1.37), "saturation 1.37"),
            (Change::Saturation(0.4), "saturation 0.4"),
        ] {
            let mut hasher = crc32fast::Hasher::new();
            for r in 0..=255 {
                let pixels = (0..=255).flat_map(|g| (0..=255).flat_map(move |b| [r, g, b]));
                let mut image = RgbImage::new(256, 256, pixels.collect());
                change.apply(&mut image);
                hasher.update(image.pixels());
            }
            assert_eq!(golden["all_colours"][name], hasher.finalize(), "{name}");
        }
    }

    #[test]
    fn factors_are_within_their_bounds_and_orders_equally_likely() {
        let jitter = Jitter { brightness: 0.4, contrast: 0.0, saturation: 1.5, hue: 0.1 };
        let mut orders = [0; 6];
        for i in 0..6000 {
            let changes = jitter.draw(&mut Rng::new(1, &[i]));
            let place = |is: fn(&Change) -> bool| changes.iter().position(is).unwrap();
            let [b, s, h] = [
                place(|c| matches!(c, Change::Brightness(x) if (0.6..=1.4).contains(x))),
                place(|c| matches!(c, Change::Saturation(x) if (0.0..=2.5).contains(x))),
                place(|c| matches!(c, Change::Hue(x) if (-0.1..=0.1).contains(x))),
            ];
            assert_eq!(b + s + h, 3, "each once");
            orders[b * 2 + usize::from(s > h)] += 1;
        }
        // Six standard deviations.
        assert!(orders.iter().all(|n: &i32| (n - 1000).abs() < 190), "{orders:?}");
        assert!(!Jitter::default().is_on() && jitter.is_on());
    }
}
