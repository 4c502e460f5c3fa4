//! The squares that a network sees of an image: padded, shorter side resized, then one crop or ten.
//!
//! The arithmetic of sides is that of `CropMode`, by default torchvision's to the pixel. Inference,
//! evaluation and the means of a training set share it, so they see the same pixels.

use super::resize::{Part, Window};
use super::{CropMode, Interpolation};
use crate::data::{RgbImage, RgbView};

/// Which crops of an image are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Crops {
    /// The centre.
    #[default]
    Center,
    /// The corners and the centre, then the same five mirrored: the "standard 10-crop testing" of the
    /// paper (Krizhevsky et al., 2012). Where the image has the crop's size all five coincide.
    Ten,
}

impl Crops {
    /// How many they are.
    pub const fn count(self) -> usize {
        match self {
            Self::Center => 1,
            Self::Ten => 10,
        }
    }
}

/// How an image of any size becomes a square of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Side of a black square. Before all else, an image that fits into it is put in its middle. With `None`,
    /// and for larger images, nothing happens. (So idx images of 28 x 28 become 32 x 32.)
    pub pad: Option<usize>,
    /// Length to which the shorter side is resized (the longer in proportion, rounded down), or what `mode`
    /// says instead. With `None`, the image is not resized.
    pub resize: Option<usize>,
    /// Side of the crop. What lies outside the image has the colour `fill`.
    pub crop: usize,
    /// How it is resized.
    pub interpolation: Interpolation,
    /// Which sides are resized, and where the crop lies.
    pub mode: CropMode,
    /// Red, green and blue of what lies outside the image.
    pub fill: [u8; 3],
}

impl View {
    /// 32 x 32 images as they are, anything else to shorter side 32 and its centre.
    pub const fn cifar() -> Self {
        Self::of(32, 32)
    }

    /// Shorter side 256, centre 224.
    pub const fn imagenet() -> Self {
        Self::of(256, 224)
    }

    /// Shorter side `resize`, centre `crop`, bilinearly.
    pub const fn of(resize: usize, crop: usize) -> Self {
        Self {
            pad: None,
            resize: Some(resize),
            crop,
            interpolation: Interpolation::Bilinear,
            mode: CropMode::Center,
            fill: [0; 3],
        }
    }

    /// The same view for crops at random places of an image whose shorter side is `resize`: shape kept, no
    /// borders.
    pub(super) fn cut(self, resize: usize) -> Self {
        Self { resize: Some(resize), mode: CropMode::Center, ..self }
    }

    /// Numbers in one input: `crop * crop * 3`.
    pub const fn input_len(&self) -> usize {
        self.crop * self.crop * 3
    }

    /// The middle of `image`, `crop` x `crop`.
    ///
    /// # Panics
    /// If `resize` or `crop` is zero.
    pub fn center(&self, image: &RgbImage) -> RgbImage {
        self.center_square([image.width(), image.height()]).image(image.view())
    }

    /// The squares of `image` that `crops` names, each `crop` x `crop`. Of ten: top left, top right,
    /// bottom left, bottom right, centre, and those of the mirrored image that show the same (torchvision's
    /// `TenCrop`).
    ///
    /// # Panics
    /// If `resize` or `crop` is zero.
    pub fn crops(&self, image: &RgbImage, crops: Crops) -> Vec<RgbImage> {
        if crops == Crops::Center {
            return vec![self.center(image)];
        }
        let size = [image.width(), image.height()];
        let [right, bottom] = self.resized_size(size).map(|side| side.saturating_sub(self.crop));
        let corners = [[0, 0], [right, 0], [0, bottom], [right, bottom]];
        let square = |corner| self.square(size, corner).image(image.view());
        let mut squares = corners.map(square).to_vec();
        let mut mirrored = squares.clone();
        squares.push(self.center(image));
        // The centre of the mirrored image, as torchvision takes it: of an odd difference its halves change
        // sides.
        let [width, height] = self.resized_size(size);
        let left = right - self.mode.center(width, self.crop).min(right);
        mirrored.push(square([left, self.mode.center(height, self.crop)]));
        mirrored.iter_mut().for_each(RgbImage::mirror);
        squares.append(&mut mirrored);
        squares
    }

    /// Width and height that an image of `size` has in the middle of its black square, if there is one
    /// and it fits.
    pub(super) fn padded_size(&self, size: [usize; 2]) -> [usize; 2] {
        match self.pad {
            Some(side) if size[0].max(size[1]) <= side => [side; 2],
            _ => size,
        }
    }

    /// Width and height of an image of `size` after padding and resizing.
    pub fn resized_size(&self, size: [usize; 2]) -> [usize; 2] {
        let padded = self.padded_size(size);
        self.resize.map_or(padded, |side| self.mode.resized(padded, side))
    }

