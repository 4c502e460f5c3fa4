//! A checksum as eight hexadecimal digits, for serde.

use serde::{Deserialize, Deserializer, Serializer, de::Error};

pub(super) fn serialize<S: Serializer>(crc: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format!("{crc:08x}"))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let text = String::deserialize(from)?;
    let crc = u32::from_str_radix(&text, 16).ok().filter(|crc| format!("{crc:08x}") == text);
    crc.ok_or_else(|| {
        D::Error::custom(format!("expected eight digits of a CRC32C, found {text:?}"))
    })
}
