//! Any bytes as a shard whose index is made: as they stand, and as a tar whose headers have checksums that fit and that
//! has an end, which mutation would hardly find.

use std::path::Path;

use resnet_cpu::data::shards::{Index, scan_shard};
use resnet_cpu::runtime::Unwatched;

use super::scratch;

const BLOCK: usize = 512;

/// One input.
pub fn run(bytes: &[u8]) {
    for tar in [bytes.to_vec(), repaired(bytes)] {
        let path = scratch(|scratch| scratch.put("train-000000.tar", &tar));
        let Ok(index) = scan_shard(&path, &Unwatched) else { continue };
        assert_eq!((index.bytes, index.crc), (tar.len() as u64, crc32c::crc32c(&tar)));
        for record in &index.records {
            let content = &tar[record.offset as usize..][..record.length as usize];
            assert_eq!(record.crc, crc32c::crc32c(content));
        }
        let again = Index::parse(&index.to_bytes(), Path::new("a.tar.index"));
        assert_eq!(again.expect("what was written can be read").records, index.records);
    }
}

/// The bytes in whole blocks, every header with its checksum, and the end of a tar after them.
fn repaired(bytes: &[u8]) -> Vec<u8> {
    const CHECKSUM: std::ops::Range<usize> = 148..156;
    let mut tar = bytes.to_vec();
    tar.resize(bytes.len().next_multiple_of(BLOCK) + 2 * BLOCK, 0);
    let mut at = 0;
    while at + 3 * BLOCK <= tar.len() {
        let header = &mut tar[at..at + BLOCK];
        at += BLOCK;
        if header.iter().all(|&byte| byte == 0) {
            continue;
        }
        header[CHECKSUM].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let size = header[124..136].iter().take_while(|byte| (b'0'..=b'7').contains(byte));
        let size = size.fold(0_usize, |size, byte| size * 8 + usize::from(byte - b'0'));
        at = at.saturating_add(size).checked_next_multiple_of(BLOCK).unwrap_or(usize::MAX / 2);
    }
    tar
}
