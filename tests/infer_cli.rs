//! `infer` on what users hand it: crops, stdin, patterns, odd files under a memory limit; and its JSON
//! against the schema.

mod common;

use common::fixture::Fixture;
use common::program::{Run, finish};
use common::schema::violation;
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
        assert!((sum - 1.0).abs() < 1e-9 && predictions.iter().all(|p| p.get("logit").is_none()));
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
    infer(Stdio::null(), &["-", "-"]).fails(2, &["stdin (-) can be given once"]);
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
