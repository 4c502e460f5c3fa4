//! A picture that is put together of images, bars and lines of text.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};
use resnet_cpu::data::RgbImage;

const WEIGHT: FontWeight = FontWeight::Regular;
const HEIGHT: RasterHeight = RasterHeight::Size16;

/// Height of a line of text, in pixels.
pub(super) const LINE: usize = HEIGHT.val() + 4;

/// Width of each character.
pub(super) const LETTER: usize = get_raster_width(WEIGHT, HEIGHT);

/// A colour: red, green, blue.
pub(super) type Colour = [u8; 3];

/// A picture to be drawn on. What lies outside is not drawn.
pub(super) struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    /// A white one.
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self { width, height, pixels: vec![255; width * height * 3] }
    }

    /// Copies `image` to the corner `[left, top]`.
    pub(super) fn put(&mut self, [left, top]: [usize; 2], image: &RgbImage) {
        for y in 0..image.height() {
            for (x, &pixel) in image.row(y).as_chunks::<3>().0.iter().enumerate() {
                self.mix([left + x, top + y], pixel, 255);
            }
        }
    }

    /// Fills a rectangle of `size` (width, height), column by column.
    pub(super) fn fill(
        &mut self,
        [left, top]: [usize; 2],
        size: [usize; 2],
        colour: impl Fn(usize) -> Colour,
    ) {
        for x in 0..size[0] {
            for y in 0..size[1] {
                self.mix([left + x, top + y], colour(x), 255);
            }
        }
    }

    /// Writes a line of text, at most `width` pixels long: of a longer one the beginning. A character that the font
    /// lacks becomes a question mark.
    pub(super) fn text(
        &mut self,
        [left, top]: [usize; 2],
        width: usize,
        text: &str,
        colour: Colour,
    ) {
        let room = width / LETTER;
        let text = match text.chars().count() > room {
            true => &format!("{}..", text.chars().take(room.saturating_sub(2)).collect::<String>()),
            false => text,
        };
        for (i, c) in text.chars().enumerate() {
            let raster = get_raster(c, WEIGHT, HEIGHT).or(get_raster('?', WEIGHT, HEIGHT));
            let rows = raster.into_iter().flat_map(|raster| raster.rows().enumerate());
            for (y, row) in rows {
                for (x, &opacity) in row.iter().enumerate() {
                    self.mix([left + i * LETTER + x, top + y], colour, opacity);
                }
            }
        }
    }

    /// Paints a pixel; an opacity of 255 covers what was there.
    fn mix(&mut self, [x, y]: [usize; 2], colour: Colour, opacity: u8) {
        if x >= self.width || y >= self.height {
            return;
        }
        let at = (y * self.width + x) * 3;
        for (pixel, value) in self.pixels[at..at + 3].iter_mut().zip(colour) {
            let [old, new, part] = [*pixel, value, opacity].map(u32::from);
            *pixel = ((old * (255 - part) + new * part + 127) / 255) as u8;
        }
    }

    /// What was drawn.
    pub(super) fn into_image(self) -> RgbImage {
        RgbImage::new(self.width, self.height, self.pixels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(text: &str, width: usize) -> RgbImage {
        let mut canvas = Canvas::new(100, 20);
        canvas.text([2, 2], width, text, [0; 3]);
        canvas.into_image()
    }

    #[test]
    fn text_is_cut_to_its_room() {
        let ink = |image: &RgbImage| image.pixels().iter().filter(|&&byte| byte < 128).count();
        assert!(ink(&drawn("golden", 90)) > 100 && ink(&drawn(" ", 90)) == 0);
        let room = 5 * LETTER;
        assert_eq!(drawn("golden retriever", room), drawn("gol..", room));
        assert_eq!(drawn("gold\u{e9}", room), drawn("gold\u{e9}", room + 3));
        assert_ne!(drawn("gold\u{e9}", room), drawn("golde", room));
        assert_eq!(drawn("\u{4e2d}", room), drawn("?", room));
    }

    #[test]
    fn what_lies_outside_is_not_drawn() {
        let mut canvas = Canvas::new(3, 2);
        canvas.put([2, 1], &RgbImage::new(2, 2, vec![7; 12]));
        canvas.fill([0, 0], [1, 9], |_| [9; 3]);
        let image = canvas.into_image();
        assert_eq!(image.row(0), [9, 9, 9, 255, 255, 255, 255, 255, 255]);
        assert_eq!(image.row(1), [9, 9, 9, 255, 255, 255, 7, 7, 7]);
    }
}
