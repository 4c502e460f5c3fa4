//! `infer --explain` and `infer --embed` as a user sees them.

mod common;

use common::fixture::Fixture;
use common::read_npy;
use common::schema::violation;
use serde_json::{Value, json};
use std::fs;
use std::process::Stdio;

fn schema() -> Value {
    serde_json::from_str(include_str!("../docs/infer.schema.json")).unwrap()
}

fn size(path: &std::path::Path) -> [u32; 2] {
    let image = image::open(path).unwrap();
    [image.width(), image.height()]
}

#[test]
fn each_image_gets_a_picture() {
    let fixture = Fixture::new();
    let run = fixture.infer(&["--explain", "new/maps", "--json", "-k", "3", "images"]);
    assert_eq!(run.code, 0, "{}", run.err);
    let lines = run.json();
    assert_eq!(lines.len(), 3);
    for (line, name) in lines.iter().zip(["a", "b", "c"]) {
        assert_eq!(violation(&schema(), line), None, "{line}");
        assert_eq!(line["explanation"], format!("new/maps/{name}.cam.png"));
        assert_eq!(line["predictions"].as_array().unwrap().len(), 3);
        // The image and one map, each enlarged ten times.
        let [width, height] = size(&fixture.path(&format!("new/maps/{name}.cam.png")));
        assert!(width > 640 && width < 700 && height > 320, "{width} x {height}");
    }
    // The predictions are those without pictures, whatever is drawn.
    let plain = fixture.infer(&["--json", "-k", "3", "images"]).json();
    for (line, plain) in lines.iter().zip(&plain) {
        assert_eq!(line["predictions"], plain["predictions"]);
    }
    assert!(plain[0].get("explanation").is_none());

    // Again, in the same folder: the same files with the same bytes.
    let before = fs::read(fixture.path("new/maps/b.cam.png")).unwrap();
    let run = fixture.infer(&["--explain", "new/maps", "-k", "3", "--batch", "3", "images"]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.out.contains("shown in new/maps/b.cam.png"), "{}", run.out);
    assert_eq!(fs::read(fixture.path("new/maps/b.cam.png")).unwrap(), before);
    assert_eq!(fs::read_dir(fixture.path("new/maps")).unwrap().count(), 3);
}

#[test]
fn several_classes_have_a_map_each() {
    let fixture = Fixture::new();
    let run =
        fixture.infer(&["--explain", "maps", "--explain-top", "3", "-k", "1", "images/a.png"]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert_eq!(run.out.lines().count(), 2, "{}", run.out);
    assert!(size(&fixture.path("maps/a.cam.png"))[0] > 4 * 320);
    fixture.infer(&["--explain-top", "3", "x"]).fails(2, &["--explain <DIR>"]);
}

#[test]
fn names_are_kept_apart_and_images_are_not_overwritten() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.path("more")).unwrap();
    fs::copy(fixture.path("images/a.png"), fixture.path("more/a.png")).unwrap();
    let own = fixture.path("maps/b.cam.png");
    fs::create_dir(fixture.path("maps")).unwrap();
    fs::copy(fixture.path("images/b.png"), &own).unwrap();
    let before = fs::read(&own).unwrap();
    let args = ["--explain", "maps", "--json", "images", "more", "maps/b.cam.png"];
    let run = fixture.infer(&args);
    assert_eq!(run.code, 0, "{}", run.err);
    let files: Vec<Value> = run.json().iter().map(|line| line["explanation"].clone()).collect();
    let expected = ["a.cam.png", "b-2.cam.png", "c.cam.png", "a-2.cam.png", "b.cam.cam.png"];
    assert_eq!(files, expected.map(|name| json!(format!("maps/{name}"))));
    assert_eq!(fs::read(&own).unwrap(), before);
}

/// In the folder of the images, pictures of the run before are no images.
#[test]
fn pictures_are_not_explained_again() {
    let fixture = Fixture::new();
    for round in 0..2 {
        let run = fixture.infer(&["--explain", "images", "--json", "images"]);
        assert_eq!((run.code, run.json().len()), (0, 3), "{round}: {}", run.err);
    }
    assert_eq!(fs::read_dir(fixture.path("images")).unwrap().count(), 6);
    let run = fixture.infer(&["-v", "--explain", "images", "images"]);
    assert!(run.err.contains("3 pictures of an earlier --explain in images are left out"));
    // They alone are nothing to classify.
    for entry in fs::read_dir(fixture.path("images")).unwrap() {
        let path = entry.unwrap().path();
        if !path.to_string_lossy().ends_with(".cam.png") {
            fs::remove_file(path).unwrap();
        }
    }
    fixture
        .infer(&["--explain", "images", "images"])
        .fails(1, &["no images but the pictures of an earlier --explain"]);
}

