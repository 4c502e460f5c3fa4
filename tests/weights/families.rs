//! The families of networks that came after the paper's: understood by names and shapes, or refused by name.

use resnet_cpu::data::{Mean, RgbImage};
use resnet_cpu::infer::{Classifier, ClassifierError, InferError, Session, preprocess};
use resnet_cpu::model::{ModelSpec, Options};
use resnet_cpu::weights::{
    Metadata, NamedTensor, Overrides, StatedPreprocess, WeightsError, WeightsFile,
};
use serde_json::json;

use crate::{Entries, Fixture, arch, assert_error};

fn unchanged(_: &mut Vec<NamedTensor<'_>>) {}

#[test]
fn bare_weights_show_which_family_they_are_of() {
    for (name, channels) in [
        ("resnet18", 1),
        ("resnet18", 4),
        ("resnet20", 2),
        ("resnet10t", 3),
        ("resnet18d", 1),
        ("resnet34d", 3),
        ("resnet14t", 3),
        ("resnet26", 3),
        ("resnet50c", 3),
        ("resnet50s", 3),
        ("resnet50d", 3),
        ("resnext50_32x4d", 3),
        ("resnext50d_32x4d", 3),
        ("wide_resnet50_2", 3),
    ] {
        let options =
            Options { classes: Some(7), in_channels: Some(channels), ..Options::default() };
        let fixture = Fixture::new(name, options);
        let bare = fixture.open_changed(unchanged, &Entries::new(), &Overrides::default()).unwrap();
        assert_eq!(
            (bare.spec(), bare.spec().in_channels),
            (&fixture.network.spec, channels),
            "{name}"
        );
        // And what is written says so.
        let entries = Metadata::of_spec(&fixture.network.spec).entries();
        let stated = entries.get("resnet_cpu.input_channels").map(String::as_str);
        assert_eq!(stated, (channels != 3).then(|| channels.to_string()).as_deref(), "{name}");
        let own = fixture.open_changed(unchanged, &entries, &Overrides::default()).unwrap();
        assert_eq!(own.spec(), &fixture.network.spec, "{name}");
    }
}

#[test]
fn names_are_those_of_timm_and_torchvision_whatever_their_marks() {
    for (text, name) in [
        ("wide_resnet50_2", "wide_resnet50_2"),
        ("Wide-ResNet50-2", "wide_resnet50_2"),
        ("ResNeXt-50 32x4d", "resnext50_32x4d"),
        ("ResNet-50-D", "resnet50d"),
        ("resnet502", ""),
    ] {
        assert_eq!(ModelSpec::name_of(text).unwrap_or_default(), name, "{text}");
    }
}

#[test]
fn statements_about_channels_must_be_true() {
    let grey = Options { in_channels: Some(1), ..Options::default() };
    let fixture = Fixture::new("resnet20", grey);
    let open = |key: &str, value: &str| {
        let entries = Entries::from([(format!("resnet_cpu.{key}"), value.to_owned())]);
        fixture.open_changed(unchanged, &entries, &Overrides::default())
    };
    assert_error(open("input_channels", "3"), &["input channels '3'", "contradicts '1'"]);
    assert_error(open("input_channels", "0"), &["input_channels: expected 1 to 1024 channels"]);
    assert_error(
        open("mean", "0.4,0.5,0.6"),
        &["resnet_cpu.mean: expected one number", "0.4,0.5,0.6"],
    );
    assert_error(open("std", "0.4,0.5,0.4"), &["resnet_cpu.std: expected one number"]);
    let stated = open("mean", "0.25").unwrap();
    assert_eq!(stated.preprocess().mean, Some([0.25; 3]));
    assert_eq!(stated.metadata().entries()["resnet_cpu.mean"], "0.25");
    let (how, _) = preprocess(&stated, &StatedPreprocess::default());
    // Of the deviation nothing is said: the mean over ImageNet's.
    assert_eq!(how.mean, Mean::Grey { mean: 0.25, std: 0.226 });
}

/// Grey is Pillow's "L": (r * 19595 + g * 38470 + b * 7471 + 32768) >> 16, before resizing.
#[test]
fn images_become_grey_for_networks_of_one_channel() {
    let grey = Options { in_channels: Some(1), ..Options::default() };
    let fixture = Fixture::new("resnet20", grey);
    let weights = fixture.open_changed(unchanged, &Entries::new(), &Overrides::default()).unwrap();
    let bytes: Vec<u8> =
        (0..32 * 32 * 3).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let image = RgbImage::new(32, 32, bytes.clone());
    let expected: Vec<f32> = bytes
        .as_chunks::<3>()
        .0
        .iter()
        .map(|&[r, g, b]| {
            let sum = u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471 + 32768;
            ((sum >> 16) as f32 / 255.0 - 0.449) / 0.226
        })
        .collect();
    let (how, _) = preprocess(&weights, &StatedPreprocess::default());
    let mut input = vec![f32::NAN; how.input_len()];
    how.apply(&image, &mut input);
    assert_eq!(input, expected);

    let classifier = Classifier::open(fixture.path()).unwrap();
    let logits = classifier.logits(std::slice::from_ref(&image)).remove(0).unwrap();
    let mut session = Session::of(classifier.model());
    assert_eq!(session.run(&expected, 1, 32, 32).unwrap(), logits);
}

#[test]
fn other_channels_are_for_tensors() {
    let four = Options { in_channels: Some(4), ..Options::default() };
    let fixture = Fixture::new("resnet20", four);
    fixture.open_changed(unchanged, &Entries::new(), &Overrides::default()).unwrap();
    let error = Classifier::open(fixture.path()).err().expect("an error");
    assert!(matches!(
        error,
        ClassifierError::Infer(InferError::Channels { channels: 3, expected: 4 })
    ));
    assert!(error.to_string().contains("have 4 channels; images give 3, or 1"), "{error}");
    let weights = WeightsFile::open(fixture.path(), &Overrides::default()).unwrap();
    let network = weights.network().clone();
    let backend = resnet_cpu::gemm::Backend::Native(resnet_cpu::simd::Isa::best());
    let mut session = Session::new(&network, weights, backend);
    assert_eq!(session.run(&vec![0.5; 32 * 32 * 4], 1, 32, 32).unwrap().len(), 10);
}

#[test]
fn other_networks_are_refused_by_name() {
    let fixture = Fixture::new("resnet18", Options::default());
    for (tensor, what) in [
        ("layer1.0.se.fc1.weight", "it is an SE-ResNet"),
        ("layer2.0.conv2.1.filt", "it is an anti-aliased ResNet"),
        ("attnpool.k_proj.weight", "it is CLIP's ResNet"),
    ] {
        let extra = |tensors: &mut Vec<NamedTensor<'_>>| {
            let (name, values) = (tensor.to_owned(), vec![1.0].into());
            tensors.push(NamedTensor { name, shape: vec![1], values });
        };
        let error = fixture.open_changed(extra, &Entries::new(), &Overrides::default());
        assert!(matches!(error, Err(WeightsError::OtherNetwork { .. })));
        assert_error(error, &["this network cannot be run", what, tensor]);
    }
    let small = |tensors: &mut Vec<NamedTensor<'_>>| {
        let values = vec![0.0; 64 * 27].into();
        tensors[0] =
            NamedTensor { name: "conv1.weight".to_owned(), shape: vec![64, 3, 3, 3], values };
    };
    let error = fixture.open_changed(small, &Entries::new(), &Overrides::default());
    assert_error(error, &["it is a four-stage ResNet for small images"]);
}

