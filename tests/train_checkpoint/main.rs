//! Checkpoints: what is saved is loaded, whatever happens to the disk; what is damaged is refused.

mod crash;
mod damage;
mod disk;

use std::path::Path;

use resnet_cpu::data::{Mean, Preprocess, View};
use resnet_cpu::model::{Options, ParamSource, Params, Shortcut};
use resnet_cpu::runtime::{Disk, Rng};
use resnet_cpu::train::{Best, InferenceInfo, Normalize, Progress, Recipe, State, checkpoint};
use resnet_cpu::weights::{Overrides, TensorFile, WeightsFile};

/// A run of resnet20 as it may look after `step` steps.
fn state(step: u64, shortcut: Shortcut) -> State {
    let recipe = Recipe::PaperCifar;
    let options = Options { shortcut: Some(shortcut), classes: Some(3), ..Options::default() };
    let mut config = recipe.config(&recipe.spec("resnet20", options).unwrap());
    config.data.train_images = 50_000;
    config.data.fingerprint = "5f2a".to_owned();
    config.ema_decay = Some(0.999);
    config.seed = step;
    assert_eq!(config.normalize, Normalize::PixelMean);
    let mut rng = Rng::new(step, &[]);
    let inference = InferenceInfo {
        preprocess: Preprocess {
            view: View::cifar(),
            mean: Mean::Pixel((0..32 * 32 * 3).map(|_| rng.uniform()).collect()),
        },
        classes: Some(vec!["cat".to_owned(), "\"dog\"".to_owned(), "ü".to_owned()]),
    };
    let mut state = State::start(config, inference).unwrap();
    let table = state.params.table().clone();
    for info in table.infos().iter().filter(|info| info.role.is_learnable()) {
        state.momentum[info.range()].fill_with(|| rng.normal());
    }
    let ema = state.ema.as_mut().unwrap();
    for (id, _) in table.iter() {
        ema.get_mut(id).fill_with(|| rng.uniform());
    }
    state.progress = Progress { epoch: 3, step, cursor: 512, loss_sum: 1.0 / 3.0, correct: 17 };
    state.schedule.best_error = Some(0.1 + 0.2);
    state.best = Some(Best { epoch: 2, step: 5, top1: 0.7 });
    state
}

/// Everything in a state, comparable.
fn parts(state: &State) -> impl PartialEq + std::fmt::Debug + use<> {
    let numbers = |params: &Params| (params.learnable().to_vec(), params.statistics().to_vec());
    (
        (state.config.clone(), state.inference.clone(), state.progress.clone()),
        (state.schedule.clone(), state.best.clone(), state.momentum.to_vec()),
        (numbers(&state.params), state.ema.as_ref().map(numbers)),
    )
}

fn save(state: &State, path: &Path) {
    checkpoint::save(state, path, &Disk).unwrap();
}

#[test]
fn what_is_saved_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.safetensors");
    let saved = state(1234, Shortcut::A);
    save(&saved, &path);
    let loaded = checkpoint::load(&path).unwrap();
    assert!(parts(&loaded) == parts(&saved));

    // The same state gives the same bytes, wherever it is written.
    let other = folder.path().join("other.safetensors");
    save(&loaded, &other);
    assert!(std::fs::read(&path).unwrap() == std::fs::read(&other).unwrap());

    // A state without average, pixel means, names or best.
    let mut plain = state(7, Shortcut::B);
    plain.ema = None;
    plain.config.ema_decay = None;
    plain.inference = InferenceInfo { preprocess: Preprocess::cifar(), classes: None };
    plain.best = None;
    save(&plain, &path);
    assert!(parts(&checkpoint::load(&path).unwrap()) == parts(&plain));
}

#[test]
fn a_checkpoint_has_the_names_of_torchvision() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.safetensors");
    let saved = state(9, Shortcut::B);
    save(&saved, &path);
    let file = TensorFile::open(&path).unwrap();
    let find = |name: &str| file.tensors().iter().find(|tensor| tensor.name == name).unwrap();
    for name in ["bn1.num_batches_tracked", "layer2.0.downsample.1.num_batches_tracked"] {
        let counter = find(name);
        assert_eq!((counter.dtype.to_string().as_str(), counter.shape.len()), ("I64", 0));
        let mut bytes = Vec::new();
        file.read_bytes(counter, |piece| bytes.extend_from_slice(piece)).unwrap();
        assert_eq!(bytes, 9_i64.to_le_bytes());
    }
    assert_eq!(find("conv1.weight").shape, [16, 3, 3, 3]);
    assert_eq!(find("optimizer.momentum.layer1.0.conv1.weight").shape, [16, 16, 3, 3]);
    assert_eq!(find("ema.bn1.running_var").shape, [16]);
    for tensor in file.tensors() {
        assert!(!tensor.name.starts_with("optimizer.") || !tensor.name.contains("running"));
    }
}

#[test]
fn weights_for_inference_are_the_average_with_all_that_it_takes() {
    let folder = tempfile::tempdir().unwrap();
    let (best, last) = (folder.path().join("best.safetensors"), folder.path().join("last"));
    let saved = state(3, Shortcut::A);
    checkpoint::save_for_inference(&saved, &best, &Disk).unwrap();
    save(&saved, &last);
    for (path, params) in [(&best, saved.averaged()), (&last, &saved.params)] {
        let weights = WeightsFile::open(path, &Overrides::default()).unwrap();
        for (id, info) in weights.network().table().iter() {
            assert_eq!(weights.tensor(id).unwrap()[..], *params.get(id), "{}", info.name);
        }
        assert_eq!(weights.preprocess(), &saved.inference.preprocess.stated());
        assert_eq!(weights.classes(), saved.inference.classes.as_deref());
        let mean = weights.pixel_mean().unwrap();
        assert_eq!((mean.height, mean.width), (32, 32));
        assert_eq!(Some(&mean.values[..]), saved.inference.preprocess.pixel_mean());
        assert_eq!(weights.notes().is_empty(), path == &best, "{:?}", weights.notes());
    }
    let error = checkpoint::load(&best).unwrap_err().to_string();
    assert!(error.contains("best.safetensors") && error.contains("no training state"), "{error}");
}
