//! Real weights on real images, against the logits that an independent implementation (NumPy) gave.
//! The files are not part of the package; without them these tests say so and pass.

mod common;

use common::{read_npy, test_data};
use resnet_cpu::data::{CifarRecords, Limits, read_image};
use resnet_cpu::gemm::Backend;
use resnet_cpu::infer::{Classifier, Session, top_k};
use resnet_cpu::model::ParamSource;
use resnet_cpu::simd::Isa;
use resnet_cpu::weights::{Overrides, WeightsFile};

const RESNET18: &str = "weights/imagenet/ktb_resnet18_small_blocks.safetensors";
const LOGITS18: &str = "reference/imagenet/ktb_resnet18_small_blocks_logits_shared_samples.npy";

/// The instruction set that the environment forces, else the best.
fn isa() -> Isa {
    std::env::var("RESNET_CPU_ISA").map_or_else(|_| Isa::best(), |name| Isa::named(&name).unwrap())
}

/// Logits that belong to the largest and the second largest value.
fn margin(row: &[f32]) -> f32 {
    let top = top_k(row, 2);
    top[0].logit.unwrap() - top[1].logit.unwrap()
}

#[test]
fn resnet18_names_the_sample_images() {
    let (Some(weights), Some(samples)) = (test_data(RESNET18), test_data("imagenet-samples"))
    else {
        return;
    };
    let (shape, stored) = read_npy(&test_data(LOGITS18).unwrap());
    let rows = std::fs::read_to_string(samples.join("labels.csv")).unwrap();
    let rows: Vec<Vec<&str>> = rows.lines().skip(1).map(|row| row.split(',').collect()).collect();
    assert_eq!((shape, rows.len()), (vec![167, 1000], 167));

    let classifier = Classifier::open(&weights).unwrap();
    let (mut top1, mut top5, mut disagreements) = (0, 0, 0);
    for (batch, stored) in rows.chunks(16).zip(stored.chunks(16 * 1000)) {
        let found = classifier.classify_each(batch.len(), 5, |i| {
            let path = samples.join("images").join(batch[i][0]);
            Ok::<_, resnet_cpu::infer::InferError>(read_image(&path, &Limits::default()).unwrap())
        });
        for ((row, found), stored) in batch.iter().zip(found).zip(stored.chunks(1000)) {
            let (found, label) = (found.unwrap(), row[2].parse::<usize>().unwrap());
            top1 += usize::from(found[0].index == label);
            top5 += usize::from(found.iter().any(|p| p.index == label));
            if found[0].index != top_k(stored, 1)[0].index {
                disagreements += 1;
                println!(
                    "{}: another class than stored, at a margin of {}",
                    row[0],
                    margin(stored)
                );
                assert!(margin(stored) < 0.05, "{}", row[0]);
            }
        }
    }
    println!("top-1 {top1}, top-5 {top5} of 167; {disagreements} differ from the stored");
    assert_eq!(top5, 158);
    assert!((125..=129).contains(&top1), "{top1}");
}

#[test]
fn resnet18_gives_the_stored_logits_for_stored_inputs() {
    let Some(path) = test_data(RESNET18) else { return };
    let weights = WeightsFile::open(&path, &Overrides::default()).unwrap();
    let (_, stored) = read_npy(&test_data(LOGITS18).unwrap());
    for backend in [Backend::Native(isa()), Backend::Matrixmultiply] {
        let mut session = Session::new(weights.network(), &weights, backend);
        for (i, stored) in stored.chunks(1000).take(4).enumerate() {
            let file = format!("reference/imagenet/input_{i:03}.npy");
            let (shape, input) = read_npy(&test_data(&file).unwrap());
            assert_eq!(shape, [1, 3, 224, 224]);
            let plane = 224 * 224;
            let nhwc: Vec<f32> = (0..3 * plane).map(|at| input[at % 3 * plane + at / 3]).collect();
            let logits = session.run(&nhwc, 1, 224, 224).unwrap();
            let max = |values: &[f32]| values.iter().copied().fold(f32::MIN, f32::max);
            let min = |values: &[f32]| values.iter().copied().fold(f32::MAX, f32::min);
            let range = max(stored) - min(stored);
            let off = logits.iter().zip(stored).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            println!("{file} {backend:?}: {:.2e} of the range", off / range);
            assert!(off <= 1e-4 * range, "{file} {backend:?}: {off} of {range}");
        }
    }
}

#[test]
fn cifar_networks_are_right_as_often_as_published_files_say() {
    let Some(images) = test_data("cifar10/lossless/test_0000-0499.bin") else { return };
    let records = CifarRecords::open(&images).unwrap();
    assert_eq!(records.len(), 500);
    let images: Vec<_> = (0..records.len()).map(|i| records.image(i)).collect();
    let akamaster20 = "reference/cifar10/akamaster-resnet20_logits_test_0000-0499.npy";
    for (file, logits, expected) in [
        ("resnet20-12fca82f.safetensors", Some(akamaster20), 455),
        ("resnet20-12fca82f.th", Some(akamaster20), 455),
        ("resnet44-014dd654.th", None, 465),
        ("zheng-resnet20-zipformat.th", None, 456),
    ] {
        let Some(weights) = test_data(&format!("weights/cifar10/{file}")) else { return };
        let classifier = Classifier::open(&weights).unwrap();
        let found =
            classifier.classify(&images, 1).into_iter().map(|found| found.unwrap()[0].index);
        let found: Vec<usize> = found.collect();
        let right = (0..records.len()).filter(|&i| found[i] == records.label(i)).count();
        println!("{file}: {right} of 500 right");
        assert_eq!(right, expected, "{file}");
        if let Some(logits) = logits {
            let (_, stored) = read_npy(&test_data(logits).unwrap());
            let stored: Vec<usize> = stored.chunks(10).map(|row| top_k(row, 1)[0].index).collect();
            assert_eq!(found, stored, "{file}");
        }
    }
}

#[test]
fn a_pytorch_file_has_the_numbers_of_its_copy() {
    let open = |file: &str| {
        let path = test_data(&format!("weights/cifar10/{file}"))?;
        Some(WeightsFile::open(&path, &Overrides::default()).unwrap())
    };
    let (Some(original), Some(copy)) =
        (open("resnet20-12fca82f.th"), open("resnet20-12fca82f.safetensors"))
    else {
        return;
    };
    assert_eq!(original.spec(), copy.spec());
    for (id, info) in original.network().table().iter() {
        assert_eq!(original.tensor(id), copy.tensor(id), "{}", info.name);
    }
}

#[test]
fn a_pytorch_file_of_another_network_is_refused_with_the_reason() {
    let path = "weights/imagenet/original/resnet18_small_blocks.pth";
    let Some(path) = test_data(path) else { return };
    let error = WeightsFile::open(&path, &Overrides::default()).unwrap_err().to_string();
    assert!(error.contains("no state dict") && error.contains("layer1.0.conv1"), "{error}");
}
