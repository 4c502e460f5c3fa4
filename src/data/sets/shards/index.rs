//! The index beside a tar: where each record's image is, its label and its checksum, so that a shard is read
//! at random without reading it through.
//!
//! `docs/data.md` has the layout byte by byte. All numbers are little-endian, and the last four bytes are the
//! CRC32C of all before them, so a changed index never passes for a whole one.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::data::Error;
use crate::data::decode::regular;

const MAGIC: &[u8; 8] = b"RCPUIDX1";
/// Bytes before the records: magic, their number, bytes and CRC32C of the tar.
const HEADER: usize = 28;
/// Bytes of a record.
const RECORD: usize = 24;
/// Bytes of the index's own CRC32C.
const TRAILER: usize = 4;
/// What a tar is made of; the data of every file begin at a multiple of it.
pub(super) const BLOCK: u64 = 512;

/// An image of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where its bytes begin in the tar.
    pub offset: u64,
    /// How many they are.
    pub length: u32,
    /// Its class.
    pub label: u32,
    /// CRC32C of its bytes.
    pub crc: u32,
    /// [`RAW`](Self::RAW), [`UNTOUCHED`](Self::UNTOUCHED), or none of them.
    pub flags: u32,
}

impl Record {
    /// A flag: the image is a binary PPM (P6), whose pixels are read without decoding.
    pub const RAW: u32 = 1;
    /// A flag: the bytes are known to be those of the file that was packed, not encoded anew. It tells people
    /// where an image is from; nothing that is read depends on it. A tar does not say so, so an index that was
    /// made again from one has it nowhere.
    pub const UNTOUCHED: u32 = 2;

    /// Where its bytes end in the tar.
    pub fn end(&self) -> u64 {
        self.offset + u64::from(self.length)
    }
}

/// What a tar holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// In the order of the tar.
    pub records: Vec<Record>,
    /// Bytes of the tar.
    pub bytes: u64,
    /// CRC32C of the whole tar.
    pub crc: u32,
}

impl Index {
    /// Where the index of the shard `tar` is: `X.tar.index` beside `X.tar`.
    pub fn path(tar: &Path) -> PathBuf {
        let mut path = tar.as_os_str().to_owned();
        path.push(".index");
        path.into()
    }

