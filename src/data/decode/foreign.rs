//! Formats of images that are not read here, and files that are no images, told by their content: so
//! that a message can name them.

/// The format of an image, document or video that starts with `bytes` and is not decoded.
pub(super) fn format(bytes: &[u8]) -> Option<&'static str> {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    if let Some(brand) = bytes.get(8..12).filter(|_| bytes.get(4..8) == Some(b"ftyp")) {
        return Some(of_brand(brand, bytes));
    }
    let known: [(&[u8], &str); 19] = [
        (b"\0\0\0\x0CJXL \r\n\x87\n", "JPEG XL"),
        (b"\xFF\x0A", "JPEG XL"),
        (b"\0\0\0\x0CjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xFF\x4F\xFF\x51", "JPEG 2000"),
        (b"\xFF\xD8\xFF\xF7", "JPEG-LS"),
        (b"II\xBC", "JPEG XR"),
        (b"%PDF", "PDF"),
        (b"%!PS", "PostScript"),
        (b"8BPS", "Photoshop"),
        (b"\0\0\x01\0", "an icon (ICO)"),
        (b"\0\0\x02\0", "a cursor (CUR)"),
        (b"qoif", "QOI"),
        (b"FUJIFILMCCD-RAW", "camera raw"),
        (b"gimp xcf", "GIMP"),
        (b"DDS ", "DDS"),
        (b"\x76\x2F\x31\x01", "OpenEXR"),
        (b"#?RADIANCE", "HDR"),
        (b"\x1A\x45\xDF\xA3", "a video (Matroska, WebM)"),
        (b"\0\0\x01\xBA", "a video (MPEG)"),
    ];
    if let Some((_, name)) = known.into_iter().find(|(magic, _)| starts(magic)) {
        return Some(name);
    }
    if starts(b"RIFF") && bytes.get(8..12) == Some(b"AVI ") {
        return Some("a video (AVI)");
    }
    if is_raw(bytes) {
        return Some("camera raw");
    }
    is_svg(bytes).then_some("SVG")
}

/// What is in a box file of this major brand. HEIF, whose brand `mif1` says nothing of the coding,
/// lists others after it.
fn of_brand(brand: &[u8], bytes: &[u8]) -> &'static str {
    let among = |name: &[u8]| {
        bytes
            .get(16..64.min(bytes.len()))
            .is_some_and(|brands| brands.as_chunks::<4>().0.iter().any(|brand| brand == name))
    };
    match brand {
        b"avif" | b"avis" => "AVIF",
        b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" => "HEIC",
        b"mif1" | b"msf1" if among(b"avif") => "AVIF",
        b"mif1" | b"msf1" | b"mif2" => "HEIC",
        b"jxl " => "JPEG XL",
        b"jp2 " | b"jpx " | b"jpm " => "JPEG 2000",
        b"crx " => "camera raw",
        b"qt  " => "a video (QuickTime)",
        _ => "a video (MP4)",
    }
}

/// TIFF files of cameras: their first image is a thumbnail, or a mosaic of sensors, but a decoder
/// takes them for a TIFF like others.
fn is_raw(bytes: &[u8]) -> bool {
    const SUBFILE_TYPE: u16 = 254;
    const PHOTOMETRIC: u16 = 262;
    const SUB_IFDS: u16 = 330;
    const DNG_VERSION: u16 = 50_706;
    const COLOUR_FILTER_ARRAY: u32 = 32_803;
    const LINEAR_RAW: u32 = 34_892;
    let little = match bytes.first_chunk() {
        Some(b"II*\0") => true,
        Some(b"MM\0*") => false,
        Some(b"IIRO" | b"IIRS" | b"MMOR" | b"IIU\0") => return true,
        _ => return false,
    };
    if bytes.get(8..10) == Some(b"CR") {
        return true;
    }
    let short = |at: usize| -> Option<u16> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let long = |at: usize| -> Option<u32> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    let Some(ifd) = long(4).map(|at| at as usize) else { return false };
    let (mut thumbnail, mut parts) = (false, false);
    for i in 0..usize::from(short(ifd).unwrap_or(0)) {
        let at = ifd.saturating_add(2 + 12 * i);
        let (Some(tag), Some(kind)) = (short(at), short(at.saturating_add(2))) else { break };
        // A short stands in the first half of the value's four bytes.
        let value = match kind {
            3 => short(at.saturating_add(8)).map(u32::from),
            _ => long(at.saturating_add(8)),
        };
        match (tag, value) {
            (DNG_VERSION, _) | (PHOTOMETRIC, Some(COLOUR_FILTER_ARRAY | LINEAR_RAW)) => {
                return true;
            }
            (SUBFILE_TYPE, Some(kind)) => thumbnail = kind & 1 == 1,
            (SUB_IFDS, _) => parts = true,
            _ => {}
        }
    }
    thumbnail && parts
}

