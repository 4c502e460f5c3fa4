//! The networks against the published figures: parameters, multiply-accumulates, tensor names.

use resnet_cpu::model::{
    BlockKind, BlockShortcut, Downsample, InitOptions, ModelSpec, Network, Options, Params, Role,
    Shortcut, SpecError, StrideIn, Variant, initialize,
};

fn network(name: &str, options: Options) -> Network {
    Network::new(&ModelSpec::new(name, options).unwrap())
}

fn default(name: &str) -> Network {
    network(name, Options::default())
}

#[test]
fn parameters_are_the_published_ones() {
    // torchvision and timm for ImageNet; for CIFAR the table of akamaster/pytorch_resnet_cifar10.
    let published = [
        ("resnet18", 11_689_512),
        ("resnet34", 21_797_672),
        ("resnet50", 25_557_032),
        ("resnet101", 44_549_160),
        ("resnet152", 60_192_808),
        ("resnet20", 269_722),
        ("resnet32", 464_154),
        ("resnet44", 658_586),
        ("resnet56", 853_018),
        ("resnet110", 1_727_962),
        ("resnet1202", 19_421_274),
        ("wide_resnet50_2", 68_883_240),
        ("wide_resnet101_2", 126_886_696),
        ("resnet18d", 11_708_744),
        ("resnet50c", 25_576_264),
        ("resnet50d", 25_576_264),
        ("resnet50s", 25_680_808),
        ("resnet50t", 25_573_728),
        ("resnet10t", 5_435_488),
        ("resnet14t", 10_081_632),
        ("resnet26", 15_995_176),
        ("resnet200", 64_673_832),
        ("resnext50_32x4d", 25_028_904),
        ("resnext101_32x8d", 88_791_336),
        ("resnext101_64x4d", 83_455_272),
        ("resnext50d_32x4d", 25_048_136),
    ];
    for (name, parameters) in published {
        assert_eq!(default(name).parameters(), parameters, "{name}");
    }
    // Identity shortcuts cost nothing (section 3.2): option A has as many as the plain network.
    for (plain, residual) in [("plain20", "resnet20"), ("plain34", "resnet34")] {
        let a = Options { shortcut: Some(Shortcut::A), ..Options::default() };
        assert_eq!(default(plain).parameters(), network(residual, a).parameters());
    }
}

/// The parameters of a CIFAR network with option A, counted by hand: 3x3 filters, two numbers a
/// channel for batch norm, and the classifier.
#[test]
fn cifar_parameters_follow_from_the_formula() {
    for (name, n) in [("resnet20", 3), ("resnet110", 18), ("resnet1202", 200)] {
        let conv = |cin: usize, cout: usize| 9 * cin * cout + 2 * cout;
        let mut expected = conv(3, 16) + 64 * 10 + 10;
        for (cin, cout) in [(16, 16), (16, 32), (32, 64)] {
            expected += conv(cin, cout) + (2 * n - 1) * conv(cout, cout);
        }
        assert_eq!(default(name).parameters(), expected, "{name}");
    }
}

#[test]
fn multiply_accumulates_are_the_published_ones() {
    let giga = |network: &Network| network.macs(224, 224) as f64 / 1e9;
    let published = [
        ("resnet18", 1.814),
        ("resnet34", 3.664),
        ("resnet50", 4.089),
        ("resnet101", 7.801),
        ("resnet152", 11.514),
        // torchvision's figures.
        ("wide_resnet50_2", 11.398),
        ("resnext50_32x4d", 4.230),
    ];
    for (name, expected) in published {
        let found = giga(&default(name));
        assert!((found - expected).abs() < 0.0006, "{name}: {found}");
    }
    let paper = Options { stride_in: Some(StrideIn::Conv1x1), ..Options::default() };
    for (name, expected) in [("resnet50", 3.86), ("resnet101", 7.57), ("resnet152", 11.28)] {
        let found = giga(&network(name, paper));
        assert!((found - expected).abs() < 0.01, "{name} (1x1): {found}");
    }
    // Figure 3: plain-34 and the 34-layer residual network with identities, 3.6 billion.
    assert_eq!(giga(&default("plain34")).to_string()[..3], *"3.6");
    let pooled = Options { downsample: Some(Downsample::MaxPool), ..Options::default() };
    assert_eq!(giga(&network("plain34", pooled)), giga(&default("plain34")));
}

