//! Any text as the description of a packed set (`dataset.json`): as it stands, and behind a checksum that fits, which
//! mutation would never find.

use std::path::Path;

use resnet_cpu::data::shards::Manifest;

/// One input.
pub fn run(content: &[u8]) {
    let parse = |bytes: &[u8]| Manifest::parse(bytes, Path::new("dataset.json"));
    let _ = parse(content);
    let start = format!("{{\n  \"crc32c\": \"{:08x}\",\n", crc32c::crc32c(content));
    let Ok(manifest) = parse(&[start.as_bytes(), content].concat()) else { return };
    let bytes = manifest.to_bytes().expect("numbers of JSON are finite");
    let again = parse(&bytes).expect("what was written can be read");
    assert_eq!(again.to_bytes().expect("as before"), bytes);
}
