//! `eval` of shards: which part is measured, the same results as from other forms of the same images, what is
//! wrong with a shard.

mod common;

use common::fixture::Fixture;
use common::shards::{pack, png};
use resnet_cpu::data::shards::ShardSet;
use resnet_cpu::data::{Dataset, Limits, demo};
use resnet_cpu::model::{InitOptions, ModelSpec, Network, Options, initialize};
use resnet_cpu::runtime::{Cache, Unwatched};
use resnet_cpu::weights::write_weights;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A fixture with weights of a network that has not learnt, and names its classes.
fn named() -> Fixture {
    let fixture = Fixture::new();
    let network = Network::new(&ModelSpec::new("resnet20", Options::default()).unwrap());
    let params = initialize(&network, 3, InitOptions::default());
    let names = serde_json::to_string(&demo::CLASSES).unwrap();
    let entries = BTreeMap::from([("resnet_cpu.classes".to_owned(), names)]);
    write_weights(fixture.path("named.safetensors"), &network, &params, None, &entries).unwrap();
    fixture
}

/// What `eval` prints as JSON, and on stderr.
#[track_caller]
fn eval(fixture: &Fixture, args: &str) -> (Value, String) {
    let args: Vec<&str> = args.split_whitespace().collect();
    let run = fixture.run(&[&["eval", "--json"], &args[..]].concat());
    assert_eq!(run.code, 0, "{}", run.err);
    let [object] = &run.json()[..] else { panic!("one line: {}", run.out) };
    (object.clone(), run.err)
}

#[test]
fn a_run_on_shards_gives_its_validation_again() {
    let fixture = Fixture::new();
    // More than a batch of validation.
    pack(&fixture.path("data"), &[("train", 0..40), ("val", 40..110)], 25);
    let train = "train data --arch resnet20 --epochs 2 --batch 8 --out run";
    let run = fixture.run(&train.split_whitespace().collect::<Vec<_>>());
    assert_eq!(run.code, 0, "{}", run.err);
    let (found, _) = eval(&fixture, "data -w run/best.safetensors");
    let text = fs::read_to_string(fixture.path("run/metrics.jsonl")).unwrap();
    let epochs: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let top1 = |epoch: &&Value| epoch["val_top1"].as_f64().unwrap();
    let best = epochs.iter().rev().max_by(|a, b| top1(a).total_cmp(&top1(b))).unwrap();
    for (ours, theirs) in [("loss", "val_loss"), ("top1", "val_top1"), ("top5", "val_top5")] {
        assert!(found[ours].is_number());
        assert_eq!(found[ours], best[theirs], "{ours} of {found}, {epochs:?}");
    }
    assert_eq!((&found["images"], &found["split"]), (&70.into(), &"val".into()));
}

#[test]
fn each_part_is_called_by_its_name() {
    let fixture = named();
    let parts = [("train", 0..20), ("val", 20..32), ("test", 32..37)];
    pack(&fixture.path("data"), &parts, 6);
    let found = |args: &str| {
        let (found, err) = eval(&fixture, &format!("{args} -w named.safetensors"));
        let split = found["split"].as_str().unwrap().to_owned();
        assert!(err.contains(&format!("{split}, {} images", found["images"])), "{err}");
        (split, found["images"].as_u64().unwrap(), found)
    };
    let (split, images, val) = found("data");
    assert_eq!((&*split, images), ("val", 12));
    for (part, images) in [("train", 20), ("val", 12), ("test", 5)] {
        let found = found(&format!("data --split {part}"));
        assert_eq!((&*found.0, found.1), (part, images));
    }
    let fails = |args: &str, parts: &[&str]| {
        let args: Vec<&str> = args.split_whitespace().collect();
        fixture.run(&[&["eval", "-w", "named.safetensors"], &args[..]].concat()).fails(2, parts);
    };
    fails("data --split all", &["data: expected all images, found train and val and test"]);
    // A tar of it.
    assert_eq!((found("data/val-000001.tar").0, found("data/val-000001.tar").1), ("val".into(), 6));
    fails("data/val-000001.tar --split train", &["expected train images, found val"]);
    // One part alone: its own name, and what it is beside the others.
    let alone = |part: &str, images: std::ops::Range<u64>| {
        pack(&fixture.path(part), &[(part, images)], 6);
    };
    alone("val", 20..32);
    assert_eq!(found("val"), ("val".into(), 12, val));
    fails("val --split all", &["expected all images, found val"]);
    fails("val --split train", &["expected train images, found val"]);
    alone("test", 32..37);
    assert_eq!((found("test").0, found("test").1), ("test".into(), 5));
    // What nobody has split is all there is.
    alone("train", 0..20);
    assert_eq!((found("train").0, found("train --split train").0), ("all".into(), "train".into()));
    fails("train --split val", &["expected val images, found train"]);
    // Of the others nothing is read.
    for name in ["train-000000.tar", "test-000000.tar.index"] {
        fs::remove_file(fixture.path("data").join(name)).unwrap();
    }
    assert_eq!(found("data").1, 12);
}

