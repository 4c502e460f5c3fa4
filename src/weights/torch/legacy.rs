//! The layout before PyTorch 1.6: five pickles (a magic number, the version, the machine, the data,
//! the keys of the storages), then each storage: the number of its elements, and the elements.

use std::collections::HashMap;

use super::reader::Reader;
use super::values::{Pickle, Value};
use super::{BIG_ENDIAN, Region, Storages, pickle, shown};

/// 0x1950a86a20f9469cfc6c.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const VERSION: i64 = 1001;

/// The data, and where its storages are in `file`.
pub(super) fn parse(file: &[u8]) -> Result<(Pickle<'_>, Storages<'_>), String> {
    let mut reader = Reader { bytes: file, at: 0 };
    let mut next = || {
        let pickle = pickle::run(&file[reader.at..])?;
        reader.at += pickle.len;
        Ok::<_, String>(pickle)
    };
    if !matches!(next()?.root, Value::Long(bytes) if bytes == MAGIC) {
        return Err("a pickle, but not one that torch.save wrote".to_owned());
    }
    if !matches!(next()?.root, Value::Int(VERSION)) {
        return Err(format!("its version is not {VERSION}, the only one known"));
    }
    check_byte_order(&next()?)?;
    let (pickle, keys) = (next()?, next()?);
    let keys = keys.sequence(keys.root).ok_or("its list of storages is missing")?;

    let mentioned: HashMap<_, _> = pickle.storages.iter().map(|s| (s.key, s)).collect();
    let mut storages = Storages::new();
    for key in keys {
        let Value::Text(key) = *key else { return Err("a storage's key is not text".to_owned()) };
        let storage = mentioned
            .get(key)
            .ok_or_else(|| format!("storage {} belongs to no tensor", shown(key)))?;
        let cut = |_| format!("cut short: storage {} is incomplete", shown(key));
        let len = i64::from_le_bytes(reader.array().map_err(cut)?);
        if len != storage.len {
            let (key, expected) = (shown(key), storage.len);
            return Err(format!("storage {key}: expected {expected} elements, found {len}"));
        }
        let bytes =
            u64::try_from(len).ok().and_then(|len| len.checked_mul(storage.element.size as u64));
        let start = reader.at;
        reader.take(bytes.unwrap_or(u64::MAX)).map_err(cut)?;
        storages.insert(key, Region { bytes: start..reader.at, crc: None });
    }
    Ok((pickle, storages))
}

fn check_byte_order(machine: &Pickle<'_>) -> Result<(), String> {
    match machine.get(machine.root, "little_endian") {
        Some(Value::Bool(true)) => Ok(()),
        Some(Value::Bool(false)) => Err(BIG_ENDIAN.to_owned()),
        _ => Err("it does not say which byte order it has".to_owned()),
    }
}
