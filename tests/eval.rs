//! `eval` as its users meet it: a run's validation again, classes by name, bad images, the page, Ctrl-C.

mod common;

use common::fixture::Fixture;
use common::program::{Run, finish, program, write_records};
use common::schema::violation;
use common::{read_npy, test_data};
use resnet_cpu::data::demo;
use resnet_cpu::infer::{top_k, wordnet};
use resnet_cpu::model::{InitOptions, ModelSpec, Network, Options, initialize};
use resnet_cpu::weights::write_weights;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The object that a run printed, held to `docs/eval.schema.json`.
#[track_caller]
fn object(run: &Run) -> Value {
    assert_eq!(run.code, 0, "{}", run.err);
    let schema = serde_json::from_str(include_str!("../docs/eval.schema.json")).unwrap();
    let [object] = &run.json()[..] else { panic!("one line: {}", run.out) };
    assert_eq!(violation(&schema, object), None, "{object}");
    object.clone()
}

/// Class folders of drawn images of `side` pixels: `images` in each of `classes`.
fn class_folders(folder: &Path, classes: &[&str], images: u64, side: usize) {
    for (i, class) in classes.iter().enumerate() {
        let to = folder.join(class);
        fs::create_dir_all(&to).unwrap();
        for index in 0..images {
            let (image, _) = demo::image(7, index * 10 + i as u64);
            let image = resnet_cpu::data::resize(&image, side, side + i);
            let (width, height) = (image.width() as u32, image.height() as u32);
            let path = to.join(format!("{index}.png"));
            image::save_buffer(path, image.pixels(), width, height, image::ColorType::Rgb8)
                .unwrap();
        }
    }
}

/// A file of weights that states the `classes`, of a ResNet-20 that has not learnt.
fn write_network(path: &Path, classes: &[&str]) {
    let options = Options { classes: Some(classes.len()), ..Options::default() };
    let network = Network::new(&ModelSpec::new("resnet20", options).unwrap());
    let params = initialize(&network, 1, InitOptions::default());
    let names = serde_json::to_string(classes).unwrap();
    let entries = BTreeMap::from([("resnet_cpu.classes".to_owned(), names)]);
    write_weights(path, &network, &params, None, &entries).unwrap();
}

fn run(folder: &Path, args: &str) -> Run {
    finish(&mut program(folder, &args.split_whitespace().collect::<Vec<_>>()))
}

/// Trains as `train` says, then evaluates `best.safetensors`: equal to the record of its epoch, bit for bit.
#[track_caller]
fn validates_again(folder: &Path, train: &str, eval: &str) {
    let trained = run(folder, &format!("train data --out run {train}"));
    assert_eq!(trained.code, 0, "{}", trained.err);
    let text = fs::read_to_string(folder.join("run/metrics.jsonl")).unwrap();
    let epochs: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found = object(&run(folder, &format!("eval data -w run/best.safetensors --json {eval}")));
    let top1 = |epoch: &&Value| epoch["val_top1"].as_f64().unwrap();
    // The first of the best epochs; where the data have a test set, the last epoch.
    let best = match found["split"].as_str() {
        Some("test") => epochs.last().unwrap(),
        _ => epochs.iter().rev().max_by(|a, b| top1(a).total_cmp(&top1(b))).unwrap(),
    };
    for (ours, theirs) in [("loss", "val_loss"), ("top1", "val_top1"), ("top5", "val_top5")] {
        assert_eq!(found[ours], best[theirs], "{ours} of {found}, {epochs:?}");
        assert!(found[ours].is_number());
    }
}

