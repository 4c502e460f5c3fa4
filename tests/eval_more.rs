//! What `eval` does beyond crops of one network as it is: the dense test, several networks, statistics of batch norm
//! averaged anew.

mod common;

use common::program::{Run, finish, program};
use common::schema::violation;
use resnet_cpu::data::{Limits, demo, read_image};
use resnet_cpu::infer::{Classifier, Dense, dense_scales};
use resnet_cpu::model::{InitOptions, ModelSpec, Network, Options, Role, initialize};
use resnet_cpu::weights::write_weights;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const CLASSES: [&str; 3] = ["ant", "bee", "cat"];

fn run(folder: &Path, args: &str) -> Run {
    finish(&mut program(folder, &args.split_whitespace().collect::<Vec<_>>()))
}

/// The object that a run printed, held to `docs/eval.schema.json`.
#[track_caller]
fn object(run: &Run) -> Value {
    assert_eq!(run.code, 0, "{}", run.err);
    let schema = serde_json::from_str(include_str!("../docs/eval.schema.json")).unwrap();
    let [object] = &run.json()[..] else { panic!("one line: {}", run.out) };
    assert_eq!(violation(&schema, object), None, "{object}");
    object.clone()
}

/// Class folders of drawn images, `images` of each class, 32 to 50 pixels wide.
fn class_folders(folder: &Path, first: u64, images: u64) {
    for (i, class) in CLASSES.iter().enumerate() {
        let to = folder.join(class);
        fs::create_dir_all(&to).unwrap();
        for index in 0..images {
            let (image, _) = demo::image(7, first + index * 10 + i as u64);
            let image = resnet_cpu::data::resize(&image, 32 + 9 * i, 32 + index as usize);
            let (width, height) = (image.width() as u32, image.height() as u32);
            let path = to.join(format!("{index}.png"));
            image::save_buffer(path, image.pixels(), width, height, image::ColorType::Rgb8)
                .unwrap();
        }
    }
}

/// Random weights by `seed` of a ResNet-20 with statistics of some training, and names in the order of `classes`.
fn write_network(path: &Path, seed: u64, classes: &[&str]) {
    let options = Options { classes: Some(classes.len()), ..Options::default() };
    let network = Network::new(&ModelSpec::new("resnet20", options).unwrap());
    let mut params = initialize(&network, seed, InitOptions::default());
    for (id, info) in network.table().iter() {
        if info.role == Role::RunningVar {
            params.get_mut(id).fill(2.0);
        }
    }
    let names = serde_json::to_string(classes).unwrap();
    let entries = BTreeMap::from([("resnet_cpu.classes".to_owned(), names)]);
    write_weights(path, &network, &params, None, &entries).unwrap();
}

/// A folder with the networks `a` and `b`, whose classes are in different orders, and images.
fn fixture() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write_network(&at("a.safetensors"), 1, &CLASSES);
    write_network(&at("b.safetensors"), 2, &["Cat", "Ant", "Bee"]);
    class_folders(&at("data/train"), 0, 5);
    class_folders(&at("data/val"), 500, 3);
    folder
}

/// The images that are evaluated, each with its class, in order.
fn images(folder: &Path) -> Vec<(PathBuf, usize)> {
    let of_class = |(i, class): (usize, &&str)| {
        let class = folder.join("data/val").join(class);
        (0..3).map(move |index| (class.join(format!("{index}.png")), i))
    };
    CLASSES.iter().enumerate().flat_map(of_class).collect()
}

/// The mean loss of the dense tests of these networks, computed one by one by the library.
fn dense_loss(folder: &Path, networks: &[(&str, [usize; 3])], scales: Option<&[usize]>) -> f64 {
    let mut sum = 0.0;
    for (path, truth) in images(folder) {
        let image = read_image(&path, &Limits::default()).unwrap();
        let mut of_class = 0.0;
        for (weights, order) in networks {
            let classifier = Classifier::open(folder.join(weights)).unwrap();
            let scales = scales.map_or_else(|| dense_scales(&classifier), <[usize]>::to_vec);
            let mut dense = Dense::new(&classifier, &scales).unwrap();
            let found = dense.probabilities(&image, &|| false).unwrap().unwrap();
            of_class += found[order[truth]] / networks.len() as f64;
        }
        sum -= of_class.ln();
    }
    sum / 9.0
}

#[track_caller]
fn near(found: &Value, expected: f64) {
    let found = found.as_f64().unwrap();
    assert!((found - expected).abs() < 1e-9, "{found} {expected}");
}