#[test]
fn stdin_and_bad_images() {
    let fixture = Fixture::new();
    fixture.write("images/bad.png", b"no image");
    let mut command = fixture.command(&["infer", "--weights", "weights.safetensors"]);
    command.args(["--explain", "maps", "--json", "-", "images/bad.png", "images/a.png"]);
    command.stdin(Stdio::from(fs::File::open(fixture.path("images/b.png")).unwrap()));
    let run = common::program::finish(&mut command);
    run.fails(1, &["images/bad.png"]);
    let lines = run.json();
    assert_eq!(lines[0]["explanation"], "maps/stdin.cam.png");
    assert!(lines[1].get("error").is_some() && lines[1].get("explanation").is_none());
    assert_eq!(lines[2]["explanation"], "maps/a.cam.png");
    assert_eq!(fs::read_dir(fixture.path("maps")).unwrap().count(), 2);
}

#[test]
fn what_cannot_be_explained_is_refused() {
    let fixture = Fixture::new();
    fixture.write("file", b"");
    fixture.infer(&["--explain", "file", "images"]).fails(2, &["--explain: file", "a folder"]);
    let ten = ["--explain", "maps", "--crops", "ten", "images"];
    fixture.infer(&ten).fails(2, &["--explain", "--crops ten"]);
    assert!(!fixture.path("maps").exists());
    fixture.infer(&["--explain", "file/maps", "images"]).fails(1, &["--explain: file/maps"]);
}

#[test]
fn features_are_printed() {
    let fixture = Fixture::new();
    fixture.write("images/bad.png", b"no image");
    let run = fixture.infer(&["--embed", "images"]);
    run.fails(1, &["images/bad.png"]);
    let lines = run.json();
    assert_eq!(lines.len(), 4);
    for line in &lines {
        assert_eq!(violation(&schema(), line), None, "{line}");
    }
    assert_eq!(lines[0]["features"].as_array().unwrap().len(), 64);
    assert_ne!(lines[0]["features"], lines[1]["features"]);
    assert!(lines[2].get("error").is_some(), "{}", lines[2]);

    // As an array: the rows of those that could be read, in order.
    let run = fixture.infer(&["--embed", "--out", "x.npy", "images"]);
    run.fails(1, &["images/bad.png"]);
    let (shape, values) = read_npy(&fixture.path("x.npy"));
    assert_eq!(shape, [3, 64]);
    let rows = run.json();
    for (line, row) in lines.iter().zip(&rows) {
        assert_eq!(violation(&schema(), row), None, "{row}");
        let Some(at) = row["row"].as_u64() else { continue };
        let printed = line["features"].as_array().unwrap();
        let printed: Vec<f32> =
            printed.iter().map(|value| value.as_f64().unwrap() as f32).collect();
        assert_eq!(values[at as usize * 64..][..64], printed);
    }
    assert_eq!([0, 1, 3].map(|i| rows[i]["row"].clone()), [0, 1, 2].map(|i| json!(i)));

    // The flat mean of ten crops, of an image that has ten different ones, is another.
    let one = fixture.infer(&["--embed", "--resize", "40", "images/a.png"]).json();
    let ten =
        fixture.infer(&["--embed", "--resize", "40", "--crops", "ten", "images/a.png"]).json();
    assert_eq!(ten[0]["features"].as_array().unwrap().len(), 64);
    assert_ne!(ten[0]["features"], one[0]["features"]);
}

#[test]
fn what_cannot_be_embedded_is_refused() {
    let fixture = Fixture::new();
    fixture.infer(&["--embed", "--top", "3", "images"]).fails(2, &["--top"]);
    fixture.infer(&["--embed", "--explain", "maps", "images"]).fails(2, &["--explain"]);
    fixture.infer(&["--out", "x.npy", "images"]).fails(2, &["--embed"]);
    fixture.infer(&["--embed", "--out", "images", "images"]).fails(2, &["--out: images", "a file"]);
    fixture.infer(&["--embed", "--out", "none/x.npy", "images"]).fails(2, &["no such folder"]);
    let image = fs::read(fixture.path("images/a.png")).unwrap();
    let over = ["--embed", "--out", "images/a.png", "images/b.png"];
    fixture.infer(&over).fails(2, &["--out: images/a.png", ".npy"]);
    assert_eq!(fs::read(fixture.path("images/a.png")).unwrap(), image);
}
