//! The labels in ImageNet's devkit, packed (`ILSVRC2012_devkit_t12.tar.gz`) or unpacked, and plain lists.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::Path;

use flate2::read::GzDecoder;

use super::matlab::synsets;
use crate::error::ToolError;

/// The devkit's list, and the file with the WordNet ids of its numbers.
pub(super) const GROUND_TRUTH: &str = "ILSVRC2012_validation_ground_truth.txt";
const META: &str = "meta.mat";
/// Bytes of a file of the devkit; it has a few hundred thousand.
const MOST: u64 = 64 << 20;

/// A list of labels, and what its numbers mean.
#[derive(Debug)]
pub(super) struct Devkit {
    pub(super) text: String,
    /// The WordNet id of each number, where there is a `meta.mat`.
    pub(super) wnids: Option<HashMap<u32, String>>,
}

impl Devkit {
    /// Reads the list at `path`, with the `meta.mat` beside it, or the devkit in a `.tar.gz`.
    pub(super) fn read(path: &Path) -> Result<Self, ToolError> {
        let failed = |error: io::Error| ToolError::failed(format!("{}: {error}", path.display()));
        if !path.is_file() {
            let path = path.display();
            return Err(ToolError::failed(format!("{path}: expected a file, found none")));
        }
        let bytes = read(std::fs::File::open(path).map_err(failed)?).map_err(failed)?;
        let (text, meta) = if bytes.starts_with(&[0x1F, 0x8B]) {
            packed(&bytes).map_err(failed)?
        } else {
            let beside = path.with_file_name(META);
            let meta = match beside.is_file() {
                true => Some(std::fs::File::open(&beside).and_then(read).map_err(failed)?),
                false => None,
            };
            (bytes, meta)
        };
        let text = String::from_utf8(text)
            .map_err(|_| failed(io::Error::other("expected a list of labels, found no text")))?;
        let wnids = meta.map(|meta| synsets(&meta)).transpose();
        let wnids =
            wnids.map_err(|reason| failed(io::Error::other(format!("{META}: {reason}"))))?;
        Ok(Self { text, wnids })
    }
}

/// The list and the `meta.mat` in a gzipped tar.
fn packed(bytes: &[u8]) -> io::Result<(Vec<u8>, Option<Vec<u8>>)> {
    let mut archive = tar::Archive::new(GzDecoder::new(bytes));
    let (mut text, mut meta) = (None, None);
    for entry in archive.entries()? {
        let entry = entry?;
        let path = entry.path_bytes().into_owned();
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        if name == GROUND_TRUTH.as_bytes() {
            text = Some(read(entry)?);
        } else if name == META.as_bytes() {
            meta = Some(read(entry)?);
        }
    }
    let missing = || io::Error::other(format!("expected {GROUND_TRUTH} in it, found none"));
    Ok((text.ok_or_else(missing)?, meta))
}

fn read(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST {
        return Err(io::Error::other(format!("expected a file of at most {MOST} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::matlab::tests::file;
    use super::*;

    #[test]
    fn the_devkit_is_read_packed_and_unpacked() {
        let root = tempfile::tempdir().unwrap();
        let mut tar =
            tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), Default::default()));
        for (name, content) in [(GROUND_TRUTH, b"1000\n1\n".to_vec()), (META, file(true))] {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            let path = format!("ILSVRC2012_devkit_t12/data/{name}");
            tar.append_data(&mut header, path, &content[..]).unwrap();
            std::fs::write(root.path().join(name), content).unwrap();
        }
        let packed = root.path().join("devkit.tar.gz");
        std::fs::write(&packed, tar.into_inner().unwrap().finish().unwrap()).unwrap();
        for path in [packed, root.path().join(GROUND_TRUTH)] {
            let Devkit { text, wnids } = Devkit::read(&path).unwrap();
            assert_eq!(text, "1000\n1\n");
            assert_eq!(wnids.unwrap()[&1000], "n00000003", "{}", path.display());
        }
        std::fs::write(root.path().join(META), b"something else").unwrap();
        let error = Devkit::read(&root.path().join(GROUND_TRUTH)).unwrap_err().to_string();
        assert!(error.contains("meta.mat: expected a MATLAB 5.0 file"), "{error}");
        std::fs::remove_file(root.path().join(META)).unwrap();
        assert!(Devkit::read(&root.path().join(GROUND_TRUTH)).unwrap().wnids.is_none());
    }
}
