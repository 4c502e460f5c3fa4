//! What a JPEG is, by its markers. They are walked before a decoder runs: decoders fill what is missing
//! with grey and report success, give wrong reasons for the kinds they do not know, and one that is fast
//! is wrong about layouts that are rare.

use std::path::Path;

use crate::data::Error;

/// Scans of an image that are decoded. Encoders write about ten; every one of them is a pass over
/// all pixels, for which a file needs only a few bytes.
const MAX_SCANS: usize = 100;

/// How a JPEG's numbers are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colours {
    Grey,
    Rgb,
    YCbCr,
    Cmyk,
    Ycck,
}

/// What the markers say.
#[derive(Clone, Debug)]
pub(super) struct Survey<'a> {
    /// Sides of the image; zero if there is no frame.
    pub(super) width: u16,
    pub(super) height: u16,
    progressive: bool,
    /// Sampling factors, horizontal and vertical, of each component.
    sampling: Vec<(u8, u8)>,
    /// Identifiers of the components.
    names: Vec<u8>,
    /// Components in the first scan.
    in_first_scan: usize,
    /// For each component and coefficient the lowest bit that some scan has, if any has one.
    precision: Vec<[Option<u8>; 64]>,
    /// The first EXIF block: where there are several, it is the one that counts, as in Pillow.
    pub(super) exif: Option<&'a [u8]>,
    jfif: bool,
    adobe: Option<u8>,
    /// Where the image ends for want of an end-of-image marker; none if there is one.
    pub(super) open_end: Option<usize>,
}

impl<'a> Survey<'a> {
    /// Walks the markers of `bytes`.
    ///
    /// Segments are skipped by their length (a thumbnail inside one has markers of its own), entropy
    /// coded data up to the next marker that is neither a stuffed zero nor a restart.
    ///
    /// # Errors
    /// The file ends before its last scan, or is of a kind that is not decoded.
    pub(super) fn of(bytes: &'a [u8], path: &Path) -> Result<Self, Error> {
        const START: u8 = 0xD8;
        const END: u8 = 0xD9;
        const SCAN: u8 = 0xDA;
        let mut survey = Self {
            width: 0,
            height: 0,
            progressive: false,
            sampling: Vec::new(),
            names: Vec::new(),
            in_first_scan: 0,
            precision: Vec::new(),
            exif: None,
            jfif: false,
            adobe: None,
            open_end: None,
        };
        let mut at = 0;
        let mut scans = 0;
        loop {
            // To the next marker: 0xFF bytes, as many as there are, then a code.
            let found = memchr::memchr(0xFF, &bytes[at..]).map(|found| at + found);
            let Some(marker) = found else { return survey.ends_at(bytes.len(), bytes, path) };
            let Some(code) = bytes[marker..].iter().position(|&b| b != 0xFF) else {
                return survey.ends_at(marker, bytes, path);
            };
            at = marker + code + 1;
            let code = bytes[at - 1];
            match code {
                END => return Ok(survey),
                // After a scan, another image has begun.
                START if scans > 0 => return survey.ends_at(marker, bytes, path),
                // Stuffed zero, TEM, restarts, start: no segment follows.
                0x00 | 0x01 | 0xD0..=0xD7 | START => continue,
                SCAN => scans += 1,
                _ => {}
            }
            let length = bytes.get(at..at + 2).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
            let end = at + usize::from(length).max(2);
            let Some(content) = bytes.get(at + 2..end).filter(|_| end < bytes.len()) else {
                // What looks like a marker in the trailer of a file that has no end marker.
                return survey.ends_at(marker, bytes, path);
            };
            if scans > MAX_SCANS {
                let detail = format!("expected at most {MAX_SCANS} scans, found more");
                return Err(Error::Damaged { path: path.to_path_buf(), detail });
            }
            match code {
                SCAN => survey.scan(content, scans == 1),
                // One after a scan is of no image here.
                0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF if scans == 0 => {
                    survey.frame(code, content, path)?;
                }
                0xE0 if content.starts_with(b"JFIF\0") => survey.jfif = true,
                0xE1 if content.starts_with(b"Exif\0\0") && survey.exif.is_none() => {
                    survey.exif = Some(&content[6..]);
                }
                0xEE if content.starts_with(b"Adobe") => survey.adobe = content.get(11).copied(),
                _ => {}
            }
            at = end;
        }
    }

    fn frame(&mut self, code: u8, content: &[u8], path: &Path) -> Result<(), Error> {
        let Some((&[bits, h0, h1, w0, w1, _], components)) = content.split_first_chunk() else {
            return Ok(());
        };
        if let Some(found) = unsupported(code, bits) {
            let detail =
                format!("expected a baseline or progressive JPEG of 8 bits, found {found}");
            return Err(Error::Unsupported { path: path.to_path_buf(), detail });
        }
        (self.height, self.width) = (u16::from_be_bytes([h0, h1]), u16::from_be_bytes([w0, w1]));
        self.progressive = code == 0xC2;
        let components = components.as_chunks::<3>().0;
        self.names = components.iter().map(|[name, ..]| *name).collect();
        self.sampling = components.iter().map(|[_, hv, _]| (hv >> 4, hv & 15)).collect();
        self.precision = vec![[None; 64]; components.len()];
        Ok(())
    }