/// Tensors of anti-aliased networks are those of the others: what lies beside them says what they are.
#[test]
fn networks_whose_tensors_say_nothing_are_refused_by_what_lies_beside() {
    let fixture = Fixture::new("resnet18", Options::default());
    let config = |content: serde_json::Value| {
        std::fs::write(fixture.folder.path().join("config.json"), content.to_string()).unwrap();
    };
    let open = || fixture.open_changed(unchanged, &Entries::new(), &Overrides::default());
    config(json!({ "architecture": "resnetblur18", "pretrained_cfg": {} }));
    assert_error(open(), &["anti-aliased", "resnetblur18 in", "config.json"]);
    // Whoever names the network, or wrote it with this program, means it.
    let named = fixture.open_changed(unchanged, &Entries::new(), &arch("resnet18")).unwrap();
    assert!(named.notes().iter().any(|note| note.contains("resnetblur18")), "{:?}", named.notes());
    let entries = Metadata::of_spec(&fixture.network.spec).entries();
    fixture.open_changed(unchanged, &entries, &Overrides::default()).unwrap();
    config(json!({ "architecture": "lambda_resnet26t", "pretrained_cfg": {} }));
    assert_error(open(), &["another ResNet (lambda_resnet26t in"]);
    for (arguments, found) in [
        (json!({ "act_layer": "silu" }), "model_args.act_layer"),
        (json!({ "output_stride": 8 }), "model_args.output_stride"),
        (json!({ "global_pool": "max" }), "model_args.global_pool"),
    ] {
        config(
            json!({ "architecture": "resnet18", "model_args": arguments, "pretrained_cfg": {} }),
        );
        assert_error(open(), &["a changed resnet18", found]);
    }
    let same = json!({ "in_chans": 3, "num_classes": 1000, "global_pool": "avg" });
    config(
        json!({ "architecture": "ssl_resnet18", "model_args": same, "global_pool": "avg", "pretrained_cfg": {} }),
    );
    assert!(open().unwrap().notes().iter().any(|note| note.contains("prepared as timm says")));
    config(json!({ "architecture": "vit_tiny_patch16_224", "pretrained_cfg": {} }));
    assert!(open().unwrap().notes().iter().any(|note| note.contains("passed over")));
    for (field, value, found) in [
        ("downsample_in_first_stage", json!(true), "downsample_in_first_stage true"),
        ("hidden_act", json!("gelu"), "hidden_act gelu"),
    ] {
        config(json!({ "model_type": "resnet", field: value }));
        assert_error(open(), &["a changed resnet18", found]);
    }
    std::fs::remove_file(fixture.folder.path().join("config.json")).unwrap();
    let published = fixture.folder.path().join("resnetaa18-12345678.safetensors");
    std::fs::rename(fixture.path(), &published).unwrap();
    let error = WeightsFile::open(&published, &Overrides::default());
    assert_error(error, &["anti-aliased", "by the name of its file"]);
}

#[test]
fn groups_that_no_network_has_are_named() {
    let fixture = Fixture::new("resnext50_32x4d", Options::default());
    let half = |tensors: &mut Vec<NamedTensor<'_>>| {
        let conv =
            tensors.iter_mut().find(|tensor| tensor.name == "layer1.0.conv2.weight").unwrap();
        conv.shape[1] = 2;
        let values = conv.values[..conv.values.len() / 2].to_vec();
        conv.values = values.into();
    };
    let error = fixture.open_changed(half, &Entries::new(), &Overrides::default());
    assert_error(error, &["64 groups of 2 channels, which no known network has"]);
}
