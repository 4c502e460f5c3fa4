//! Where `convert` writes: links are followed, anything but a file is refused, nothing is replaced unasked.
#![cfg(unix)]

mod common;

use common::fixture::Fixture;
use resnet_cpu::model::{InitOptions, ModelSpec, Network, Options, initialize};
use resnet_cpu::weights::{TensorFile, write_weights};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::process::Command;

#[test]
fn links_stay_and_only_files_are_written() {
    let fixture = Fixture::new();
    let convert = |out: &str, force: bool| {
        let args = ["convert", "weights.safetensors", out, "--force"];
        fixture.run(&args[..if force { 4 } else { 3 }])
    };
    fs::create_dir(fixture.path("disk")).unwrap();
    fs::write(fixture.path("disk/real"), "old").unwrap();
    symlink("disk/real", fixture.path("link")).unwrap();
    symlink("disk/new", fixture.path("dangling")).unwrap();
    symlink("/dev/null", fixture.path("null")).unwrap();
    let made = Command::new("mkfifo").arg(fixture.path("fifo")).status().unwrap();
    assert!(made.success());

    convert("-", false).fails(2, &["-: expected a file name"]);
    convert("-", true).fails(2, &["-: expected a file name"]);
    for name in ["link", "dangling", "null", "fifo", "disk", "/dev/null"] {
        convert(name, false).fails(1, &[name, "it already exists; --force replaces it"]);
    }
    for (name, what) in
        [("null", "a device"), ("/dev/null", "a device"), ("fifo", "a FIFO"), ("disk", "a folder")]
    {
        convert(name, true).fails(1, &[name, "expected a regular file", what]);
    }
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    assert!(fs::metadata(fixture.path("fifo")).unwrap().file_type().is_fifo());
    for (link, real) in [("link", "disk/real"), ("dangling", "disk/new")] {
        let run = convert(link, true);
        assert_eq!(run.code, 0, "{}", run.err);
        assert!(fs::symlink_metadata(fixture.path(link)).unwrap().is_symlink());
        assert!(fs::metadata(fixture.path(real)).unwrap().len() > 100_000);
    }
    assert_eq!(fs::read_dir(fixture.path("disk")).unwrap().count(), 2, "nothing is left beside");
}

/// The name decides what is written, unless a flag does. An ONNX file begins with the version of its format.
#[test]
fn onnx_is_written_where_it_is_asked_for() {
    let fixture = Fixture::new();
    for (args, onnx) in [
        (&["a.onnx"][..], true),
        (&["b.bin", "--to", "onnx"], true),
        (&["c.ONNX", "--to", "safetensors"], false),
        (&["d.safetensors"], false),
    ] {
        let run = fixture.run(&[&["convert", "weights.safetensors"], args].concat());
        assert_eq!(run.code, 0, "{}", run.err);
        let bytes = fs::read(fixture.path(args[0])).unwrap();
        assert_eq!(bytes.starts_with(&[8, 8, 18, 10]), onnx, "{args:?}");
        let prepared = b"resnet_cpu.interpolation".as_slice();
        assert!(bytes.windows(prepared.len()).any(|part| part == prepared), "{args:?}");
    }
    // The files that others wrote are not read.
    fixture
        .run(&["inspect", "a.onnx"])
        .fails(1, &["a.onnx: not a readable file of weights", "ONNX"]);
}

/// A folder with a ResNet-18 for two classes, `r18.safetensors`.
fn imagenet_fixture() -> Fixture {
    let fixture = Fixture::new();
    let options = Options { classes: Some(2), ..Options::default() };
    let network = Network::new(&ModelSpec::new("resnet18", options).unwrap());
    let params = initialize(&network, 1, InitOptions::default());
    let entries = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    write_weights(fixture.path("r18.safetensors"), &network, &params, None, &entries).unwrap();
    fixture.write("labels.txt", b"cat\ndog\n");
    fixture
}

