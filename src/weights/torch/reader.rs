//! The bytes of a pickle, one after another, none beyond the end.

/// What is wrong where more is asked for than there is.
pub(super) const ENDS: &str = "it ends within a value";

/// A place in the bytes.
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, len: u64) -> Result<&'a [u8], String> {
        let rest = &self.bytes[self.at..];
        let len = usize::try_from(len).ok().filter(|&len| len <= rest.len());
        let bytes = &rest[..len.ok_or_else(|| damaged(ENDS))?];
        self.at += bytes.len();
        Ok(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let bytes = self.take(N as u64)?;
        Ok(bytes.try_into().expect("as many as were asked for"))
    }

    pub(super) fn byte(&mut self) -> Result<u8, String> {
        self.array().map(|[byte]| byte)
    }

    /// Bytes after their length, which takes `N` bytes.
    pub(super) fn counted<const N: usize>(&mut self) -> Result<&'a [u8], String> {
        let mut len = [0; 8];
        len[..N].copy_from_slice(&self.array::<N>()?);
        self.take(u64::from_le_bytes(len))
    }

    /// Text up to the end of the line.
    pub(super) fn line(&mut self) -> Result<&'a str, String> {
        let rest = &self.bytes[self.at..];
        let len = rest.iter().position(|&byte| byte == b'\n');
        let len = len.ok_or_else(|| damaged(ENDS))?;
        self.at += len + 1;
        utf8(&rest[..len])
    }
}

/// The error of a pickle that no pickler writes.
pub(super) fn damaged(reason: &str) -> String {
    format!("the pickle is damaged: {reason}")
}

pub(super) fn utf8(bytes: &[u8]) -> Result<&str, String> {
    str::from_utf8(bytes).map_err(|_| damaged("text that is not UTF-8"))
}
