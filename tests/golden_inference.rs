//! Logits of every family of networks against PyTorch in f64: the paper's
//! (`data-tools/pytorch/golden_inference.py`), and timm's after it (`golden_families.py` there).
//!
//! Ours must be at most three times as far from them as PyTorch's own f32, whose error stands beside
//! each case, on every instruction set and on the matrixmultiply backend; and the instruction sets
//! must agree to the bit.

mod common;

use resnet_cpu::gemm::Backend;
use resnet_cpu::infer::Session;
use resnet_cpu::simd::Isa;

#[test]
fn logits_match_pytorch_in_f64() {
    check(&common::golden("inference.json"));
}

#[test]
fn logits_of_later_families_match_timm_in_f64() {
    check(&common::golden("families.json"));
}

fn check(file: &serde_json::Value) {
    let natives = common::isas().into_iter().map(Backend::Native);
    let backends: Vec<Backend> = natives.chain([Backend::Matrixmultiply]).collect();
    for case in file["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let seed = case["seed"].as_u64().unwrap();
        let size = |i: usize| case["input"][i].as_u64().unwrap() as usize;
        let (batch, height, width) = (size(0), size(1), size(2));
        let network = common::network(case);
        assert_eq!(network.parameters() as u64, case["parameters"].as_u64().unwrap(), "{name}");
        let params = common::fill(&network, seed);
        let input = common::images(seed, "input", batch * height * width * network.in_channels());
        for (tensor, first) in case["fill"].as_object().unwrap() {
            let values = params.by_name(tensor).unwrap_or(&input);
            assert_eq!(f64::from(values[0]), first[0].as_f64().unwrap(), "{name} {tensor}");
            assert_eq!(f64::from(values[1]), first[1].as_f64().unwrap(), "{name} {tensor}");
        }
        let expected: Vec<f64> = case["logits"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|row| row.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()))
            .collect();
        let rms = |values: &[f64]| {
            (values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64).sqrt()
        };
        let scale = rms(&expected);

        let mut exact: Option<(Isa, Vec<f32>)> = None;
        for &backend in &backends {
            let mut session = Session::new(&network, &params, backend);
            let logits = session.run(&input, batch, height, width).unwrap().to_vec();
            let errors: Vec<f64> =
                logits.iter().zip(&expected).map(|(&y, e)| (f64::from(y) - e) / scale).collect();
            let max = errors.iter().fold(0.0_f64, |m, e| m.max(e.abs()));
            let torch = &case["torch_fp32_error"];
            let (torch_max, torch_rms) =
                (torch["max"].as_f64().unwrap(), torch["rms"].as_f64().unwrap());
            println!(
                "{name:22} {backend:?}: max {max:.2e} ({:.2}x), rms {:.2e} ({:.2}x)",
                max / torch_max,
                rms(&errors),
                rms(&errors) / torch_rms
            );
            assert!(max <= 3.0 * torch_max, "{name} {backend:?}: {max:.2e} > 3 x {torch_max:.2e}");
            assert!(rms(&errors) <= 3.0 * torch_rms, "{name} {backend:?}");
            if let Backend::Native(isa) = backend
                && isa.is_exact()
            {
                let (first, bits) = exact.get_or_insert((isa, logits.clone()));
                assert!(*bits == logits, "{name}: {first} and {isa} differ");
            }
        }
    }
}