#[test]
fn the_weights_of_a_run_give_its_validation_again() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let fresh = || {
        let _ = fs::remove_dir_all(at("run"));
        let _ = fs::remove_dir_all(at("data"));
        fs::create_dir(at("data")).unwrap();
    };
    // More than a batch, and the mean of each pixel.
    fresh();
    write_records(&at("data/train.bin"), 60);
    write_records(&at("data/test.bin"), 70);
    validates_again(
        folder.path(),
        "--recipe paper-cifar --iterations 4 --batch 20 --micro-batch 20 --warmup 0 --milestones 3",
        "",
    );
    // Held out of class folders by their names; images larger than the network's input.
    fresh();
    class_folders(&at("data"), &["ant", "bee", "cat"], 30, 41);
    validates_again(folder.path(), "--epochs 3 --batch 16", "--split val");
    // Folders of their own, a network of photographs.
    fresh();
    class_folders(&at("data/train"), &["ant", "bee"], 4, 50);
    class_folders(&at("data/val"), &["ant", "bee"], 3, 44);
    validates_again(folder.path(), "--arch resnet18 --epochs 1 --batch 4", "");
    // 28 x 28 in a black square.
    fresh();
    let idx = |sizes: &[u32], bytes: &[u8]| {
        let sizes_bytes: Vec<u8> = sizes.iter().flat_map(|size| size.to_be_bytes()).collect();
        [&[0, 0, 8, sizes.len() as u8][..], &sizes_bytes, bytes].concat()
    };
    for (name, images) in [("train", 40), ("t10k", 30_u32)] {
        let pixels: Vec<u8> = (0..images * 784).map(|i| (i * i / 5 + i / 784 * 40) as u8).collect();
        fs::write(at(&format!("data/{name}-images-idx3-ubyte")), idx(&[images, 28, 28], &pixels))
            .unwrap();
        let labels: Vec<u8> = (0..images).map(|i| (i % 3) as u8).collect();
        fs::write(at(&format!("data/{name}-labels-idx1-ubyte")), idx(&[images], &labels)).unwrap();
    }
    validates_again(folder.path(), "--epochs 1 --batch 8", "");
}

#[test]
fn the_schema_tells_good_from_bad() {
    let schema = serde_json::from_str(include_str!("../docs/eval.schema.json")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    write_network(&folder.path().join("w.safetensors"), &["ant", "bee", "cat"]);
    class_folders(&folder.path().join("data"), &["bee", "cat"], 3, 32);
    let good = object(&run(folder.path(), "eval data -w w.safetensors --json"));
    for (pointer, bad) in [
        ("/top1", serde_json::json!(1.5)),
        ("/loss", serde_json::json!("low")),
        ("/confusion/0/0", serde_json::json!(-1)),
        ("/per_class/0/accuracy", serde_json::json!("none")),
        ("/skipped", serde_json::json!(3)),
        ("/images", serde_json::json!(0)),
    ] {
        let mut changed = good.clone();
        *changed.pointer_mut(pointer).unwrap() = bad;
        assert!(violation(&schema, &changed).is_some(), "{pointer}");
    }
}

#[test]
fn folders_are_matched_by_name_and_may_be_some_of_the_classes() {
    let folder = tempfile::tempdir().unwrap();
    write_network(&folder.path().join("w.safetensors"), &["zebra finch", "ant", "bee"]);
    class_folders(&folder.path().join("data"), &["Bee", "Zebra_Finch"], 4, 32);
    let found = object(&run(folder.path(), "eval data -w w.safetensors --json"));
    let images: Vec<&Value> =
        found["per_class"].as_array().unwrap().iter().map(|class| &class["images"]).collect();
    assert_eq!(images, [4, 0, 4]);
    assert_eq!(found["per_class"][1]["accuracy"], Value::Null);
    let rows: Vec<u64> = (0..3)
        .map(|row| {
            found["confusion"][row].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum()
        })
        .collect();
    assert_eq!(rows, [4, 0, 4]);
    assert_eq!(found["split"], "all");

    let text = run(folder.path(), "eval data -w w.safetensors");
    assert!(text.out.contains("top-1 ") && text.out.contains("95 % interval"), "{}", text.out);
    assert!(text.err.contains("all, 8 images of 2 classes, class folders"), "{}", text.err);

    class_folders(&folder.path().join("data"), &["beee"], 1, 32);
    let error = run(folder.path(), "eval data -w w.safetensors --json");
    error.fails(1, &["1 of the data's 3 classes", "\"beee\"", "the nearest: \"bee\" (2)"]);
    assert_eq!(error.out, "");
    // No names: the order of folders says nothing.
    let fixture = Fixture::new();
    class_folders(&fixture.path("data"), &demo::CLASSES, 1, 32);
    let args = ["eval", "data", "-w", "weights.safetensors"];
    fixture
        .run(&args)
        .fails(1, &["data: the names of the network's 10 classes are not known", "--labels"]);
    fixture.write("names.txt", demo::CLASSES.join("\n").as_bytes());
    object(&fixture.run(&[&args[..], &["--labels", "names.txt", "--json"]].concat()));
}

#[test]
fn bad_images_end_it_or_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    write_network(&folder.path().join("w.safetensors"), &["ant", "bee"]);
    class_folders(&folder.path().join("data"), &["ant", "bee"], 4, 32);
    fs::write(folder.path().join("data/ant/2.png"), b"no image").unwrap();
    run(folder.path(), "eval data -w w.safetensors --json")
        .fails(1, &["data/ant/2.png: expected an image"]);
    let skipping = run(folder.path(), "eval data -w w.safetensors --json --on-bad-image skip");
    let mut found = object(&skipping);
    assert!(skipping.err.contains("1 image cannot be read and is left out"), "{}", skipping.err);
    assert_eq!(found["skipped"][0]["image"], "data/ant/2.png");
    fs::remove_file(folder.path().join("data/ant/2.png")).unwrap();
    let without = object(&run(folder.path(), "eval data -w w.safetensors --json"));
    found["skipped"] = Value::Array(Vec::new());
    assert_eq!(found, without);
    for (args, words) in [
        ("--max-side 20", "--max-side"),
        ("--max-side 20 --on-bad-image skip", "none of the 7 images can be read"),
    ] {
        run(folder.path(), &format!("eval data -w w.safetensors {args}")).fails(1, &[words]);
    }
}

