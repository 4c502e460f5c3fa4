//! What kind of file this is, by how it begins: one of those that are read, or by name what else.

use super::limits::MAX_HEADER;
use super::stored::FileFormat;

/// Bytes from the start of a file that tell its kind.
pub(crate) const START: usize = 4096;

/// The format of the file of `len` bytes that begins with `start`.
///
/// # Errors
/// None of those that are read: what it is instead.
pub(super) fn format_of(start: &[u8], len: usize) -> Result<FileFormat, String> {
    if start.starts_with(b"PK\x03\x04") {
        return Ok(FileFormat::PyTorch);
    }
    let header = start.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    let fits = header.is_some_and(|header| header <= MAX_HEADER as u64);
    if header.is_some_and(|header| header <= 100 * MAX_HEADER as u64) && start.get(8) == Some(&b'{')
    {
        return Ok(FileFormat::Safetensors);
    }
    if matches!(start, [0x80, 2..=5, ..]) && !fits {
        return Ok(FileFormat::PyTorch);
    }
    if let Some(what) = other(start) {
        return Err(what);
    }
    match header {
        Some(_) if fits => Ok(FileFormat::Safetensors),
        Some(header) => Err(format!(
            "neither safetensors nor PyTorch: as safetensors, it would have a header of {header} bytes"
        )),
        None => Err(format!("expected at least 8 bytes, found {len}")),
    }
}

/// What a file is that begins with `start`, if it is something known that holds no weights for us:
/// `it is ...` with what to do.
pub(crate) fn other(start: &[u8]) -> Option<String> {
    let what = text(start).or_else(|| protobuf(start)).or_else(|| magic(start))?;
    Some(format!("it is {what}"))
}

/// Formats that begin with a number of their own.
fn magic(start: &[u8]) -> Option<&'static str> {
    let at = |at: usize, magic: &[u8]| start.get(at..).is_some_and(|rest| rest.starts_with(magic));
    let known: [(usize, &[u8], &str); 32] = [
        (0, b"\x1f\x8b", "gzip-compressed; unpack it first (gunzip, or tar -xzf)"),
        (0, b"BZh", "bzip2-compressed; unpack it first"),
        (0, b"\xfd7zXZ\0", "xz-compressed; unpack it first"),
        (0, b"\x28\xb5\x2f\xfd", "zstd-compressed; unpack it first"),
        (0, b"\x04\x22\x4d\x18", "lz4-compressed; unpack it first"),
        (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
        (0, b"Rar!", "a RAR archive; unpack it first"),
        (0, b"PK\x05\x06", "an empty zip archive"),
        (257, b"ustar", "a tar archive; unpack it first and name the weights in it"),
        (
            0,
            b"\x89HDF\r\n\x1a\n",
            "an HDF5 file (Keras, h5py); save the weights as safetensors or with torch.save",
        ),
        (0, b"\x93NUMPY", "a NumPy array (.npy); save the weights as safetensors"),
        (4, b"TFL3", "a TensorFlow Lite model; only safetensors and PyTorch files are read"),
        (0, b"GGUF", "a GGUF file; only safetensors and PyTorch files are read"),
        (0, b"MATLAB ", "a MATLAB file; only safetensors and PyTorch files are read"),
        (0, b"7767517\n", "an ncnn network; only safetensors and PyTorch files are read"),
        (0, b"SQLite format 3\0", "an SQLite database"),
        (0, b"PAR1", "a Parquet file"),
        (0, b"ARROW1", "an Arrow file"),
        (0, b"%PDF", "a PDF document"),
        (0, b"\x89PNG", "a PNG image; weights are given with --weights, images without"),
        (0, b"\xff\xd8\xff", "a JPEG image; weights are given with --weights, images without"),
        (0, b"GIF8", "a GIF image; weights are given with --weights, images without"),
        (0, b"BM", "a BMP image; weights are given with --weights, images without"),
        (0, b"RIFF", "a WebP image or another RIFF file"),
        (0, b"II*\0", "a TIFF image; weights are given with --weights, images without"),
        (0, b"MM\0*", "a TIFF image; weights are given with --weights, images without"),
        (4, b"ftyp", "a video or a HEIC image; weights are given with --weights, images without"),
        (0, b"\x7fELF", "a program or library (ELF)"),
        (0, b"MZ", "a program (Windows)"),
        (0, b"\xcf\xfa\xed\xfe", "a program or library (Mach-O)"),
        (0, b"\xd0\xcf\x11\xe0", "an old Office document"),
        (0, b"\x1f\x9d", "compressed; unpack it first"),
    ];
    if let Some((_, _, what)) = known.iter().find(|(place, magic, _)| at(*place, magic)) {
        return Some(what);
    }
    let zeros = start.len() >= 8 && start.iter().all(|&byte| byte == 0);
    zeros.then_some("filled with zero bytes, as a download that was not finished may be")
}