    /// Whether a file that starts with `bytes` is meant to be an index.
    pub(super) fn is_one(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`Error`] if it cannot be read; [`Error::Index`] if it is not a whole index.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let mut header = Vec::new();
        let mut start = regular::open(path)?.take(HEADER as u64);
        start.read_to_end(&mut header).map_err(|e| Error::io(path, e))?;
        if !Self::is_one(&header) || header.len() < HEADER {
            return Self::parse(&header, path);
        }
        let count = u64_at(&header, 8);
        let others = (HEADER + TRAILER) as u64;
        let most = count.saturating_mul(RECORD as u64).saturating_add(others);
        let bytes = regular::read_at_most(path, most, |found| {
            let found = found - others;
            let detail =
                format!("expected {count} records of {RECORD} bytes, found {found} bytes of them");
            Error::Index { path: path.to_path_buf(), detail }
        })?;
        Self::parse(&bytes, path)
    }

    /// The index that `bytes` are; `path` is only the name that errors carry.
    ///
    /// # Errors
    /// [`Error::Index`] if they are damaged, or contradict themselves.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, Error> {
        Self::parsed(bytes).map_err(|detail| Error::Index { path: path.to_path_buf(), detail })
    }

    fn parsed(bytes: &[u8]) -> Result<Self, String> {
        let Some((content, stored)) = bytes.split_last_chunk::<TRAILER>() else {
            return Err(format!(
                "expected {} bytes or more, found {}",
                HEADER + TRAILER,
                bytes.len()
            ));
        };
        if !Self::is_one(content) {
            let found = content[..content.len().min(8)].escape_ascii();
            let expected = MAGIC.escape_ascii();
            return Err(format!(
                "expected a file that starts with \"{expected}\", found \"{found}\""
            ));
        }
        let Some((header, records)) = content.split_at_checked(HEADER) else {
            return Err(format!(
                "expected {} bytes or more, found {}",
                HEADER + TRAILER,
                bytes.len()
            ));
        };
        let [count, tar_bytes] = [u64_at(header, 8), u64_at(header, 16)];
        let expected = count.checked_mul(RECORD as u64);
        if expected != Some(records.len() as u64) {
            return Err(format!(
                "expected {count} records of {RECORD} bytes, found {} bytes of them",
                records.len()
            ));
        }
        let (stored, found) = (u32::from_le_bytes(*stored), crc32c::crc32c(content));
        if stored != found {
            return Err(format!("expected CRC32C {stored:08x}, found {found:08x}: it is damaged"));
        }
        let record = |bytes: &[u8; RECORD]| Record {
            offset: u64_at(bytes, 0),
            length: u32_at(bytes, 8),
            label: u32_at(bytes, 12),
            crc: u32_at(bytes, 16),
            flags: u32_at(bytes, 20),
        };
        let records = records.as_chunks::<RECORD>().0.iter().map(record).collect();
        let index = Self { records, bytes: tar_bytes, crc: u32_at(header, 24) };
        index.check()?;
        Ok(index)
    }

    /// Whether records lie within the tar, one after another, and have flags that are known.
    fn check(&self) -> Result<(), String> {
        let mut end = BLOCK;
        for (number, record) in self.records.iter().enumerate() {
            let Record { offset, length, flags, .. } = *record;
            let within = offset.checked_add(length.into()).is_some_and(|end| end <= self.bytes);
            if offset < end || !offset.is_multiple_of(BLOCK) || !within {
                return Err(format!(
                    "record {number}: {length} bytes at {offset}: expected them in blocks of {BLOCK}, after \
                     byte {end}, within the tar's {}",
                    self.bytes
                ));
            }
            if flags & !(Record::RAW | Record::UNTOUCHED) != 0 {
                return Err(format!(
                    "record {number}: expected flags of 0 to 3, found {flags}; a later version may have \
                     written it"
                ));
            }
            end = record.end();
        }
        Ok(())
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.records.len() * RECORD + TRAILER);
        bytes.extend(MAGIC);
        bytes.extend((self.records.len() as u64).to_le_bytes());
        bytes.extend(self.bytes.to_le_bytes());
        bytes.extend(self.crc.to_le_bytes());
        for record in &self.records {
            bytes.extend(record.offset.to_le_bytes());
            for number in [record.length, record.label, record.crc, record.flags] {
                bytes.extend(number.to_le_bytes());
            }
        }
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// The label that is largest, if there are records.
    pub fn largest_label(&self) -> Option<u32> {
        self.records.iter().map(|record| record.label).max()
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn index(records: u64) -> Index {
        let record = |i: u64| Record {
            offset: 512 + i * 2048,
            length: 700 + (i % 300) as u32,
            label: (i % 1000) as u32,
            crc: (i as u32).wrapping_mul(2_654_435_761),
            flags: (i % 4) as u32,
        };
        Index {
            records: (0..records).map(record).collect(),
            bytes: 512 + records * 2048 + 1024,
            crc: 0xDEAD_BEEF,
        }
    }

    fn parse(bytes: &[u8]) -> Result<Index, String> {
        Index::parse(bytes, Path::new("x.tar.index")).map_err(|error| error.to_string())
    }

    #[test]
    fn the_layout_is_fixed() {
        let bytes = index(2).to_bytes();
        assert_eq!(bytes.len(), 28 + 2 * 24 + 4);
        assert_eq!(&bytes[..16], b"RCPUIDX1\x02\0\0\0\0\0\0\0");
        assert_eq!(bytes[16..28], [0, 22, 0, 0, 0, 0, 0, 0, 0xEF, 0xBE, 0xAD, 0xDE]);
        assert_eq!(bytes[28..40], [0, 2, 0, 0, 0, 0, 0, 0, 188, 2, 0, 0]);
        assert_eq!(bytes[52..60], [0, 10, 0, 0, 0, 0, 0, 0]);
        // The check value of CRC32C (iSCSI), which is another polynomial than zip's.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xE306_9283);
        for records in [0, 1, 77] {
            assert_eq!(parse(&index(records).to_bytes()).unwrap(), index(records));
        }
    }

    #[test]
    fn every_change_and_every_cut_is_found() {
        let whole = index(3).to_bytes();
        for at in 0..whole.len() {
            for change in [1, 0x80, 0xFF] {
                let mut bytes = whole.clone();
                bytes[at] ^= change;
                assert!(parse(&bytes).unwrap_err().starts_with("x.tar.index: "), "{at}");
            }
            assert!(parse(&whole[..at]).is_err(), "{at}");
        }
        assert!(parse(&[&whole[..], b"x"].concat()).is_err());
    }

    #[test]
    fn what_contradicts_itself_is_refused_though_its_checksum_is_right() {
        let change = |change: &dyn Fn(&mut Index)| {
            let mut index = index(3);
            change(&mut index);
            parse(&index.to_bytes()).unwrap_err()
        };
        assert!(change(&|index| index.bytes = 3000).contains("record 1: "));
        assert!(change(&|index| index.records[1].offset = 513).contains("record 1: "));
        assert!(change(&|index| index.records[2].offset = 512).contains("record 2: "));
        assert!(change(&|index| index.records[0].offset = 0).contains("record 0: "));
        assert!(change(&|index| index.records[2].offset = u64::MAX - 511).contains("record 2: "));
        let later = change(&|index| index.records[1].flags = 4);
        assert!(later.contains("record 1: expected flags of 0 to 3, found 4"), "{later}");
    }

    /// ImageNet's training set has 1.28 million images.
    #[test]
    fn an_index_of_over_a_million_records_is_small_and_quickly_read() {
        assert_eq!(size_of::<Record>(), RECORD);
        let bytes = index(1_300_000).to_bytes();
        let start = Instant::now();
        let parsed = parse(&bytes).unwrap();
        let took = start.elapsed();
        assert_eq!(parsed.records.len(), 1_300_000);
        assert_eq!(parsed.records.capacity(), 1_300_000);
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
}
