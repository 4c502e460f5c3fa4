//! A set of ImageNet's size, 1.3 million images in 130 shards of 1.1 GB (files with holes), opens in less than
//! two seconds and 200 MB. Alone in its process, whose memory is measured.

use std::fs::File;
use std::time::{Duration, Instant};

use resnet_cpu::data::shards::{Index, Manifest, Record, ShardInfo, Split, write_index};
use resnet_cpu::data::{self, Limits};
use resnet_cpu::runtime::{Cache, Disk, Unwatched};

const SHARDS: usize = 130;
const RECORDS: u64 = 10_000;
/// Bytes from one record to the next.
const STEP: u64 = 112_640;

/// The most memory that this process has had, in bytes, where the system tells.
fn most_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? << 10)
}

#[test]
fn a_set_of_over_a_million_images_opens_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let classes = (0..1000).map(|class| format!("class {class}")).collect();
    let mut manifest = Manifest::new(classes);
    let mut train = Split { images: SHARDS as u64 * RECORDS, ..Split::default() };
    let record = |i: u64| Record {
        offset: 512 + i * STEP,
        length: 110_000,
        label: (i % 1000) as u32,
        crc: i as u32,
        flags: 0,
    };
    let bytes = 512 + RECORDS * STEP + 1024;
    let index = Index { records: (0..RECORDS).map(record).collect(), bytes, crc: 7 };
    for shard in 0..SHARDS {
        let name = format!("train-{shard:06}.tar");
        let tar = folder.path().join(&name);
        if let Err(error) = File::create(&tar).unwrap().set_len(bytes) {
            eprintln!("SKIPPED: no files with holes here: {error}");
            return;
        }
        write_index(&Disk, &tar, &index).unwrap();
        train.shards.push(ShardInfo { name, records: RECORDS, bytes, crc32c: 7 });
    }
    manifest.splits.insert("train".to_owned(), train);
    manifest.write(&Disk, folder.path()).unwrap();

    let before = most_memory();
    let start = Instant::now();
    let (path, limits) = (Some(folder.path()), Limits::default());
    let splits = data::open_cached(path, limits, &Cache::none(), &Unwatched).unwrap();
    let took = start.elapsed();
    assert_eq!(splits.train.len(), 1_300_000);
    assert_eq!(splits.train.label(1_299_999), 999);
    assert_eq!(
        splits.train.image(1_234_567).unwrap_err().to_string(),
        format!(
            "{}, record 4567: damaged record: expected CRC32C 000011d7, found {:08x}",
            folder.path().join("train-000123.tar").display(),
            crc32c::crc32c(&[0; 110_000])
        )
    );
    assert!(took < Duration::from_secs(2), "{took:?}");
    eprintln!("opened in {took:?}, most memory {:?} bytes, before {before:?}", most_memory());
    assert!(most_memory().is_none_or(|bytes| bytes < 200_000_000), "{:?}", most_memory());
}
