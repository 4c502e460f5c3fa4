//! `train` as its users meet it: what it prints and leaves, how it goes on, and all kinds of bad input.

mod common;

use common::program::{Run, finish, folder_of_records, program, write_records};
use resnet_cpu::data::{cifar, demo};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use tempfile::TempDir;

/// A folder with `data`, 40 CIFAR-10 records to train on and 10 to validate.
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

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Class folders of drawn images: `images` in each of `classes`.
    fn class_folders(&self, name: &str, classes: &[&str], images: u64) {
        for (i, class) in classes.iter().enumerate() {
            let folder = self.path(name).join(class);
            fs::create_dir_all(&folder).unwrap();
            for index in 0..images {
                let (image, _) = demo::image(7, index * 10 + i as u64);
                let (side, rgb) = (demo::SIDE as u32, image::ColorType::Rgb8);
                let path = folder.join(format!("{index}.png"));
                image::save_buffer(path, image.pixels(), side, side, rgb).unwrap();
            }
        }
    }

    fn run(&self, args: &str) -> Run {
        let args: Vec<&str> = args.split_whitespace().collect();
        finish(&mut program(self.folder.path(), &args))
    }

    /// A run that is under way: it has said `word`.
    fn start(&self, args: &str, word: &str) -> Child {
        let args: Vec<&str> = args.split_whitespace().collect();
        let mut command = program(self.folder.path(), &args);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.as_mut().unwrap()).lines().map(Result::unwrap);
        // A run that says something else would go on for ever.
        let said: Vec<String> = lines.take(40).take_while(|line| !line.contains(word)).collect();
        if said.len() == 40 || child.try_wait().unwrap().is_some() {
            let _ = child.kill();
            panic!("it never said {word}: {said:#?}");
        }
        child
    }

    fn metrics(&self, run: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path(run).join("metrics.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[test]
fn a_run_leaves_its_files_and_goes_on_when_asked_for_more() {
    let fixture = Fixture::new();
    let run = fixture.run("train data --epochs 2 --batch 16 --mean-mode pixel-mean");
    assert_eq!(run.code, 0, "{}", run.err);
    let out = "runs/data-fast-cifar-resnet20";
    // The data have a test set only: nothing is chosen by it.
    assert!(run.out.starts_with("test error "), "{}", run.out);
    assert!(run.out.contains(&format!("weights {out}/best.safetensors")), "{}", run.out);
    assert!(!run.out.contains("best valid"), "{}", run.out);
    for part in ["batch             = 16", "data              = CIFAR-10", "epoch 2/2: loss"] {
        assert!(run.err.contains(part), "{part}: {}", run.err);
    }
    assert!(run.err.contains("; test error ") && !run.err.contains("seed  "), "{}", run.err);
    let metrics = fixture.metrics(out);
    assert_eq!(metrics.len(), 2);
    assert_eq!((&metrics[1]["epoch"], &metrics[1]["step"]), (&2.into(), &4.into()));
    for key in ["train_loss", "train_top1", "val_loss", "val_top1", "val_top5", "seconds"] {
        assert!(metrics[0][key].is_number(), "{key}: {}", metrics[0]);
    }
    let report = fs::read_to_string(fixture.path(out).join("report.html")).unwrap();
    assert!(report.contains("<svg"));

    let last = || fs::read(fixture.path(out).join("last.safetensors")).unwrap();
    let before = last();
    let again = fixture.run("train data --epochs 2 -b 16 --mean-mode pixel-mean");
    assert_eq!((again.code, &again.out), (0, &run.out), "{}", again.err);
    assert_eq!(last(), before, "a finished run is left alone");
    let longer = fixture.run("train data --epochs 3 --batch 16 --mean-mode pixel-mean");
    assert!(longer.code == 0 && longer.err.contains("continuing, 4 of 6 steps"), "{}", longer.err);
    assert_eq!(fixture.metrics(out).len(), 3);
    for said in [&longer.err, &longer.out] {
        assert!(said.contains("lengthened") && said.contains("2 epochs"), "{said}");
        assert!(said.contains("of that length from the start"), "{said}");
    }
    let verbose = fixture.run("train data --epochs 4 -v --batch 16 --mean-mode pixel-mean");
    for part in ["lr                = 0.2", "seed              = 0", "val-split         = 0"] {
        assert!(verbose.err.contains(part), "{part}: {}", verbose.err);
    }

    let other = fixture.run("train data --epochs 4 --batch 16 --mean-mode pixel-mean --lr 0.3");
    other.fails(
        2,
        &["fast-cifar-resnet20: holds a run with other settings (lr: stored 0.2, requested 0.3);"],
    );
    let shorter = fixture.run("train data --epochs 1 --batch 16 --mean-mode pixel-mean");
    shorter.fails(2, &["length: stored 4 epochs, requested 1 epoch"]);

    fixture.class_folders("images", &["x"], 1);
    let named = fixture.run("infer images/x/0.png");
    assert_eq!(named.code, 0, "{}", named.err);
    assert!(named.err.contains("best.safetensors") && named.err.contains("per-pixel mean"));
    let known = |line: &str| cifar::CLASSES.iter().any(|class| line.contains(class));
    assert!(named.out.lines().all(known), "the file has the classes: {}", named.out);
}

#[test]
fn a_run_keeps_its_algorithms_of_convolutions() {
    let fixture = Fixture::new();
    let run = |conv: &str, epochs: u32| {
        fixture.run(&format!(
            "train data --epochs {epochs} -b 16 --warmup 0 --conv {conv} --out {conv}"
        ))
    };
    let stored = |conv: &str| fs::read(fixture.path(conv).join("last.safetensors")).unwrap();
    let loss = |conv: &str| fixture.metrics(conv)[0]["train_loss"].as_f64().unwrap();
    for conv in ["auto", "direct", "winograd"] {
        let run = run(conv, 1);
        assert_eq!(run.code, 0, "{}", run.err);
        // The losses of two steps, one of them after an update.
        let (found, auto) = (loss(conv), loss("auto"));
        assert!((found - auto).abs() < 1e-3 * auto, "{conv}: {found}, auto {auto}");
    }
    assert_ne!(stored("direct"), stored("auto"), "other algorithms, other last digits");
    // As runs of versions that did not store it.
    let text = |conv| String::from_utf8_lossy(&stored(conv)).into_owned();
    assert!(!text("auto").contains("convolutions") && text("direct").contains("convolutions"));

    let other = fixture.run("train data --epochs 2 -b 16 --warmup 0 --out direct");
    other.fails(2, &["settings (conv: stored direct, requested auto);"]);
    for conv in ["auto", "direct"] {
        let longer = run(conv, 2);
        assert!(longer.code == 0 && longer.err.contains("continuing, 2 of 4"), "{}", longer.err);
    }
    run("fast", 1).fails(2, &["--conv: expected auto, direct, winograd, found fast"]);
}

#[test]
fn without_data_it_ends_with_a_command_that_works() {
    let fixture = Fixture::new();
    let run = fixture.run("train --iterations 2 --batch 8 --quiet");
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let command = run.out.lines().last().unwrap().trim();
    let (_, args) = command.split_once(' ').unwrap();
    assert!(args.starts_with("infer --weights "), "{command}");
    let named = fixture.run(args);
    assert!(named.code == 0 && named.out.lines().count() == 5, "{}{}", named.out, named.err);
    let known = |line: &str| demo::CLASSES.iter().any(|class| line.contains(class));
    assert!(named.out.lines().all(known), "{}", named.out);
    let image = args.rsplit(' ').next().unwrap();
    assert_eq!(fixture.run(&format!("infer {image}")).out, named.out);
}

#[test]
fn a_plan_says_what_it_takes_and_writes_nothing() {
    let fixture = Fixture::new();
    let run = fixture.run("train data --plan --batch 16");
    assert_eq!(run.code, 0, "{}", run.err);
    let words: Vec<&str> = run.out.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(words, ["steps", "time", "memory", "disk"]);
    assert!(run.out.starts_with("steps   20 (10.0 epochs)"), "{}", run.out);
    assert!(!fixture.path("runs").exists());
}

#[test]
fn a_profile_says_where_the_time_goes_and_writes_nothing() {
    let fixture = Fixture::new();
    let run = fixture.run("train data --batch 16 --micro-batch 8 --profile");
    assert_eq!(run.code, 0, "{}", run.err);
    for part in ["layer1.0.conv1  forward", "filter gradient", "sum", "images", "step", "% of peak"]
    {
        assert!(run.out.contains(part), "{part}: {}", run.out);
    }
    assert!(!fixture.path("runs").exists());
    fixture.run("train data --profile --plan").fails(2, &["--plan", "--profile"]);
}

#[test]
fn class_folders_small_and_large() {
    let fixture = Fixture::new();
    fixture.class_folders("shapes", &["circle", "ring", "square"], 12);
    let run = fixture.run("train shapes --epochs 1 --val-split 6 --out a");
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.err.contains("classes           = 3"), "{}", run.err);
    // All 36 are used, and no more than that is held out.
    for part in ["training images   = 30", "validation images = 6"] {
        assert!(run.err.contains(part), "{}", run.err);
    }
    assert!(!run.err.contains("a tenth"), "{}", run.err);
    assert!(run.out.starts_with("validation top-1 "), "{}", run.out);
    assert!(run.out.contains(", best ") && run.out.contains(" after epoch 1"), "{}", run.out);
    let large = image::RgbImage::new(300, 200);
    for name in ["photos/a/1.png", "photos/a/2.png", "photos/b/1.png", "photos/b/2.png"] {
        fixture.write(name, b"");
        large.save(fixture.path(name)).unwrap();
    }
    let run = fixture.run("train photos --plan --batch 1");
    assert!(run.code == 0 && run.err.contains("arch              = resnet18"), "{}", run.err);
}

#[test]
fn bad_data_are_named_before_any_work() {
    let fixture = Fixture::new();
    let records = fs::read(fixture.path("data/train.bin")).unwrap();
    fixture.write("cut/train.bin", &records[..records.len() - 7]);
    let mut wrong = records.clone();
    wrong[3073] = 10;
    fixture.write("label/train.bin", &wrong);
    let same: Vec<u8> = records[..3073].repeat(4);
    fixture.write("same/train.bin", &same);
    fixture.class_folders("one", &["cat"], 3);
    fixture.class_folders("empty", &["cat", "dog"], 3);
    fs::create_dir(fixture.path("empty/cow")).unwrap();
    fixture.class_folders("broken", &["cat", "dog"], 12);
    fixture.write("broken/dog/7.png", b"\x89PNG\r\n\x1a\nnothing more");
    fs::create_dir(fixture.path("nothing")).unwrap();
    for (data, parts) in [
        ("cut", &["cut/train.bin", "multiple of 3073 bytes"][..]),
        ("label", &["label/train.bin", "label of 0 to 9 in record 1, found 10"]),
        ("same", &["same", "two classes"]),
        ("one", &["one", "two classes"]),
        ("empty", &["empty/cow"]),
        ("broken", &["broken/dog/7.png"]),
        ("nothing", &["nothing", "data_batch_1.bin"]),
        ("none", &["none", "no such"]),
    ] {
        let run = fixture.run(&format!("train {data}"));
        run.fails(1, parts);
        assert!(run.out.is_empty() && !fixture.path("runs").exists(), "{data}");
    }
}

#[test]
fn bad_settings_are_named_before_any_work() {
    let fixture = Fixture::new();
    fixture.write("other/notes.txt", b"mine");
    fixture.write("file", b"");
    for (args, parts) in [
        ("data --batch 41", &["batch: expected 1 to 40", "found 41"][..]),
        ("data --batch 41 --plan", &["batch: expected 1 to 40"]),
        ("data --batch 0", &["batch: expected 1 to", "found 0"]),
        ("data --batch 8 --micro-batch 9", &["micro-batch: ", "found 9"]),
        ("data --lr -1", &["lr: expected", "found -1"]),
        ("data --lr nan", &["lr: expected a positive number, found NaN"]),
        ("data --epochs 0", &["epochs: expected at least 1, found 0"]),
        ("data --iterations 0", &["iterations: expected at least 1"]),
        ("data --lr fast", &["--lr: expected a number, found fast"]),
        ("data --nesterov=maybe", &["--nesterov: expected true or false"]),
        ("data --epochs 1 --iterations 5", &["--iterations"]),
        ("data --momentum 1", &["momentum: ", "found 1"]),
        ("data --momentum 0.99999999", &["momentum: ", "found 0.99999999"]),
        ("data --lr 1e-46", &["lr: expected a positive number"]),
        ("data --weight-decay 1e39", &["weight-decay: expected a number"]),
        ("data --val-split 40", &["--val-split", "found 40"]),
        ("data --recipe quick", &["quick", "fast-cifar"]),
        ("data --arch resnet19", &["resnet19"]),
        ("data --arch resnet50 --shortcut a", &["shortcut a", "resnet50"]),
        ("data --schedule cosine --patience 3", &["--patience: expected --schedule plateau"]),
        ("data --schedule steps --milestones 9,3", &["milestones: ", "milestones in order"]),
        ("data --schedule step", &["--schedule: expected constant, steps, cosine or plateau"]),
        ("data --schedule plateau", &["schedule: ", "--val-split", "test images"]),
        ("data --schedule plateau --plan", &["schedule: ", "--val-split"]),
        (
            "data --recipe paper-cifar --iterations 6 --milestones 3,6",
            &["milestones: expected weight updates 1 to 5 of the run's 6, found 3,6"],
        ),
        (
            "data --epochs 2 --batch 20 --warmup 5",
            &["warmup: expected at most the 4 weight updates of the run, found 5"],
        ),
        (
            "data --batch 16 --micro-batch 15",
            &["micro-batch: expected a number that divides the batch of 16, for example 8"],
        ),
        ("data --arch plain20 --zero-init", &["zero-init: ", "plain network"]),
        ("data --schedule steps --factor 10", &["factor: ", "below 1"]),
        ("data --warmup 5 --warmup-lr 0.1", &["--warmup"]),
        ("data --augment shake", &["--augment", "crop-flip"]),
        ("data --crop diagonal", &["--crop: expected center, pad, resize, scale, area"]),
        ("data --area 0.3", &["--area: expected --crop area, found --crop pad"]),
        ("data --crop area --area 0", &["area: expected above 0 and at most 1, found 0"]),
        ("data --jitter 0.4", &["--jitter: expected four numbers with commas between, found 0.4"]),
        ("data --erase 2", &["erase: expected 0 to 1, found 2"]),
        ("data --batch 1 --mixup 0.2", &["mixup: expected 0", "micro-batch"]),
        ("data --sides 16", &["--sides: expected a side and epochs such as 128x6, found 16"]),
        ("data --epochs 2 --sides 16x3", &["sides for at most the 2 epochs", "found 16x3"]),
        (
            "data --mean-mode pixel-mean --sides 16x1",
            &["mean-mode: expected channel", "--sides", "found pixel-mean"],
        ),
        ("data --mean-mode none", &["--mean-mode", "pixel-mean"]),
        ("data --save-every -1", &["--save-every"]),
        ("data --out other", &["other: expected a new folder", "found notes.txt"]),
    ] {
        let run = fixture.run(&format!("train {args}"));
        run.fails(2, parts);
        assert!(run.out.is_empty() && !fixture.path("runs").exists(), "{args}");
    }
    fixture.run("train data --out file").fails(1, &["file", "cannot"]);
}

#[test]
fn a_folder_has_one_process_at_a_time() {
    let fixture = Fixture::new();
    let train = "train data --batch 8 --epochs 100000 --out run";
    let mut first = fixture.start(train, "starting");
    for args in ["train data --lr 0.3 --out run", train] {
        fixture.run(args).fails(1, &["run: another process is training in this folder", "--out"]);
    }
    first.kill().unwrap();
    first.wait().unwrap();
    let mut second = fixture.start(train, "continuing");
    second.kill().unwrap();
    second.wait().unwrap();
}

#[test]
fn a_diverging_run_stops_and_keeps_its_last_good_checkpoint() {
    let fixture = Fixture::new();
    let run = fixture.run("train data --batch 8 --lr 1e38 --warmup 0 --out hot");
    run.fails(1, &["step ", "not finite", "last good checkpoint is hot/last.safetensors"]);
    let shown = fixture.run("inspect hot/last.safetensors");
    assert_eq!(shown.code, 0, "{}", shown.err);
}

#[test]
fn defaults_fit_every_length() {
    let fixture = Fixture::new();
    for (i, n) in [1, 2, 3, 6, 7].into_iter().enumerate() {
        let recipe = ["--schedule steps", "--recipe paper-cifar", ""][i % 3];
        let run = fixture.run(&format!("train data --iterations {n} -b 8 {recipe} -o {n} --quiet"));
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{n}");
        let metrics = fixture.metrics(&n.to_string());
        assert_eq!(metrics.last().unwrap()["step"], n);
    }
    // Three quarters of seven updates is the fifth.
    let run = fixture.run("train data --iterations 7 -b 8 --schedule steps -o seven --warmup 0");
    assert!(run.err.contains("milestones        = 3,5"), "{}", run.err);
    let plan =
        fixture.run("train data --recipe paper-imagenet --arch resnet20 --val-split 4 --plan");
    assert_eq!(plan.code, 0, "{}", plan.err);
    assert!(plan.out.starts_with("steps   600,000"), "{}", plan.out);
    let plan =
        fixture.run("train data -v --recipe paper-imagenet --arch resnet20 --val-split 4 --plan");
    for part in ["batch             = 32", "val-split         = 4"] {
        assert!(plan.err.contains(part), "{}", plan.err);
    }
}

#[test]
fn a_set_without_validation_images_trains() {
    let fixture = Fixture::new();
    fs::remove_file(fixture.path("data/test.bin")).unwrap();
    let run = fixture.run("train data --epochs 2 -b 16 -o run");
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.err.contains("no validation images"), "{}", run.err);
    assert!(run.out.starts_with("4 steps done; there are no validation images"), "{}", run.out);
    assert!(fixture.path("run/best.safetensors").is_file());
    fixture.class_folders("one", &["circle", "ring", "square"], 1);
    let one = fixture.run("train one --epochs 1 -o one-run");
    assert_eq!(one.code, 0, "{}", one.err);
    assert_eq!(fixture.run("train one --epochs 1 -o one-run").out, one.out);
}

