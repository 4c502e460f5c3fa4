//! Files that are something else than weights, and are called so.

use std::path::Path;

use resnet_cpu::model::Options;
use resnet_cpu::weights::{Overrides, TensorFile, WeightsFile, write_weights};
use tempfile::TempDir;

use crate::{Entries, Fixture, assert_error, test_data};

#[test]
fn what_a_file_is_instead_is_said_in_one_line() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("w.safetensors");
    let index =
        r#"{"metadata": {"total_size": 1}, "weight_map": {"conv1.weight": "a.safetensors"}}"#;
    for (bytes, parts) in [
        (
            &b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"[..],
            ["Git LFS", "git lfs pull"],
        ),
        (
            b"<!DOCTYPE html>\n<html><body>Access restricted</body></html>\n",
            ["HTML page", "download"],
        ),
        (index.as_bytes(), ["index", "safetensors"]),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03", ["gzip", "unpack"]),
        (b"\x89HDF\r\n\x1a\n\0\0", ["HDF5", "Keras"]),
        (b"\x08\x07\x12\x07pytorch", ["ONNX", "only safetensors"]),
        (b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", ["empty zip", "archive"]),
        (b"\0\0\0\0\0\0\0\0\0\0\0\0", ["zero bytes", "not finished"]),
        (b"", ["it is", "empty"]),
    ] {
        std::fs::write(&path, bytes).unwrap();
        for opened in [
            WeightsFile::open(&path, &Overrides::default()).map(drop),
            TensorFile::from_bytes(bytes, &path).map(drop),
        ] {
            let error = opened.unwrap_err().to_string();
            if bytes.is_empty() && !error.contains("empty") {
                assert!(error.contains("found 0"), "{error}");
                continue;
            }
            assert!(error.starts_with(path.to_str().unwrap()), "{error}");
            assert!(parts.iter().all(|part| error.contains(part)), "{parts:?}: {error}");
            assert!(error.len() < 400 && !error.contains('\n'), "{error}");
        }
    }
}

#[test]
fn the_cases_that_users_met_are_called_by_name() {
    for (file, part) in [("lfs-pointer.safetensors", "Git LFS"), ("page.pth", "HTML page")] {
        let Some(path) = test_data(&format!("cases/weights/{file}")) else { return };
        assert_error(WeightsFile::open(&path, &Overrides::default()), &[file, part]);
    }
}

#[test]
fn a_folder_is_told_with_the_file_that_may_be_meant() {
    let folder = TempDir::new().unwrap();
    assert_error(TensorFile::open(folder.path()), &["it is a folder"]);
    std::fs::write(folder.path().join("model.safetensors"), b"x").unwrap();
    assert_error(TensorFile::open(folder.path()), &["a folder", "model.safetensors"]);
    assert_error(TensorFile::open(folder.path().join("none")), &["none", "cannot open"]);
}

#[cfg(unix)]
#[test]
fn what_has_no_end_is_never_read_nor_waited_for() {
    let folder = TempDir::new().unwrap();
    let fifo = folder.path().join("w.safetensors");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    let socket = folder.path().join("w.pth");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
    for (path, what) in [
        (&*fifo, "a FIFO"),
        (&socket, "a socket"),
        (Path::new("/dev/zero"), "a device"),
        (&link, "a device"),
    ] {
        let opened = WeightsFile::open(path, &Overrides::default());
        assert_error(opened, &[path.to_str().unwrap(), what]);
        let labels = resnet_cpu::infer::labels::read_labels(path).unwrap_err().to_string();
        assert!(labels.starts_with(path.to_str().unwrap()) && labels.contains(what), "{labels}");
    }
    // A link to a file is fine.
    let fixture = Fixture::new("resnet20", Options::default());
    write_weights(fixture.path(), &fixture.network, &fixture.params, None, &Entries::new())
        .unwrap();
    let link = folder.path().join("link.safetensors");
    std::os::unix::fs::symlink(fixture.path(), &link).unwrap();
    assert!(WeightsFile::open(&link, &Overrides::default()).is_ok());
}
