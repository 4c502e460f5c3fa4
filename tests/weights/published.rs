//! What lies beside published weights decides how images are prepared: with timm's and transformers' own files,
//! inputs are theirs to the bit, before normalisation (`data-tools/pytorch/prepared.py` wrote what theirs are).

use resnet_cpu::data::{Interpolation, JpegDecoder, Limits, Preprocess, RgbImage, read_image};
use resnet_cpu::model::{Family, ModelSpec, Options};
use resnet_cpu::weights::{Overrides, Published, WeightsFile, write_weights};
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

use crate::common::program::{Run, finish, program};
use crate::common::{golden, test_data};
use crate::{Fixture, assert_error};

/// The formula of `prepared.py`.
fn noise(width: usize, height: usize) -> RgbImage {
    let bytes = (1..=width * height * 3).map(|i| {
        let x = (i as u32).wrapping_mul(2_654_435_761);
        ((x ^ (x >> 15)).wrapping_mul(2_246_822_519) >> 24) as u8
    });
    RgbImage::new(width, height, bytes.collect())
}

fn fnv1a(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    format!("{hash:016x}")
}

/// What is said beside weights of `arch` with `files` beside them.
fn said(arch: &str, classes: usize, files: &Value) -> Result<Published, String> {
    let folder = TempDir::new().unwrap();
    for (name, content) in files.as_object().unwrap() {
        std::fs::write(folder.path().join(name), content.to_string()).unwrap();
    }
    let options = Options { classes: Some(classes), ..Options::default() };
    let spec = ModelSpec::new(arch, options).unwrap();
    let found = Published::beside(&folder.path().join("model.safetensors"), &spec);
    found.map_err(|error| error.to_string())
}

#[test]
fn inputs_are_those_of_timm_and_transformers() {
    let golden = golden("prepared.json");
    let images: Vec<(Option<RgbImage>, &Value)> = golden["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|image| match image["size"].as_array().map(Vec::as_slice) {
            Some([w, h]) => {
                (Some(noise(w.as_u64().unwrap() as usize, h.as_u64().unwrap() as usize)), image)
            }
            _ => (photograph(image), image),
        })
        .collect();
    let there = images.iter().filter(|(image, _)| image.is_some()).count();
    eprintln!("{there} of {} images are compared", images.len());
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() >= 12);
    for case in cases {
        let (name, arch) = (&case["name"], case["arch"].as_str().unwrap());
        let classes = if case["files"]["preprocessor_config.json"].is_null() { 1000 } else { 10 };
        let published = said(arch, classes, &case["files"]).unwrap();
        let how = Preprocess::complete(Family::ImageNet, &published.preprocess, None);
        assert_eq!(Some(how.view.crop as u64), case["side"].as_u64(), "{name}");
        for ((image, what), seen) in images.iter().zip(case["seen"].as_array().unwrap()) {
            let Some(image) = image else { continue };
            let found = fnv1a(how.view.center(image).pixels());
            assert_eq!(Some(found.as_str()), seen.as_str(), "{name}: {what}");
        }
        assert_eq!(published.classes.is_some(), classes == 10, "{name}");
    }
}

/// A photograph of the shared data, if it is there and decoded to the pixels that Pillow has.
fn photograph(image: &Value) -> Option<RgbImage> {
    let file = test_data(&format!("imagenet-samples/images/{}", image["file"].as_str().unwrap()))?;
    // Pillow's decoder is libjpeg-turbo, which this build may not have.
    let decoder =
        if cfg!(feature = "libjpeg-turbo") { JpegDecoder::LibjpegTurbo } else { JpegDecoder::Rust };
    let pixels = read_image(file, &Limits { decoder, ..Limits::default() }).unwrap();
    let equal = Some(fnv1a(pixels.pixels()).as_str()) == image["decoded"].as_str();
    assert!(equal || decoder == JpegDecoder::Rust, "{image}: other pixels than Pillow's");
    equal.then_some(pixels)
}

