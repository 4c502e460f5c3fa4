//! `infer` on what users hand it: crops, stdin, patterns, odd files under a memory limit; and its JSON
//! against the schema.

mod common;

use common::fixture::Fixture;
use common::program::{Run, finish};
use common::schema::violation;
use resnet_cpu::model::{InitOptions, ModelSpec, Network, Options, initialize};
use resnet_cpu::weights::{Metadata, PixelMean, StatedPreprocess, write_weights};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Every line, held to `docs/infer.schema.json`.
#[track_caller]
fn lines(run: &Run) -> Vec<Value> {
    let schema = serde_json::from_str(include_str!("../docs/infer.schema.json")).unwrap();
    let lines = run.json();
    for line in &lines {
        assert_eq!(violation(&schema, line), None, "{line}");
    }
    lines
}

#[test]
fn the_schema_tells_good_from_bad() {
    let schema = serde_json::from_str(include_str!("../docs/infer.schema.json")).unwrap();
    let good = json!({"image": "a", "arch": "b", "ms": 1.5,
        "predictions": [{"index": 3, "label": null, "probability": 0.5, "logit": -1}]});
    assert_eq!(violation(&schema, &good), None);
    assert_eq!(violation(&schema, &json!({"image": "a", "error": "b"})), None);
    for (pointer, bad) in [
        ("/ms", json!("fast")),
        ("/predictions", json!([])),
        ("/predictions/0/index", json!(0.5)),
        ("/predictions/0/probability", json!(1.5)),
        ("/predictions/0", json!({"index": 3, "probability": 0.5})),
        ("/predictions/0", json!({"index": 3, "label": "x", "probability": 0.5, "more": 1})),
        ("", json!({"image": "a"})),
        ("", json!({"image": "a", "error": "b", "ms": 1})),
    ] {
        let mut line = good.clone();
        *line.pointer_mut(pointer).unwrap() = bad;
        assert!(violation(&schema, &line).is_some(), "{line}");
    }
}

#[test]
fn ten_crops_are_averaged() {
    let fixture = Fixture::new();
    let ten = ["--crops", "ten", "--resize", "40", "--top", "10"];
    let run = fixture.infer(&[&ten[..], &["--json", "images"]].concat());
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.err.contains("resize 40, crop 32") && run.err.contains("ten crops"), "{}", run.err);
    let found = lines(&run);
    for line in &found {
        let predictions = line["predictions"].as_array().unwrap();
        let sum: f64 = predictions.iter().map(|p| p["probability"].as_f64().unwrap()).sum();
        // Six digits of each.
        assert!((sum - 1.0).abs() < 1e-5 && predictions.iter().all(|p| p.get("logit").is_none()));
    }
    // The batch changes the last digits at most, and ten crops are not the centre.
    let run = fixture.infer(&[&ten[..], &["--batch", "30", "--json", "images"]].concat());
    let predictions = |lines: &[Value]| -> Vec<Value> {
        lines.iter().map(|line| line["predictions"].clone()).collect()
    };
    for (together, apart) in lines(&run).iter().zip(&found) {
        let each = |line: &Value| line["predictions"].as_array().unwrap().clone();
        for (a, b) in each(together).iter().zip(each(apart)) {
            assert_eq!(a["index"], b["index"]);
            let probability = |p: &Value| p["probability"].as_f64().unwrap();
            assert!((probability(a) - probability(&b)).abs() < 1e-5, "{a} {b}");
        }
    }
    let run = fixture.infer(&["--resize", "40", "--top", "10", "--json", "images"]);
    assert_ne!(predictions(&lines(&run)), predictions(&found));
    fixture.infer(&["--crops", "five", "x"]).fails(2, &["--crops", "center, ten"]);
}