#[test]
fn wrong_usage_is_refused_before_any_work() {
    let fixture = Fixture::new();
    let weights = ["--weights", "weights.safetensors"];
    let eval = |args: &[&str]| fixture.run(&[&["eval"], args, &weights].concat());
    class_folders(&fixture.path("data/train"), &["a"], 1, 32);
    class_folders(&fixture.path("data/val"), &["a"], 1, 32);
    eval(&[]).fails(2, &["no DATA: weights.safetensors is not of the built-in images"]);
    eval(&["data", "--split", "test"])
        .fails(2, &["--split: data: expected test images, found train and val"]);
    eval(&["data", "--html", "none/page.html"]).fails(2, &["--html: none: no such folder"]);
    eval(&["data", "--html", "images"]).fails(2, &["--html: images: expected a file"]);
    eval(&["data", "--crops", "five"]).fails(2, &["center, ten"]);
    eval(&["none"]).fails(1, &["none: no such file"]);
    eval(&["images"]).fails(1, &["images: expected a data set", "without a folder for each class"]);
    fixture.run(&["eval", "data"]).fails(2, &["no weights"]);
}

#[test]
fn the_built_in_images_need_no_data() {
    let folder = tempfile::tempdir().unwrap();
    write_network(&folder.path().join("w.safetensors"), &demo::CLASSES);
    let found = object(&run(folder.path(), "eval -w w.safetensors --json"));
    assert_eq!((&found["images"], &found["split"]), (&1000.into(), &"val".into()));
}

#[test]
fn the_page_needs_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    write_network(&folder.path().join("w.safetensors"), &["<b>ant", "bee", "cat"]);
    class_folders(&folder.path().join("data"), &["b ant", "bee"], 9, 300);
    for crops in ["center", "ten"] {
        let shown = run(
            folder.path(),
            &format!("eval data -w w.safetensors --html p.html --crops {crops}"),
        );
        assert_eq!(shown.code, 0, "{}", shown.err);
        let page = fs::read_to_string(folder.path().join("p.html")).unwrap();
        let wrong = page.matches("<figure><img").count();
        assert!(wrong > 0 && page.matches("data:image/jpeg;base64,/9j/").count() == wrong);
        // Without the thumbnails, which may hold any letters.
        let mut parts = page.split("base64,");
        let first = parts.next().unwrap().to_owned();
        let page = parts.fold(first, |page, part| page + part.split_once('"').unwrap().1);
        for bad in ["http", "<script", "<b>ant", "NaN", "<link"] {
            assert!(!page.contains(bad), "{bad}");
        }
        assert!(page.contains("&lt;b&gt;ant") && page.contains("95 % interval"), "{page}");
        for tag in ["table", "svg", "figure", "div", "html"] {
            let ends = page.matches(&format!("</{tag}>")).count();
            assert_eq!(page.matches(&format!("<{tag}")).count(), ends, "{tag}");
        }
    }
}