#[test]
fn names_and_the_network_are_compared_with_the_weights() {
    let config = json!({ "architecture": "resnet18", "input_size": [3, 160, 160], "mean": 0.5,
        "label_names": ["n1", "n2"], "label_descriptions": { "n1": "a tench" } });
    let found = said("resnet18", 2, &json!({ "config.json": config })).unwrap();
    assert_eq!(found.classes, Some(vec!["a tench".to_owned(), "n2".to_owned()]));
    // floor(160 / 0.875), and what timm takes where nothing is said.
    let how = found.preprocess;
    assert_eq!((how.resize, how.crop, how.mean), (Some(182), Some(160), Some([0.5; 3])));
    assert_eq!(how.interpolation, Some(Interpolation::Bicubic));

    for config in [
        json!({ "architecture": "resnet34", "input_size": [3, 160, 160] }),
        json!({ "architecture": "se_resnet18\n", "pretrained_cfg": {} }),
        json!({ "model_type": "bert" }),
        json!({ "model_type": "resnet", "depths": [3, 4, 6, 3] }),
    ] {
        let found = said("resnet18", 2, &json!({ "config.json": config })).unwrap();
        assert_eq!((found.preprocess, &found.classes), (Default::default(), &None), "{config}");
        let [note] = &found.notes[..] else { panic!("{:?}", found.notes) };
        assert!(note.ends_with("not resnet18; passed over") && !note.contains('\n'), "{note}");
    }
    // Not of a publisher that we know: nothing to say.
    for config in [json!({}), json!({ "architecture": "resnet18" }), json!({ "hello": 1 })] {
        let found = said("resnet18", 2, &json!({ "config.json": config })).unwrap();
        assert_eq!(found, Published::default(), "{config}");
    }
}

#[test]
fn values_that_cannot_be_followed_are_refused_by_name() {
    let timm = |field: &str, value: Value| {
        let mut config = json!({ "input_size": [3, 224, 224], "crop_pct": 0.9 });
        config[field] = value;
        json!({ "config.json": { "architecture": "resnet18", "pretrained_cfg": config } })
    };
    let hf = |field: &str, value: Value| {
        let mut config = json!({ "size": 224, "crop_pct": 0.875, "resample": 3 });
        config[field] = value;
        json!({ "preprocessor_config.json": config })
    };
    for (files, parts) in [
        (timm("input_size", json!([1, 224, 224])), ["input_size", "[1,224,224]"]),
        (timm("input_size", json!([3, 224, 288])), ["input_size", "a square"]),
        (timm("test_input_size", json!([3, 0, 0])), ["test_input_size", "[3,0,0]"]),
        (timm("crop_pct", json!("much")), ["crop_pct", "a positive number"]),
        (timm("crop_pct", json!(1e-9)), ["crop_pct", "1e-9"]),
        (timm("crop_pct", json!(-1)), ["crop_pct", "-1"]),
        (timm("interpolation", json!("box")), ["interpolation", "lanczos, found \"box\""]),
        (timm("crop_mode", json!("center_floor")), ["crop_mode", "squash or border"]),
        (timm("mean", json!([123.675, 116.28, 103.53])), ["mean", "0.4850"]),
        (timm("std", json!([0.1, 0.1])), ["std", "three positive numbers"]),
        (hf("resample", json!(5)), ["resample", "bicubic"]),
        (hf("size", json!({ "height": 224, "width": 256 })), ["size", "shortest_edge"]),
        (hf("size", Value::Null), ["size", "null"]),
        (hf("crop_pct", json!(1.5)), ["crop_pct", "a share up to 1"]),
        (hf("do_resize", json!(false)), ["do_resize", "expected true"]),
        (hf("rescale_factor", json!(1.0)), ["rescale_factor", "1/255"]),
        (hf("image_std", json!([0, 0, 0])), ["image_std", "[0,0,0]"]),
    ] {
        let error = said("resnet18", 1000, &files).expect_err(parts[0]);
        assert!(error.contains("config.json: ") && !error.contains('\n'), "{error}");
        assert!(parts.iter().all(|part| error.contains(part)), "{parts:?} in {error}");
    }
    let names = json!({ "model_type": "resnet", "id2label": { "0": "a", "2": "b" } });
    let error = said("resnet18", 2, &json!({ "config.json": names })).unwrap_err();
    assert!(error.contains("id2label: expected a name for each index"), "{error}");
    let names = json!({ "model_type": "resnet", "id2label": { "0": "a" } });
    let error = said("resnet18", 2, &json!({ "config.json": names })).unwrap_err();
    assert!(error.contains("expected 2 names"), "{error}");
    // Names that nobody chose.
    let names = json!({ "model_type": "resnet", "id2label": { "0": "LABEL_0", "1": "LABEL_1" } });
    assert_eq!(said("resnet18", 2, &json!({ "config.json": names })).unwrap().classes, None);
}

