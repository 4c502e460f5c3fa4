//! The layout before PyTorch 1.6: five pickles (a magic number, the version, the machine, the data,
//! the keys of the storages), then each storage: the number of its elements, and the elements.

use std::collections::HashMap;

use super::reader::{ENDS, damaged};
use super::values::{Pickle, Value};
use super::{BIG_ENDIAN, Region, Storages, pickle, shown, state_dict};
use crate::weights::limits::MAX_HEADER;
use crate::weights::source::Source;
use crate::weights::stored::{Contents, Fault};

/// 0x1950a86a20f9469cfc6c.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const VERSION: i64 = 1001;
/// Bytes in which the pickles of most files lie.
const FIRST: usize = 1 << 20;

/// The tensors of the file.
pub(super) fn read(source: &Source) -> Result<Contents, Fault> {
    // Where the pickles end is known when they have run.
    for len in [FIRST, MAX_HEADER] {
        let bytes = source.read(0..len.min(source.len()))?;
        match pickles(&bytes) {
            Err(reason) if reason == damaged(ENDS) && bytes.len() < source.len() => {}
            Err(reason) => return Err(reason.into()),
            Ok(pickles) => {
                let storages = storages(source, &pickles)?;
                return state_dict::read(source, &pickles.data, &storages);
            }
        }
    }
    Err(format!("its pickles take more than {MAX_HEADER} bytes").into())
}

/// What the pickles at the start of a file made.
struct Pickles<'a> {
    data: Pickle<'a>,
    keys: Pickle<'a>,
    /// Bytes that all of them take.
    len: usize,
}

fn pickles(bytes: &[u8]) -> Result<Pickles<'_>, String> {
    let mut len = 0;
    let mut next = || {
        let pickle = pickle::run(&bytes[len..])?;
        len += pickle.len;
        Ok::<_, String>(pickle)
    };
    if !matches!(next()?.root, Value::Long(bytes) if bytes == MAGIC) {
        return Err("a pickle, but not one that torch.save wrote".to_owned());
    }
    if !matches!(next()?.root, Value::Int(VERSION)) {
        return Err(format!("its version is not {VERSION}, the only one known"));
    }
    check_byte_order(&next()?)?;
    let (data, keys) = (next()?, next()?);
    Ok(Pickles { data, keys, len })
}

/// Where the storages are, which follow the pickles.
fn storages(source: &Source, pickles: &Pickles<'_>) -> Result<Storages, Fault> {
    let (Pickles { data, keys, .. }, mut at) = (pickles, pickles.len);
    let keys = keys.sequence(keys.root).ok_or("its list of storages is missing")?;
    let mentioned: HashMap<_, _> = data.storages.iter().map(|s| (s.key, s)).collect();
    let mut storages = Storages::new();
    for key in keys {
        let Value::Text(key) = *key else { return Err("a storage's key is not text".into()) };
        let storage = mentioned
            .get(key)
            .ok_or_else(|| format!("storage {} belongs to no tensor", shown(key)))?;
        let cut = || format!("cut short: storage {} is incomplete", shown(key));
        // Its length, unless the file ends before that.
        let start = at.checked_add(size_of::<i64>()).filter(|&start| start <= source.len());
        let start = start.ok_or_else(cut)?;
        let mut len = [0; size_of::<i64>()];
        source.read_at(at, &mut len)?;
        let len = i64::from_le_bytes(len);
        if len != storage.len {
            let (key, expected) = (shown(key), storage.len);
            return Err(format!("storage {key}: expected {expected} elements, found {len}").into());
        }
        let bytes = usize::try_from(len).ok().and_then(|len| len.checked_mul(storage.element.size));
        let end = bytes.and_then(|bytes| start.checked_add(bytes));
        at = end.filter(|&end| end <= source.len()).ok_or_else(cut)?;
        storages.insert(key.to_owned(), Region { bytes: start..at, crc: None });
    }
    Ok(storages)
}

fn check_byte_order(machine: &Pickle<'_>) -> Result<(), String> {
    match machine.get(machine.root, "little_endian") {
        Some(Value::Bool(true)) => Ok(()),
        Some(Value::Bool(false)) => Err(BIG_ENDIAN.to_owned()),
        _ => Err("it does not say which byte order it has".to_owned()),
    }
}
