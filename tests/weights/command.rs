//! Bad weights and labels through the program: one clear line each.

use resnet_cpu::weights::{Metadata, NamedTensor, Overrides};
use serde_json::Value;

use crate::common::fixture::Fixture;
use crate::common::test_data;
use crate::{Entries, Fixture as Weights};

#[test]
fn names_that_are_not_known_are_numbers() {
    let fixture = Fixture::new();
    let run = fixture.infer(&["images/a.png"]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.out.lines().all(|line| line.contains(" %  class ")), "{}", run.out);
    let run = fixture.infer(&["--json", "images/a.png"]);
    assert_eq!(run.json()[0]["predictions"][0]["label"], Value::Null);
    // Nor does a copy have them.
    let run = fixture.run(&["convert", "weights.safetensors", "copy.safetensors"]);
    assert_eq!(run.code, 0, "{}", run.err);
    let run = fixture.run(&["infer", "--weights", "copy.safetensors", "images/a.png"]);
    assert!(run.out.contains(" %  class "), "{}", run.out);
}

#[test]
fn names_cannot_forge_lines() {
    let fixture = Fixture::new();
    let steering =
        ["cat\n  1  100.00 %  dog (1)", "a\u{1b}[31mred", "b\rover", "c\u{202e}d", "e\u{9b}f"];
    let options = resnet_cpu::model::Options { classes: Some(5), ..Default::default() };
    let weights = Weights::new("resnet20", options);
    let classes = Some(steering.map(str::to_owned).to_vec());
    let entries = Metadata { classes, ..Metadata::default() }.entries();
    weights.open_changed(|_| (), &entries, &Overrides::default()).unwrap();
    let path = weights.path();
    let infer = |args: &[&str]| {
        let path = path.to_str().unwrap();
        fixture.run(&[&["infer", "--weights", path, "images/a.png"], args].concat())
    };
    fixture.write("labels.json", serde_json::to_string(&steering).unwrap().as_bytes());
    for args in [&[][..], &["--labels", "labels.json"]] {
        let run = infer(args);
        assert_eq!((run.code, run.out.lines().count()), (0, 5), "{}{}", run.out, run.err);
        let clean = |c: char| c == '\n' || !(c.is_control() || c == '\u{202e}');
        assert!(run.out.chars().all(clean), "{:?}", run.out);
        assert!(
            run.out.contains(r"cat\n  1") && run.out.contains(r"a\u{1b}[31mred"),
            "{}",
            run.out
        );
        // In JSON they are exact.
        let run = infer(&[args, &["--json"]].concat());
        let labels: Vec<Value> = run.json()[0]["predictions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p["label"].clone())
            .collect();
        assert!(steering.iter().all(|name| labels.contains(&Value::from(*name))), "{labels:?}");
    }
    let run = fixture.run(&["inspect", path.to_str().unwrap()]);
    assert!(run.out.chars().all(|c| c == '\n' || !c.is_control()), "{:?}", run.out);
}

#[test]
fn labels_are_as_many_as_classes() {
    let fixture = Fixture::new();
    fixture.write("few.json", br#"["a", "b"]"#);
    let ten: Vec<String> = (0..10).map(|i| format!("\"n{i}\"")).collect();
    fixture.write("ten.json", format!("[{}]", ten.join(",\n")).as_bytes());
    fixture
        .infer(&["--labels", "few.json", "images/a.png"])
        .fails(1, &["few.json", "10", "found 2"]);
    let run = fixture.infer(&["--labels", "ten.json", "images/a.png"]);
    assert!(run.code == 0 && run.out.lines().all(|line| line.contains("%  n")), "{}", run.out);
    fixture.write("damaged.json", b"[\"a\",");
    let run = fixture.infer(&["--labels", "damaged.json", "images/a.png"]);
    run.fails(1, &["damaged.json", "begins like JSON"]);
    let convert = ["convert", "weights.safetensors", "out", "--labels", "few.json"];
    fixture.run(&convert).fails(1, &["few.json", "10", "found 2"]);
    if let Some(path) = test_data("cases/labels-array.json") {
        let run = fixture.infer(&["--labels", path.to_str().unwrap(), "images/a.png"]);
        assert!(run.code == 0 && run.out.lines().all(|line| line.contains("%  n")), "{}", run.out);
    }
}

#[cfg(unix)]
#[test]
fn what_has_no_end_is_refused() {
    let fixture = Fixture::new();
    let made = std::process::Command::new("mkfifo").arg(fixture.path("fifo")).status();
    assert!(made.unwrap().success());
    let infer = |args: &[&str]| fixture.run(&[&["infer", "images/a.png"], args].concat());
    infer(&["--weights", "fifo"]).fails(1, &["fifo", "a FIFO"]);
    let weights = ["--weights", "weights.safetensors", "--labels"];
    infer(&[&weights[..], &["/dev/zero"]].concat()).fails(1, &["/dev/zero", "a device"]);
    infer(&[&weights[..], &["fifo"]].concat()).fails(1, &["fifo", "a FIFO"]);
    fixture.run(&["inspect", "fifo"]).fails(1, &["fifo", "a FIFO"]);
    fixture.run(&["convert", "fifo", "out"]).fails(1, &["fifo", "a FIFO"]);
    fixture.run(&["inspect", "."]).fails(1, &["it is a folder"]);
}

#[test]
fn extras_are_ignored_wherever_weights_are_taken() {
    let fixture = Fixture::new();
    let weights = Weights::new("resnet20", Default::default());
    let extra = |tensors: &mut Vec<NamedTensor<'_>>| {
        let values = vec![1.0].into();
        let name = "criterion.weight".to_owned();
        tensors.push(NamedTensor { name, shape: vec![1], values });
    };
    assert!(weights.open_changed(extra, &Entries::new(), &Overrides::default()).is_err());
    std::fs::copy(weights.path(), fixture.path("extra.safetensors")).unwrap();
    for command in [
        &["infer", "--weights", "extra.safetensors", "images/a.png"][..],
        &["inspect", "extra.safetensors"],
        &["convert", "extra.safetensors", "copy.safetensors"],
        &["bench", "--weights", "extra.safetensors", "--seconds", "0.01"],
    ] {
        fixture.run(command).fails(1, &["criterion.weight", "--ignore-extra"]);
        let run = fixture.run(&[command, &["--ignore-extra", "criterion.*"]].concat());
        assert_eq!(run.code, 0, "{}", run.err);
        let said = format!("{}{}", run.out, run.err);
        assert!(said.contains("ignored as requested (1): criterion.weight"), "{said}");
    }
    let run = fixture.run(&["inspect", "copy.safetensors"]);
    assert!(!run.out.contains("criterion"), "{}", run.out);
}

#[test]
fn one_output_is_inspected_and_converted_but_not_asked() {
    let fixture = Fixture::new();
    let options = resnet_cpu::model::Options { classes: Some(1), ..Default::default() };
    let weights = Weights::new("resnet20", options);
    weights.open_bare(&Overrides::default()).unwrap();
    std::fs::copy(weights.path(), fixture.path("one.safetensors")).unwrap();
    let run = fixture.run(&["inspect", "one.safetensors"]);
    assert!(run.code == 0 && run.out.contains("; 1 classes"), "{}{}", run.out, run.err);
    assert_eq!(fixture.run(&["convert", "one.safetensors", "copy.safetensors"]).code, 0);
    let run = fixture.run(&["infer", "--weights", "copy.safetensors", "images/a.png"]);
    run.fails(1, &["copy.safetensors", "single output"]);
}

#[test]
fn networks_are_named_in_any_case() {
    let fixture = Fixture::new();
    let run = fixture.run(&["inspect", "ResNet50"]);
    assert!(run.code == 0 && run.out.starts_with("resnet50, shortcut b"), "{}{}", run.out, run.err);
    let run = fixture.infer(&["--arch", "ResNet-20", "--shortcut", "A", "images/a.png"]);
    assert_eq!(run.code, 0, "{}", run.err);
    fixture.run(&["inspect", "ResNet51"]).fails(2, &["unknown architecture 'ResNet51'"]);
}