/// A network that was trained with a mean of each pixel sees other sizes with the means of the channels.
#[test]
fn at_other_sizes_a_per_pixel_mean_is_one_of_channels() {
    let fixture = Fixture::new();
    let network = Network::new(&ModelSpec::new("resnet20", Options::default()).unwrap());
    let params = initialize(&network, 1, InitOptions::default());
    // Of each row another; the channels' means are 0.5, 0.25 and 0.75.
    let row = |y: usize| y as f32 / 31.0 - 0.5;
    let pixel = |i: usize| [0.5, 0.25, 0.75].map(|mean: f32| mean + row(i / 32) / 2.0);
    let values: Vec<f32> = (0..32 * 32).flat_map(pixel).collect();
    let mean = PixelMean { height: 32, width: 32, values: values.into() };
    let entries = Metadata {
        preprocess: StatedPreprocess { crop: Some(32), ..Default::default() },
        ..Metadata::of_spec(&network.spec)
    };
    let path = fixture.path("pixels.safetensors");
    write_weights(path, &network, &params, Some(&mean), &entries.entries()).unwrap();
    let infer = |args: &str| {
        let args = format!("infer --weights pixels.safetensors --json --top 10 images {args}");
        let run = fixture.run(&args.split_whitespace().collect::<Vec<_>>());
        assert_eq!(run.code, 0, "{}", run.err);
        let predictions = lines(&run).into_iter().map(|line| line["predictions"].clone());
        (predictions.collect::<Vec<_>>(), run.err)
    };
    let said = "per-pixel mean is one of 32 x 32 inputs: of 40 x 40, its mean of each channel is subtracted";
    let (other, err) = infer("--resize 44 --crop 40");
    assert!(err.contains(said), "{err}");
    assert!(err.contains("mean 0.5,0.25,0.75, std 1,1,1"), "{err}");
    let (by_hand, err) = infer("--resize 44 --crop 40 --mean 0.5,0.25,0.75 --std 1,1,1");
    assert_eq!(other, by_hand);
    assert!(!err.contains("per-pixel"), "{err}");
    // At its own size it is what it was, and another thing.
    let (own, err) = infer("");
    assert!(err.contains("the file's per-pixel mean") && !err.contains("each channel"), "{err}");
    assert_ne!(own, infer("--mean 0.5,0.25,0.75 --std 1,1,1").0);
    // A file for the other size can be written.
    let convert = "convert pixels.safetensors other.safetensors --resize 44 --crop 40";
    let run = fixture.run(&convert.split_whitespace().collect::<Vec<_>>());
    assert!(run.code == 0 && run.err.contains(said), "{}", run.err);
    let converted = ["infer", "-w", "other.safetensors", "--json", "--top", "10", "images"];
    let predictions = lines(&fixture.run(&converted)).into_iter();
    assert_eq!(predictions.map(|line| line["predictions"].clone()).collect::<Vec<_>>(), other);
}

#[test]
fn a_image_comes_from_stdin() {
    let fixture = Fixture::new();
    let path = fixture.path("images/a.png");
    let infer = |input: Stdio, args: &[&str]| {
        let args = [&["infer", "--weights", "weights.safetensors", "--json"], args].concat();
        finish(fixture.command(&args).stdin(input))
    };
    let open = || Stdio::from(std::fs::File::open(&path).unwrap());
    let run = infer(open(), &["-", "images/a.png"]);
    assert_eq!(run.code, 0, "{}", run.err);
    let found = lines(&run);
    assert_eq!(found[0]["image"], "-");
    assert_eq!(found[0]["predictions"], found[1]["predictions"]);
    let run = infer(Stdio::null(), &["-"]);
    run.fails(1, &["error: -: expected an image, found an empty file"]);
    assert_eq!(lines(&run).len(), 1);
    infer(Stdio::null(), &["-", "-"]).fails(2, &["stdin (-) can be given only once"]);
    infer(open(), &["--max-bytes", "100", "-"]).fails(1, &["-: image too large", "--max-bytes"]);
    infer(open(), &["--max-side", "31", "-"]).fails(1, &["at most 31 pixels", "--max-side"]);
}

#[test]
fn a_pattern_that_nothing_matches_is_named() {
    let fixture = Fixture::new();
    for pattern in ["*.jpg", "images/?.tif", "[ab].gif"] {
        let run = fixture.infer(&["--json", pattern, "images/a.png"]);
        run.fails(1, &[&format!("error: {pattern}: no file matches this pattern")]);
        assert!(lines(&run)[1]["predictions"].is_array());
    }
}

/// What is asked wrongly is refused with what to do, before any image is read.
#[test]
fn settings_that_cannot_be_right_are_refused() {
    let fixture = Fixture::new();
    for (flags, words) in [
        (&["--mean", "123.675,116.28,103.53"][..], &["--mean", "0.4850,0.4560,0.4060"][..]),
        (&["--std", "58.395,57.12,57.375"], &["--std", "0.2290"]),
        (&["--std", "0.2,0,0.2"], &["--std", "positive"]),
        (&["--mean", "-1,0,0"], &["--mean", "from 0 to 1"]),
        (&["--resize", "20"], &["--resize", "at least the crop of 32, found 20"]),
        (&["--resize", "30", "--crop", "31"], &["at least the crop of 31, found 30"]),
    ] {
        fixture.infer(&[flags, &["images/a.png"]].concat()).fails(2, words);
    }
    let short =
        fixture.run(&["infer", "-w", "weights.safetensors", "-q", "-k", "1", "images/a.png"]);
    assert_eq!((short.code, short.out.lines().count(), &*short.err), (0, 1, ""));
}