#[test]
fn the_same_images_in_folders_give_the_same_results() {
    let fixture = named();
    pack(&fixture.path("shards"), &[("val", 0..30)], 12);
    let set = ShardSet::find(&fixture.path("shards"), &Unwatched).unwrap().unwrap();
    let images = set.open("val", Limits::default(), &Cache::none(), &Unwatched).unwrap();
    for i in 0..images.len() {
        let class = fixture.path("folders/val").join(demo::CLASSES[images.label(i)]);
        fs::create_dir_all(&class).unwrap();
        fs::write(class.join(format!("{i}.png")), png(&images.image(i).unwrap())).unwrap();
    }
    let (shards, _) = eval(&fixture, "shards -w named.safetensors --crops ten");
    let (folders, _) = eval(&fixture, "folders -w named.safetensors --crops ten");
    for key in ["images", "correct", "top5", "split", "per_class", "confusion"] {
        assert_eq!(shards[key], folders[key], "{key}");
    }
    let [a, b] = [&shards, &folders].map(|found| found["loss"].as_f64().unwrap());
    assert!((a - b).abs() < 1e-5 * a, "{a} {b}");
}

/// A tar of samples as others write it.
fn foreign(path: &Path, labels: &[usize]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut tar = tar::Builder::new(fs::File::create(path).unwrap());
    for (i, label) in labels.iter().enumerate() {
        let (image, _) = demo::image(2, i as u64);
        for (extension, bytes) in [("png", png(&image)), ("cls", label.to_string().into_bytes())] {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, format!("{i:04}.{extension}"), &bytes[..]).unwrap();
        }
    }
    tar.finish().unwrap();
}

#[test]
fn classes_without_names_are_taken_by_number_and_are_those_of_training() {
    let fixture = named();
    foreign(&fixture.path("web/set-val-0.tar"), &[1, 0, 3]);
    let args = ["eval", "web", "-w", "named.safetensors"];
    fixture.run(&args).fails(1, &["the data have no names for their 4 classes", "network has 10"]);
    foreign(&fixture.path("web/set-train-0.tar"), &[9, 8]);
    let (found, err) = eval(&fixture, "web -w named.safetensors");
    assert_eq!((&found["images"], &found["split"]), (&3.into(), &"val".into()));
    assert!(err.contains("class 0 of the data is taken for class 0"), "{err}");
    let images: Vec<u64> = found["per_class"]
        .as_array()
        .unwrap()
        .iter()
        .take(4)
        .map(|class| class["images"].as_u64().unwrap())
        .collect();
    assert_eq!(images, [1, 1, 0, 1]);
}

#[test]
fn what_is_wrong_with_a_shard_is_named() {
    let fixture = named();
    pack(&fixture.path("data"), &[("val", 0..12)], 6);
    let path = fixture.path("data/val-000001.tar");
    let whole = fs::read(&path).unwrap();
    let args = ["eval", "data", "-w", "named.safetensors"];
    // In the pixels of its second image, which is raw.
    let mut damaged = whole.clone();
    let set = ShardSet::find(&fixture.path("data"), &Unwatched).unwrap().unwrap();
    let images = set.open("val", Limits::default(), &Cache::none(), &Unwatched).unwrap();
    let offset = images.entry(7).offset as usize + 100;
    drop(images);
    damaged[offset] ^= 1;
    fs::write(&path, &damaged).unwrap();
    let named = ["val-000001.tar, record 1", "damaged record: expected CRC32C"];
    fixture.run(&args).fails(1, &named);
    let skipping = [&args[..], &["--on-bad-image", "skip", "--json"]].concat();
    let run = fixture.run(&skipping);
    assert_eq!(run.code, 0, "{}", run.err);
    assert_eq!(run.json()[0]["images"], 11);
    assert!(run.err.contains("val-000001.tar, record 1"), "{}", run.err);
    fs::write(&path, &whole[..whole.len() - 512]).unwrap();
    fixture.run(&args).fails(1, &["val-000001.tar", "it is truncated"]);
}
