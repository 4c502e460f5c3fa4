//! Random changes of training images: crops and reflections, as in the paper.
//!
//! What happens to an image is a pure function of its random stream and its size. The number and order of
//! draws are part of every stored run and must not change. All of them are made first, so that the pixels
//! take one pass from the image to the batch.

use super::normalize::Normalizer;
use super::{Square, View};
use crate::data::RgbView;
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
    /// Draws what happens to an image of `size` (width, height).
    pub(super) fn draw(self, view: View, size: [usize; 2], rng: &mut Rng) -> Drawn {
        let unchanged =
            Drawn { square: view.center_square(size), flip: false, shift: None, colour: None };
        match self {
            Self::None => unchanged,
            Self::Flip => Drawn { shift: Some([0, 0]), flip: flip(rng), ..unchanged },
            Self::PadCropFlip { pad } => {
                let shift = Some(shift(rng, pad));
                Drawn { shift, flip: flip(rng), ..unchanged }
            }
            Self::PadCrop { pad } => Drawn { shift: Some(shift(rng, pad)), ..unchanged },
            Self::ResizeCropFlip { resize } => crop_flip(view, size, resize, rng),
            Self::ScaleCropFlipColour { shortest, longest } => {
                let resize = shortest + rng.below(longest.saturating_sub(shortest) + 1);
                let drawn = crop_flip(view, size, resize, rng);
                let factors = [0; 3].map(|_| COLOUR_STRENGTH * rng.normal());
                let colour = COLOUR.map(|row| {
                    let [a, b, c] = [0, 1, 2].map(|i| row[i] * factors[i]);
                    a + b + c
                });
                Drawn { colour: Some(colour), ..drawn }
            }
        }
    }
}

/// What happens to one image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drawn {
    /// Which square of it is used.
    pub(super) square: Square,
    /// Whether the square is mirrored.
    flip: bool,
    /// How far the square is moved left and up, then: zeros come from outside. A per-pixel mean belongs
    /// to a place of the square before this and the flip; with none, to a place after the flip, as in
    /// the paper.
    shift: Option<[isize; 2]>,
    /// What is added to the channels, in units of pixel / 255.
    colour: Option<[f32; 3]>,
}

impl Drawn {
    /// Writes the changed and normalised `image`, which has the size that was drawn for, to `out`,
    /// `[crop, crop, 3]`, in one pass over its rows. `room` is memory for [`Square::rows`].
    pub(super) fn write(
        &self,
        image: RgbView<'_>,
        normalizer: &Normalizer,
        room: &mut [u8],
        out: &mut [f32],
    ) {
        let len = self.square.side() * 3;
        assert_eq!(out.len(), self.square.side() * len, "floats of one input");
        let normalizer = normalizer.shifted(self.colour);
        let Some(shift) = self.shift else {
            self.square.rows(image, room, |y, row| {
                normalizer.row(row, y * len, self.flip, &mut out[y * len..][..len]);
            });
            return;
        };
        let [x, y] = shift;
        let columns = (len / 3).saturating_sub(x.unsigned_abs()) * 3;
        // First column of the part that is seen, in the square and in the output.
        let from = x.max(0) as usize * 3;
        let to = (-x).max(0) as usize * 3;
        out.fill(0.0);
        if columns == 0 {
            return;
        }
        self.square.rows(image, room, |row, bytes| {
            let Some(above) = row.checked_add_signed(-y) else { return };
            let Some(out) = out.chunks_exact_mut(len).nth(above) else { return };
            let bytes = &bytes[from..from + columns];
            normalizer.row(bytes, row * len + from, false, &mut out[to..to + columns]);
            if self.flip {
                out.as_chunks_mut::<3>().0.reverse();
            }
        });
    }
}

/// A random crop of an image whose shorter side is resized to `resize`, mirrored half of the time.
fn crop_flip(view: View, size: [usize; 2], resize: usize, rng: &mut Rng) -> Drawn {
    let view = View { resize: Some(resize), ..view };
    let corner = view.resized_size(size).map(|side| rng.below(side - view.crop + 1));
    let square = view.square(size, corner);
    Drawn { square, flip: flip(rng), shift: None, colour: None }
}

/// How far a crop of the padded image lies right of and below the image.
fn shift(rng: &mut Rng, pad: usize) -> [isize; 2] {
    [0, 1].map(|_| rng.below(2 * pad + 1) as isize - pad as isize)
}

fn flip(rng: &mut Rng) -> bool {
    rng.below(2) == 1
}