    /// The square in the middle of an image of `size` (width, height).
    ///
    /// # Panics
    /// If `resize` or `crop` is zero.
    pub fn center_square(&self, size: [usize; 2]) -> Square {
        self.square(size, self.resized_size(size).map(|side| self.mode.center(side, self.crop)))
    }

    /// The square whose corner is `[left, top]` of an image of `size` (width, height) after padding and
    /// resizing. Along an axis where that is smaller than the crop (the corner is then 0) it stands in
    /// the middle of `fill`.
    ///
    /// # Panics
    /// If `resize` or `crop` is zero, or the square reaches beyond an image that is larger than it.
    pub fn square(&self, size: [usize; 2], [left, top]: [usize; 2]) -> Square {
        let padded = self.padded_size(size);
        let [width, height] = self.resized_size(size);
        let crop = self.crop;
        let window =
            Window { left, top, width: (width - left).min(crop), height: (height - top).min(crop) };
        let part = Part::new(
            Window::all(padded[0], padded[1]),
            [width, height],
            window,
            self.interpolation,
        );
        Square {
            size,
            pad: (padded != size).then_some(padded[0]),
            part,
            place: [window.width, window.height].map(|len| self.mode.in_middle(len, crop)),
            window: [window.width, window.height],
            fill: self.fill,
            side: crop,
        }
    }

    /// `area` of an image of `size` (width, height) after padding, resized to the crop as if it were an image
    /// of its own.
    ///
    /// # Panics
    /// If `area` is empty or not inside the image, or `crop` is zero.
    pub fn area_square(&self, size: [usize; 2], area: Window) -> Square {
        let (padded, side) = (self.padded_size(size), self.crop);
        assert!(area.is_inside(padded[0], padded[1]), "{area:?} of {padded:?}");
        Square {
            size,
            pad: (padded != size).then_some(padded[0]),
            part: Part::new(area, [side; 2], Window::all(side, side), self.interpolation),
            place: [0; 2],
            window: [side; 2],
            fill: self.fill,
            side,
        }
    }
}

/// The square that a network sees of an image of a known size; its rows are computed when asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Square {
    /// Width and height of the image.
    size: [usize; 2],
    /// Side of the black square in whose middle the image stands before it is resized.
    pad: Option<usize>,
    part: Part,
    /// Left and top of the part in the square; the rest has the colour `fill`.
    place: [usize; 2],
    /// Width and height of the part.
    window: [usize; 2],
    fill: [u8; 3],
    side: usize,
}

impl Square {
    /// Columns, and rows.
    pub fn side(&self) -> usize {
        self.side
    }

    /// The part of the image that [`rows`](Self::rows) reads; a pixel or so beyond may not count.
    pub fn reach(&self) -> Window {
        match self.pad {
            Some(_) => Window::all(self.size[0], self.size[1]),
            None => self.part.reach(),
        }
    }

    /// Bytes of memory that [`rows`](Self::rows) needs.
    pub fn room(&self) -> usize {
        let Some(side) = self.pad else { return self.part_room() };
        side * side * 3 + self.part_room()
    }

    fn part_room(&self) -> usize {
        // A row of the square where the part does not fill it.
        self.part.room() + if self.window == [self.side; 2] { 0 } else { self.side * 3 }
    }

    /// Calls `see` with the number and the bytes, `[side, 3]`, of one row after another. `room` is memory
    /// of any content.
    ///
    /// # Panics
    /// If `image` has another size, or `room` is shorter than [`room`](Self::room).
    pub fn rows(&self, image: RgbView<'_>, room: &mut [u8], mut see: impl FnMut(usize, &[u8])) {
        assert_eq!([image.width(), image.height()], self.size, "size of the image");
        let Some(side) = self.pad else { return self.part_rows(image, room, see) };
        let (padded, room) = room.split_at_mut(side * side * 3);
        put_in_middle(image, side, padded);
        self.part_rows(RgbView::new(side, side, padded), room, &mut see);
    }

    fn part_rows(&self, image: RgbView<'_>, room: &mut [u8], mut see: impl FnMut(usize, &[u8])) {
        if self.window == [self.side; 2] {
            return self.part.rows(image, room, see);
        }
        let ([left, top], [width, height]) = (self.place, self.window);
        let (line, room) = room.split_at_mut(self.side * 3);
        let fill = |line: &mut [u8]| {
            line.as_chunks_mut::<3>().0.iter_mut().for_each(|pixel| *pixel = self.fill);
        };
        fill(line);
        (0..top).for_each(|y| see(y, line));
        self.part.rows(image, room, |y, row| {
            line[left * 3..(left + width) * 3].copy_from_slice(row);
            see(top + y, line);
        });
        fill(line);
        (top + height..self.side).for_each(|y| see(y, line));
    }