/// More than any machine has: an estimate, not an abort.
#[cfg(target_os = "linux")]
#[test]
fn a_batch_beyond_memory_is_refused() {
    let fixture = Fixture::new();
    for i in 0..400 {
        fixture.write(&format!("images/{i}.png"), b"");
    }
    let run = fixture.infer(&["--crop", "4096", "--batch", "100000", "images"]);
    run.fails(2, &["--batch 100000", "4096x4096", "choose a smaller --batch or --crop"]);
}

/// Nothing is opened that might never end, and the others run.
#[cfg(unix)]
#[test]
fn special_files_are_named_and_never_read() {
    let fixture = Fixture::new();
    let fifo = fixture.path("images/d.jpg");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(fixture.path("images/e.png")).unwrap();
    let run = fixture.infer(&["--json", "images", "/dev/zero", "images/d.jpg"]);
    assert_eq!(run.code, 1, "{}", run.err);
    let words = "images/d.jpg: expected a file, found a FIFO (named pipe), which is not read";
    assert!(run.err.contains(words), "{}", run.err);
    let errors: Vec<Value> = lines(&run).iter().map(|line| line["error"].clone()).collect();
    assert!(errors[..3].iter().all(Value::is_null), "{errors:?}");
    for (error, words) in errors[3..].iter().zip(["a FIFO", "a socket", "a device", "a FIFO"]) {
        assert!(error.as_str().unwrap().contains(words), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn names_that_are_not_utf8_stay_apart_in_json() {
    use std::os::unix::ffi::OsStrExt;
    let fixture = Fixture::new();
    for name in [&b"images/\xFE.png"[..], b"images/\xFF.png"] {
        let to = fixture.path("").join(std::ffi::OsStr::from_bytes(name));
        // Some file systems have no such names.
        if std::fs::copy(fixture.path("images/a.png"), to).is_err() {
            return;
        }
    }
    let run = fixture.infer(&["--json", "images"]);
    let bytes: Vec<Value> = lines(&run).iter().map(|line| line["image_bytes"].clone()).collect();
    let hex = |name: &str| json!(format!("{}{name}2e706e67", "696d616765732f"));
    assert_eq!(bytes, [Value::Null, Value::Null, Value::Null, hex("fe"), hex("ff")]);
}

#[test]
fn what_systems_leave_behind_and_other_formats_are_counted() {
    let fixture = Fixture::new();
    std::fs::create_dir(fixture.path("images/__MACOSX")).unwrap();
    for name in ["._a.png", "__MACOSX/b.png", "Thumbs.db", "one.HEIC", "two.heic"] {
        fixture.write(&format!("images/{name}"), b"\0\0\0\x18ftypheic");
    }
    let run = fixture.infer(&["images"]);
    assert_eq!((run.code, run.err.lines().count()), (0, 1), "{}", run.err);
    assert!(run.err.contains("3 hidden or system files and folders"), "{}", run.err);
    assert!(run.err.contains("2 HEIC files, a format that is not read here"), "{}", run.err);
    let run = fixture.infer(&["images/one.HEIC"]);
    run.fails(1, &["HEIC, a format that is not read here; convert it to JPEG or PNG"]);
}

/// Digits of 28 x 28 are padded in training; the same image as a file is padded, too, and the classes
/// are called as the data calls them.
#[test]
fn an_image_of_the_training_set_looks_the_same_to_infer() {
    let fixture = Fixture::new();
    let idx = |sizes: &[u32], bytes: &[u8]| {
        let sizes_bytes: Vec<u8> = sizes.iter().flat_map(|size| size.to_be_bytes()).collect();
        [&[0, 0, 8, sizes.len() as u8][..], &sizes_bytes, bytes].concat()
    };
    let pixels: Vec<u8> = (0..40 * 28 * 28_u32).map(|i| (i * i / 5 + i / 784 * 40) as u8).collect();
    std::fs::create_dir(fixture.path("digits")).unwrap();
    fixture.write("digits/train-images-idx3-ubyte", &idx(&[40, 28, 28], &pixels));
    let labels: Vec<u8> = (0..40).map(|i| i % 3).collect();
    fixture.write("digits/train-labels-idx1-ubyte", &idx(&[40], &labels));
    let train = ["train", "digits", "--epochs", "1", "--batch", "8", "--out", "run"];
    let run = fixture.run(&train);
    assert_eq!(run.code, 0, "{}", run.err);
    let digit = image::GrayImage::from_raw(28, 28, pixels[784..2 * 784].to_vec()).unwrap();
    digit.save(fixture.path("28.png")).unwrap();
    let mut padded = image::GrayImage::new(32, 32);
    image::imageops::replace(&mut padded, &digit, 2, 2);
    padded.save(fixture.path("32.png")).unwrap();
    let run = fixture.run(&["infer", "-w", "run/best.safetensors", "--json", "28.png", "32.png"]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.err.contains("pad to 32, resize 32, crop 32"), "{}", run.err);
    let found = lines(&run);
    assert_eq!(found[0]["predictions"], found[1]["predictions"]);
    let names: Vec<&str> = found[0]["predictions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["label"].as_str().unwrap())
        .collect();
    assert!(names.len() == 3 && names.iter().all(|name| ["0", "1", "2"].contains(name)));
}

/// What `infer` makes of each file: its result, or one line of error that names it.
fn outcomes(run: &Run) -> BTreeMap<String, Result<Value, String>> {
    assert!(!run.err.contains("panicked"), "{}", run.err);
    let errors: Vec<_> =
        run.err.lines().filter(|line| line.contains("resnet-cpu: error: ")).collect();
    let mut found = BTreeMap::new();
    for mut line in lines(run) {
        let image = line["image"].as_str().unwrap().to_owned();
        let outcome = match line["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(line["predictions"].take()),
        };
        if let Err(error) = &outcome {
            let expected = format!("resnet-cpu: error: {image}: {error}");
            assert_eq!(errors.iter().filter(|line| **line == expected).count(), 1, "{expected}");
        }
        found.insert(image, outcome);
    }
    let failed = found.values().filter(|outcome| outcome.is_err()).count();
    assert_eq!((run.code, errors.len()), (i32::from(failed > 0), failed), "{}", run.err);
    found
}

/// All files below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// Runs `infer` on all files below `folder`, with 6 GiB of address space where that can be limited.
fn infer_all(fixture: &Fixture, folder: &Path) -> BTreeMap<String, Result<Value, String>> {
    let files = files(folder);
    let mut args = vec!["infer", "--weights", "weights.safetensors", "--json"];
    args.extend(files.iter().map(|path| path.to_str().unwrap()));
    let mut command = fixture.command(&args);
    #[cfg(unix)]
    {
        let program = command.get_program().to_owned();
        let mut limited = std::process::Command::new("sh");
        limited.args(["-c", "ulimit -v 6291456 && exec \"$0\" \"$@\""]).arg(program).args(args);
        command = limited;
        command.current_dir(fixture.path(""));
    }
    let outcomes = outcomes(&finish(&mut command));
    assert_eq!(outcomes.len(), files.len());
    outcomes
}

#[test]
fn every_variant_gives_a_prediction_or_one_error() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/formats");
    for (file, outcome) in infer_all(&Fixture::new(), &folder) {
        assert_eq!(outcome.is_err(), file.contains("refused"), "{file}: {outcome:?}");
    }
}

#[test]
fn real_files_give_a_prediction_or_one_error() {
    let Some(folder) = common::test_data("formats") else { return };
    let refused = [
        ("Pillow/LICENSE", "found a file that starts with \"The Pyth\""),
        ("Pillow/broken.png", ""),
        ("Pillow/decompression_bomb.gif", "truncated image"),
        ("Pillow/truncated_image.png", "truncated image"),
        ("Pillow/truncated_jpeg.jpg", "truncated image"),
        ("exif-orientation/LICENSE", "found a file that starts with"),
        ("image-rs/LICENSE-MIT", "found a file that starts with"),
        ("image-rs/bad__bmp__Bad_reallybig.bmp", "(3000000, 2000000)"),
    ];
    let mut outcomes = infer_all(&Fixture::new(), &folder);
    for (file, reason) in refused {
        let outcome = outcomes.remove(folder.join(file).to_str().unwrap()).expect(file);
        let error = outcome.expect_err(file);
        println!("{file}: {error}");
        assert!(error.contains(reason), "{file}: {error}");
    }
    for (file, outcome) in &outcomes {
        assert!(outcome.is_ok(), "{file}: {outcome:?}");
    }
    println!("{} named", outcomes.len());
}
