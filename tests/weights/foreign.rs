//! Weights of others: prefixes, tensors of their losses, and the class names that they are evidence for.

use resnet_cpu::infer::{Classifier, class_names};
use resnet_cpu::model::{Options, Params};
use resnet_cpu::weights::{NamedTensor, Overrides, WeightsError, WeightsFile};

use crate::{Entries, Fixture, arch, assert_error, test_data};

fn ignoring(names: &[&str]) -> Overrides {
    let ignore_extra = names.iter().map(|&name| name.to_owned()).collect();
    Overrides { ignore_extra, ..Overrides::default() }
}

fn scalar(name: &str) -> NamedTensor<'static> {
    NamedTensor { name: name.to_owned(), shape: vec![1], values: vec![1.0].into() }
}

#[test]
fn a_prefix_of_all_names_is_understood_with_a_note() {
    let fixture = Fixture::new("resnet20", Options::default());
    for prefix in [
        "ema.",
        "model.",
        "module.",
        "net.",
        "backbone.",
        "_orig_mod.",
        "student.",
        "whatever_it-is.",
        "ema.module.",
        "_orig_mod.model.student.",
        "optimizer.",
    ] {
        let prefixed = |tensors: &mut Vec<NamedTensor<'_>>| {
            tensors.iter_mut().for_each(|tensor| tensor.name.insert_str(0, prefix));
        };
        let opened = fixture.open_changed(prefixed, &Entries::new(), &Overrides::default());
        if prefix == "optimizer." {
            // State of training is no network; how much there is of it is said.
            assert_error(opened, &["found 97 others, e.g. optimizer.conv1.weight"]);
            continue;
        }
        let weights = opened.unwrap();
        assert!(weights.notes().iter().any(|note| note.contains(prefix)), "{:?}", weights.notes());
        let read = Params::from_source(weights.network(), &weights).unwrap();
        assert_eq!(read.learnable(), fixture.params.learnable(), "{prefix}");
    }
}

#[test]
fn extra_tensors_are_ignored_when_they_are_named() {
    let fixture = Fixture::new("resnet20", Options::default());
    let extra = |tensors: &mut Vec<NamedTensor<'_>>| {
        tensors.extend(["criterion.weight", "criterion.margin", "arcface.weight"].map(scalar));
    };
    let open = |names: &[&str]| fixture.open_changed(extra, &Entries::new(), &ignoring(names));
    let without = open(&[]);
    assert_error(without, &["97 of 97", "unexpected (3)", "criterion.weight", "--ignore-extra"]);
    assert_error(open(&["criterion.*"]), &["unexpected (1): arcface.weight"]);
    assert_error(open(&["criterion"]), &["unexpected (3)"]);
    for names in [&["criterion.*", "arcface.weight"][..], &["*"], &["*.margin", "*weight"]] {
        let weights = open(names).unwrap();
        let note =
            weights.notes().iter().find(|note| note.contains("ignored as requested")).unwrap();
        assert!(note.contains("(3)") && note.contains("criterion.margin"), "{note}");
        let read = Params::from_source(weights.network(), &weights).unwrap();
        assert_eq!(read.learnable(), fixture.params.learnable());
    }
    // What the network needs is missing, whatever was asked for.
    assert_error(open(&["fc.*", "criterion.*", "arcface.*"]), &["missing (2): fc.weight, fc.bias"]);
}

#[test]
fn of_two_networks_one_is_chosen() {
    let fixture = Fixture::new("resnet20", Options::default());
    let two = |tensors: &mut Vec<NamedTensor<'_>>| {
        let mut teacher = tensors.clone();
        tensors.iter_mut().for_each(|tensor| tensor.name.insert_str(0, "student."));
        teacher.iter_mut().for_each(|tensor| tensor.name.insert_str(0, "teacher."));
        tensors.extend(teacher);
    };
    let open = |overrides: &Overrides| fixture.open_changed(two, &Entries::new(), overrides);
    let error = open(&Overrides::default());
    assert!(matches!(error, Err(WeightsError::Unrecognised { .. })));
    assert_error(error, &["several networks", "student.", "teacher.", "--ignore-extra"]);
    assert!(open(&ignoring(&["teacher.*"])).is_ok());
}

#[test]
fn the_cases_that_users_met_open() {
    let Some(path) = test_data("cases/weights/ema-only.safetensors") else { return };
    let weights = WeightsFile::open(path, &Overrides::default()).unwrap();
    assert!(weights.notes().iter().any(|note| note.contains("ema.")), "{:?}", weights.notes());
    let Some(path) = test_data("cases/weights/extra-loss-weight.safetensors") else { return };
    assert!(WeightsFile::open(path, &ignoring(&["criterion.weight"])).is_ok());
    let Some(path) = test_data("cases/weights/ten.safetensors") else { return };
    assert_eq!(class_names(&WeightsFile::open(path, &Overrides::default()).unwrap()), None);
}

