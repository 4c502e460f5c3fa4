//! Random changes of training images: crops and reflections, as in the paper.
//!
//! What happens to an image is a pure function of its random stream. The number and order of draws
//! are part of every stored run and must not change.

use super::View;
use super::normalize::Normalizer;
use crate::data::RgbImage;
use crate::runtime::Rng;

/// How training images are changed at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Augmentation {
    /// Not at all: evaluation, or overfitting on purpose.
    None,
    /// The image is mirrored half of the time.
    Flip,
    /// The paper's section 4.2: `pad` zeros around the normalised image, a random crop of the
    /// original size, and a flip half of the time.
    PadCropFlip {
        /// Zeros on each side.
        pad: usize,
    },
    /// As [`PadCropFlip`](Self::PadCropFlip) without the flip, for images whose mirror image means
    /// something else, such as digits.
    PadCrop {
        /// Zeros on each side.
        pad: usize,
    },
    /// For photographs: the shorter side resized to `resize`, a random crop of the network's side,
    /// and a flip half of the time.
    ResizeCropFlip {
        /// Shorter side after resizing, at least the crop of the view.
        resize: usize,
    },
    /// The paper's section 3.4, for photographs: the shorter side random from `shortest` to
    /// `longest`, a random crop of the network's side, a flip half of the time, and the colour shift
    /// of Krizhevsky et al. (2012, section 4.1).
    ScaleCropFlipColour {
        /// Least length of the shorter side, at least the crop of the view.
        shortest: usize,
        /// Its greatest length.
        longest: usize,
    },
}

/// Principal components of ImageNet's colours in units of pixel / 255, one row per channel, each column
/// times its standard deviation; those of fb.resnet.torch, the reference for the paper's networks.
const COLOUR: [[f32; 3]; 3] = [
    [-0.5675 * 0.2175, 0.7192 * 0.0188, 0.4009 * 0.0045],
    [-0.5808 * 0.2175, -0.0045 * 0.0188, -0.8140 * 0.0045],
    [-0.5836 * 0.2175, -0.6948 * 0.0188, 0.4203 * 0.0045],
];

/// Standard deviation of the random factor of each component.
const COLOUR_STRENGTH: f32 = 0.1;

impl Augmentation {
    /// Writes the changed and normalised `image` to `out`, `[crop, crop, 3]`.
    ///
    /// A per-pixel mean belongs to a place of the image before padding and flip, or of the crop
    /// after it where the crop is taken from a larger image, as in the paper.
    pub(super) fn apply(
        self,
        image: &RgbImage,
        view: View,
        normalizer: &Normalizer,
        rng: &mut Rng,
        out: &mut [f32],
    ) {
        match self {
            Self::None => normalizer.apply(&view.center(image), out),
            Self::Flip => {
                let image = view.center(image);
                write_shifted(&image, [0, 0], flip(rng), normalizer, out);
            }
            Self::PadCropFlip { pad } => {
                let shift = shift(rng, pad);
                write_shifted(&view.center(image), shift, flip(rng), normalizer, out);
            }
            Self::PadCrop { pad } => {
                write_shifted(&view.center(image), shift(rng, pad), false, normalizer, out);
            }
            Self::ResizeCropFlip { resize } => {
                normalizer.apply(&crop_flip(image, view, resize, rng), out);
            }
            Self::ScaleCropFlipColour { shortest, longest } => {
                let resize = shortest + rng.below(longest.saturating_sub(shortest) + 1);
                normalizer.apply(&crop_flip(image, view, resize, rng), out);
                let factors = [0; 3].map(|_| COLOUR_STRENGTH * rng.normal());
                let shift = COLOUR.map(|row| {
                    let [a, b, c] = [0, 1, 2].map(|i| row[i] * factors[i]);
                    a + b + c
                });
                normalizer.shift(shift, out);
            }
        }
    }
}

/// A random crop of `image`, its shorter side resized to `resize`, mirrored half of the time.
fn crop_flip(image: &RgbImage, view: View, resize: usize, rng: &mut Rng) -> RgbImage {
    let view = View { resize: Some(resize), ..view };
    let image = &view.padded(image);
    let (width, height) = view.resized_size(image);
    let corner = [width, height].map(|side| rng.below(side - view.crop + 1));
    let mut image = view.cut(image, corner);
    if flip(rng) {
        image.mirror();
    }
    image
}

/// How far a crop of the padded image lies right of and below the image.
fn shift(rng: &mut Rng, pad: usize) -> [isize; 2] {
    [0, 1].map(|_| rng.below(2 * pad + 1) as isize - pad as isize)
}

fn flip(rng: &mut Rng) -> bool {
    rng.below(2) == 1
}

/// Writes `image` moved left and up by `shift`, zeros where it does not reach, then mirrored if
/// `flip`. Place and floats go together: each pixel is normalised where it comes from.
fn write_shifted(
    image: &RgbImage,
    [x, y]: [isize; 2],
    flip: bool,
    normalizer: &Normalizer,
    out: &mut [f32],
) {
    let (width, height) = (image.width(), image.height());
    assert_eq!(out.len(), width * height * 3, "floats of one input");
    let columns = width.saturating_sub(x.unsigned_abs()) * 3;
    // First column of the part that is seen, in the image and in the output.
    let from = x.max(0) as usize * 3;
    let to = (-x).max(0) as usize * 3;
    for (row, out) in (0..height).zip(out.chunks_exact_mut(width * 3)) {
        out.fill(0.0);
        let Some(row) = row.checked_add_signed(y).filter(|&row| row < height) else { continue };
        if columns == 0 {
            continue;
        }
        let bytes = &image.row(row)[from..from + columns];
        normalizer.apply_run(bytes, row * width * 3 + from, &mut out[to..to + columns]);
        if flip {
            out.as_chunks_mut::<3>().0.reverse();
        }
    }
}
