//! The promise as an equality between machines: whatever exact instruction set computes them, AVX-512,
//! AVX2 or NEON, the numbers of `tests/golden/same_bits.json` come out, to the bit. There every array
//! of numbers stands as the CRC-32 of its bytes.
//!
//! A change of the definition (a new algorithm, another order of a sum) changes them. This writes
//! them anew, and its difference shows which changed:
//!
//!     RECORD_SAME_BITS=1 cargo test --test same_bits

mod common;

use resnet_cpu::conv::{
    self, Algorithm, BackwardFilter, ConvShape, Filter, backward_data, backward_weights,
};
use resnet_cpu::data::{Dataset, Kind, Limits, MemoryDataset, ValidationOrigin, decode};
use resnet_cpu::gemm::{Backend, Epilogue};
use resnet_cpu::infer::Session;
use resnet_cpu::learn::{Batch, Learner, Sgd, SgdOptions, update_ema};
use resnet_cpu::model::{InitOptions, ModelSpec, Options, initialize};
use resnet_cpu::runtime::{AlignedBuf, Cache, Disk, Unwatched, team};
use resnet_cpu::simd::Isa;
use resnet_cpu::train::{
    Augment, BEST, Config, Interrupt, LAST, Length, Recipe, Run, RunOptions, TrainData,
};
use resnet_cpu::weights::TensorFile;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

const SEED: u64 = 7;

#[test]
fn every_exact_instruction_set_gives_the_numbers_on_record() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/same_bits.json");
    let mut file = common::golden("same_bits.json");
    let mut record = std::env::var_os("RECORD_SAME_BITS").is_some();
    for isa in common::isas().into_iter().filter(|isa| isa.is_exact()) {
        for case in file["cases"].as_array_mut().unwrap() {
            let found = match case["what"].as_str().unwrap() {
                "inference" => inference(case, isa),
                "training" => training(case, isa),
                "convolution" => convolution(case, isa),
                "run" => run(isa),
                "images" => images(),
                other => panic!("{other}"),
            };
            if record {
                case["found"] = found;
            } else {
                assert_eq!(found, case["found"], "{isa}: {}", case["name"]);
            }
        }
        println!("{isa}: {}", if record { "recorded" } else { "equal" });
        if std::mem::take(&mut record) {
            let cases: Vec<String> =
                file["cases"].as_array().unwrap().iter().map(Value::to_string).collect();
            let cases = cases.join(",\n    ");
            let text = format!("{{\n  \"cases\": [\n    {cases}\n  ]\n}}\n");
            std::fs::write(&path, text).unwrap();
        }
    }
}

/// The CRC-32 of numbers as they lie in a file of weights.
fn digest(values: &[f32]) -> String {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    format!("{:08x}", crc32fast::hash(&bytes))
}

fn input(case: &Value) -> [usize; 3] {
    [0, 1, 2].map(|i| case["input"][i].as_u64().unwrap() as usize)
}

fn inference(case: &Value, isa: Isa) -> Value {
    let network = common::network(case);
    let params = common::fill(&network, SEED);
    let [images, height, width] = input(case);
    let input = common::images(SEED, "input", images * height * width * 3);
    let mut session = Session::new(&network, &params, Backend::Native(isa));
    json!({ "logits": digest(session.run(&input, images, height, width).unwrap()) })
}

/// Five steps with all that the optimiser can do.
fn training(case: &Value, isa: Isa) -> Value {
    let network = common::network(case);
    let [images, height, width] = input(case);
    let micro_batch = case["micro_batch"].as_u64().unwrap() as usize;
    let mut params = initialize(&network, SEED, InitOptions::default());
    let mut average = params.clone();
    let mut momentum = AlignedBuf::zeroed(params.learnable().len());
    let mut gradients = AlignedBuf::zeroed(params.learnable().len());
    let options = SgdOptions { momentum: 0.9, nesterov: true, weight_decay: 5e-4, decay_bn: false };
    let sgd = Sgd::new(params.table(), options);
    let mut learner = Learner::new(&network, Backend::Native(isa));
    let mut losses = Vec::new();
    for step in 0..5 {
        let input = common::images(SEED, &format!("input.{step}"), images * height * width * 3);
        let labels: Vec<usize> = (0..images).map(|i| (3 * i + step) % 10).collect();
        let batch = Batch { input: &input, labels: &labels, height, width, label_smoothing: 0.1 };
        let loss = learner.batch(&mut params, &batch, micro_batch, &mut gradients).unwrap();
        losses.push(loss.sum);
        team(|team| {
            sgd.step(team, isa, params.learnable_mut(), &mut momentum, &gradients, 0.05);
            update_ema(team, isa, &mut average, &params, 0.9, step as u64);
        });
    }
    json!({
        "losses": losses,
        "gradients": digest(&gradients),
        "momentum": digest(&momentum),
        "weights": digest(params.learnable()),
        "statistics": digest(params.statistics()),
        "average": digest(&[average.learnable(), average.statistics()].concat()),
    })
}

