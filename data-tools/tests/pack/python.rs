//! Python's own `tarfile` and the package `webdataset` read our shards, and we read what `webdataset` writes.
//! Runs where there is a Python with the package: `$RESNET_CPU_PYTHON`, else `python3`.

use std::path::Path;
use std::process::Command;

use resnet_cpu::data::Dataset;

use super::support::{class_folders, open, records, run};

const READ: &str = r#"
import sys, glob, tarfile, zlib, webdataset
tars = sorted(glob.glob(sys.argv[1] + "/train-*.tar"))
for path in tars:
    with tarfile.open(path, "r:") as tar:
        members = tar.getmembers()
        assert all(m.isreg() and m.mtime == m.uid == m.gid == 0 and m.mode == 0o644 for m in members)
        for image, label in zip(members[::2], members[1::2]):
            assert image.name.split(".")[0] == label.name.split(".")[0] and label.name.endswith(".cls")
            print("tar", zlib.crc32(tar.extractfile(image).read()), tar.extractfile(label).read().decode())
for sample in webdataset.WebDataset(tars, shardshuffle=False).decode("pil").to_tuple("jpg", "cls", "__key__"):
    image, label, key = sample
    print("web", image.size[0], image.size[1], label)
"#;

const WRITE: &str = r#"
import sys, io, webdataset
from PIL import Image
out = sys.argv[1]
with webdataset.ShardWriter(out + "/photos-train-%04d.tar", maxcount=5, verbose=0) as sink:
    for i in range(12):
        image = Image.new("RGB", (20 + i, 30), (i * 20, 90, 200 - i))
        buffer = io.BytesIO()
        image.save(buffer, ["JPEG", "PNG", "WEBP"][i % 3])
        extension = ["jpg", "png", "webp"][i % 3]
        sample = {"__key__": "sample%05d" % i, extension: buffer.getvalue()}
        if i % 2:
            sample["cls"] = i % 4
        else:
            sample["json"] = {"label": i % 4, "caption": "a colour"}
        sink.write(sample)
"#;

/// A Python that has the package.
fn python() -> Option<String> {
    let python = std::env::var("RESNET_CPU_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has = Command::new(&python).args(["-c", "import webdataset, PIL"]).output();
    if has.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    eprintln!("SKIPPED: {python} has not the packages webdataset and pillow (RESNET_CPU_PYTHON)");
    None
}

fn script(python: &str, code: &str, folder: &Path) -> String {
    let output = Command::new(python).args(["-W", "ignore", "-c", code]).arg(folder).output();
    let output = output.unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{err}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn python_reads_our_shards() {
    let Some(python) = python() else { return };
    let root = tempfile::tempdir().unwrap();
    class_folders(&root.path().join("in"), &[("train", 20), ("val", 3)]);
    let args = ["pack", "in", "out", "--shorter-side", "48", "--crop", "16"];
    run(root.path(), &[&args[..], &["--shard-size", "20kB"]].concat()).succeeds();
    let train = open(&root.path().join("out"), "train");
    let mut expected = String::new();
    for (bytes, label, _) in records(&train) {
        let mut crc = flate2::Crc::new();
        crc.update(&bytes);
        expected += &format!("tar {} {label}\n", crc.sum());
    }
    for i in 0..train.len() {
        let image = train.image(i).unwrap();
        expected += &format!("web {} {} {}\n", image.width(), image.height(), train.label(i));
    }
    assert_eq!(script(&python, READ, &root.path().join("out")), expected);
}

#[test]
fn a_set_written_by_webdataset_is_verified_and_packed() {
    let Some(python) = python() else { return };
    let root = tempfile::tempdir().unwrap();
    let web = root.path().join("web");
    std::fs::create_dir(&web).unwrap();
    script(&python, WRITE, &web);
    let verified = run(root.path(), &["verify", "web"]).succeeds();
    assert!(verified.out.contains("12 images verified: nothing wrong"), "{}", verified.out);
    let foreign = open(&web, "train");
    assert_eq!((foreign.len(), foreign.classes()), (12, 4));
    for i in 0..12 {
        assert_eq!(foreign.label(i), i % 4);
        assert_eq!(foreign.image(i).unwrap().width(), 20 + i);
    }
    run(root.path(), &["pack", "web", "out", "--crop", "16", "--val-split", "2"]).succeeds();
    run(root.path(), &["verify", "out"]).succeeds();
    assert_eq!(open(&root.path().join("out"), "train").len(), 10);
}