#[test]
fn the_dense_test_is_that_of_the_library() {
    let folder = fixture();
    let dense = |args: &str| {
        let args = format!("eval data -w a.safetensors --crops dense --json {args}");
        object(&run(folder.path(), &args))
    };
    let found = dense("");
    assert_eq!((&found["crops"], &found["images"]), (&json!("dense"), &json!(9)));
    let network = json!([{"weights": "a.safetensors", "arch": "resnet20", "scales": [32]}]);
    assert_eq!(found["networks"], network);
    near(&found["loss"], dense_loss(folder.path(), &[("a.safetensors", [0, 1, 2])], None));
    let found = dense("--scales 40,33 --threads 1");
    assert_eq!(found["networks"][0]["scales"], json!([40, 33]));
    let scales = Some(&[40, 33][..]);
    near(&found["loss"], dense_loss(folder.path(), &[("a.safetensors", [0, 1, 2])], scales));
    // The page says so.
    let args = "eval data -w a.safetensors --crops dense --scales 40,33 --html p.html";
    let shown = run(folder.path(), args);
    assert_eq!(shown.code, 0, "{}", shown.err);
    let page = fs::read_to_string(folder.path().join("p.html")).unwrap();
    assert!(
        page.contains("val images, dense test, shorter side 40, 33 pixels, each also mirrored"),
        "{page}"
    );
    assert!(shown.err.contains("dense test, shorter side 40, 33 pixels"), "{}", shown.err);
}

#[test]
fn the_dense_test_skips_bad_images_and_refuses_endless_ones() {
    let folder = fixture();
    let expected = object(&run(folder.path(), "eval data -w a.safetensors --crops dense --json"));
    fs::write(folder.path().join("data/val/ant/17.png"), b"no image").unwrap();
    let dense = |args: &str| {
        run(folder.path(), &format!("eval data -w a.safetensors --crops dense --json {args}"))
    };
    dense("").fails(1, &["data/val/ant/17.png: expected an image"]);
    let found = object(&dense("--on-bad-image skip"));
    assert_eq!(found["skipped"][0]["image"], "data/val/ant/17.png");
    assert_eq!(found["loss"], expected["loss"]);
    fs::remove_file(folder.path().join("data/val/ant/17.png")).unwrap();
    let long = folder.path().join("data/val/ant/long.png");
    image::save_buffer(long, &[9; 3 * 9000], 9000, 1, image::ColorType::Rgb8).unwrap();
    dense("--scales 64 --on-bad-image skip")
        .fails(1, &["data/val/ant/long.png: at scale 64 it has 576000 x 64 pixels", "--scales"]);
}

#[test]
fn several_networks_are_the_mean_of_each() {
    let folder = fixture();
    let members = [("a.safetensors", [0, 1, 2]), ("b.safetensors", [1, 2, 0])];
    for (crops, scales) in [("center", ""), ("ten", ""), ("dense", "--scales 36")] {
        let args =
            format!("eval data -w a.safetensors,b.safetensors --crops {crops} {scales} --json");
        let both = run(folder.path(), &args);
        assert!(both.err.contains("the probabilities of 2 networks are averaged"), "{}", both.err);
        let both = object(&both);
        assert_eq!(both["arch"], "resnet20,resnet20");
        assert_eq!(both["networks"][1]["weights"], "b.safetensors");
        assert_eq!(both["per_class"][2]["label"], "cat");
        if crops == "dense" {
            near(&both["loss"], dense_loss(folder.path(), &members, Some(&[36])));
        }
        // With itself, a network is itself.
        let [one, two] = ["a.safetensors", "a.safetensors,a.safetensors"].map(|weights| {
            let args = format!("eval data -w {weights} --crops {crops} {scales} --json");
            object(&run(folder.path(), &args))
        });
        near(&two["loss"], one["loss"].as_f64().unwrap());
        for field in ["correct", "per_class", "confusion"] {
            assert_eq!(one[field], two[field], "{crops}");
        }
        assert_ne!(one["loss"], both["loss"]);
    }
}