/// A convolution by the algorithm that its shape chooses, and its gradients.
fn convolution(case: &Value, isa: Isa) -> Value {
    let [batch, side, channels] = input(case);
    let shape = ConvShape {
        batch,
        height: side,
        width: side,
        in_channels: channels,
        out_channels: channels,
        kernel: 3,
        stride: 1,
        padding: 1,
    };
    let backend = Backend::Native(isa);
    let x = common::images(SEED, "x", shape.input_len());
    let weights = common::images(SEED, "weights", shape.weight_len());
    let gradient = common::images(SEED, "gradient", shape.output_len());
    let mut filter = Filter::zeros(backend, &shape);
    assert_eq!(filter.algorithm().name(&shape), case["algorithm"].as_str().unwrap());
    team(|team| filter.pack(team, &weights, None));
    let mut output = vec![f32::NAN; shape.output_len()];
    let none = Epilogue::default();
    team(|team| conv::forward(team, &shape, &x, &filter, &none, &mut output));
    let mut filter = BackwardFilter::zeros(backend, &shape);
    team(|team| filter.pack(team, &weights));
    let mut dx = vec![f32::NAN; shape.input_len()];
    team(|team| backward_data(team, &shape, &gradient, &filter, &mut dx));
    let mut dw = vec![f32::NAN; shape.weight_len()];
    let by = Algorithm::of_weight_gradient(backend, &shape);
    team(|team| backward_weights(team, by, backend, &shape, &x, &gradient, &mut dw));
    json!({ "output": digest(&output), "input": digest(&dx), "weights": digest(&dw) })
}

/// A run from images to files: drawing, scaling, colour, order, schedule, validation, checkpoint.
fn run(isa: Isa) -> Value {
    let spec = ModelSpec::new("resnet20", Options::default()).unwrap();
    let [train, val] = [0..50, 50..70]
        .map(|range| -> Box<dyn Dataset> { Box::new(MemoryDataset::demo(SEED, range)) });
    let origin = ValidationOrigin::Val;
    let data = TrainData { train, val: Some(val), origin, kind: Kind::Demo, cache: Cache::none() };
    let recipe = Recipe::PaperCifar.config(&spec);
    let mut config = Config {
        length: Length::Iterations(5),
        batch: 16,
        augment: Augment::ScaleCropFlipColour,
        ema_decay: Some(0.9),
        ..recipe
    };
    data.fit(&mut config);
    let folder = tempfile::TempDir::new().unwrap();
    let options = RunOptions { backend: Backend::Native(isa), save_every: Duration::MAX };
    let mut run = Run::open(folder.path(), config, &data, options, &Disk, &Unwatched).unwrap();
    run.train(&mut (), &Interrupt::none()).unwrap();
    json!({ LAST: tensors_of(&run.path(LAST)), BEST: tensors_of(&run.path(BEST)) })
}

/// The CRC-32 of all tensors of a file in the order of their names. Its metadata say which version of the
/// program wrote it.
fn tensors_of(path: &Path) -> String {
    let file = TensorFile::open(path).unwrap();
    let mut tensors: Vec<_> = file.tensors().iter().collect();
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let mut hasher = crc32fast::Hasher::new();
    for tensor in tensors {
        hasher.update(format!("{} {:?}", tensor.name, tensor.shape).as_bytes());
        file.read_bytes(tensor, |bytes| hasher.update(bytes)).unwrap();
    }
    format!("{:08x}", hasher.finalize())
}

/// A JPEG's pixels: decoders have code of their own for each instruction set.
fn images() -> Value {
    let (width, height) = (61, 43);
    let pixels: Vec<u8> = common::images(SEED, "jpeg", width * height * 3)
        .iter()
        .enumerate()
        .map(|(i, noise)| ((i / 3 % width * 3 + i / 100) as f32 + 20.0 * noise) as u8)
        .collect();
    let mut jpeg = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 80)
        .encode(&pixels, width as u32, height as u32, image::ColorType::Rgb8.into())
        .unwrap();
    let image = decode(&jpeg, "noise.jpg", &Limits::default()).unwrap();
    let [file, pixels] = [&jpeg, image.pixels()].map(crc32fast::hash);
    json!({ "file": format!("{file:08x}"), "pixels": format!("{pixels:08x}") })
}