/// A folder that timm takes: its configuration says what flags and files said, and is believed when it comes back.
#[test]
fn what_timm_loads_is_a_folder_with_its_configuration() {
    let fixture = imagenet_fixture();
    let convert = |args: &[&str]| {
        fixture.run(&[&["convert", "r18.safetensors"], args, &["--to", "timm"]].concat())
    };
    let how = [
        "--labels",
        "labels.txt",
        "--resize",
        "235",
        "--interpolation",
        "bicubic",
        "--crop-mode",
        "squash",
    ];
    let run = convert(&[&["out/mine"], &how[..]].concat());
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.out.starts_with("out/mine/model.safetensors: resnet18, shortcut b, 2 classes"));
    assert!(
        run.err.contains("timm.create_model('local-dir:out/mine', pretrained=True)"),
        "{}",
        run.err
    );
    assert_eq!(fs::read_dir(fixture.path("out/mine")).unwrap().count(), 2);
    let config = fs::read(fixture.path("out/mine/config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["architecture"], "resnet18");
    assert_eq!(config["label_names"], json!(["cat", "dog"]));
    assert_eq!((&config["num_classes"], &config["num_features"]), (&json!(2), &json!(512)));
    let inner = &config["pretrained_cfg"];
    assert_eq!(inner["input_size"], json!([3, 224, 224]));
    assert_eq!(inner["mean"], json!([0.485, 0.456, 0.406]));
    assert_eq!(
        (&inner["interpolation"], &inner["crop_mode"]),
        (&json!("bicubic"), &json!("squash"))
    );
    // 224 / 0.9531... = 235.
    assert_eq!((224.0 / inner["crop_pct"].as_f64().unwrap()).floor(), 235.0);

    // Nothing is replaced unasked, and neither half alone.
    convert(&["out/mine"])
        .fails(1, &["out/mine/config.json: it already exists; --force replaces it"]);
    fs::remove_file(fixture.path("out/mine/config.json")).unwrap();
    convert(&["out/mine"]).fails(1, &["out/mine/model.safetensors: it already exists"]);
    assert!(!fixture.path("out/mine/config.json").exists());
    let run = convert(&["out/mine", "--force"]);
    assert_eq!(run.code, 0, "{}", run.err);
    let config = fs::read_to_string(fixture.path("out/mine/config.json")).unwrap();
    assert!(config.contains("\"crop_pct\": 0.875") && !config.contains("label_names"), "{config}");
    convert(&["-"]).fails(2, &["-: expected a file name"]);
    convert(&["labels.txt"]).fails(1, &["labels.txt: cannot make the folder"]);
    convert(&["no", "--crop-mode", "center_floor"])
        .fails(1, &["timm cannot prepare", "--crop-mode center"]);
    assert!(!fixture.path("no").exists());
}

/// Tensors, all of them and no other, under the names of torchvision; what it cannot keep is said.
#[test]
fn what_torchvision_loads_has_its_names_and_no_other() {
    let fixture = imagenet_fixture();
    let run = fixture.run(&[
        "convert",
        "r18.safetensors",
        "tv",
        "--to",
        "torch-names",
        "--labels",
        "labels.txt",
    ]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.err.contains("torchvision loads the tensors only"), "{}", run.err);
    let file = TensorFile::open(fixture.path("tv")).unwrap();
    let network = Network::new(&ModelSpec::new("resnet18", Options::default()).unwrap());
    let mut expected: Vec<&str> = network.table().infos().iter().map(|info| &*info.name).collect();
    let mut found: Vec<&str> = file.tensors().iter().map(|tensor| &*tensor.name).collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(file.metadata()["resnet_cpu.classes"], "[\"cat\",\"dog\"]");
    assert_eq!(file.metadata()["format"], "pt");
    for (loader, name) in [("torch-names", "torchvision"), ("timm", "timm")] {
        let to = ["out", "--to", loader];
        fixture
            .run(&[&["convert", "weights.safetensors"], &to[..]].concat())
            .fails(1, &[name, "has no network like this resnet20, shortcut a", "--to onnx"]);
        assert!(!fixture.path("out").exists());
    }
}
