//! `runs` as its users meet it: what it says of runs in every state, and what it writes for other programs.

mod common;

use common::program::{Run, finish, folder_of_records, program};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::SystemTime;
use tempfile::TempDir;

/// A folder with CIFAR-10 records: 40 to train on, 10 to test.
struct Fixture {
    folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self { folder: folder_of_records() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, args: &str) -> Run {
        let args: Vec<&str> = args.split_whitespace().collect();
        finish(&mut program(self.folder.path(), &args))
    }

    /// A run of two epochs, in which nothing else is different.
    fn train(&self, out: &str, flags: &str) {
        let run = self.run(&format!("train data --epochs 2 -b 16 --quiet -o {out} {flags}"));
        assert_eq!(run.code, 0, "{}", run.err);
    }

    /// A run that does not end by itself, after its first epoch.
    fn start(&self, out: &str) -> Child {
        let args = format!("train data --epochs 100000 -b 16 --quiet -o {out}");
        let args: Vec<&str> = args.split_whitespace().collect();
        let mut child = program(self.folder.path(), &args).stderr(Stdio::piped()).spawn().unwrap();
        let record = self.path(out).join("metrics.jsonl");
        while !record.metadata().is_ok_and(|file| file.len() > 0) {
            assert_eq!(child.try_wait().unwrap(), None, "it ended");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        child
    }

    fn json(&self, args: &str) -> Vec<Value> {
        let run = self.run(args);
        assert_eq!(run.code, 0, "{}", run.err);
        run.json()
    }

    fn metrics(&self, run: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path(run).join("metrics.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Every file below a folder: its bytes and when it was changed.
fn files(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let changed = path.metadata().unwrap().modified().unwrap();
            found.insert(path.clone(), (fs::read(&path).unwrap(), changed));
        }
    }
    found
}

#[test]
fn runs_are_listed_with_what_differs() {
    let fixture = Fixture::new();
    fixture.train("runs/b", "--lr 0.05");
    fixture.train("runs/a", "");
    fixture.train("runs/study/held", "--val-split 10");
    fs::create_dir_all(fixture.path("runs/empty/.hidden")).unwrap();
    let before = files(&fixture.path("runs"));
    let run = fixture.run("runs");
    assert_eq!(run.code, 0, "{}", run.err);
    assert_eq!(files(&fixture.path("runs")), before, "runs are only read");
    let lines: Vec<&str> = run.out.lines().collect();
    assert_eq!(lines.len(), 4, "{}", run.out);
    let title = ["run", "state", "measured", "last top-1", "best", "images/s", "lr", "val-split"];
    assert!(title.iter().all(|name| lines[0].contains(name)), "{}", run.out);
    assert!(!lines[0].contains("batch") && !lines[0].contains("epochs"), "{}", run.out);
    for (line, parts) in lines[1..].iter().zip([
        ["runs/a ", "finished, 4 steps", "test", "  0.2"],
        ["runs/b ", "finished, 4 steps", "test", "  0.05"],
        ["runs/study/held ", "finished, 2 steps", "validation", "  0.2"],
    ]) {
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
    }
    assert_eq!(fixture.run("runs list runs").out, run.out);
    assert_eq!(fixture.run("runs ls runs/a runs/b runs/study runs/../runs/b").out, run.out);

    let found = fixture.json("runs --json");
    assert_eq!(found.len(), 3);
    let [a, b, held] = &found[..] else { unreachable!() };
    assert_eq!((&a["run"], &a["status"]), (&"runs/a".into(), &"finished".into()));
    assert_eq!((&a["step"], &a["steps"]), (&4.into(), &4.into()));
    assert_eq!((&a["differs"]["lr"], &b["differs"]["lr"]), (&"0.2".into(), &"0.05".into()));
    assert_eq!((&a["measured_on"], &held["measured_on"]), (&"test".into(), &"validation".into()));
    assert_eq!(a["metrics"], fixture.metrics("runs/a")[1]);
    for run in [a, held] {
        let path = fixture.path(run["run"].as_str().unwrap()).join("result.json");
        let result: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        for key in ["step", "steps", "best", "last", "test"] {
            assert_eq!(run[key], result[key], "{key}");
        }
    }
    assert_eq!(a["best"], a["last"], "nothing is chosen by a test set");
    assert!(held["best"]["top1"].is_number() && held["images_per_second"].is_number(), "{held}");
    assert_eq!(b["config"]["lr"], 0.05);
    assert_eq!(a["problems"], Value::Array(Vec::new()));
    // As runs of old versions are, and one whose record is lost.
    fs::remove_file(fixture.path("runs/a/result.json")).unwrap();
    fs::remove_file(fixture.path("runs/b/metrics.jsonl")).unwrap();
    let again = fixture.json("runs --json");
    for key in ["step", "steps", "best", "last", "test", "status"] {
        assert_eq!((&again[0][key], &again[1][key]), (&a[key], &b[key]), "{key}");
    }
    // A single run differs from none.
    assert_eq!(fixture.json("runs runs/a --json")[0]["differs"], serde_json::json!({}));
}

#[test]
fn a_study_that_trains_is_a_folder_of_runs() {
    let fixture = Fixture::new();
    fixture.train("runs/study/one", "");
    let lock = fs::File::create(fixture.path("runs/study/.lock")).unwrap();
    lock.lock().unwrap();
    let found = fixture.json("runs --json");
    assert_eq!((found.len(), &found[0]["run"]), (1, &"runs/study/one".into()));
    assert_eq!(found[0]["status"], "finished");
}

#[test]
fn curves_are_drawn_over_one_another() {
    let fixture = Fixture::new();
    fixture.train("runs/<a>", "");
    fixture.train("runs/b", "--lr 0.05 --mixup 0.2");
    fixture.train("runs/none", "--val-split 10 --label-smoothing 0.1");
    let run = fixture.run("runs compare runs/<a> runs/b runs/none --out page.html");
    assert!(run.code == 0 && run.out.is_empty(), "{}", run.err);
    let html = fs::read_to_string(fixture.path("page.html")).unwrap();
    assert!(!html.contains("<script") && !html.contains("<a>") && !html.contains("NaN"));
    assert_eq!((html.matches("<svg").count(), html.matches("http").count()), (3, 3));
    for part in [
        "Top-1 error<span class=\"c0\">&lt;a&gt;</span><span class=\"c1\">b</span>",
        "Dashed: training images",
        "test or validation images",
        "finished, 4 steps",
        "<th class=\"text\">lr</th><td class=\"text\">0.2</td><td class=\"text\">0.05</td>",
    ] {
        assert!(html.contains(part), "{part}");
    }
    // The same runs give the same page.
    let again = fixture.run("runs compare runs --out again.html");
    assert_eq!(again.code, 0, "{}", again.err);
    assert_eq!(fs::read_to_string(fixture.path("again.html")).unwrap(), html);
    let one = fixture.run("runs compare runs/b --out page.html");
    assert_eq!(one.code, 0, "{}", one.err);
    let html = fs::read_to_string(fixture.path("page.html")).unwrap();
    assert!(html.contains("All settings are the same."));

    fs::create_dir(fixture.path("taken")).unwrap();
    fixture.run("runs compare runs --out taken").fails(1, &["taken: cannot write"]);
    fixture.run("runs compare runs --out no/page.html").fails(1, &["no/page.html: cannot write"]);
    fixture.run("runs compare runs").fails(2, &["--out"]);
    for i in 0..6 {
        let copy = fixture.path(&format!("runs/copy{i}"));
        fs::create_dir(&copy).unwrap();
        fs::copy(fixture.path("runs/b/last.safetensors"), copy.join("last.safetensors")).unwrap();
    }
    let run = fixture.run("runs compare runs --out many.html");
    run.fails(2, &["expected up to 8 runs", "found 9"]);
    assert!(!fixture.path("many.html").exists());
}

#[cfg(unix)]
#[test]
fn a_run_is_seen_while_it_trains_and_when_it_was_interrupted() {
    let fixture = Fixture::new();
    let mut child = fixture.start("runs/long");
    for _ in 0..20 {
        let found = fixture.json("runs --json");
        assert_eq!(found[0]["status"], "training", "{}", found[0]);
        assert!(found[0]["step"].as_u64() >= Some(2) && found[0]["steps"] == 200_000);
        assert_eq!(found[0]["problems"], Value::Array(Vec::new()), "{}", found[0]);
    }
    let text = fixture.run("runs").out;
    assert!(text.contains("training now, step ") && text.contains(" of 200,000"), "{text}");
    let export = fixture.run("runs export runs/long --csv -");
    assert!(export.code == 0 && export.out.lines().count() >= 2, "{}", export.err);
    assert_eq!(child.try_wait().unwrap(), None, "it trains on");
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{err}");
    let found = fixture.json("runs --json");
    assert_eq!(found[0]["status"], "interrupted", "{}", found[0]);
    let step = found[0]["step"].as_u64().unwrap();
    let text = fixture.run("runs").out;
    let expected = format!("interrupted at step {step} of 200000");
    assert!(text.replace(',', "").contains(&expected), "{text}");
    // The record is ahead of the checkpoint after a crash: what would be cut off is not shown.
    let record = fixture.path("runs/long/metrics.jsonl");
    let mut ahead = fixture.metrics("runs/long").pop().unwrap();
    ahead["step"] = (step + 2).into();
    let text = fs::read_to_string(&record).unwrap() + &ahead.to_string() + "\n";
    fs::write(&record, text).unwrap();
    let found = fixture.json("runs --json");
    assert!(found[0]["last"]["step"].as_u64() <= Some(step), "{}", found[0]);
    assert_eq!(found[0]["step"], step);
}

#[test]
fn a_run_that_has_no_checkpoint_yet_is_one() {
    let fixture = Fixture::new();
    fs::create_dir_all(fixture.path("runs/new")).unwrap();
    let lock = fs::File::create(fixture.path("runs/new/.lock")).unwrap();
    lock.lock().unwrap();
    let run = fixture.run("runs");
    assert!(run.code == 0 && run.out.contains("training begins"), "{}{}", run.out, run.err);
    assert_eq!(fixture.json("runs --json")[0]["status"], "training");
    drop(lock);
    let run = fixture.run("runs");
    assert!(run.code == 0 && run.out.is_empty() && run.err.contains("no runs in runs"));
    fs::remove_dir_all(fixture.path("runs")).unwrap();
    let run = fixture.run("runs --json");
    assert!(run.code == 0 && run.out.is_empty() && run.err.contains("no runs in runs"));
}

#[test]
fn damaged_runs_are_named_and_the_others_listed() {
    let fixture = Fixture::new();
    fixture.train("runs/whole", "");
    fs::create_dir_all(fixture.path("runs/cut")).unwrap();
    let bytes = fs::read(fixture.path("runs/whole/last.safetensors")).unwrap();
    fs::write(fixture.path("runs/cut/last.safetensors"), &bytes[..bytes.len() / 2]).unwrap();
    let run = fixture.run("runs");
    run.fails(1, &["runs/cut/last.safetensors", "cut short"]);
    assert!(run.out.contains("damaged") && run.out.contains("finished, 4 steps"), "{}", run.out);
    let found = fixture.run("runs --json");
    assert_eq!(found.code, 1);
    let found = found.json();
    assert_eq!((&found[0]["status"], &found[1]["status"]), (&"damaged".into(), &"finished".into()));
    assert!(found[0]["problems"][0].as_str().unwrap().contains("cut short"), "{}", found[0]);
    fixture.run("runs export runs/cut --csv x.csv").fails(1, &["runs/cut/last.safetensors"]);
    assert!(!fixture.path("x.csv").exists());

    // Weights for inference, a record without its checkpoint, and a folder in a file's place.
    let best = fixture.path("runs/whole/best.safetensors");
    fs::copy(&best, fixture.path("runs/cut/last.safetensors")).unwrap();
    fixture.run("runs runs/cut").fails(1, &["runs/cut/last.safetensors", "no training state"]);
    fs::remove_file(fixture.path("runs/cut/last.safetensors")).unwrap();
    fs::write(fixture.path("runs/cut/metrics.jsonl"), "{}\n").unwrap();
    fixture.run("runs runs/cut").fails(1, &["runs/cut/last.safetensors"]);
    fs::remove_dir_all(fixture.path("runs/cut")).unwrap();
    let record = fixture.path("runs/whole/metrics.jsonl");
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, text.clone() + "{\"epoch\":").unwrap();
    let run = fixture.run("runs");
    assert_eq!(run.code, 0, "it can be continued: {}", run.err);
    assert!(run.err.contains("metrics.jsonl: lines that are not") && run.err.contains(": 3"));
    fs::remove_file(&record).unwrap();
    fs::create_dir(&record).unwrap();
    fixture.run("runs").fails(1, &["runs/whole/metrics.jsonl", "expected a regular file"]);
}

#[test]
fn what_is_no_run_is_wrong_usage() {
    let fixture = Fixture::new();
    fixture.run("runs none").fails(2, &["none", "found nothing"]);
    fixture.run("runs data/train.bin").fails(2, &["train.bin", "found a file"]);
    fixture.run("runs data").fails(2, &["data", "no run"]);
    fixture.run("runs export data --csv x.csv").fails(2, &["data", "no run"]);
    fixture.run("runs data export data --csv x.csv").fails(2, &["--csv"]);
    fixture.run("runs --json list").fails(2, &["--json", "after"]);
    fixture.run("runs export data").fails(2, &["--csv", "--tensorboard"]);
    fixture.run("runs export --csv x.csv").fails(2, &["RUN"]);
}

#[test]
fn metrics_become_a_table() {
    let fixture = Fixture::new();
    fixture.train("runs/a,b", "");
    fixture.train("runs/c", "--mixup 0.2");
    let run = fixture.run("runs export runs/a,b runs/c --csv metrics.csv");
    assert!(run.code == 0 && run.out.is_empty() && run.err.contains("4 epochs"), "{}", run.err);
    let text = fs::read_to_string(fixture.path("metrics.csv")).unwrap();
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    assert_eq!(names[..4], ["run", "epoch", "step", "lr"]);
    for (run, name) in [("runs/a,b", "\"a,b\","), ("runs/c", "c,")] {
        for metrics in fixture.metrics(run) {
            let cells = lines.next().unwrap().strip_prefix(name).unwrap().split(',');
            for (cell, name) in cells.zip(&names[1..]) {
                let found = cell.parse::<f64>().ok();
                assert_eq!(found, metrics[*name].as_f64(), "{name}: {cell}");
            }
            assert_eq!(metrics["train_top1"].is_null(), run == "runs/c");
        }
    }
    assert_eq!(lines.next(), None);
    // The whole folder, and to stdout.
    assert_eq!(fixture.run("runs export runs --csv -").out, text);
    assert_eq!(fixture.run("runs --quiet export runs --csv -").out, text);
    fs::create_dir(fixture.path("taken")).unwrap();
    fixture.run("runs export runs --csv taken").fails(1, &["taken: cannot write"]);
}

/// The records of an event file; their checksums are compared.
fn records(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut take = |count: usize| {
        let (taken, rest) = bytes.split_at_checked(count).expect("the file is whole");
        bytes = rest;
        (taken.to_vec(), rest.is_empty())
    };
    let checked = |bytes: &[u8], sum: &[u8]| {
        let sum = u32::from_le_bytes(sum.try_into().unwrap()).wrapping_sub(0xa282_ead8);
        assert_eq!(sum.rotate_left(15), crc32c::crc32c(bytes));
    };
    let mut records = Vec::new();
    loop {
        let (length, _) = take(8);
        checked(&length, &take(4).0);
        let (record, _) = take(u64::from_le_bytes(length.try_into().unwrap()) as usize);
        let (sum, last) = take(4);
        checked(&record, &sum);
        records.push(record);
        if last {
            return records;
        }
    }
}

#[test]
fn metrics_become_event_files() {
    let fixture = Fixture::new();
    fixture.train("runs/test", "");
    fixture.train("runs/held", "--val-split 10");
    for _ in 0..2 {
        let run = fixture.run("runs export runs --tensorboard board/new --csv metrics.csv");
        assert_eq!(run.code, 0, "{}", run.err);
        assert!(run.err.contains("tensorboard --logdir board/new"), "{}", run.err);
    }
    assert!(fixture.path("metrics.csv").is_file());
    let found = files(&fixture.path("board/new"));
    assert_eq!(found.len(), 2, "the second export replaces the first: {:?}", found.keys());
    for (run, measured) in [("held", "validation"), ("test", "test")] {
        let file = format!("board/new/{run}/events.out.tfevents.resnet-cpu");
        let records = records(&found[&fixture.path(&file)].0);
        assert_eq!(records.len(), 3);
        let has = |record: &[u8], text: &str| {
            record.windows(text.len()).any(|part| part == text.as_bytes())
        };
        assert!(has(&records[0], "brain.Event:2"));
        for (record, metrics) in records[1..].iter().zip(fixture.metrics(&format!("runs/{run}"))) {
            for tag in ["loss/train", "top1/train", "lr", &format!("top5/{measured}")] {
                assert!(has(record, tag), "{tag}");
            }
            // Field 2 of a value: four bytes of a float.
            let loss = metrics["val_loss"].as_f64().unwrap() as f32;
            let mut value = format!("loss/{measured}").into_bytes();
            value.push(0x15);
            value.extend(loss.to_le_bytes());
            assert!(record.windows(value.len()).any(|part| part == value));
        }
    }
}
