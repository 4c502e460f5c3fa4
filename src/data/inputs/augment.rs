//! Random changes of training images: crops, reflections, colours, erasing.
//!
//! What happens to an image is a pure function of its random stream and its size. The number and order of
//! draws are part of every stored run and must not change: those of the crop, the flip, the jitter, the
//! colour shift, the erasing, each only if it is on. All of them are made first, so that the pixels take
//! one pass from the image to the batch.

mod area;
mod colour;
mod jitter;

pub use colour::ColourShift;
pub use jitter::Jitter;
pub(super) use jitter::to_grey;

use super::normalize::{Normalizer, Shifted};
use super::{Square, View};
use crate::data::{RgbView, SettingError, Window};
use crate::runtime::Rng;
use jitter::Change;

/// How training images are changed at random; each part is a switch of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Augmentation {
    /// Which square of an image is used.
    pub crop: Crop,
    /// Whether it is mirrored half of the time.
    pub flip: bool,
    /// Brightness, contrast, saturation and hue.
    pub jitter: Jitter,
    /// The components by which colours are shifted, if they are.
    pub colour: Option<ColourShift>,
    /// How probably a rectangle is erased: it becomes 0 in the normalised input (torchvision's
    /// `RandomErasing`).
    pub erase: f32,
}

/// Which square of a training image is used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Crop {
    /// The centre, as in evaluation.
    Center,
    /// The paper's section 4.2: a random square of the centre view's size, of that view with zeros around
    /// it once it is normalised.
    Pad {
        /// Zeros on each side.
        pad: usize,
    },
    /// The shorter side resized to a length, and a random crop of the network's side.
    Resize {
        /// The shorter side, at least the crop of the view.
        side: usize,
    },
    /// The paper's section 3.4: the shorter side resized to a random length, and a random crop of the
    /// network's side.
    Scale {
        /// Least length of the shorter side, at least the crop of the view.
        shortest: usize,
        /// Its greatest length.
        longest: usize,
    },
    /// A part of random area and shape (width / height from 3/4 to 4/3) resized to the crop: torchvision's
    /// `RandomResizedCrop`.
    Area {
        /// The least share of the image's area, above 0 and at most 1.
        least: f32,
    },
}

impl Augmentation {
    /// None at all: evaluation, or overfitting on purpose.
    pub const NONE: Self = Self {
        crop: Crop::Center,
        flip: false,
        jitter: Jitter { brightness: 0.0, contrast: 0.0, saturation: 0.0, hue: 0.0 },
        colour: None,
        erase: 0.0,
    };

    /// An error if there is no room for the crop of `view`.
    pub(super) fn check(&self, view: View) -> Result<(), SettingError> {
        match self.crop {
            Crop::Resize { side: resize } | Crop::Scale { shortest: resize, .. }
                if resize < view.crop =>
            {
                Err(SettingError::ResizeBelowCrop { resize, crop: view.crop })
            }
            _ => Ok(()),
        }
    }

    /// Draws what happens to an image of `size` (width, height).
    pub(super) fn draw(&self, view: View, size: [usize; 2], rng: &mut Rng) -> Drawn {
        let corner = |resize: usize, rng: &mut Rng| {
            let sides = view.cut(resize).resized_size(size);
            Place::Cut { resize, corner: sides.map(|side| rng.below(side - view.crop + 1)) }
        };
        let place = match self.crop {
            Crop::Center => Place::Moved([0, 0]),
            Crop::Pad { pad } => {
                Place::Moved([0, 1].map(|_| rng.below(2 * pad + 1) as isize - pad as isize))
            }
            Crop::Resize { side } => corner(side, rng),
            Crop::Scale { shortest, longest } => {
                let side = shortest + rng.below(longest.saturating_sub(shortest) + 1);
                corner(side, rng)
            }
            Crop::Area { least } => Place::Part(area::crop(view.padded_size(size), least, rng)),
        };
        let flip = self.flip && rng.below(2) == 1;
        let changes = if self.jitter.is_on() { self.jitter.draw(rng) } else { Vec::new() };
        let colour = self.colour.map(|colour| colour.draw(rng));
        let erased = (self.erase > 0.0 && rng.uniform() < self.erase)
            .then(|| area::erased(view.crop, rng))
            .flatten();
        Drawn { square: place.square(view, size), place, flip, changes, colour, erased }
    }
}