#[test]
fn tensor_names_are_torchvisions() {
    let names = |name: &str| -> Vec<String> {
        default(name).tensors().iter().map(|t| t.name.clone()).collect()
    };
    // torchvision's state_dict has 122 entries for resnet18 and 320 for resnet50, of which 20 and 53
    // are `num_batches_tracked`.
    let resnet18 = names("resnet18");
    assert_eq!(resnet18.len(), 122 - 20);
    let start = ["conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var"];
    assert_eq!(resnet18[..5], start);
    assert_eq!(resnet18[5..7], ["layer1.0.conv1.weight", "layer1.0.bn1.weight"]);
    assert_eq!(resnet18[100..], ["fc.weight", "fc.bias"]);
    let layer2: Vec<_> = resnet18.iter().filter(|n| n.starts_with("layer2.0.")).collect();
    assert_eq!(layer2.len(), 15);
    assert_eq!(layer2[10..12], ["layer2.0.downsample.0.weight", "layer2.0.downsample.1.weight"]);
    assert_eq!(layer2[14], "layer2.0.downsample.1.running_var");
    assert!(!resnet18.iter().any(|n| n.starts_with("layer1.0.downsample")));

    let resnet50 = names("resnet50");
    assert_eq!(resnet50.len(), 320 - 53);
    for name in [
        "layer1.0.downsample.0.weight",
        "layer1.0.conv3.weight",
        "layer3.5.bn3.running_mean",
        "layer4.2.conv3.weight",
        "layer4.0.downsample.1.running_var",
    ] {
        assert!(resnet50.iter().any(|n| n == name), "{name}");
    }
    let network = default("resnet50");
    let conv = &network.blocks[3].convs[1];
    assert_eq!((conv.name.as_str(), conv.stride), ("layer2.0.conv2", 2));
    assert_eq!(network.tensor(conv.weight).shape, [128, 128, 3, 3]);
}

#[test]
fn strides_pools_and_shortcuts_are_where_the_paper_has_them() {
    let paper = Options { stride_in: Some(StrideIn::Conv1x1), ..Options::default() };
    let strides =
        |n: &Network| -> Vec<usize> { n.blocks[3].convs.iter().map(|c| c.stride).collect() };
    assert_eq!(strides(&network("resnet50", paper)), [2, 1, 1]);
    assert_eq!(strides(&default("resnet50")), [1, 2, 1]);

    let pooled = Options { downsample: Some(Downsample::MaxPool), ..Options::default() };
    let plain = network("plain18", pooled);
    let pools: Vec<bool> = plain.blocks.iter().map(|b| b.pool).collect();
    assert_eq!(pools, [false, false, true, false, true, false, true, false]);
    assert!(plain.convs().skip(1).all(|c| c.stride == 1));
    assert!(plain.blocks.iter().all(|b| b.shortcut == BlockShortcut::None));
    assert_eq!(plain.layers(224, 224).iter().rev().nth(1).unwrap().output, (7, 7));
    assert_eq!((plain.min_side(), default("resnet18").min_side()), (29, 1));

    let a = default("resnet20");
    let pad = BlockShortcut::Pad { stride: 2, channels_before: 8, channels_after: 8 };
    assert_eq!(a.blocks[3].shortcut, pad);
    assert_eq!(a.blocks[2].shortcut, BlockShortcut::Identity);

    let count = |n: &Network| {
        n.blocks.iter().filter(|b| matches!(b.shortcut, BlockShortcut::Project(_))).count()
    };
    let with = |name, s| network(name, Options { shortcut: Some(s), ..Options::default() });
    assert_eq!(count(&with("resnet20", Shortcut::B)), 2);
    assert_eq!(count(&with("resnet18", Shortcut::B)), 3);
    assert_eq!(count(&with("resnet50", Shortcut::B)), 4);
    assert_eq!(count(&with("resnet50", Shortcut::C)), 16);
}

#[test]
fn every_layer_fits_the_next() {
    for name in ModelSpec::names() {
        let network = default(name);
        let side = network.spec.input_side();
        let layers = network.layers(side, side);
        assert_eq!(layers.len(), network.convs().count() + 1);
        assert_eq!(layers[0].input, (side, side));
        let last = layers[layers.len() - 2].output;
        assert_eq!(last, if side == 224 { (7, 7) } else { (8, 8) }, "{name}");
        // The depth in the name counts convolutions and the classifier, not projections.
        let digits = name.split(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty());
        let depth: usize = digits.unwrap().parse().unwrap();
        let main = layers.iter().filter(|l| !l.name().contains("downsample")).count();
        // Three convolutions at the start count as the one that they stand for.
        assert_eq!(main, depth + network.deep_stem.len(), "{name}");
        assert_eq!(network.features(), network.spec.features());
        let odd = network.layers(225, 131);
        assert!(odd.iter().all(|l| l.output.0 > 0 && l.output.1 > 0));
    }
}

