//! The 64-bit FNV-1a hash (Fowler, Noll, Vo): tells data sets apart and picks files by name. It is
//! part of stored fingerprints and must never change.

use std::fmt;

/// The hash of what it was given so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::data) struct Hash(u64);

impl Hash {
    pub(in crate::data) fn new() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }

    pub(in crate::data) fn of(bytes: &[u8]) -> Self {
        let mut hash = Self::new();
        hash.bytes(bytes);
        hash
    }

    /// Appends `bytes`.
    pub(in crate::data) fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }

    /// Appends the eight bytes of `number`.
    pub(in crate::data) fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    /// Appends a name and its length, so that what follows cannot be taken for a part of it.
    pub(in crate::data) fn text(&mut self, text: &[u8]) {
        self.number(text.len() as u64);
        self.bytes(text);
    }

    /// Its 64 bits.
    pub(in crate::data) fn value(self) -> u64 {
        self.0
    }

    /// Appends another hash.
    pub(in crate::data) fn hash(&mut self, hash: Self) {
        self.number(hash.0);
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // From the authors' test suite.
        assert_eq!(Hash::of(b"").to_string(), "cbf29ce484222325");
        assert_eq!(Hash::of(b"foobar").to_string(), "85944171f73967e8");
    }
}
