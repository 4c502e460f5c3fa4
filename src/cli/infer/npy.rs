//! NumPy's files of arrays: a header in text, then the numbers.
//!
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>, version 1.0.

use std::io::{self, Write};

/// Writes a matrix of f32, `[rows, columns]`, whose numbers are `values`.
///
/// # Errors
/// If `out` does not take it.
pub(super) fn write_npy(out: &mut dyn Write, columns: usize, values: &[f32]) -> io::Result<()> {
    let rows = values.len() / columns.max(1);
    let dict =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    // Magic, version, two bytes of length, the header and a line feed: a multiple of 64 bytes.
    let begin = 10;
    let len = (begin + dict.len() + 1).next_multiple_of(64) - begin;
    out.write_all(b"\x93NUMPY\x01\x00")?;
    out.write_all(&u16::try_from(len).map_err(io::Error::other)?.to_le_bytes())?;
    writeln!(out, "{dict:<0$}", len - 1)?;
    values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_numpys() {
        let mut bytes = Vec::new();
        write_npy(&mut bytes, 2, &[1.0, 2.0, 3.0, -0.5, 0.0, 9.0]).unwrap();
        // What numpy.save wrote of the same array.
        let header =
            b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }";
        assert!(bytes.starts_with(header) && bytes.len() == 128 + 24);
        assert!(bytes[header.len()..127].iter().all(|&byte| byte == b' ') && bytes[127] == b'\n');
        assert_eq!(bytes[128 + 12..][..4], (-0.5_f32).to_le_bytes());
    }
}
