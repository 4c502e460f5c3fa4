//! Packs that are killed, interrupted, run twice at a time, or find their shards damaged.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use resnet_cpu::runtime::Rng;

use super::support::{class_folders, command, files, jpeg, photo, run, write};

/// A set that takes a while: some of its images are large.
fn set(root: &Path) {
    class_folders(&root.join("in"), &[("train", 60), ("val", 12)]);
    for i in 0..60 {
        let class = ["ant", "bee", "cat"][i % 3];
        let bytes = jpeg(&photo(5000 + i as u64, 640, 560));
        write(&root.join(format!("in/train/{class}/large{i}.jpg")), &bytes);
    }
    write(&root.join("in/train/bee/cut.jpg"), &jpeg(&photo(1, 90, 90))[..900]);
}

const SETTINGS: [&str; 6] = ["--shard-size", "150kB", "--crop", "48", "--on-bad-image", "skip"];

fn start(root: &Path, out: &str, threads: &str) -> Child {
    let args = [&["pack", "in", out, "-j", threads], &SETTINGS[..]].concat();
    command(root, &args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn killed_at_random_moments_it_ends_with_the_same_bytes() {
    let root = tempfile::tempdir().unwrap();
    set(root.path());
    assert!(start(root.path(), "whole", "2").wait().unwrap().success());
    let whole = files(&root.path().join("whole"));
    assert!(whole.keys().filter(|name| name.ends_with(".tar")).count() > 15, "{:?}", whole.keys());
    let finished = || {
        let entries = fs::read_dir(root.path().join("killed")).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".done")).count()
    };
    let mut rng = Rng::named(0, "kills");
    let (mut kills, mut kept) = (0, 0);
    loop {
        let mut child = start(root.path(), "killed", ["1", "2"][kills % 2]);
        // A shard or two later, and then at any moment: while images are read, or a file is written or renamed.
        let shards = kept + rng.below(3);
        while finished() < shards && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(rng.below(60_000) as u64));
        child.kill().unwrap();
        if child.wait().unwrap().signal().is_none() {
            break;
        }
        kills += 1;
        // What was finished once is never lost.
        let now = finished();
        assert!(now >= kept || root.path().join("killed/dataset.json").exists());
        kept = now;
        assert!(kills < 300, "no end after {kills} kills");
    }
    assert!(kills > 3, "{kills} kills");
    assert!(start(root.path(), "killed", "2").wait().unwrap().success());
    assert_eq!(files(&root.path().join("killed")), whole);
}

#[test]
fn a_signal_ends_it_within_a_second_and_it_goes_on() {
    let root = tempfile::tempdir().unwrap();
    set(root.path());
    assert!(start(root.path(), "whole", "1").wait().unwrap().success());
    let mut child = start(root.path(), "out", "1");
    while !root.path().join("out/.train-000000.tar.done").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended too soon");
        std::thread::sleep(Duration::from_millis(2));
    }
    let asked = Instant::now();
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    let status = child.wait().unwrap();
    // A second, and what a machine that does much else takes to start `kill`.
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    assert_eq!(status.code(), Some(130));
    // A shard that was finished is not written again; one that was damaged since is.
    let first = root.path().join("out/train-000000.tar");
    let modified = || fs::metadata(&first).unwrap().modified().unwrap();
    let before = modified();
    let done = run(root.path(), &[&["pack", "in", "out"], &SETTINGS[..]].concat()).succeeds();
    assert!(done.err.contains("going on"), "{}", done.err);
    assert_eq!(modified(), before);
    assert_eq!(files(&root.path().join("out")), files(&root.path().join("whole")));
}

#[test]
fn a_damaged_or_missing_shard_is_written_again_and_the_others_are_kept() {
    let root = tempfile::tempdir().unwrap();
    set(root.path());
    assert!(start(root.path(), "whole", "2").wait().unwrap().success());
    let mut child = start(root.path(), "out", "2");
    while !root.path().join("out/.train-000003.tar.done").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended too soon");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let file = |name: &str| root.path().join("out").join(name);
    let mut tar = fs::read(file("train-000001.tar")).unwrap();
    tar[2000] ^= 1;
    write(&file("train-000001.tar"), &tar);
    fs::remove_file(file("train-000002.tar.index")).unwrap();
    let modified = |name: &str| fs::metadata(file(name)).unwrap().modified().unwrap();
    let before = ["train-000000.tar", "train-000003.tar"].map(modified);
    assert!(start(root.path(), "out", "2").wait().unwrap().success());
    assert_eq!(["train-000000.tar", "train-000003.tar"].map(modified), before);
    assert_eq!(files(&root.path().join("out")), files(&root.path().join("whole")));
}

#[test]
fn two_packs_in_one_folder_refuse_each_other() {
    let root = tempfile::tempdir().unwrap();
    class_folders(&root.path().join("in"), &[("train", 6), ("val", 3)]);
    fs::create_dir(root.path().join("out")).unwrap();
    let lock = File::create(root.path().join("out/.lock")).unwrap();
    lock.lock().unwrap();
    let pack = || run(root.path(), &["pack", "in", "out", "--crop", "16"]);
    pack().fails(1, &["out: another process packs into it"]);
    drop(lock);
    pack().succeeds();
}
