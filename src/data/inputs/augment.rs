//! Random changes of training images: crops, reflections, colours, erasing.
//!
//! What happens to an image is a pure function of its random stream. The number and order of draws are
//! part of every stored run and must not change: those of the crop, the flip, the jitter, the colour
//! shift, the erasing, each only if it is on.

mod area;
mod colour;
mod jitter;

pub use colour::ColourShift;
pub use jitter::Jitter;

use super::View;
use super::normalize::Normalizer;
use super::resize::resize;
use crate::data::{RgbImage, SettingError, Window, resize_window};
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

    /// Writes the changed and normalised `image` to `out`, `[crop, crop, 3]`.
    ///
    /// A per-pixel mean belongs to a place of the image before padding and flip, or of the crop
    /// after it where the crop is taken from a larger image, as in the paper.
    pub(super) fn apply(
        &self,
        image: &RgbImage,
        view: View,
        normalizer: &Normalizer,
        rng: &mut Rng,
        out: &mut [f32],
    ) {
        let image = &view.padded(image);
        // It is done.
        let view = View { pad: None, ..view };
        self.draw(image, view, rng).apply(image, view, normalizer, out);
    }

    /// All that is random about what happens to `image`.
    fn draw(&self, image: &RgbImage, view: View, rng: &mut Rng) -> Drawn {
        let corner = |resize: usize, rng: &mut Rng| {
            let (width, height) = View { resize: Some(resize), ..view }.resized_size(image);
            let corner = [width, height].map(|side| rng.below(side - view.crop + 1));
            Place::Cut { resize, corner }
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
            Crop::Area { least } => {
                Place::Part(area::crop([image.width(), image.height()], least, rng))
            }
        };
        let flip = self.flip && rng.below(2) == 1;
        let changes = if self.jitter.is_on() { self.jitter.draw(rng) } else { Vec::new() };
        let colour = self.colour.map(|colour| colour.draw(rng));
        let erased = (self.erase > 0.0 && rng.uniform() < self.erase)
            .then(|| area::erased(view.crop, rng))
            .flatten();
        Drawn { place, flip, changes, colour, erased }
    }
}

/// What was drawn for an image.
#[derive(Debug)]
struct Drawn {
    place: Place,
    flip: bool,
    /// Of the bytes, before they are normalised.
    changes: Vec<Change>,
    /// Is added, in units of pixel / 255.
    colour: Option<[f32; 3]>,
    /// Becomes 0 in the end.
    erased: Option<Window>,
}

/// Where a crop is.
#[derive(Debug)]
enum Place {
    /// The centre view, moved left and up by so much, zeros where it does not reach.
    Moved([isize; 2]),
    /// The square with this corner, left and top, of the image with its shorter side resized.
    Cut { resize: usize, corner: [usize; 2] },
    /// This part of the image, resized to the crop.
    Part(Window),
}

impl Drawn {
    fn apply(&self, image: &RgbImage, view: View, normalizer: &Normalizer, out: &mut [f32]) {
        let (mut square, shift) = match self.place {
            Place::Moved(shift) => (view.center(image), shift),
            Place::Cut { resize, corner } => {
                (View { resize: Some(resize), ..view }.cut(image, corner), [0, 0])
            }
            Place::Part(part) => {
                // A crop first: pixels beyond it have no part in what is resized.
                let part = resize_window(image, image.width(), image.height(), part);
                (resize(&part, view.crop, view.crop), [0, 0])
            }
        };
        self.changes.iter().for_each(|change| change.apply(&mut square));
        let colour = self.colour.map(|colour| normalizer.scaled(colour));
        // A place of its mean belongs to a padded image before the flip, to a crop after it.
        let moved = matches!(self.place, Place::Moved(_));
        if self.flip && !moved {
            square.mirror();
        }
        write_moved(&square, shift, self.flip && moved, normalizer, colour, out);
        if let Some(Window { left, top, width, height }) = self.erased {
            for row in out.chunks_exact_mut(view.crop * 3).skip(top).take(height) {
                row[left * 3..][..width * 3].fill(0.0);
            }
        }
    }
}

/// Writes `image` moved left and up by `shift`, zeros where it does not reach, then mirrored if
/// `flip`. Place and floats go together: each pixel is normalised where it comes from. `colour` is added to
/// the image, not to the zeros.
fn write_moved(
    image: &RgbImage,
    [x, y]: [isize; 2],
    flip: bool,
    normalizer: &Normalizer,
    colour: Option<[f32; 3]>,
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
        let seen = &mut out[to..to + columns];
        normalizer.apply_run(bytes, row * width * 3 + from, seen);
        if let Some(colour) = colour {
            for pixel in seen.as_chunks_mut::<3>().0 {
                pixel.iter_mut().zip(colour).for_each(|(value, shift)| *value += shift);
            }
        }
        if flip {
            out.as_chunks_mut::<3>().0.reverse();
        }
    }
}

#[cfg(test)]
mod tests;
