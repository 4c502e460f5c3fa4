//! Where `convert` writes: links are followed, anything but a file is refused, nothing is replaced unasked.
#![cfg(unix)]

mod common;

use common::fixture::Fixture;
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
