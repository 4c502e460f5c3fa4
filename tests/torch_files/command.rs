//! Whole networks in PyTorch's files, through `infer` and `convert`.

use std::path::PathBuf;

use resnet_cpu::data::demo;
use resnet_cpu::model::{
    InitOptions, ModelSpec, Network, Options, ParamSource, Params, Shortcut, initialize,
};
use resnet_cpu::weights::{
    Metadata, NamedTensor, Overrides, PIXEL_MEAN, PixelMean, WeightsFile, network_tensors,
    write_safetensors, write_weights,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::build::{dict, int, legacy, storage, tensor, zip};
use crate::common::program::{Run, finish, program};

/// A folder with an image and a ResNet-20 with projections (option B) in several formats.
struct Fixture {
    folder: TempDir,
    network: Network,
    params: Params,
}

impl Fixture {
    fn new() -> Self {
        let options = Options { shortcut: Some(Shortcut::B), ..Options::default() };
        let network = Network::new(&ModelSpec::new("resnet20", options).unwrap());
        let params = initialize(&network, 1, InitOptions::default());
        let fixture = Self { folder: TempDir::new().unwrap(), network, params };
        let (image, _) = demo::image(1, 1);
        let (side, rgb) = (demo::SIDE as u32, image::ColorType::Rgb8);
        image::save_buffer(fixture.path("a.png"), image.pixels(), side, side, rgb).unwrap();
        write_safetensors(fixture.path("w.safetensors"), &fixture.tensors(), &Default::default())
            .unwrap();
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tensors(&self) -> Vec<NamedTensor<'_>> {
        network_tensors(self.network.table(), &self.params)
    }

    /// A checkpoint of DataParallel whose storages are of torch's type `kind`.
    fn checkpoint(&self, kind: &str, bytes: impl Fn(f32) -> Vec<u8>, zipped: bool) -> Vec<u8> {
        let (mut state, mut storages) = (Vec::new(), Vec::new());
        for (i, NamedTensor { name, shape, values }) in self.tensors().into_iter().enumerate() {
            let (key, len) = (i.to_string(), values.len() as i64);
            let shape: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
            let mut strides = vec![1; shape.len()];
            for at in (1..shape.len()).rev() {
                strides[at - 1] = strides[at] * shape[at];
            }
            let stored = tensor(storage(kind, &key, len), 0, &shape, &strides);
            state.push((format!("module.{name}"), stored));
            storages.push((key, len, values.iter().flat_map(|&x| bytes(x)).collect::<Vec<u8>>()));
        }
        let state: Vec<_> = state.iter().map(|(name, t)| (name.as_str(), t.clone())).collect();
        let content = dict(&[("epoch", int(3)), ("state_dict", dict(&state))]);
        if zipped {
            let storages: Vec<_> =
                storages.iter().map(|(key, _, data)| (key.as_str(), data.clone())).collect();
            return zip(&content, &storages);
        }
        let storages: Vec<_> =
            storages.iter().map(|(key, len, data)| (key.as_str(), *len, data.clone())).collect();
        legacy(&content, &storages)
    }

    fn run(&self, args: &[&str]) -> Run {
        finish(&mut program(self.folder.path(), args))
    }

    /// All of a prediction but the time.
    fn predictions(&self, weights: &str) -> Value {
        let run = self.run(&["infer", "--json", "--top", "10", "--weights", weights, "a.png"]);
        assert_eq!(run.code, 0, "{}", run.err);
        run.json()[0]["predictions"].clone()
    }

    fn metadata(&self, name: &str) -> std::collections::BTreeMap<String, String> {
        let weights = WeightsFile::open(self.path(name), &Overrides::default()).unwrap();
        assert_eq!(weights.notes(), [""; 0]);
        weights.file().metadata().clone()
    }
}

fn f32_bytes(x: f32) -> Vec<u8> {
    x.to_le_bytes().to_vec()
}

#[test]
fn pytorch_files_and_what_convert_makes_of_them_give_the_same_bits() {
    let fixture = Fixture::new();
    let expected = fixture.predictions("w.safetensors");
    let half = |x: f32| half::f16::from_f32(x).to_le_bytes().to_vec();
    let double = |x: f32| f64::from(x).to_le_bytes().to_vec();
    for (name, bytes, exact) in [
        ("zip.pth", fixture.checkpoint("FloatStorage", f32_bytes, true), true),
        ("legacy.th", fixture.checkpoint("FloatStorage", f32_bytes, false), true),
        ("double.pt", fixture.checkpoint("DoubleStorage", double, true), true),
        ("half.pth", fixture.checkpoint("HalfStorage", half, false), false),
    ] {
        std::fs::write(fixture.path(name), bytes).unwrap();
        let found = fixture.predictions(name);
        assert_eq!(found == expected, exact, "{name}");
        let out = format!("{name}.safetensors");
        let run = fixture.run(&["convert", name, &out]);
        assert_eq!(run.code, 0, "{}", run.err);
        let what = format!("{out}: resnet20, shortcut b, 10 classes; 107 tensors, ");
        assert!(run.out.starts_with(&what), "{}", run.out);
        for part in ["under state_dict", "entries ignored (1): epoch", "inferred", "assumed: mean"]
        {
            assert!(run.err.contains(part), "{part:?} is not in: {}", run.err);
        }
        assert_eq!(fixture.predictions(&out), found, "{name}");
        let silent = fixture.run(&["infer", "--weights", &out, "a.png"]);
        assert!(!silent.err.contains("assumed"), "{}", silent.err);
        let entries = fixture.metadata(&out);
        for (key, value) in [
            ("arch", "resnet20"),
            ("shortcut", "b"),
            ("mean", "0.485,0.456,0.406"),
            ("std", "0.229,0.224,0.225"),
            ("resize", "32"),
            ("crop", "32"),
        ] {
            assert_eq!(entries[&format!("resnet_cpu.{key}")], value);
        }
        assert!(!entries.contains_key("resnet_cpu.classes"));
    }
}

#[test]
fn convert_states_what_it_is_told() {
    let fixture = Fixture::new();
    let entries = [("licence".to_owned(), "free".to_owned())].into();
    let input = fixture.path("w.safetensors");
    write_weights(&input, &fixture.network, &fixture.params, None, &entries).unwrap();
    std::fs::write(fixture.path("names"), "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n").unwrap();
    let flags = ["--labels", "names", "--mean", "0,0.5,1", "--resize", "40", "--crop", "36"];
    let run = fixture.run(&[&["convert", "w.safetensors", "out"], &flags[..]].concat());
    assert_eq!(run.code, 0, "{}", run.err);
    let found = fixture.metadata("out");
    assert_eq!(found["licence"], "free");
    assert_eq!(found["resnet_cpu.classes"], r#"["a","b","c","d","e","f","g","h","i","j"]"#);
    assert_eq!((&*found["resnet_cpu.mean"], &*found["resnet_cpu.crop"]), ("0,0.5,1", "36"));

    // A per-pixel mean stays, unless another mean is asked for.
    let values = vec![0.25; 32 * 32 * 3].into();
    let mean = PixelMean { height: 32, width: 32, values };
    let entries = Metadata::of_spec(&fixture.network.spec).entries();
    write_weights(&input, &fixture.network, &fixture.params, Some(&mean), &entries).unwrap();
    assert_eq!(fixture.run(&["convert", "w.safetensors", "out", "--force"]).code, 0);
    let weights = WeightsFile::open(fixture.path("out"), &Overrides::default()).unwrap();
    assert_eq!(weights.pixel_mean(), Some(mean));
    assert_eq!(fixture.predictions("out"), fixture.predictions("w.safetensors"));
    let run = fixture.run(&["convert", "w.safetensors", "out", "--force", "--mean", "0,0,0"]);
    assert_eq!(run.code, 0, "{}", run.err);
    let weights = WeightsFile::open(fixture.path("out"), &Overrides::default()).unwrap();
    assert!(weights.file().tensors().iter().all(|tensor| tensor.name != PIXEL_MEAN));
    for (id, info) in weights.network().table().iter() {
        assert_eq!(weights.tensor(id), fixture.params.tensor(id), "{}", info.name);
    }
}

#[test]
fn convert_destroys_nothing() {
    let fixture = Fixture::new();
    let input = std::fs::read(fixture.path("w.safetensors")).unwrap();
    std::fs::write(fixture.path("out"), "precious").unwrap();
    let convert = |args: &[&str]| fixture.run(&[&["convert"], args].concat());
    convert(&["w.safetensors", "out"]).fails(1, &["out: it already exists", "--force"]);
    convert(&["w.safetensors", "w.safetensors", "--force"])
        .fails(2, &["IN and OUT are the same file"]);
    convert(&["w.safetensors", "./w.safetensors"]).fails(2, &["IN and OUT are the same file"]);
    convert(&["w.safetensors"]).fails(2, &["OUT"]);
    convert(&["none.pth", "new"]).fails(1, &["none.pth: cannot open"]);
    convert(&["w.safetensors", "new", "--arch", "resnet32"]).fails(1, &["resnet32"]);
    convert(&["w.safetensors", "none/new"]).fails(1, &["none/new: cannot write"]);
    std::fs::write(fixture.path("names"), "a\nb\n").unwrap();
    convert(&["w.safetensors", "new", "--labels", "names"]).fails(1, &["names: ", "10 labels"]);
    let evil = zip(&crate::build::global("os", "system"), &[]);
    std::fs::write(fixture.path("evil.pth"), evil).unwrap();
    let asks = "evil.pth: not a readable file of weights: the pickle asks for os.system";
    convert(&["evil.pth", "out", "--force"]).fails(1, &[asks]);
    fixture.run(&["inspect", "evil.pth"]).fails(1, &[asks]);

    assert!(!fixture.path("new").exists());
    assert_eq!(std::fs::read(fixture.path("w.safetensors")).unwrap(), input);
    assert_eq!(std::fs::read(fixture.path("out")).unwrap(), b"precious");
    assert_eq!(convert(&["w.safetensors", "out", "--force"]).code, 0);
    let names = std::fs::read_dir(fixture.folder.path()).unwrap();
    assert_eq!(names.count(), 5, "nothing is left beside the result");
}
