//! The image every reader produces: 8-bit RGB, interleaved, rows from top to bottom; and a view of one
//! whose pixels lie elsewhere, such as in a file that is mapped into memory.
//!
//! Types of our own keep the decoder library out of the public interface.

/// An RGB image with 8 bits per channel.
#[derive(Clone, PartialEq, Eq)]
pub struct RgbImage {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl RgbImage {
    /// An image from `[height, width, 3]` bytes.
    ///
    /// # Panics
    /// If a side is zero or `pixels` is not `width * height * 3` long: a mistake of the caller.
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Self {
        assert!(width > 0 && height > 0, "an image has pixels, found {width}x{height}");
        assert_eq!(pixels.len(), width * height * 3, "bytes of a {width}x{height} RGB image");
        Self { width, height, pixels }
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The bytes, `[height, width, 3]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The bytes, `[height, width, 3]`, to be changed.
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// Row `y`, `[width, 3]`.
    pub fn row(&self, y: usize) -> &[u8] {
        &self.pixels[y * self.width * 3..][..self.width * 3]
    }

    /// The same image, borrowed.
    pub fn view(&self) -> RgbView<'_> {
        RgbView { width: self.width, height: self.height, pixels: &self.pixels }
    }

    /// Mirrors the image: exchanges left and right.
    pub fn mirror(&mut self) {
        for row in self.pixels.chunks_exact_mut(self.width * 3) {
            row.as_chunks_mut::<3>().0.reverse();
        }
    }
}

/// An RGB image with 8 bits per channel whose pixels belong to somebody else.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RgbView<'a> {
    width: usize,
    height: usize,
    pixels: &'a [u8],
}

impl<'a> RgbView<'a> {
    /// An image of `[height, width, 3]` bytes.
    ///
    /// # Panics
    /// If a side is zero or `pixels` is not `width * height * 3` long: a mistake of the caller.
    pub fn new(width: usize, height: usize, pixels: &'a [u8]) -> Self {
        assert!(width > 0 && height > 0, "an image has pixels, found {width}x{height}");
        assert_eq!(pixels.len(), width * height * 3, "bytes of a {width}x{height} RGB image");
        Self { width, height, pixels }
    }

    /// Columns.
    pub fn width(self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(self) -> usize {
        self.height
    }

    /// The bytes, `[height, width, 3]`.
    pub fn pixels(self) -> &'a [u8] {
        self.pixels
    }

    /// Row `y`, `[width, 3]`.
    pub fn row(self, y: usize) -> &'a [u8] {
        &self.pixels[y * self.width * 3..][..self.width * 3]
    }

    /// A copy of the image.
    pub fn to_image(self) -> RgbImage {
        RgbImage::new(self.width, self.height, self.pixels.to_vec())
    }
}

impl std::fmt::Debug for RgbView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RgbView({}x{})", self.width, self.height)
    }
}

impl std::fmt::Debug for RgbImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RgbImage({}x{})", self.width, self.height)
    }
}
