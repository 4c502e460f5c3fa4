//! `quantize`, from weights in f32 to predictions in 8 bits: what it writes, what takes it, what it refuses.

mod common;

use common::program::{Run, finish, program};
use common::test_data;
use resnet_cpu::data::{Limits, demo, read_image};
use resnet_cpu::infer::{Classifier, InferError};
use resnet_cpu::model::{InitOptions, ModelSpec, Network, Options, Role, initialize};
use resnet_cpu::weights::write_weights;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const CLASSES: [&str; 3] = ["ant", "bee", "cat"];

#[track_caller]
fn run(folder: &Path, args: &str) -> Run {
    finish(&mut program(folder, &args.split_whitespace().collect::<Vec<_>>()))
}

/// A folder with a ResNet-20 `net`, class folders `data` of eight images each, and a folder `few` of three.
fn fixture() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { classes: Some(CLASSES.len()), ..Options::default() };
    let network = Network::new(&ModelSpec::new("resnet20", options).unwrap());
    let mut params = initialize(&network, 1, InitOptions::default());
    for (id, info) in network.table().iter() {
        if info.role == Role::RunningVar {
            params.get_mut(id).fill(2.0);
        }
    }
    let names = serde_json::to_string(&CLASSES).unwrap();
    let entries = BTreeMap::from([("resnet_cpu.classes".to_owned(), names)]);
    let net = folder.path().join("net.safetensors");
    write_weights(net, &network, &params, None, &entries).unwrap();
    for (i, class) in CLASSES.iter().enumerate() {
        let to = folder.path().join("data").join(class);
        fs::create_dir_all(&to).unwrap();
        for index in 0..8 {
            let (image, _) = demo::image(7, index * 10 + i as u64);
            let size = (image.width() as u32, image.height() as u32);
            let rgb = image::ColorType::Rgb8;
            let path = to.join(format!("{index}.png"));
            image::save_buffer(path, image.pixels(), size.0, size.1, rgb).unwrap();
        }
    }
    fs::create_dir(folder.path().join("few")).unwrap();
    for index in 0..3 {
        let name = format!("{index}.png");
        fs::copy(folder.path().join("data/ant").join(&name), folder.path().join("few").join(name))
            .unwrap();
    }
    folder
}

#[test]
fn a_network_in_8_bits_is_taken_like_any_other() {
    let folder = fixture();
    let folder = folder.path();
    let made = run(folder, "quantize net.safetensors small --data data --report page.html -j 2");
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(made.out.contains("signal to noise") && made.out.contains("24 images"), "{}", made.out);
    let page = fs::read_to_string(folder.join("page.html")).unwrap();
    assert_eq!(page.matches("<svg").count(), 20);
    let [full, small] =
        ["net.safetensors", "small"].map(|name| fs::read(folder.join(name)).unwrap());
    assert!(small.len() * 3 < full.len(), "{} and {}", small.len(), full.len());

    // The same bytes on one thread, and as JSON.
    let again = run(folder, "quantize net.safetensors again --data data --json -j 1");
    assert_eq!(fs::read(folder.join("again")).unwrap(), small);
    let report = &again.json()[0];
    assert_eq!(report["layers"].as_array().unwrap().len(), 20);
    assert_eq!(report["input_is_pixels"], true);
    assert!(report["layers"][3]["activation"]["snr_db"].as_f64().unwrap() > 25.0, "{report}");

    // Near what it was, the same for every batch.
    let logits = |weights: &str, batch: usize| -> Vec<f64> {
        let args = format!("infer -w {weights} -b {batch} -k 3 --json data");
        let run = run(folder, &args);
        assert_eq!(run.code, 0, "{}", run.err);
        let mut logits = Vec::new();
        for line in run.json() {
            let mut of_image = [0.0; 3];
            for p in line["predictions"].as_array().unwrap() {
                of_image[p["index"].as_u64().unwrap() as usize] = p["logit"].as_f64().unwrap();
            }
            logits.extend(of_image);
        }
        logits
    };
    let (exact, found) = (logits("net.safetensors", 8), logits("small", 8));
    assert_eq!(found, logits("small", 1));
    let error: f64 = exact.iter().zip(&found).map(|(a, b)| (a - b).powi(2)).sum();
    let size: f64 = exact.iter().map(|a| a.powi(2)).sum();
    assert!(error > 0.0 && error < 0.01 * size, "{error} of {size}");

    let eval = run(folder, "eval data -w small --json");
    assert_eq!((eval.code, &eval.json()[0]["images"]), (0, &24.into()), "{}", eval.err);
    let inspect = run(folder, "inspect small");
    assert!(inspect.out.contains("in 8 bits"), "{}", inspect.out);
    let bench = run(folder, "bench -w small --batch 1 --seconds 0.01 --json");
    assert_eq!((bench.code, bench.json().len()), (0, 1), "{}", bench.err);
    let explain = run(folder, "infer -w small --explain maps data/ant/0.png");
    assert_eq!(explain.code, 0, "{}", explain.err);
}

