//! Files as `torch.save` would write them, put together by hand: sound ones, and others.

/// Storages: key and content.
pub(crate) type Storages<'a> = &'a [(&'a str, Vec<u8>)];

pub(crate) fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

pub(crate) fn int(value: i64) -> Vec<u8> {
    [&[0x8a, 8], &value.to_le_bytes()[..]].concat()
}

pub(crate) fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    [b"(", &items.concat()[..], b"t"].concat()
}

pub(crate) fn ints(values: &[i64]) -> Vec<u8> {
    tuple(&values.iter().map(|&value| int(value)).collect::<Vec<_>>())
}

pub(crate) fn call(callee: Vec<u8>, arguments: &[Vec<u8>]) -> Vec<u8> {
    [callee, tuple(arguments), b"R".to_vec()].concat()
}

pub(crate) fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let entries: Vec<u8> =
        entries.iter().flat_map(|(key, value)| [text(key), value.clone()].concat()).collect();
    [b"}(", &entries[..], b"u"].concat()
}

/// A storage of `torch`'s type `kind`.
pub(crate) fn storage(kind: &str, key: &str, len: i64) -> Vec<u8> {
    let id = [text("storage"), global("torch", kind), text(key), text("cpu"), int(len)];
    [tuple(&id), b"Q".to_vec()].concat()
}

pub(crate) fn tensor(storage: Vec<u8>, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let hooks = call(global("collections", "OrderedDict"), &[]);
    let arguments = [storage, int(offset), ints(shape), ints(strides), vec![0x89], hooks];
    call(global("torch._utils", "_rebuild_tensor_v2"), &arguments)
}

/// A tensor of two numbers in storage 0.
pub(crate) fn pair() -> Vec<u8> {
    tensor(storage("FloatStorage", "0", 2), 0, &[2], &[1])
}

pub(crate) fn pair_storage() -> (&'static str, Vec<u8>) {
    ("0", [1.5_f32, -2.0].map(f32::to_le_bytes).concat())
}

/// A pickle of protocol 2 that makes `value`.
pub(crate) fn pickle(value: &[u8]) -> Vec<u8> {
    [b"\x80\x02", value, b"."].concat()
}

/// A zip archive of stored entries without checksums, and where its records are.
pub(crate) struct Zip {
    pub(crate) bytes: Vec<u8>,
    pub(crate) local: Vec<usize>,
    pub(crate) central: Vec<usize>,
    pub(crate) end: usize,
}

impl Zip {
    pub(crate) fn new(entries: &[(String, Vec<u8>)]) -> Self {
        let mut zip = Self { bytes: Vec::new(), local: Vec::new(), central: Vec::new(), end: 0 };
        for (name, data) in entries {
            zip.local.push(zip.bytes.len());
            zip.bytes.extend(b"PK\x03\x04\0\0\x08\x08\0\0\0\0\0\0\0\0\0\0");
            zip.bytes.extend([data.len() as u32; 2].map(u32::to_le_bytes).concat());
            zip.bytes.extend((name.len() as u16).to_le_bytes());
            // Extra bytes bring the data to a multiple of 64, as PyTorch does.
            let pad = (zip.bytes.len() + 2 + name.len()).next_multiple_of(64)
                - (zip.bytes.len() + 2 + name.len());
            zip.bytes.extend((pad as u16).to_le_bytes());
            zip.bytes.extend(name.as_bytes());
            zip.bytes.extend(vec![b'Z'; pad]);
            zip.bytes.extend(data);
        }
        let start = zip.bytes.len();
        for ((name, data), &local) in entries.iter().zip(&zip.local) {
            zip.central.push(zip.bytes.len());
            zip.bytes.extend(b"PK\x01\x02\0\0\0\0\x08\x08\0\0\0\0\0\0\0\0\0\0");
            zip.bytes.extend([data.len() as u32; 2].map(u32::to_le_bytes).concat());
            zip.bytes.extend((name.len() as u16).to_le_bytes());
            zip.bytes.extend([0; 12]);
            zip.bytes.extend((local as u32).to_le_bytes());
            zip.bytes.extend(name.as_bytes());
        }
        zip.end = zip.bytes.len();
        let len = (zip.end - start) as u32;
        zip.bytes.extend(b"PK\x05\x06\0\0\0\0");
        zip.bytes.extend([entries.len() as u16; 2].map(u16::to_le_bytes).concat());
        zip.bytes.extend([len, start as u32].map(u32::to_le_bytes).concat());
        zip.bytes.extend([0; 2]);
        zip
    }

    pub(crate) fn patched(mut self, at: usize, bytes: &[u8]) -> Self {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }
}

/// The entries of an archive as of PyTorch 1.6 and newer.
pub(crate) fn entries(pickle: &[u8], storages: Storages<'_>) -> Vec<(String, Vec<u8>)> {
    let mut entries = vec![("m/data.pkl".to_owned(), pickle.to_vec())];
    entries.push(("m/byteorder".to_owned(), b"little".to_vec()));
    entries.extend(storages.iter().map(|(key, data)| (format!("m/data/{key}"), data.clone())));
    entries
}

/// A file in the layout of PyTorch 1.6 and newer.
pub(crate) fn zip(value: &[u8], storages: Storages<'_>) -> Vec<u8> {
    Zip::new(&entries(&pickle(value), storages)).bytes
}

/// A file in the layout before PyTorch 1.6; storages have their number of elements before them.
pub(crate) fn legacy(value: &[u8], storages: &[(&str, i64, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.".to_vec();
    bytes.extend(pickle(&dict(&[("little_endian", vec![0x88])])));
    bytes.extend(pickle(value));
    let keys: Vec<u8> = storages.iter().flat_map(|(key, ..)| text(key)).collect();
    bytes.extend(pickle(&[b"](", &keys[..], b"e"].concat()));
    for (_, len, data) in storages {
        bytes.extend(len.to_le_bytes());
        bytes.extend(data);
    }
    bytes
}