#[test]
fn options_that_contradict_the_architecture_are_refused_with_a_reason() {
    let shortcut = |s| Options { shortcut: Some(s), ..Options::default() };
    let stride_in = Options { stride_in: Some(StrideIn::Conv1x1), ..Options::default() };
    let downsample = Options { downsample: Some(Downsample::Conv), ..Options::default() };
    for (name, options, reason) in [
        ("plain18", shortcut(Shortcut::B), "no shortcuts"),
        ("resnet50", shortcut(Shortcut::A), "64 to 256"),
        ("resnet18", downsample, "plain networks"),
        ("resnet34", stride_in, "no bottleneck"),
        ("resnet18d", shortcut(Shortcut::A), "a pool and a projection"),
    ] {
        let error = ModelSpec::new(name, options).unwrap_err();
        assert!(matches!(error, SpecError::Contradiction { .. }));
        let text = error.to_string();
        assert!(text.contains(name) && text.contains(reason), "{text}");
    }
    let unknown = ModelSpec::new("resnet19", Options::default()).unwrap_err().to_string();
    assert!(unknown.contains("'resnet19'") && unknown.contains("resnet1202"), "{unknown}");
    for classes in [0, usize::MAX] {
        let options = Options { classes: Some(classes), ..Options::default() };
        assert!(matches!(ModelSpec::new("resnet18", options), Err(SpecError::Classes { .. })));
    }
    for channels in [0, 1025] {
        let options = Options { in_channels: Some(channels), ..Options::default() };
        assert!(matches!(ModelSpec::new("resnet18", options), Err(SpecError::Channels { .. })));
    }
    assert_eq!("a".parse(), Ok(Shortcut::A));
    assert_eq!("maxpool".parse(), Ok(Downsample::MaxPool));
    assert_eq!("1x1".parse(), Ok(StrideIn::Conv1x1));
    let text = "d".parse::<Shortcut>().unwrap_err().to_string();
    assert!(text.contains("'d'") && text.contains("a, b, c"), "{text}");
    assert_eq!(default("resnet50").spec.to_string(), "resnet50, shortcut b, stride-in 3x3");
    assert_eq!(
        ModelSpec::residual_name(BlockKind::Basic, &[3, 4, 6, 3], Variant::NONE),
        Some("resnet34")
    );
    assert!(default("wide_resnet50_2").spec.is_trainable());
    for name in ["resnet50d", "resnet50c", "resnext50_32x4d"] {
        assert!(!default(name).spec.is_trainable(), "{name}");
    }
}

#[test]
fn tensors_lie_aligned_and_apart_in_the_flat_buffers() {
    let network = default("resnet20");
    let mut params = Params::zeros(&network);
    for (i, (id, info)) in network.table().iter().enumerate() {
        assert_eq!(info.offset % 16, 0);
        assert_eq!(params.get(id).as_ptr() as usize % 64, 0, "{}", info.name);
        assert_eq!(network.find(&info.name), Some(id));
        params.get_mut(id).fill(i as f32 + 1.0);
    }
    for (i, (id, info)) in network.table().iter().enumerate() {
        assert!(params.get(id).iter().all(|&x| x == i as f32 + 1.0), "{}", info.name);
    }
    let set = params.learnable().iter().filter(|&&x| x != 0.0).count();
    assert_eq!(set, network.parameters());
    assert_eq!(params.statistics().len(), network.table().statistics_len());
    assert_eq!(params.by_name("fc.bias").map(<[f32]>::len), Some(10));
    assert_eq!(Params::from_source(&network, &params).unwrap().learnable(), params.learnable());
}

#[test]
fn initialisation_has_the_right_moments_and_one_stream_a_tensor() {
    let network = default("resnet18");
    let params = initialize(&network, 7, InitOptions::default());
    for (id, info) in network.table().iter() {
        let values = params.get(id);
        match info.role {
            Role::ConvWeight => {
                let n = values.len() as f64;
                let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
                let var = values.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / n;
                let expected = 2.0 / (info.shape[0] * info.shape[2] * info.shape[3]) as f64;
                assert!(mean.abs() < 5.0 * (expected / n).sqrt(), "{} mean {mean}", info.name);
                let tolerance = 5.0 * (2.0 / n).sqrt();
                assert!((var / expected - 1.0).abs() < tolerance, "{} var {var}", info.name);
            }
            Role::Gamma | Role::RunningVar => assert!(values.iter().all(|&x| x == 1.0)),
            Role::Beta | Role::RunningMean => assert!(values.iter().all(|&x| x == 0.0)),
            Role::LinearWeight | Role::LinearBias => {
                let largest = values.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
                let bound = 1.0 / 512_f32.sqrt();
                assert!(largest <= bound && largest > 0.97 * bound, "{largest}");
            }
        }
    }
    // Keyed by name: the same layer of another network starts from the same numbers.
    let other = initialize(&default("resnet34"), 7, InitOptions::default());
    let name = "layer1.0.conv1.weight";
    assert_eq!(params.by_name(name), other.by_name(name));
    assert_ne!(params.by_name(name), params.by_name("layer1.0.conv2.weight"));

    let zero = initialize(&network, 7, InitOptions { zero_init_last_bn: true });
    assert_eq!(zero.by_name("layer1.0.bn2.weight").unwrap()[0], 0.0);
    assert_eq!(zero.by_name("layer1.0.bn1.weight").unwrap()[0], 1.0);
    let plain = initialize(&default("plain18"), 7, InitOptions { zero_init_last_bn: true });
    assert_eq!(plain.by_name("layer1.0.bn2.weight").unwrap()[0], 1.0);
}
