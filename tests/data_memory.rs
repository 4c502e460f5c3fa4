//! A set larger than memory: while an epoch goes over it, the memory that is the program's own stays as it is;
//! the shards are the system's to keep or to drop.
//!
//! By default the set is small. The real thing, 4 GB read in a control group of 600 MB (as root, Linux):
//!
//! ```text
//! RESNET_CPU_TEST_SET_MB=4096 RESNET_CPU_TEST_LIMIT_MB=600 \
//!     cargo test --release --test data_memory -- --nocapture
//! ```
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::program::program;
use resnet_cpu::data::shards::{Index, Manifest, Record, ShardInfo, write_shard};
use resnet_cpu::runtime::Disk;

/// Side of the raw images; 768 KiB each.
const SIDE: usize = 512;
/// Images of a shard.
const SHARD: u64 = 256;

fn megabytes(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect(name))
}

/// Raw images of noise, of two classes.
fn write_set(folder: &Path, images: u64) {
    let mut manifest = Manifest::new(vec!["a".to_owned(), "b".to_owned()]);
    let split = manifest.splits.entry("train".to_owned()).or_default();
    let header = format!("P6\n{SIDE} {SIDE}\n255\n");
    let mut image = header.clone().into_bytes();
    image.extend((0..SIDE * SIDE * 3).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8));
    for first in (0..images).step_by(SHARD as usize) {
        let name = format!("train-{:06}.tar", first / SHARD);
        let last = (first + SHARD).min(images);
        let index = write_shard::<std::io::Error>(&Disk, &folder.join(&name), |shard| {
            for i in first..last {
                // No two are the same.
                image[header.len()..][..8].copy_from_slice(&i.to_le_bytes());
                shard.add(&format!("{i:06}"), "ppm", &image, i as u32 % 2, Record::RAW)?;
            }
            Ok(())
        });
        let Index { records, bytes, crc } = index.unwrap();
        let records = records.len() as u64;
        split.images += records;
        split.shards.push(ShardInfo { name, records, bytes, crc32c: crc });
    }
    manifest.write(&Disk, folder).unwrap();
}

/// A control group with a limit of memory, removed in the end.
struct Group(PathBuf);

impl Group {
    fn new(limit: u64) -> Self {
        let (root, file) = match Path::new("/sys/fs/cgroup/memory").is_dir() {
            true => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            false => ("/sys/fs/cgroup", "memory.max"),
        };
        let group = Self(Path::new(root).join(format!("resnet-cpu-test-{}", std::process::id())));
        fs::create_dir(&group.0).expect("a control group (as root)");
        fs::write(group.0.join(file), limit.to_string()).expect("a limit of memory");
        group
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Has the system drop from its cache what was written, so that it counts as the reader's when it is read.
fn forget(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let mut of = std::ffi::OsString::from("of=");
        of.push(entry.unwrap().path());
        let mut dd = Command::new("dd");
        dd.arg(of).args(["oflag=nocache", "conv=notrunc,fdatasync", "count=0", "status=none"]);
        assert!(dd.status().unwrap().success());
    }
}

/// Bytes of a field of a process's status; none when it has ended.
fn status(pid: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? << 10)
}

#[test]
fn an_epoch_over_a_set_of_any_size_takes_no_more_memory() {
    let size = megabytes("RESNET_CPU_TEST_SET_MB").unwrap_or(300);
    let group = megabytes("RESNET_CPU_TEST_LIMIT_MB").map(|limit| Group::new(limit << 20));
    let folder = tempfile::tempdir().unwrap();
    let images = (size << 20) / (SIDE * SIDE * 3) as u64;
    fs::create_dir(folder.path().join("data")).unwrap();
    write_set(&folder.path().join("data"), images);

    if group.is_some() {
        forget(&folder.path().join("data"));
    }

    let args = "train data --arch resnet20 --batch 32 --epochs 1 --out run --quiet --warmup 0";
    let args: Vec<&str> = args.split_whitespace().collect();
    let mut command = program(folder.path(), &args);
    if let Some(Group(group)) = &group {
        let mut within = Command::new("sh");
        let enter = r#"echo $$ > "$0" && exec "$@""#;
        within.args(["-c", enter]).arg(group.join("cgroup.procs"));
        within.arg(command.get_program()).args(command.get_args()).current_dir(folder.path());
        within.env("XDG_CACHE_HOME", folder.path().join(".cache"));
        command = within;
    }
    let mut child = command.spawn().unwrap();
    // From when the run is saved for the first time: from then on it trains.
    let begun = folder.path().join("run/last.safetensors");
    let (mut own, mut mapped) = (Vec::new(), 0);
    while child.try_wait().unwrap().is_none() {
        if begun.exists()
            && let Some(bytes) = status(child.id(), "RssAnon")
        {
            own.push(bytes);
            mapped = mapped.max(status(child.id(), "RssFile").unwrap_or(0));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(child.wait().unwrap().success());
    // Buffers are allocated in the first steps, and given back at the end.
    let epoch = &own[own.len() / 4..own.len() - own.len() / 20];
    let (least, most) = (epoch.iter().min().unwrap(), epoch.iter().max().unwrap());
    eprintln!(
        "{images} images, {size} MB, limit {:?} MB: own memory {} to {} MB in {} samples, mapped up to {} MB",
        megabytes("RESNET_CPU_TEST_LIMIT_MB"),
        least >> 20,
        most >> 20,
        epoch.len(),
        mapped >> 20
    );
    assert!(epoch.len() > 20, "{} samples", epoch.len());
    assert!(most - least <= most / 20, "own memory grew from {least} to {most} bytes");
}