#[test]
fn layers_can_be_kept_in_f32() {
    let folder = fixture();
    let folder = folder.path();
    let args =
        "quantize net.safetensors kept --data data --keep-f32 conv1,fc --method minmax --json";
    let kept = run(folder, args);
    assert_eq!(kept.code, 0, "{}", kept.err);
    let layers = kept.json()[0]["layers"].as_array().unwrap().clone();
    let names: Vec<_> = layers.iter().filter(|l| l["kept_f32"] == true).collect();
    assert_eq!(names.len(), 2);
    assert!(layers.iter().all(|layer| layer["activation"]["clipped"] == 0.0));
    assert_eq!(run(folder, "infer -w kept data/ant/0.png").code, 0);
    run(folder, "quantize net.safetensors no --data data --keep-f32 layer1.0.conv3")
        .fails(2, &["--keep-f32", "layer1.0.conv3"]);
    assert!(!folder.join("no").exists());
}

#[test]
fn what_cannot_be_quantised_is_refused_by_name() {
    let folder = fixture();
    let folder = folder.path();
    assert_eq!(run(folder, "quantize net.safetensors small --data data").code, 0);
    let written = fs::read(folder.join("small")).unwrap();
    run(folder, "quantize small twice --data data").fails(1, &["small", "8 bits"]);
    run(folder, "quantize net.safetensors small --data data").fails(1, &["small", "--force"]);
    run(folder, "quantize net.safetensors no --data few").fails(1, &["few", "16", "3"]);
    run(folder, "quantize net.safetensors no --data nowhere").fails(1, &["nowhere"]);
    run(folder, "quantize net.safetensors no --data data --images 8").fails(2, &["--images"]);
    run(folder, "quantize net.safetensors nowhere/no --data data")
        .fails(2, &["OUT: nowhere: no such folder"]);
    run(folder, "quantize net.safetensors no --data data --method best").fails(2, &["--method"]);
    run(folder, "quantize net.safetensors no --data data --percentile 99")
        .fails(2, &["--percentile"]);
    run(folder, "quantize net.safetensors no --data data --report none/page.html")
        .fails(2, &["--report", "none"]);
    for name in ["net.safetensors", "no"] {
        run(folder, &format!("quantize net.safetensors no --data data --report {name}"))
            .fails(2, &["--report", name]);
    }
    // What needs real numbers says where to take them.
    run(folder, "convert small back.safetensors").fails(1, &["small", "8 bits"]);
    run(folder, "train data -w small --out run").fails(1, &["small", "8 bits"]);
    run(folder, "infer -w small --backend matrixmultiply data/ant/0.png")
        .fails(1, &["small", "matrixmultiply"]);

    fs::write(folder.join("data/bee/3.png"), b"no image").unwrap();
    run(folder, "quantize net.safetensors no --data data").fails(1, &["data/bee/3.png"]);
    let skipped =
        run(folder, "quantize net.safetensors some --data data --on-bad-image skip --json");
    assert_eq!((skipped.code, &skipped.json()[0]["images"]), (0, &23.into()), "{}", skipped.err);
    assert!(!folder.join("no").exists());
    assert_eq!(fs::read(folder.join("small")).unwrap(), written);
}

