//! What the names in a tar say, by the rules of WebDataset: files that stand one after another and share the
//! part of the name before the first dot are one sample, and what follows the dot tells what a file is.

use serde::Deserialize;

use super::super::names;

/// The extension of raw images, which only shards have.
const PPM: &str = "ppm";

/// Bytes of a label as text, and of a description as JSON, beyond which they are none.
pub(super) const MOST_LABEL: u64 = 64;
pub(super) const MOST_JSON: u64 = 16 << 20;

/// What a file of a sample is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// An encoded image.
    Image,
    /// The label in decimal digits.
    Label,
    /// JSON with the label under the key `label`.
    Json,
    /// Something else, which is not read.
    Other,
}

/// The key of a file's sample (its name without extension) and what the file is. None for names that
/// WebDataset skips: those without extension, and those that begin with a dot.
pub(super) fn split(name: &[u8]) -> Option<(&[u8], Role)> {
    let base = name.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    let dot = base + name[base..].iter().position(|&byte| byte == b'.')?;
    if dot == base {
        return None;
    }
    let extension = name[dot + 1..].to_ascii_lowercase();
    let role = match std::str::from_utf8(&extension) {
        Ok("cls") => Role::Label,
        Ok("json") => Role::Json,
        Ok(extension) if is_image(extension) => Role::Image,
        _ => Role::Other,
    };
    Some((&name[..dot], role))
}

/// Whether an extension, in lower case, is that of an image in a shard.
pub(super) fn is_image(extension: &str) -> bool {
    extension == PPM || names::EXTENSIONS.contains(&extension)
}

/// The label in a `.cls` file.
///
/// # Errors
/// What was found instead.
pub(super) fn label(text: &[u8]) -> Result<u32, String> {
    let digits = text.trim_ascii();
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let number =
        std::str::from_utf8(digits).ok().filter(|_| plain).and_then(|text| text.parse().ok());
    number.ok_or_else(|| format!("expected a class as a number, found \"{}\"", text.escape_ascii()))
}

/// The label in a `.json` file.
///
/// # Errors
/// What was found instead.
pub(super) fn json_label(text: &[u8]) -> Result<u32, String> {
    #[derive(Deserialize)]
    struct Labelled {
        label: u32,
    }
    serde_json::from_slice::<Labelled>(text).map(|labelled| labelled.label).map_err(|error| {
        format!("expected JSON with the class as a number under \"label\": {error}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_keys_and_extensions_as_in_webdataset() {
        let split = |name: &'static str| split(name.as_bytes());
        for (name, key, role) in [
            ("000123.jpg", "000123", Role::Image),
            ("n01440764_10026.JPEG", "n01440764_10026", Role::Image),
            ("a/b.c/d.webp", "a/b.c/d", Role::Image),
            ("./a.ppm", "./a", Role::Image),
            ("a.PNG", "a", Role::Image),
            ("a.cls", "a", Role::Label),
            ("a.json", "a", Role::Json),
            ("a.txt", "a", Role::Other),
            // The first dot counts, so this is not an image of sample a.mask.
            ("a.mask.png", "a", Role::Other),
            ("ü.jpg", "ü", Role::Image),
        ] {
            assert_eq!(split(name), Some((key.as_bytes(), role)), "{name}");
        }
        for name in ["README", "a.d/x", ".jpg", "a/._b.jpg", "", "a.d/"] {
            assert_eq!(split(name), None, "{name}");
        }
        assert_eq!(super::split(b"\xFF.jpg"), Some((&b"\xFF"[..], Role::Image)));
        assert_eq!(super::split(b"a.\xFF"), Some((&b"a"[..], Role::Other)));
    }

    #[test]
    fn labels_are_numbers() {
        assert_eq!(label(b"17"), Ok(17));
        assert_eq!(label(b" 007\n"), Ok(7));
        for text in [&b""[..], b" ", b"-1", b"+1", b"1.0", b"cat", b"4294967296", b"1 2", b"\xFF"] {
            assert!(label(text).is_err(), "{}", text.escape_ascii());
        }
        assert_eq!(json_label(br#"{"text": "a cat", "label": 3, "x": [1]}"#), Ok(3));
        for text in ["", "3", "{}", r#"{"label": "3"}"#, r#"{"label": -1}"#, r#"{"label": 1} x"#] {
            assert!(json_label(text.as_bytes()).is_err(), "{text}");
        }
    }
}