/// Minutes of work, ended at once; nothing is left.
#[cfg(unix)]
#[test]
fn a_signal_ends_it_within_a_second() {
    use std::io::{BufRead, BufReader};
    use std::time::{Duration, Instant};
    let fixture = Fixture::new();
    fs::create_dir(fixture.path("data")).unwrap();
    write_records(&fixture.path("data/train.bin"), 10);
    write_records(&fixture.path("data/test.bin"), 5000);
    let args =
        "eval data -w weights.safetensors --resize 240 --crop 224 --crops ten --html p.html --json";
    let args: Vec<&str> = args.split_whitespace().collect();
    let (out, err) = (std::process::Stdio::piped(), std::process::Stdio::piped());
    let mut child = fixture.command(&args).stdout(out).stderr(err).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("5,000 images"));
    std::thread::sleep(Duration::from_millis(700));
    assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
    let start = Instant::now();
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let took = start.elapsed();
    let said: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]), "{said:?}");
    assert_eq!(said.last().unwrap(), "resnet-cpu: error: interrupted; nothing was saved");
    assert!(!fixture.path("p.html").exists());
    println!("ended after {took:?}");
    // On a machine that does nothing else it is a tenth of a second.
    assert!(took < Duration::from_secs(3), "{took:?}");
}

/// The stored logits of an independent implementation say how many are right, and at which loss.
#[cfg(unix)]
#[test]
fn photographs_are_classified_as_by_the_reference() {
    let weights = "weights/imagenet/ktb_resnet18_small_blocks.safetensors";
    let logits = "reference/imagenet/ktb_resnet18_small_blocks_logits_shared_samples.npy";
    let (Some(weights), Some(samples), Some(logits)) =
        (test_data(weights), test_data("imagenet-samples"), test_data(logits))
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let rows = fs::read_to_string(samples.join("labels.csv")).unwrap();
    let rows: Vec<Vec<&str>> = rows.lines().skip(1).map(|row| row.split(',').collect()).collect();
    for row in &rows {
        let class = folder.path().join("photographs").join(row[1]);
        fs::create_dir_all(&class).unwrap();
        let image = samples.join("images").join(row[0]).canonicalize().unwrap();
        std::os::unix::fs::symlink(image, class.join(row[0])).unwrap();
        assert_eq!(wordnet::imagenet()[row[2].parse::<usize>().unwrap()].id, row[1]);
    }
    let (_, stored) = read_npy(&logits);
    let (mut top1, mut top5, mut loss) = (0, 0, 0.0);
    for (row, stored) in rows.iter().zip(stored.chunks(1000)) {
        let label: usize = row[2].parse().unwrap();
        let order = top_k(stored, 1000);
        let rank = order.iter().position(|p| p.index == label).unwrap();
        (top1, top5) = (top1 + u64::from(rank < 1), top5 + u64::from(rank < 5));
        loss -= order[rank].probability.ln() / rows.len() as f64;
    }
    assert_eq!((top1, top5), (127, 158));
    let weights = weights.canonicalize().unwrap();
    let args = ["eval", "photographs", "--json", "-q", "-w", weights.to_str().unwrap()];
    let found = object(&finish(&mut program(folder.path(), &args)));
    println!("loss {} here, {loss} by the stored logits", found["loss"]);
    assert_eq!((&found["images"], &found["correct"]), (&167.into(), &top1.into()));
    assert_eq!(found["top5"], 158.0 / 167.0);
    // The decoders of JPEGs differ by less than half a grey level on average (docs/formats.md).
    assert!((found["loss"].as_f64().unwrap() - loss).abs() < 0.005, "{}", found["loss"]);
}