/// What no command could read again is not written.
#[test]
fn numbers_beyond_all_scales_are_refused() {
    let folder = fixture();
    let folder = folder.path();
    let options = Options { classes: Some(CLASSES.len()), ..Options::default() };
    let network = Network::new(&ModelSpec::new("resnet20", options).unwrap());
    let large = |file: &str, norms: &[&str]| {
        let mut params = initialize(&network, 1, InitOptions::default());
        norms.iter().for_each(|norm| params.by_name_mut(norm).unwrap().fill(1e10));
        write_weights(folder.join(file), &network, &params, None, &BTreeMap::new()).unwrap();
    };
    large("activations", &["bn1.weight", "layer1.0.bn1.weight"]);
    run(folder, "quantize activations no --data data")
        .fails(1, &["activations", "layer1.0.conv1", "1e12"]);
    // One layer a ten-thousand-millionth of the next: each scale alone can be stored.
    large("gap", &["layer1.0.bn1.weight"]);
    run(folder, "quantize gap no --data data").fails(1, &["gap", "so far apart"]);
    assert!(!folder.join("no").exists());
}

/// A published ResNet-18 on 167 photographs, of which it knows 127 in f32.
#[test]
fn a_published_network_stays_as_good() {
    const WEIGHTS: &str = "weights/imagenet/ktb_resnet18_small_blocks.safetensors";
    let (Some(weights), Some(samples)) = (test_data(WEIGHTS), test_data("imagenet-samples")) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let small = folder.path().join("small.safetensors");
    let images = samples.join("images");
    let [from, to, data] = [&weights, &small, &images].map(|path| path.to_str().unwrap());
    let args = ["quantize", from, to, "--data", data, "--images", "64", "-q"];
    let made = finish(&mut program(folder.path(), &args));
    assert_eq!(made.code, 0, "{}", made.err);

    let rows = fs::read_to_string(samples.join("labels.csv")).unwrap();
    let rows: Vec<Vec<&str>> = rows.lines().skip(1).map(|row| row.split(',').collect()).collect();
    let logits = |path: &Path| -> Vec<Vec<f32>> {
        let classifier = Classifier::open(path).unwrap();
        let of_batch = |batch: &[Vec<&str>]| {
            let read = |row: &Vec<&str>| read_image(images.join(row[0]), &Limits::default());
            let read: Vec<_> = batch.iter().map(|row| read(row).unwrap()).collect();
            classifier.logits(&read).into_iter().collect::<Result<Vec<_>, InferError>>().unwrap()
        };
        rows.chunks(16).flat_map(of_batch).collect()
    };
    let (exact, found) = (logits(&weights), logits(&small));
    let right = |logits: &[Vec<f32>], most: usize| {
        let hits = rows.iter().zip(logits).filter(|(row, logits)| {
            let label: usize = row[2].parse().unwrap();
            logits.iter().filter(|&&x| x > logits[label]).count() < most
        });
        hits.count()
    };
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    };
    let cosines = exact.iter().zip(&found).map(|(a, b)| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt());
    let cosine = cosines.sum::<f64>() / exact.len() as f64;
    let (top1, top5) = (right(&found, 1), right(&found, 5));
    println!("{top1} and {top5} of {} right, cosine {cosine}", rows.len());
    assert!(top1 + 2 >= right(&exact, 1) && top5 + 1 >= right(&exact, 5) && cosine >= 0.995);
}
