//! A crash at any operation of a save leaves the old checkpoint or the new one.

use std::path::Path;

use resnet_cpu::model::Shortcut;
use resnet_cpu::train::{EpochMetrics, State, append_metrics, checkpoint, cut_metrics};

use crate::disk::{Fault, MemoryDisk};
use crate::parts;

const PATH: &str = "run/last.safetensors";

/// A run without a moving average: a third less to write at each of the many crashes.
fn state(step: u64, shortcut: Shortcut) -> State {
    let mut state = crate::state(step, shortcut);
    (state.ema, state.config.ema_decay) = (None, None);
    state
}

/// A disk with the checkpoint of step 1, its bytes, those of step 2, and how many operations it
/// takes to save that.
fn old_and_new() -> (MemoryDisk, Vec<u8>, Vec<u8>, usize) {
    let path = Path::new(PATH);
    let disk = MemoryDisk::new(Fault::Never);
    checkpoint::save(&state(1, Shortcut::A), path, &disk).unwrap();
    let next = disk.with_fault(Fault::Never);
    checkpoint::save(&state(2, Shortcut::A), path, &next).unwrap();
    let (old, new) = (disk.read(path).unwrap(), next.read(path).unwrap());
    let operations = next.operations();
    (disk, old, new, operations)
}

#[test]
fn both_contents_load() {
    let (_, old, new, _) = old_and_new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.safetensors");
    for (bytes, step) in [(old, 1), (new, 2)] {
        std::fs::write(&path, bytes).unwrap();
        let loaded = checkpoint::load(&path).unwrap();
        assert!(parts(&loaded) == parts(&state(step, Shortcut::A)));
    }
}

#[test]
fn a_crash_at_any_operation_leaves_the_old_or_the_new() {
    let path = Path::new(PATH);
    let (disk, old, new, operations) = old_and_new();
    let state = state(2, Shortcut::A);
    let (mut olds, mut news) = (0, 0);
    for k in 0..=operations {
        let crashing = disk.with_fault(Fault::PowerAt(k));
        assert_eq!(checkpoint::save(&state, path, &crashing).is_ok(), k == operations);
        // Most outcomes differ in the last operations: sync, rename, sync of the folder.
        let seeds = if k + 4 > operations { 32 } else { 4 };
        for seed in 0..seeds {
            let found = crashing.after_power_loss(seed * 1000 + k as u64);
            let content = found.read(path).expect("never neither");
            assert!(content == old || content == new, "operation {k}, seed {seed}");
            *if content == old { &mut olds } else { &mut news } += 1;
            // A save that succeeded is not lost, and the next one clears up what is left over.
            assert!(k < operations || content == new);
            if seed == 0 {
                checkpoint::save(&state, path, &found).unwrap();
                assert!(found.read(path).unwrap() == new);
                assert_eq!(found.names(), [path], "operation {k}");
            }
        }
    }
    assert!(olds > 8 && news > 8, "{olds} {news}");
}

#[test]
fn without_syncs_it_would_be_noticed() {
    let path = Path::new(PATH);
    let (disk, old, new, operations) = old_and_new();
    let mut careless = disk.with_fault(Fault::PowerAt(operations));
    careless.ignore_sync = true;
    checkpoint::save(&state(2, Shortcut::A), path, &careless).unwrap();
    let neither = (0..20).filter(|&seed| {
        let content = careless.after_power_loss(seed).read(path);
        content.is_none_or(|content| content != old && content != new)
    });
    assert!(neither.count() > 0);
}

#[test]
fn a_full_disk_and_a_read_only_folder_are_reported_and_harm_nothing() {
    let path = Path::new(PATH);
    let (disk, old, _, _) = old_and_new();
    for (fault, reason) in [
        (Fault::FullAfter(100), "no storage space"),
        (Fault::FullAfter(old.len() - 1), "no storage space"),
        (Fault::ReadOnly, "read-only"),
    ] {
        let faulty = disk.with_fault(fault);
        let error = checkpoint::save(&state(2, Shortcut::A), path, &faulty).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(PATH) && text.contains("cannot write"), "{text}");
        assert!(text.contains(reason), "{text}");
        assert!(faulty.read(path).unwrap() == old);
        assert_eq!(faulty.names(), [path]);
    }
}

/// The end of an epoch, as a run does it: its line, then its checkpoint.
#[test]
fn the_record_of_epochs_is_never_behind_the_checkpoint() {
    let (path, record) = (Path::new(PATH), Path::new("run/metrics.jsonl"));
    let line = |epoch| EpochMetrics { epoch, step: epoch, ..EpochMetrics::default() };
    let (disk, old, new, _) = old_and_new();
    append_metrics(record, &line(1), &disk).unwrap();
    let state = state(2, Shortcut::A);
    let end_epoch = |disk: &MemoryDisk| {
        append_metrics(record, &line(2), disk).is_ok()
            && checkpoint::save(&state, path, disk).is_ok()
    };
    let whole = disk.with_fault(Fault::Never);
    assert!(end_epoch(&whole));
    let (mut ahead, mut spoilt) = (0, 0);
    for k in 0..=whole.operations() {
        let crashing = disk.with_fault(Fault::PowerAt(k));
        assert_eq!(end_epoch(&crashing), k == whole.operations());
        for seed in 0..8 {
            let found = crashing.after_power_loss(seed * 1000 + k as u64);
            let step = match found.read(path).expect("never neither") {
                bytes if bytes == new => 2,
                bytes => {
                    assert!(bytes == old);
                    1
                }
            };
            let before = found.read(record).expect("the record was durable");
            let metrics = cut_metrics(record, step, &found).unwrap();
            let expected: Vec<EpochMetrics> = (1..=step).map(line).collect();
            assert_eq!(metrics.epochs, expected, "operation {k}, seed {seed}");
            spoilt += usize::from(!metrics.passed_over.is_empty());
            ahead += usize::from(step == 1 && found.read(record).unwrap() != before);
            // What was cut and what comes next are whole lines.
            append_metrics(record, &line(9), &found).unwrap();
            let lines = found.read(record).unwrap();
            assert_eq!(lines.iter().filter(|&&byte| byte == b'\n').count() as u64, step + 1);
        }
    }
    assert!(ahead > 8 && spoilt > 0, "{ahead} {spoilt}");
}