#[test]
fn folders_are_named_after_the_data() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.path("more")).unwrap();
    write_records(&fixture.path("more/train.bin"), 20);
    for data in ["data", "more", "data"] {
        let run = fixture.run(&format!("train {data} --iterations 1 -b 8 --quiet"));
        assert_eq!(run.code, 0, "{}", run.err);
        assert!(fixture.path(&format!("runs/{data}-fast-cifar-resnet20")).is_dir());
    }
    let run = fixture.run("train --recipe fast-cifar --iterations 1 -b 8 --quiet");
    assert!(run.out.contains("runs/demo-fast-cifar-resnet20/"), "{}", run.out);
}

#[test]
fn too_large_for_the_memory_is_an_error_and_no_abort() {
    let fixture = Fixture::new();
    write_records(&fixture.path("data/train.bin"), 4000);
    for plan in ["", " --plan"] {
        let run = fixture.run(&format!("train data --arch resnet1202 --batch 4000{plan}"));
        run.fails(2, &["--batch 4000", "--micro-batch", "GB"]);
        assert!(!fixture.path("runs").exists());
    }
}

#[test]
fn a_spoilt_record_a_lost_report_and_moved_weights_stop_nobody() {
    let fixture = Fixture::new();
    let train = "train data -b 16 -o run --epochs";
    let run = fixture.run(&format!("{train} 1"));
    assert_eq!(run.code, 0, "{}", run.err);
    let record = fs::read_to_string(fixture.path("run/metrics.jsonl")).unwrap();
    fixture.write("run/metrics.jsonl", format!("\n{record}{{\"epoch\":2,").as_bytes());
    fs::remove_file(fixture.path("run/report.html")).unwrap();
    fs::create_dir(fixture.path("run/report.html")).unwrap();
    let run = fixture.run(&format!("{train} 2"));
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(
        run.err.contains("metrics.jsonl: removed") && run.err.contains(": 1, 3"),
        "{}",
        run.err
    );
    assert!(run.err.contains("warning: run/report.html: cannot write: expected a regular file"));
    assert!(!run.out.contains("report.html"), "{}", run.out);
    assert_eq!(fixture.metrics("run").len(), 2);
    fs::rename(fixture.path("run/best.safetensors"), fixture.path("mine")).unwrap();
    let run = fixture.run(&format!("{train} 2"));
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.err.contains("best.safetensors: no longer there"), "{}", run.err);
    assert!(run.out.contains("weights run/last.safetensors"), "{}", run.out);
}