    /// The square as an image.
    ///
    /// # Panics
    /// If `image` has another size.
    pub fn image(&self, image: RgbView<'_>) -> RgbImage {
        let len = self.side * 3;
        let mut pixels = vec![0; len * self.side];
        self.rows(image, &mut vec![0; self.room()], |y, row| {
            pixels[y * len..][..len].copy_from_slice(row);
        });
        RgbImage::new(self.side, self.side, pixels)
    }
}

/// Where something `len` long starts in the middle of `side`: of an odd difference the smaller half is
/// before it.
pub(super) fn in_middle(len: usize, side: usize) -> usize {
    (side - len) / 2
}

/// Writes `image`, which fits, to the middle of a black square of `side` pixels.
pub(super) fn put_in_middle(image: RgbView<'_>, side: usize, out: &mut [u8]) {
    let (x, y) = (in_middle(image.width(), side), in_middle(image.height(), side));
    out.fill(0);
    for row in 0..image.height() {
        let at = ((y + row) * side + x) * 3;
        out[at..at + image.width() * 3].copy_from_slice(image.row(row));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::resize;
    use crate::runtime::Rng;

    fn gradient(width: usize, height: usize) -> RgbImage {
        let pixel = |i: usize| [(i % width * 7) as u8, (i / width * 5) as u8, (i % 251) as u8];
        RgbImage::new(width, height, (0..width * height).flat_map(pixel).collect())
    }

    #[test]
    fn ten_crops_are_corners_centre_and_mirrors() {
        let view = View::of(20, 13);
        let image = gradient(31, 43);
        let ten = view.crops(&image, Crops::Ten);
        assert_eq!(ten.len(), Crops::Ten.count());
        assert_eq!(view.crops(&image, Crops::Center), [view.center(&image)]);
        assert_eq!(ten[4], view.center(&image));
        let mut mirrored = resize(&image, 20, 27);
        mirrored.mirror();
        assert_eq!(
            ten[9],
            View { resize: None, ..view }.center(&mirrored),
            "seven columns to spare"
        );
        let resized = resize(&image, 20, 27);
        let pixel = |image: &RgbImage, x: usize, y: usize| image.row(y)[x * 3..][..3].to_vec();
        for (i, (left, top)) in [(0, 0), (7, 0), (0, 14), (7, 14)].into_iter().enumerate() {
            for (x, y) in [(0, 0), (12, 0), (5, 12)] {
                assert_eq!(pixel(&ten[i], x, y), pixel(&resized, left + x, top + y));
                assert_eq!(pixel(&ten[i + 5], 12 - x, y), pixel(&resized, left + x, top + y));
            }
        }
    }

    #[test]
    fn crops_of_a_image_of_their_size_or_smaller_coincide() {
        for side in [13, 9] {
            let view = View { resize: None, ..View::of(13, 13) };
            let ten = view.crops(&gradient(side, side), Crops::Ten);
            assert!(ten[..5].iter().all(|square| *square == ten[4]), "{side}");
            assert!(ten[5..].iter().all(|square| *square == ten[9] && *square != ten[4]), "{side}");
        }
    }

    #[test]
    fn what_is_beyond_the_reach_does_not_matter() {
        let mut rng = Rng::named(0, "reach");
        for _ in 0..300 {
            let size = [0; 2].map(|_| 1 + rng.below(60));
            let resize = (rng.below(3) > 0).then(|| 1 + rng.below(50));
            let interpolation = [Interpolation::Nearest, Interpolation::Bicubic][rng.below(2)];
            let mode = [CropMode::Center, CropMode::Squash][rng.below(2)];
            let crop = 1 + rng.below(40);
            let view = View { resize, interpolation, mode, ..View::of(crop, crop) };
            let [right, bottom] =
                view.resized_size(size).map(|side| side.saturating_sub(view.crop));
            let corner = [rng.below(right + 1), rng.below(bottom + 1)];
            let image = gradient(size[0], size[1]);
            if view.resized_size(size).contains(&0) {
                continue;
            }
            let square = view.square(size, corner);
            let reach = square.reach();
            assert!(reach.is_inside(size[0], size[1]), "{reach:?} of {size:?}");
            let mut other = image.clone();
            for (i, pixel) in other.pixels_mut().as_chunks_mut::<3>().0.iter_mut().enumerate() {
                let [x, y] = [i % size[0], i / size[0]];
                let (x, y) = (x.wrapping_sub(reach.left), y.wrapping_sub(reach.top));
                if x >= reach.width || y >= reach.height {
                    *pixel = [0; 3];
                }
            }
            assert_eq!(square.image(other.view()), square.image(image.view()), "{square:?}");
        }
    }
}
