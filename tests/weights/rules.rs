//! Which network bare weights are, and what contradicts shapes, metadata or request.

use resnet_cpu::model::{Downsample, Options, Shortcut, StrideIn};
use resnet_cpu::weights::{Metadata, NamedTensor, Overrides, WeightsError};

use crate::{Entries, Fixture, arch, assert_error, find};

#[test]
fn projections_tell_the_kind_of_shortcut() {
    for (name, shortcut) in [
        ("resnet20", Shortcut::A),
        ("resnet20", Shortcut::B),
        ("resnet20", Shortcut::C),
        ("resnet18", Shortcut::A),
        ("resnet50", Shortcut::B),
        ("resnet50", Shortcut::C),
    ] {
        let options = Options { shortcut: Some(shortcut), classes: Some(7), ..Options::default() };
        let weights = Fixture::new(name, options).open_bare(&Overrides::default()).unwrap();
        assert_eq!((weights.spec().shortcut, weights.spec().classes), (Some(shortcut), 7));
        let assumed = weights.notes().iter().any(|n| n.contains("shortcut a"));
        assert_eq!(assumed, shortcut == Shortcut::A);
    }
    // One projection less than option B has: reported as missing, not as another option.
    let b = Options { shortcut: Some(Shortcut::B), ..Options::default() };
    let lacking = Fixture::new("resnet20", b).open_changed(
        |tensors| tensors.retain(|t| !t.name.starts_with("layer3.0.downsample.")),
        &Entries::new(),
        &Overrides::default(),
    );
    assert_error(lacking, &["missing (5)", "layer3.0.downsample.0.weight"]);
    let without = Fixture::new("resnet50", Options::default()).open_changed(
        |tensors| tensors.retain(|t| !t.name.contains("downsample")),
        &Entries::new(),
        &Overrides::default(),
    );
    assert_error(without, &["missing (20)", "and 12 more"]);
}

#[test]
fn metadata_decide_and_must_not_be_contradicted() {
    let options = Options { downsample: Some(Downsample::MaxPool), ..Options::default() };
    let fixture = Fixture::new("plain20", options);
    let entries = Metadata::of_spec(&fixture.network.spec).entries();
    let open = |overrides: &Overrides| fixture.open_changed(|_| (), &entries, overrides);
    assert_eq!(open(&Overrides::default()).unwrap().spec(), &fixture.network.spec);
    assert_eq!(open(&arch("plain20")).unwrap().spec(), &fixture.network.spec);
    assert_error(open(&arch("resnet20")), &["'resnet20'", "'plain20' (resnet_cpu.arch)"]);
    let conv = Overrides { downsample: Some(Downsample::Conv), ..Overrides::default() };
    assert_error(open(&conv), &["downsample 'conv' (as requested)", "'maxpool'"]);
    let shortcut = Overrides { shortcut: Some(Shortcut::A), ..Overrides::default() };
    assert_error(open(&shortcut), &["plain20", "no shortcuts"]);
    assert_error(open(&arch("resnet21")), &["'resnet21'"]);

    let fixture = Fixture::new("resnet50", Options { classes: Some(2), ..Options::default() });
    let bare = fixture.open_bare(&Overrides::default()).unwrap();
    assert_eq!(bare.spec().stride_in, StrideIn::Conv3x3);
    assert!(bare.notes().iter().any(|n| n.contains("3x3")), "{:?}", bare.notes());
    let paper = Overrides { stride_in: Some(StrideIn::Conv1x1), ..Overrides::default() };
    assert_eq!(fixture.open_bare(&paper).unwrap().spec().stride_in, StrideIn::Conv1x1);
    let entries = Metadata::of_spec(&fixture.network.spec).entries();
    assert_error(fixture.open_changed(|_| (), &entries, &paper), &["stride-in '1x1'", "'3x3'"]);

    for (key, value, parts) in [
        ("resnet_cpu.arch", "resnet101", &["arch 'resnet101' (resnet_cpu.arch)", "'resnet50'"][..]),
        ("resnet_cpu.arch", "vgg", &["unknown architecture 'vgg'"]),
        ("resnet_cpu.shortcut", "z", &["resnet_cpu.shortcut", "a, b or c", "'z'"]),
        ("resnet_cpu.std", "1,0,1", &["resnet_cpu.std", "three positive numbers"]),
        ("resnet_cpu.mean", "1,2", &["resnet_cpu.mean", "three numbers"]),
        ("resnet_cpu.mean", "1,NaN,2", &["resnet_cpu.mean"]),
        ("resnet_cpu.crop", "0", &["resnet_cpu.crop", "1 to 16384"]),
        ("resnet_cpu.classes", "[1]", &["resnet_cpu.classes", "array of strings"]),
        ("resnet_cpu.classes", "[\"x\"]", &["resnet_cpu.classes", "2 names", "1 names"]),
        ("resnet_cpu.downsample", "conv", &["downsample conv does not fit resnet50"]),
    ] {
        let entries = Entries::from([(key.to_owned(), value.to_owned())]);
        assert_error(fixture.open_changed(|_| (), &entries, &Overrides::default()), parts);
    }
}