#[test]
#[cfg(unix)]
fn links_in_a_runs_folder_stay() {
    let fixture = Fixture::new();
    for name in ["last.safetensors", "metrics.jsonl", "best.safetensors"] {
        fs::create_dir_all(fixture.path("disk")).unwrap();
        fs::create_dir_all(fixture.path("run")).unwrap();
        let run = fixture.run("train data --iterations 1 -b 8 --quiet -o run");
        assert_eq!(run.code, 0, "{}", run.err);
        let (real, link) = (fixture.path(&format!("disk/{name}")), fixture.path("run").join(name));
        fs::rename(&link, &real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let before = fs::read(&real).unwrap();
        let run = fixture.run("train data --iterations 2 -b 8 --quiet -o run");
        assert_eq!(run.code, 0, "{}", run.err);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink(), "{name}");
        assert!(fs::read(&real).unwrap() != before, "{name}");
        fs::remove_dir_all(fixture.path("run")).unwrap();
    }
}

#[test]
#[cfg(unix)]
fn stopped_while_images_are_read_nothing_is_left() {
    let fixture = Fixture::new();
    // Large images: reading them all takes seconds.
    let large = image::RgbImage::from_fn(3000, 3000, |x, y| image::Rgb([x as u8, y as u8, 7]));
    for name in ["photos/a/1.jpg", "photos/b/1.jpg"] {
        fixture.write(name, b"");
        large.save(fixture.path(name)).unwrap();
    }
    for i in 2..60 {
        for class in ["a", "b"] {
            let (first, link) = ("1.jpg", fixture.path(&format!("photos/{class}/{i}.jpg")));
            std::os::unix::fs::symlink(first, link).unwrap();
        }
    }
    let args = ["train", "photos", "--batch", "4"];
    let child = program(fixture.folder.path(), &args).stderr(Stdio::piped()).spawn().unwrap();
    while !fixture.path("runs").exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("interrupted: saving the run if it has started, then stopping"), "{err}");
    assert!(err.contains("error: interrupted; nothing was saved"), "{err}");
    assert!(!fixture.path("runs").exists());
}

#[test]
#[cfg(not(feature = "mpi"))]
fn one_of_several_processes_is_refused_by_a_program_without_mpi() {
    let fixture = Fixture::new();
    let mut alone = program(fixture.folder.path(), &["train", "data", "--iterations", "1"]);
    let refused = finish(alone.env("OMPI_COMM_WORLD_SIZE", "2"));
    refused.fails(2, &["OMPI_COMM_WORLD_SIZE is 2", "--features mpi"]);
    assert!(!fixture.path("runs").exists());
}
