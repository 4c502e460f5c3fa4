//! Images as they are in memory: binary PPM (P6) of 8 bits, a header and the pixels, which need no decoding.

use std::path::Path;

use crate::data::decode::{Limits, limits};
use crate::data::{Error, RgbImage, RgbView};

/// A binary PPM, whose pixels are where its bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawImage<'a> {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `[height, width, 3]`.
    pub pixels: &'a [u8],
}

impl<'a> RawImage<'a> {
    /// Whether `bytes` start as a binary PPM does.
    pub fn is_raw(bytes: &[u8]) -> bool {
        bytes.starts_with(b"P6") && bytes.get(2).is_some_and(u8::is_ascii_whitespace)
    }

    /// The image that `bytes` are; `path` is only the name that errors carry.
    ///
    /// # Errors
    /// [`Error`] if they are no PPM of 8 bits, if there are fewer or more pixels than its header says, or
    /// if it is beyond `limits`.
    pub fn parse(bytes: &'a [u8], path: &Path, limits: &Limits) -> Result<Self, Error> {
        let damaged = |detail: String| Error::Damaged { path: path.to_path_buf(), detail };
        let header = |detail: &str| damaged(format!("binary PPM (P6): {detail}"));
        let mut rest =
            bytes.strip_prefix(b"P6").ok_or_else(|| header("expected P6 at its start"))?;
        let mut number =
            || number(&mut rest).ok_or_else(|| header("expected three numbers in its header"));
        let [width, height, maximum] = [number()?, number()?, number()?];
        if maximum != 255 {
            return Err(header(&format!("expected values of 0 to 255, found 0 to {maximum}")));
        }
        limits::check_size(width, height, 3, path, limits)?;
        // A single whitespace ends the header: what follows may look like one.
        let pixels = match rest.split_first() {
            Some((space, pixels)) if space.is_ascii_whitespace() => pixels,
            _ => return Err(header("expected whitespace after its header")),
        };
        let [width, height] = [width as usize, height as usize];
        let expected = width * height * 3;
        if pixels.len() < expected {
            let detail = format!("expected {expected} bytes of pixels, found {}", pixels.len());
            return Err(Error::Truncated { path: path.to_path_buf(), detail });
        }
        if pixels.len() > expected {
            return Err(header(&format!(
                "expected {expected} bytes of pixels, found {}",
                pixels.len()
            )));
        }
        Ok(Self { width, height, pixels })
    }

    /// The image, where its pixels are.
    pub fn view(self) -> RgbView<'a> {
        RgbView::new(self.width, self.height, self.pixels)
    }

    /// The bytes of `image` as a binary PPM.
    pub fn encode(image: &RgbImage) -> Vec<u8> {
        let mut bytes = format!("P6\n{} {}\n255\n", image.width(), image.height()).into_bytes();
        bytes.extend(image.pixels());
        bytes
    }
}

/// Takes a number and the whitespace and comments before it.
fn number(rest: &mut &[u8]) -> Option<u32> {
    let mut spaces = 0;
    loop {
        match rest.first()? {
            b'#' => {
                let end = rest.iter().position(|&byte| byte == b'\n')?;
                *rest = &rest[end..];
            }
            byte if byte.is_ascii_whitespace() => {
                spaces += 1;
                *rest = &rest[1..];
            }
            _ => break,
        }
    }
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, after) = rest.split_at(digits);
    *rest = after;
    (spaces > 0).then_some(())?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<RawImage<'_>, String> {
        RawImage::parse(bytes, Path::new("a.ppm"), &Limits::default()).map_err(|e| e.to_string())
    }

    #[test]
    fn what_is_written_is_read() {
        let image = RgbImage::new(3, 2, (0..18).collect());
        let bytes = RawImage::encode(&image);
        assert_eq!(&bytes[..11], b"P6\n3 2\n255\n");
        assert!(RawImage::is_raw(&bytes));
        assert_eq!(parse(&bytes).unwrap().view().to_image(), image);
        for length in 0..bytes.len() {
            assert!(parse(&bytes[..length]).is_err(), "{length}");
        }
        assert!(parse(&[&bytes[..], b"x"].concat()).unwrap_err().contains("found 19"));
    }

    #[test]
    fn headers_of_other_programs() {
        // A pixel may look like whitespace or a comment.
        let expected = RawImage { width: 1, height: 1, pixels: b" #\n" };
        for bytes in [
            &b"P6 1 1 255 #\x20"[..11],
            b"P6\n# by hand\n1\t1\r255\n",
            b"P6#\n 1 #1 2\n1\n#\n255\n",
        ] {
            let bytes = [&bytes[..bytes.len() - usize::from(bytes[10] == b'#')], b" #\n"].concat();
            assert_eq!(parse(&bytes), Ok(expected), "{}", bytes.escape_ascii());
        }
        for (bytes, words) in [
            (&b"P5 1 1 255 abc"[..], "expected P6"),
            (b"P6 1 1 65535 abcdef", "expected values of 0 to 255, found 0 to 65535"),
            (b"P6 0 1 255 ", "expected pixels, found 0x1"),
            (b"P6 1 255 abc", "expected three numbers"),
            (b"P61 1 255 abc", "expected three numbers"),
            (b"P6 -1 1 255 abc", "expected three numbers"),
            (b"P6 1 1 255abc", "expected whitespace"),
            (b"P6 4294967296 1 255 abc", "expected three numbers"),
            (b"P6 20000 1 255 abc", "at most 16384 pixels per side"),
            (b"P6 16384 16384 255 abc", "at most 268435456 bytes"),
            (b"P6 #", "expected three numbers"),
        ] {
            let message = parse(bytes).unwrap_err();
            assert!(message.starts_with("a.ppm: ") && message.contains(words), "{message}");
        }
    }
}