#[test]
fn networks_of_other_classes_are_refused() {
    let folder = fixture();
    let at = |name: &str| folder.path().join(name);
    write_network(&at("other.safetensors"), 3, &["ant", "bee", "dog"]);
    write_network(&at("fewer.safetensors"), 3, &["ant", "bee"]);
    let both = |weights: &str| run(folder.path(), &format!("eval data -w {weights}"));
    let words = "other.safetensors: its classes are not those of a.safetensors: it has no \"cat\"";
    both("a.safetensors,other.safetensors").fails(1, &[words]);
    both("a.safetensors,fewer.safetensors")
        .fails(1, &["fewer.safetensors: ", "expected 3, found 2"]);
    both("a.safetensors,none.safetensors").fails(1, &["none.safetensors: "]);
    both("a.safetensors,,b.safetensors").fails(2, &["--weights: expected names between commas"]);
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    let folder = fixture();
    let eval = |args: &str| run(folder.path(), &format!("eval data -w a.safetensors {args}"));
    eval("--scales 32").fails(2, &["--scales: only --crops dense has scales"]);
    eval("--crops dense --crop 24").fails(2, &["--crop: --crops dense sees whole images"]);
    eval("--crops dense --resize 24").fails(2, &["--resize: "]);
    eval("--crops dense --batch 4").fails(2, &["--batch: --crops dense runs an image"]);
    eval("--crops dense --scales 0").fails(2, &["--scales"]);
    eval("--crops dense --scales 32,5000").fails(2, &["--scales", "4096"]);
    eval("--save-weights x.safetensors").fails(2, &["--bn-average"]);
    eval("--bn-average 1").fails(2, &["--bn-average"]);
    eval("--bn-average 16").fails(2, &["--bn-average: expected 2 to 15 images"]);
    eval("--bn-average 8 --save-weights a.safetensors").fails(2, &["a.safetensors", "same file"]);
    run(folder.path(), "eval data -w a.safetensors,b.safetensors --bn-average 8")
        .fails(2, &["--bn-average: expected one network"]);
    eval("--bn-average 8 --save-weights nowhere/new.safetensors")
        .fails(2, &["--save-weights: nowhere: no such folder"]);
    // The page never takes the place of weights.
    let before = fs::read(folder.path().join("a.safetensors")).unwrap();
    eval("--html a.safetensors").fails(2, &["--html: a.safetensors", "found weights"]);
    eval("--bn-average 8 --save-weights new.safetensors --html new.safetensors")
        .fails(2, &["--html: new.safetensors", "found --save-weights"]);
    assert!(fs::read(folder.path().join("a.safetensors")).unwrap() == before);
}

#[test]
fn averaged_statistics_are_evaluated_and_kept() {
    let folder = fixture();
    let before = object(&run(folder.path(), "eval data -w a.safetensors --json"));
    let args = "eval data -w a.safetensors --bn-average 15 --save-weights new.safetensors --json";
    let averaged = run(folder.path(), args);
    assert!(averaged.err.contains("averaged over the centre views of 15 training images"));
    let mut averaged = object(&averaged);
    assert_ne!(averaged["loss"], before["loss"]);
    let kept = object(&run(folder.path(), "eval data -w new.safetensors --json"));
    averaged["networks"] = kept["networks"].clone();
    assert_eq!(averaged, kept);
    // What was averaged already does not change: only the images and the weights decide.
    let again = "eval data -w new.safetensors --bn-average 15 --json --threads 1";
    let mut again = object(&run(folder.path(), again));
    again["networks"] = kept["networks"].clone();
    assert_eq!(again, kept);
    run(folder.path(), args).fails(1, &["new.safetensors: it already exists; --force"]);
    assert_eq!(run(folder.path(), &format!("{args} --force")).code, 0);
    let inspected = run(folder.path(), "inspect new.safetensors");
    assert!(inspected.out.contains("15 training images"), "{}", inspected.out);
    // An image that cannot be read is left out, if that is asked for; the others are those of before.
    fs::write(folder.path().join("data/train/bee/9.png"), b"nothing").unwrap();
    let args = "eval data -w a.safetensors --json --bn-average";
    run(folder.path(), &format!("{args} 16")).fails(1, &["bee/9.png"]);
    let skipping = run(folder.path(), &format!("{args} 15 --on-bad-image skip"));
    assert!(skipping.err.contains("skipped data/train/bee/9.png"), "{}", skipping.err);
    let mut skipping = object(&skipping);
    skipping["networks"] = kept["networks"].clone();
    assert_eq!(skipping, kept);
    run(folder.path(), &format!("{args} 16 --on-bad-image skip"))
        .fails(2, &["--bn-average: expected 2 to 15 images"]);
}

#[test]
fn folded_statistics_are_refused() {
    let folder = fixture();
    let options = Options { classes: Some(3), ..Options::default() };
    let network = Network::new(&ModelSpec::new("resnet20", options).unwrap());
    let params = initialize(&network, 1, InitOptions::default());
    let names = BTreeMap::from([("resnet_cpu.classes".to_owned(), json!(CLASSES).to_string())]);
    let path = folder.path().join("folded.safetensors");
    write_weights(path, &network, &params, None, &names).unwrap();
    let args = "eval data -w folded.safetensors --bn-average 8 --save-weights new.safetensors";
    run(folder.path(), args)
        .fails(1, &["--bn-average: folded.safetensors: batch norm has no statistics to average"]);
    assert!(!folder.path().join("new.safetensors").exists());
}
