//! The header of a safetensors file: 8 bytes of length, JSON, then the tensors without gaps.
//!
//! The `safetensors` crate parses the JSON and checks that shapes, types and offsets agree; what
//! users meet most, a file that was cut short or is something else, is told apart here.

use safetensors::tensor::Metadata as Header;

use super::file::{Contents, Dtype, StoredTensor};

/// Bytes of the length at the start of the file.
const PREFIX: usize = 8;
/// Longest header that is believed to be one (the format's own limit).
pub(super) const MAX_HEADER: u64 = 100_000_000;

/// Reads and checks the header of `file`; every byte range returned lies within `file`. The error is
/// a reason for the user.
pub(super) fn parse(file: &[u8]) -> Result<Contents, String> {
    let Some((prefix, rest)) = file.split_first_chunk::<PREFIX>() else {
        return Err(format!("expected at least {PREFIX} bytes, found {}", file.len()));
    };
    let header_len = u64::from_le_bytes(*prefix);
    if header_len > MAX_HEADER {
        return Err(format!(
            "neither safetensors nor PyTorch: the first 8 bytes would mean a header of {header_len} \
             bytes, which is absurd"
        ));
    }
    let header_len = header_len as usize;
    let Some((header, data)) = rest.split_at_checked(header_len) else {
        return Err(format!(
            "cut short: the header takes {header_len} bytes, {} are left",
            rest.len()
        ));
    };
    let header: Header =
        serde_json::from_slice(header).map_err(|e| format!("the header is damaged: {e}"))?;
    if header.data_len() != data.len() {
        let (needed, found) = (header.data_len(), data.len());
        let what = if found < needed { "cut short" } else { "bytes left over" };
        return Err(format!("{what}: the tensors take {needed} bytes, {found} follow the header"));
    }

    let start = PREFIX + header_len;
    let mut tensors: Vec<StoredTensor> = header
        .tensors()
        .into_iter()
        .map(|(name, info)| StoredTensor {
            name,
            dtype: Dtype::named(&info.dtype.to_string()),
            shape: info.shape.clone(),
            bytes: start + info.data_offsets.0..start + info.data_offsets.1,
            strides: None,
        })
        .collect();
    tensors.sort_by(|a, b| (a.bytes.start, &a.name).cmp(&(b.bytes.start, &b.name)));
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok(Contents { tensors, metadata, notes: Vec::new() })
}