#[test]
fn class_names_need_evidence() {
    let names = |name: &str, classes: usize, entries: &Entries, rename: &dyn Fn(&str) -> String| {
        let options = Options { classes: Some(classes), ..Options::default() };
        let fixture = Fixture::new(name, options);
        let renamed = |tensors: &mut Vec<NamedTensor<'_>>| {
            tensors.iter_mut().for_each(|tensor| tensor.name = rename(&tensor.name));
        };
        let weights = fixture.open_changed(renamed, entries, &Overrides::default()).unwrap();
        class_names(&weights).map(|names| names[0].clone())
    };
    let same = |name: &str| name.to_owned();
    let none = Entries::new();
    // As many classes as a data set has are none.
    assert_eq!(names("resnet20", 10, &none, &same), None);
    assert_eq!(names("resnet18", 10, &none, &same), None);
    assert_eq!(names("resnet20", 1000, &none, &same), None);
    let linear = |name: &str| name.replace("fc.", "linear.");
    assert_eq!(names("resnet20", 10, &none, &linear), None);
    // What is not stated in a file of ours is not known.
    let ours = Entries::from([("resnet_cpu.arch".to_owned(), "resnet18".to_owned())]);
    assert_eq!(names("resnet18", 1000, &ours, &same), None);
    // Torchvision's and timm's networks of ImageNet.
    let tench = Some("tench".to_owned());
    assert_eq!(names("resnet18", 1000, &none, &same), tench);
    let lightning = |name: &str| format!("model.{name}");
    assert_eq!(names("resnet18", 1000, &none, &lightning), tench);
    // Chenyaofo's files are called after the data set.
    let fixture = Fixture::new("resnet20", Options::default());
    fixture.open_bare(&Overrides::default()).unwrap();
    for (file, expected) in [
        ("cifar10_resnet20-4118986f.pt", Some("airplane")),
        ("cifar100_resnet20-23dac2f1.pt", None),
        ("cifar10_resnet20.pt", None),
        ("my_cifar10_resnet20-4118986f.pt", None),
    ] {
        let path = fixture.folder.path().join(file);
        std::fs::copy(fixture.path(), &path).unwrap();
        let weights = WeightsFile::open(path, &Overrides::default()).unwrap();
        let names = class_names(&weights);
        assert_eq!(names.as_ref().map(|names| names[0].as_str()), expected, "{file}");
    }
}

#[test]
fn one_output_is_opened_but_names_nothing() {
    let fixture = Fixture::new("resnet20", Options { classes: Some(1), ..Options::default() });
    let weights = fixture.open_bare(&Overrides::default()).unwrap();
    assert_eq!(weights.spec().classes, 1);
    let error = Classifier::open(fixture.path()).err().unwrap().to_string();
    assert!(error.contains("single output"), "{error}");
}

#[test]
fn architectures_are_named_in_any_case() {
    let fixture = Fixture::new("resnet20", Options::default());
    for name in ["ResNet20", "RESNET20", "resnet-20", "ResNet_20", " resnet20 "] {
        let weights = fixture.open_bare(&arch(name)).unwrap();
        assert_eq!(weights.spec().name, "resnet20", "{name}");
        let entries = Entries::from([("resnet_cpu.arch".to_owned(), name.to_owned())]);
        let weights = fixture.open_changed(|_| (), &entries, &arch("resnet20")).unwrap();
        assert_eq!(weights.metadata().arch.as_deref(), Some("resnet20"));
    }
    assert_error(fixture.open_bare(&arch("resnet2O")), &["unknown architecture 'resnet2O'"]);
    assert!("B".parse::<resnet_cpu::model::Shortcut>().is_ok());
    assert!("MaxPool".parse::<resnet_cpu::model::Downsample>().is_ok());
}

#[test]
fn numbers_that_no_f32_holds_are_refused() {
    let fixture = Fixture::new("resnet20", Options::default());
    let error = fixture.open_changed(
        |tensors| tensors[0].values.to_mut()[0] = f32::NEG_INFINITY,
        &Entries::new(),
        &Overrides::default(),
    );
    assert_error(error, &["unusable values (1)", "conv1.weight (1 NaN or infinite of 432)"]);
    // Doubles beyond the range of f32 become infinite.
    let bytes = crate::files::with_dtype(
        &fixture,
        "F64",
        |x| (f64::from(x) * 1e300).to_le_bytes().to_vec(),
        0,
    );
    let error = WeightsFile::from_bytes(bytes, "doubles", &Overrides::default());
    assert_error(error, &["doubles: unusable values", "NaN or infinite"]);
}