/// Where a crop is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    /// The centre view, moved left and up by so much, zeros where it does not reach. A per-pixel mean belongs
    /// to a place of it before that and the flip; elsewhere, to a place of the crop after the flip, as in
    /// the paper.
    Moved([isize; 2]),
    /// The square with this corner, left and top, of the image with its shorter side resized.
    Cut { resize: usize, corner: [usize; 2] },
    /// This part of the image, resized to the crop.
    Part(Window),
}

impl Place {
    /// The square, of an image of `size`; where it is moved, before that.
    fn square(self, view: View, size: [usize; 2]) -> Square {
        match self {
            Self::Moved(_) => view.center_square(size),
            Self::Cut { resize, corner } => view.cut(resize).square(size, corner),
            Self::Part(part) => view.area_square(size, part),
        }
    }
}

/// What happens to one image.
#[derive(Debug)]
pub(super) struct Drawn {
    /// Which square of it is used.
    pub(super) square: Square,
    place: Place,
    flip: bool,
    /// Of the bytes, before they are normalised.
    changes: Vec<Change>,
    /// Is added, in units of pixel / 255.
    colour: Option<[f32; 3]>,
    /// Becomes 0 in the end.
    erased: Option<Window>,
}

impl Drawn {
    /// Writes the changed and normalised `image`, which has the size that was drawn for, to `out`,
    /// `[crop, crop, 3]`, in one pass over its rows unless colours are jittered. `room` is memory for
    /// [`Square::rows`].
    pub(super) fn write(
        &self,
        image: RgbView<'_>,
        normalizer: &Normalizer,
        room: &mut [u8],
        out: &mut [f32],
    ) {
        let len = self.square.side() * 3;
        assert_eq!(out.len(), self.square.side() * len, "floats of one input");
        let normalizer = &normalizer.shifted(self.colour);
        if self.changes.is_empty() {
            let rows = |see: &mut dyn FnMut(usize, &[u8])| self.square.rows(image, room, see);
            self.write_rows(normalizer, rows, out);
        } else {
            // Contrast needs the mean of all of it.
            let mut square = self.square.image(image);
            self.changes.iter().for_each(|change| change.apply(&mut square));
            let rows = |see: &mut dyn FnMut(usize, &[u8])| {
                (0..square.height()).for_each(|y| see(y, square.row(y)));
            };
            self.write_rows(normalizer, rows, out);
        }
        if let Some(Window { left, top, width, height }) = self.erased {
            for row in out.chunks_exact_mut(len).skip(top).take(height) {
                row[left * 3..][..width * 3].fill(0.0);
            }
        }
    }

    /// Writes the rows of the square that `rows` gives.
    fn write_rows(
        &self,
        normalizer: &Shifted<'_>,
        rows: impl FnOnce(&mut dyn FnMut(usize, &[u8])),
        out: &mut [f32],
    ) {
        let len = self.square.side() * 3;
        let [x, y] = match self.place {
            Place::Moved(shift) if shift != [0, 0] || self.flip => shift,
            _ => {
                return rows(&mut |y, row| {
                    normalizer.row(row, y * len, self.flip, &mut out[y * len..][..len]);
                });
            }
        };
        let columns = (len / 3).saturating_sub(x.unsigned_abs()) * 3;
        // First column of the part that is seen, in the square and in the output.
        let from = x.max(0) as usize * 3;
        let to = (-x).max(0) as usize * 3;
        out.fill(0.0);
        if columns == 0 {
            return;
        }
        rows(&mut |row, bytes| {
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

#[cfg(test)]
mod tests;