#[test]
fn one_report_lists_all_that_is_wrong() {
    let fixture = Fixture::new("resnet20", Options::default());
    let result = fixture.open_changed(
        |tensors| {
            tensors.retain(|t| t.name != "layer1.1.bn2.bias");
            find(tensors, "bn1.weight").shape = vec![4, 4];
            find(tensors, "bn1.bias").name = "bn1.bios".to_owned();
            let mut again = find(tensors, "fc.bias").clone();
            again.name = "module.linear.bias".to_owned();
            tensors.push(again);
        },
        &Entries::new(),
        &Overrides::default(),
    );
    let Err(WeightsError::Mismatch { mismatch, .. }) = &result else { panic!("{result:?}") };
    assert_eq!(mismatch.matched, mismatch.expected - 3);
    assert_eq!(mismatch.missing, ["bn1.bias", "layer1.1.bn2.bias"]);
    assert_eq!(mismatch.unexpected, ["bn1.bios", "module.linear.bias (the same as fc.bias)"]);
    assert_error(result, &["weights.safetensors", "bn1.weight (expected [16], found [4, 4])"]);

    let wide = |tensors: &mut Vec<NamedTensor<'_>>| {
        let weight = find(tensors, "fc.weight");
        weight.shape = vec![10, 128];
        weight.values = vec![0.0; 1280].into();
    };
    let result = fixture.open_changed(wide, &Entries::new(), &Overrides::default());
    assert_error(result, &["fc.weight (expected [10, 64], found [10, 128])"]);
    // A block less is no network of the paper, unless its name is given: then the report tells.
    let short = |tensors: &mut Vec<NamedTensor<'_>>| {
        tensors.retain(|t| !t.name.starts_with("layer3.2."));
    };
    let result = fixture.open_changed(short, &Entries::new(), &Overrides::default());
    assert_error(result, &["cannot tell which network", "[3, 3, 2] basic"]);
    let result = fixture.open_changed(short, &Entries::new(), &arch("resnet20"));
    assert_error(result, &["missing (10)", "layer3.2.conv1.weight"]);
    let result = fixture.open_changed(|t| t.clear(), &Entries::new(), &Overrides::default());
    assert_error(result, &["expected a ResNet's tensors, such as layer1.0.conv1.weight"]);
    let huge = |tensors: &mut Vec<NamedTensor<'_>>| {
        find(tensors, "fc.bias").name = format!("layer{0}.{0}.conv1.weight", usize::MAX);
    };
    let result = fixture.open_changed(huge, &Entries::new(), &Overrides::default());
    assert_error(result, &["cannot tell which network"]);
}

#[test]
fn values_that_cannot_be_used_are_refused_by_name() {
    let fixture = Fixture::new("resnet20", Options::default());
    let result = fixture.open_changed(
        |tensors| {
            let values = find(tensors, "layer1.0.conv1.weight").values.to_mut();
            (values[3], values[7]) = (f32::NAN, f32::INFINITY);
            find(tensors, "bn1.running_var").values.to_mut()[2] = -0.5;
        },
        &Entries::new(),
        &Overrides::default(),
    );
    assert_error(
        result,
        &[
            "unusable values (2)",
            "layer1.0.conv1.weight (2 NaN or infinite of 2304)",
            "bn1.running_var (1 negative of 16)",
        ],
    );
}