/// Text, of which some kinds are met often in the place of weights.
fn text(start: &[u8]) -> Option<&'static str> {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    // The last character may be cut.
    let text = match str::from_utf8(start) {
        Ok(text) => text,
        Err(error) if error.valid_up_to() + 4 > start.len() => {
            str::from_utf8(&start[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\x0c')) {
        return None;
    }
    let text = text.trim_start().to_ascii_lowercase();
    let begins = |start: &str| text.starts_with(start);
    if begins("version https://git-lfs") || begins("version https://hawser") {
        return Some(
            "a Git LFS pointer, not the file it stands for: fetch that with `git lfs pull`",
        );
    }
    if ["<!doctype html", "<html", "<head", "<body", "<!--"].iter().any(|tag| begins(tag)) {
        return Some("an HTML page, not weights: the download was refused or led elsewhere");
    }
    if begins("<?xml") || begins("<error") {
        return Some("an XML document, not weights: the download was refused or led elsewhere");
    }
    if begins("{") && text.contains("\"weight_map\"") {
        return Some(
            "the index of a safetensors model in several files; name the file with the tensors \
             (model.safetensors)",
        );
    }
    if begins("{") || begins("[") {
        return Some("JSON text, not weights (a configuration, or the message of a server)");
    }
    if begins("cos\n") || begins("(dp") || begins("(lp") || begins("ccollections\n") {
        return Some("a pickle of protocol 0, which torch.save does not write");
    }
    (text.len() >= 8).then_some("text, not weights")
}

/// Protocol buffers, which have no magic number: told by their first fields.
fn protobuf(start: &[u8]) -> Option<&'static str> {
    let convert = "an ONNX model; only safetensors and PyTorch files are read";
    match *start {
        // The version of SavedModel, then its graphs, which are long.
        [0x08, 0x01, 0x12, len, ..] if len >= 0x80 => {
            Some("a TensorFlow SavedModel; only safetensors and PyTorch files are read")
        }
        // The version of ONNX, then the name of the producer, the graph or the sets of operators.
        [0x08, 1..=20, 0x12 | 0x1a | 0x22 | 0x3a | 0x42, ..] => Some(convert),
        [0x3a, ..] if start.windows(4).any(|word| word == b"Conv") => Some(convert),
        // A node with its name and its operation.
        [0x0a, _, 0x0a, name, ..] | [0x0a, _, _, 0x0a, name, ..]
            if name < 0x80
                && start.windows(11).any(|w| w == b"Placeholder" || w.starts_with(b"Const")) =>
        {
            Some("a TensorFlow graph; only safetensors and PyTorch files are read")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_often_met_in_the_place_of_weights_is_called_by_name() {
        let tar = [&[b'a'; 257][..], b"ustar\x0000"].concat();
        let savedmodel = [&[0x08, 0x01, 0x12, 0xf0, 0x92, 0x01][..], b"\n\0meta"].concat();
        let graph = [&[0x0a, 0x2a, 0x0a, 0x05][..], b"input\x12\x0bPlaceholder"].concat();
        for (start, what) in [
            (&b"version https://git-lfs.github.com/spec/v1\noid sha256:0"[..], "Git LFS pointer"),
            (b"\n<!DOCTYPE html>\n<html><body>Access restricted</body></html>", "HTML page"),
            (b"\xef\xbb\xbf<HTML lang=en>", "HTML page"),
            (b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", "XML"),
            (b"{\"metadata\": {}, \"weight_map\": {\"a\": \"b\"}}", "index of a safetensors"),
            (b"{\"error\": \"Repository not found\"}", "JSON text"),
            (b"Invalid username or password.", "text"),
            (b"\x1f\x8b\x08\0\0\0\0\0\0\x03abc", "gzip"),
            (b"\x1f\x8b\x08\x08\x12\x34\x56\x78\0\x03abc", "gzip"),
            (b"BZh91AY&SY\0\0", "bzip2"),
            (b"\xfd7zXZ\0\0\x04", "xz"),
            (&tar, "tar archive"),
            (b"\x89HDF\r\n\x1a\n\0\0\0\0", "HDF5"),
            (b"\x08\x07\x12\x07pytorch\x1a\x052.1.0", "ONNX"),
            (b"\x08\x08:\xf0\x92\x01\n\x04node", "ONNX"),
            (&savedmodel, "TensorFlow SavedModel"),
            (&graph, "TensorFlow graph"),
            (b"\x93NUMPY\x01\0v\0{'descr'", "NumPy"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "JPEG image"),
            (b"PK\x05\x06\0\0\0\0\0\0\0\0", "empty zip"),
            (&[0; 100], "zero bytes"),
        ] {
            let error = format_of(start, start.len()).unwrap_err();
            assert!(error.starts_with("it is ") && error.contains(what), "{what}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
        assert!(format_of(b"ab", 2).unwrap_err().contains("8 bytes, found 2"));
        assert!(format_of(b"\x01\x02", 2).unwrap_err().contains("8 bytes, found 2"));
        assert!(
            format_of(&[0xee; 20], 20).unwrap_err().contains("neither safetensors nor PyTorch")
        );
    }

    #[test]
    fn what_is_read_is_not_taken_for_something_else() {
        // The first byte is the length's, and may be any.
        for first in 0..=255 {
            for second in [0, 0x8b, b'Z'] {
                let start = [&[first, second, 0, 0, 0, 0, 0, 0][..], b"{\"a\":"].concat();
                assert_eq!(format_of(&start, 99), Ok(FileFormat::Safetensors), "{first} {second}");
            }
        }
        assert_eq!(format_of(b"PK\x03\x04\0\0", 99), Ok(FileFormat::PyTorch));
        assert_eq!(format_of(b"\x80\x02\x8a\nl\xfc\x9cF\xf9", 99), Ok(FileFormat::PyTorch));
        assert_eq!(format_of(b"\x80\x04N.", 4), Ok(FileFormat::PyTorch));
    }
}