    fn scan(&mut self, content: &[u8], first: bool) {
        let Some((&count, rest)) = content.split_first() else { return };
        let count = usize::from(count);
        if first {
            self.in_first_scan = count;
        }
        let Some(&[from, to, bits]) = rest.get(2 * count..).and_then(|rest| rest.first_chunk())
        else {
            return;
        };
        let coefficients = usize::from(from).min(64)..usize::from(to.min(63)) + 1;
        for name in rest.chunks(2).take(count).map(|pair| pair[0]) {
            let Some(c) = self.names.iter().position(|&n| n == name) else { continue };
            if !coefficients.is_empty() {
                self.precision[c][coefficients.clone()].fill(Some(bits & 15));
            }
        }
    }

    /// The image ends without a marker; it may be whole if the last scan is there.
    fn ends_at(mut self, end: usize, bytes: &[u8], path: &Path) -> Result<Self, Error> {
        let whole = |scans: &[Option<u8>; 64]| scans.iter().all(|bits| *bits == Some(0));
        if self.precision.is_empty() || !self.precision.iter().all(whole) {
            return Err(truncated(bytes, path));
        }
        self.open_end = Some(end);
        Ok(self)
    }

    /// Whether it is of the layouts that nearly all files have: all components in one scan, or
    /// progressive; the first sampled as finely as any and as a power of two, the others once (but black
    /// may be as the first).
    pub(super) fn is_usual(&self) -> bool {
        let powers = |(h, v): (u8, u8)| h.is_power_of_two() && v.is_power_of_two();
        match &self.sampling[..] {
            [] => true,
            [grey] => powers(*grey),
            [first, others @ ..] => {
                let together = self.progressive || self.in_first_scan == self.sampling.len();
                let once = |i: usize, s: (u8, u8)| s == (1, 1) || (i == 2 && s == *first);
                let others = others.iter().enumerate().all(|(i, &s)| once(i, s));
                powers(*first) && together && others
            }
        }
    }

    /// Whether every decoder takes the components for grey or for YCbCr: named by numbers, with no other word on
    /// their colours.
    pub(super) fn is_plain_in_colour(&self) -> bool {
        let numbered = matches!(self.names[..], [_] | [0, 1, 2] | [1, 2, 3]);
        numbered && matches!(self.adobe, None | Some(1))
    }

    /// Whether some component has two rows where another has four, which neither decoder gets right.
    pub(super) fn is_uneven(&self) -> bool {
        let rows = |n| self.sampling.iter().any(|&(_, v)| v == n);
        rows(4) && rows(2)
    }

    /// What the components mean, by libjpeg's rules.
    pub(super) fn colours(&self) -> Colours {
        match (self.sampling.len(), self.adobe) {
            (1, _) => Colours::Grey,
            (3, _) if self.jfif => Colours::YCbCr,
            (3, Some(0)) => Colours::Rgb,
            (3, None) if self.names == *b"RGB" => Colours::Rgb,
            (3, _) => Colours::YCbCr,
            (_, Some(2)) => Colours::Ycck,
            _ => Colours::Cmyk,
        }
    }

    /// Whether zune-jpeg takes its components for other colours than libjpeg: it asks the marker and the names in
    /// another order.
    pub(super) fn is_of_disputed_colours(&self) -> bool {
        let by_zune = self.adobe == Some(0) || self.names == *b"RGB";
        self.sampling.len() == 3 && by_zune != (self.colours() == Colours::Rgb)
    }

    /// Whether there are four components, for printing.
    pub(super) fn is_in_inks(&self) -> bool {
        matches!(self.colours(), Colours::Cmyk | Colours::Ycck)
    }

    /// The sampling factors, as messages give them.
    pub(super) fn sampling(&self) -> String {
        let factors: Vec<String> = self.sampling.iter().map(|(h, v)| format!("{h}x{v}")).collect();
        factors.join(", ")
    }
}

/// The error for a file that ends within its image.
pub(super) fn truncated(bytes: &[u8], path: &Path) -> Error {
    let detail = format!("{} bytes without an end-of-image marker", bytes.len());
    Error::Truncated { path: path.to_path_buf(), detail }
}

/// What is not decoded about a frame that starts with marker `code` and has `bits` a sample.
fn unsupported(code: u8, bits: u8) -> Option<String> {
    match code {
        0xC0..=0xC2 if bits != 8 => Some(format!("{bits} bits")),
        0xC3 | 0xCB => Some("lossless coding".to_owned()),
        0xC9 | 0xCA => Some("arithmetic coding".to_owned()),
        0xC5..=0xC7 | 0xCD..=0xCF => Some("hierarchical coding".to_owned()),
        _ => None,
    }
}
