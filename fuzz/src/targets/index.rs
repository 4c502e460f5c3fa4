//! Any bytes as the index of a shard: as they stand, and with a checksum behind them that fits, which mutation would
//! never find.

use std::path::Path;

use resnet_cpu::data::shards::Index;

/// One input.
pub fn run(content: &[u8]) {
    let parse = |bytes: &[u8]| Index::parse(bytes, Path::new("a.tar.index"));
    let _ = parse(content);
    let sealed = [content, &crc32c::crc32c(content).to_le_bytes()].concat();
    let Ok(index) = parse(&sealed) else { return };
    assert_eq!(index.to_bytes(), sealed);
    let mut end = 0;
    for record in &index.records {
        assert!(record.offset >= end && record.end() <= index.bytes);
        end = record.end();
    }
}