#[test]
fn what_is_no_configuration_is_passed_over_with_a_note() {
    let folder = TempDir::new().unwrap();
    let spec = ModelSpec::new("resnet18", Options::default()).unwrap();
    let beside = || Published::beside(&folder.path().join("x.pth"), &spec).unwrap();
    for (content, reason) in [("{", "it is not JSON"), ("[1]", "not a JSON object"), ("", "JSON")] {
        std::fs::write(folder.path().join("config.json"), content).unwrap();
        let found = beside();
        let [note] = &found.notes[..] else { panic!("{found:?}") };
        assert!(note.contains(reason) && note.ends_with("passed over"), "{note}");
    }
    std::fs::remove_file(folder.path().join("config.json")).unwrap();
    std::fs::create_dir(folder.path().join("config.json")).unwrap();
    assert!(beside().notes[0].contains("it is a folder"));
}

#[test]
fn digits_in_a_name_tell_torchvisions_weights() {
    let beside = |arch: &str, name: &str| {
        let spec = ModelSpec::new(arch, Options::default()).unwrap();
        let found = Published::beside(Path::new(name), &spec).unwrap();
        (found.preprocess.resize, found.preprocess.crop)
    };
    assert_eq!(beside("resnet50", "a/resnet50-11ad3fa6.pth"), (Some(232), Some(224)));
    assert_eq!(beside("resnet50", "resnet50-0676ba61.pth"), (Some(256), Some(224)));
    for (arch, name) in [
        ("resnet18", "resnet50-11ad3fa6.pth"),
        ("resnet50", "resnet50-11ad3fa7.pth"),
        ("resnet50", "resnet50-11ad3fa6-mine.pth"),
        ("resnet50", "11ad3fa6.pth"),
    ] {
        assert_eq!(beside(arch, name), (None, None), "{name}");
    }
}

/// Flags, then the file's own metadata, then what lies beside it, then what is assumed.
#[test]
fn the_order_of_who_decides() {
    let fixture = Fixture::new("resnet20", Options::default());
    let folder = fixture.folder.path();
    let path = folder.join("model.safetensors");
    write_weights(&path, &fixture.network, &fixture.params, None, &Default::default()).unwrap();
    let config = json!({ "architecture": "resnet20", "pretrained_cfg": {
        "input_size": [3, 40, 40], "crop_pct": 0.9, "interpolation": "bicubic",
        "mean": [0.5, 0.25, 0.125], "std": [0.5, 0.5, 0.5], "crop_mode": "squash" },
        "label_names": ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] });
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let run = |args: &[&str]| -> Run { finish(&mut program(folder, args)) };

    let all = run(&["convert", "model.safetensors", "copy.safetensors"]);
    assert_eq!(all.code, 0, "{}", all.err);
    assert!(all.err.contains("prepared as timm says in "), "{}", all.err);
    let what =
        "preprocessing: squash resize 44 bicubic, crop 40, mean 0.5,0.25,0.125, std 0.5,0.5,0.5\n";
    assert!(all.err.contains(what), "{}", all.err);
    // The copy says it all by itself, and what lies beside it now does not matter.
    let other = json!({ "architecture": "resnet20", "input_size": [3, 32, 32] });
    std::fs::write(folder.join("config.json"), other.to_string()).unwrap();
    let copy = WeightsFile::open(folder.join("copy.safetensors"), &Overrides::default()).unwrap();
    assert_eq!(copy.notes(), &[] as &[String]);
    assert_eq!(copy.preprocess().resize, Some(44));
    assert_eq!(copy.classes().map(<[String]>::len), Some(10));
    let entries = copy.file().metadata();
    assert_eq!(entries["resnet_cpu.interpolation"], "bicubic");
    assert_eq!(entries["resnet_cpu.crop_mode"], "squash");

    let flags = ["--interpolation", "lanczos", "--crop-mode", "center", "--resize", "50"];
    let last = ["convert", "copy.safetensors", "again.safetensors"];
    let again = run(&[&last[..], &flags[..]].concat());
    assert!(again.err.contains("preprocessing: resize 50 lanczos, crop 40,"), "{}", again.err);
    run(&["infer", "--interpolation", "cubic", "x.png"]).fails(2, &["--interpolation"]);

    // What cannot be followed ends it.
    std::fs::write(folder.join("config.json"), config.to_string().replace("bicubic", "box"))
        .unwrap();
    let broken = WeightsFile::open(&path, &Overrides::default());
    assert_error(broken, &["config.json: interpolation: expected bilinear, bicubic"]);
}