/// The text at the beginning, in lower case, without a byte order mark and white space.
fn text(bytes: &[u8]) -> String {
    const ENOUGH: usize = 1024;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(ENOUGH)]).to_lowercase();
    text.trim_start_matches('\u{feff}').trim_start().to_owned()
}

fn is_svg(bytes: &[u8]) -> bool {
    let text = text(bytes);
    text.starts_with("<svg")
        || ((text.starts_with("<?xml") || text.starts_with("<!")) && text.contains("<svg"))
}

/// What a file is that is no image at all, where that can be told.
pub(super) fn no_image(bytes: &[u8]) -> Option<&'static str> {
    let text = text(bytes);
    if text.starts_with("version https://git-lfs.github.com") {
        return Some("a Git LFS pointer: the file itself is fetched by `git lfs pull`");
    }
    if text.starts_with("<!doctype html") || text.starts_with("<html") {
        return Some("an HTML page, such as a server's message in place of an image");
    }
    let known: [(&[u8], &str); 4] = [
        (b"PK\x03\x04", "a zip archive; unpack it"),
        (b"\x1F\x8B", "a gzip file; unpack it"),
        (b"\0\x05\x16\x07", "a file that macOS keeps beside an image (AppleDouble)"),
        (b"{", "JSON"),
    ];
    if bytes.iter().all(|&byte| byte == 0) {
        return Some("zeros only");
    }
    known.into_iter().find_map(|(magic, name)| bytes.starts_with(magic).then_some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_content() {
        let cases: [(&[u8], &str); 12] = [
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
            (b"\0\0\0\x1Cftypmif1\0\0\0\0mif1avif", "AVIF"),
            (b"\0\0\0\x1Cftypavif\0\0\0\0", "AVIF"),
            (b"\0\0\0\x20ftypisom", "a video (MP4)"),
            (b"\0\0\0\x18ftypcrx \0", "camera raw"),
            (b"\xFF\x0Arest", "JPEG XL"),
            (b"\0\0\0\x0CjP  \r\n\x87\n", "JPEG 2000"),
            (b"<?xml version=\"1.0\"?>\n<!-- x -->\n<svg xmlns=''>", "SVG"),
            (b"\xEF\xBB\xBF <SVG>", "SVG"),
            (b"%PDF-1.7", "PDF"),
            (b"8BPS\0\x01", "Photoshop"),
            (b"II*\0\x10\0\0\0CR\x02\0", "camera raw"),
        ];
        for (bytes, name) in cases {
            assert_eq!(format(bytes), Some(name), "{}", bytes.escape_ascii());
        }
        for bytes in [&b""[..], b"\xFF\xD8\xFF\xE0", b"\x89PNG", b"II*\0", b"MM\0*\xFF\xFF\xFF\xFF"]
        {
            assert_eq!(format(bytes), None, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn raw_files_of_cameras_are_no_tiff() {
        let tiff = |tags: &[(u16, u16, u32)], little: bool| {
            let short = |x: u16| if little { x.to_le_bytes() } else { x.to_be_bytes() };
            let long = |x: u32| if little { x.to_le_bytes() } else { x.to_be_bytes() };
            let mut bytes = if little { b"II*\0".to_vec() } else { b"MM\0*".to_vec() };
            bytes.extend(long(8));
            bytes.extend(short(tags.len() as u16));
            for &(tag, kind, value) in tags {
                bytes.extend([short(tag), short(kind)].concat());
                bytes.extend(long(1));
                match kind {
                    3 => bytes.extend([short(value as u16), [0; 2]].concat()),
                    _ => bytes.extend(long(value)),
                }
            }
            bytes
        };
        for little in [true, false] {
            for raw in
                [&[(50_706, 1, 0x0001_0401)][..], &[(262, 3, 32_803)], &[(254, 4, 1), (330, 4, 9)]]
            {
                assert_eq!(format(&tiff(raw, little)), Some("camera raw"), "{raw:?}");
            }
            for plain in [&[(254, 4, 0), (330, 4, 9)][..], &[(254, 4, 1)], &[(262, 3, 2)], &[]] {
                assert_eq!(format(&tiff(plain, little)), None, "{plain:?}");
            }
        }
    }

    #[test]
    fn what_is_no_image_is_named() {
        assert!(no_image(b"<!DOCTYPE html><html>404").is_some_and(|name| name.contains("HTML")));
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n";
        assert!(no_image(pointer).is_some_and(|name| name.contains("git lfs pull")));
        assert_eq!(no_image(&[0; 9]), Some("zeros only"));
        assert_eq!(no_image(b"hello"), None);
    }
}
