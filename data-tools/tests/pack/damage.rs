//! `verify`: every change of a single byte is found and named, and so are images that are in two parts.

use std::fs;

use resnet_cpu::runtime::Rng;

use super::support::{class_folders, files, jpeg, photo, run, write};

#[test]
fn every_change_of_a_byte_is_found_and_named() {
    let root = tempfile::tempdir().unwrap();
    class_folders(&root.path().join("in"), &[("train", 8), ("val", 4)]);
    run(root.path(), &["pack", "in", "out", "--crop", "8"]).succeeds();
    let out = root.path().join("out");
    let mut rng = Rng::named(0, "damage");
    for (name, whole) in files(&out) {
        for _ in 0..12 {
            let at = rng.below(whole.len());
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << rng.below(8);
            fs::write(out.join(&name), &bytes).unwrap();
            let found = run(root.path(), &["verify", "out", "-q"]);
            assert_eq!(found.code, 1, "{name}, byte {at}: {}{}", found.out, found.err);
            let stem = name.trim_end_matches(".index");
            assert!((found.out + &found.err).contains(stem), "{name}, byte {at}");
        }
        let cut = &whole[..rng.below(whole.len())];
        fs::write(out.join(&name), cut).unwrap();
        assert_eq!(run(root.path(), &["verify", "out"]).code, 1, "{name} cut");
        fs::write(out.join(&name), &whole).unwrap();
    }
    let fine = run(root.path(), &["verify", "out", "--json"]).succeeds();
    assert_eq!(fine.out, "{\"images\":12,\"problems\":[],\"unlisted\":0}\n");
}

#[test]
fn an_image_in_two_parts_is_found() {
    let root = tempfile::tempdir().unwrap();
    class_folders(&root.path().join("in"), &[("train", 8), ("val", 4)]);
    let bytes = jpeg(&photo(77, 30, 30));
    write(&root.path().join("in/train/ant/same.jpg"), &bytes);
    write(&root.path().join("in/val/bee/same.jpg"), &bytes);
    run(root.path(), &["pack", "in", "out", "--crop", "8"]).succeeds();
    let found = run(root.path(), &["verify", "out", "--json"]);
    assert_eq!(found.code, 1);
    let found: serde_json::Value = serde_json::from_str(&found.out).unwrap();
    let problems = found["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1, "{found}");
    let problem = problems[0].as_str().unwrap();
    assert!(problem.contains("the same image is in train"), "{problem}");
    run(root.path(), &["verify", "in"]).fails(1, &["in: ", "expected tars of samples"]);
    run(root.path(), &["stats", "in"]).fails(1, &["dataset.json"]);
}
