//! Fine-tuning as a user sees it: from weights and a folder of images to a network that `infer` can use.

#[path = "../common/mod.rs"]
mod common;
mod frozen;
mod refused;
mod stopped;

use common::program::{Run, finish, program};
use resnet_cpu::data::{self, CropMode, Interpolation, demo};
use resnet_cpu::gemm::Backend;
use resnet_cpu::infer::Classifier;
use resnet_cpu::model::{InitOptions, ModelSpec, Network, Options, Params, Role, initialize};
use resnet_cpu::runtime::{Cache, Disk, Rng, Unwatched, Watch};
use resnet_cpu::simd::Isa;
use resnet_cpu::train::{
    BEST, Config, Freeze, Interrupt, LAST, METRICS, Observer, Outcome, Recipe, RunOptions,
    StartingWeights, StepReport, TrainData, checkpoint, read_metrics,
};
use resnet_cpu::weights::{Metadata, Overrides, StatedPreprocess, WeightsFile, write_weights};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What images of these weights are prepared with; not the standard of any family.
const STATED: StatedPreprocess = StatedPreprocess {
    mean: Some([0.5, 0.25, 0.125]),
    std: Some([0.5; 3]),
    pad: None,
    resize: Some(28),
    crop: Some(24),
    interpolation: Some(Interpolation::Bilinear),
    crop_mode: Some(CropMode::Center),
};

struct Fixture {
    folder: TempDir,
}

impl Fixture {
    /// Weights of a ResNet-20 with batch norm as some publishers leave it, and `images` of each of `classes`.
    fn new(classes: &[&str], images: u64) -> Self {
        let fixture = Self { folder: TempDir::new().unwrap() };
        fixture.weights(
            "weights.safetensors",
            "resnet20",
            Metadata { preprocess: STATED, ..Default::default() },
        );
        fixture.images("data", classes, images);
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn weights(&self, name: &str, arch: &str, metadata: Metadata) -> Params {
        let network = Network::new(&ModelSpec::new(arch, Options::default()).unwrap());
        let mut params = initialize(&network, 1, InitOptions::default());
        let mut rng = Rng::named(1, "published");
        for (id, info) in network.table().iter() {
            match info.role {
                Role::Gamma => params.get_mut(id).fill_with(|| 0.1 * rng.uniform() + 0.05),
                Role::Beta => params.get_mut(id).fill_with(|| 0.2 * rng.normal()),
                _ => {}
            }
        }
        let metadata = Metadata {
            preprocess: metadata.preprocess,
            classes: metadata.classes,
            ..Metadata::of_spec(&network.spec)
        };
        write_weights(self.path(name), &network, &params, None, &metadata.entries()).unwrap();
        params
    }

    /// Drawn shapes: class `i` is the demo's class `i`.
    fn images(&self, folder: &str, classes: &[&str], images: u64) {
        for (label, class) in classes.iter().enumerate() {
            fs::create_dir_all(self.path(folder).join(class)).unwrap();
            let of_class =
                (0_u64..).map(|i| demo::image(5, i)).filter(|(_, found)| *found == label);
            for (i, (image, _)) in of_class.take(images as usize).enumerate() {
                let path = self.path(folder).join(class).join(format!("{i}.png"));
                let side = demo::SIDE as u32;
                image::save_buffer(path, image.pixels(), side, side, image::ColorType::Rgb8)
                    .unwrap();
            }
        }
    }

    /// Noise, half of it dark and half bright: anybody's features tell them apart.
    fn shades(&self, folder: &str, images: u32) {
        for (shade, class) in [(0, "dark"), (120, "bright")] {
            fs::create_dir_all(self.path(folder).join(class)).unwrap();
            let mut rng = Rng::named(3, class);
            for i in 0..images {
                let mut image = image::RgbImage::new(32, 32);
                image.iter_mut().for_each(|value| *value = shade + rng.below(130) as u8);
                image.save(self.path(folder).join(class).join(format!("{i}.png"))).unwrap();
            }
        }
    }

    fn command(&self, line: &str) -> Command {
        let args: Vec<&str> = line.split_whitespace().collect();
        let mut command = program(self.folder.path(), &args);
        command.env("XDG_CACHE_HOME", self.path("caches"));
        command
    }

    fn run(&self, line: &str) -> Run {
        finish(&mut self.command(line))
    }

    fn succeeds(&self, line: &str) -> Run {
        let run = self.run(line);
        assert_eq!(run.code, 0, "{line}: {}", run.err);
        run
    }

    fn bytes(&self, out: &str) -> [Vec<u8>; 2] {
        [LAST, BEST].map(|name| fs::read(self.path(out).join(name)).unwrap())
    }

    fn features_kept(&self) -> usize {
        let Ok(kept) = fs::read_dir(self.path("caches/resnet-cpu")) else { return 0 };
        let names = kept.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("features-")).count()
    }

    /// Runs in this process, as the command with the same flags would.
    fn with_run<T>(
        &self,
        frozen: bool,
        out: &str,
        cache: &Cache,
        use_it: impl FnOnce(&mut resnet_cpu::train::Run) -> T,
    ) -> T {
        let weights = WeightsFile::open(self.path("weights.safetensors"), &Overrides::default());
        let weights = StartingWeights::of_file(&weights.unwrap()).unwrap();
        let data = TrainData::new(data::open(Some(&self.path("data"))).unwrap(), 0).unwrap();
        let data = data.remembered_in(cache.clone());
        let config = config(&weights, &data, frozen);
        let options =
            RunOptions { backend: Backend::Native(Isa::best()), save_every: Duration::MAX };
        let out = self.path(out);
        let mut run = resnet_cpu::train::Run::open_from(
            Some(&weights),
            &out,
            config,
            &data,
            options,
            &Disk,
            &Unwatched,
        )
        .unwrap();
        use_it(&mut run)
    }
}

fn config(weights: &StartingWeights, data: &TrainData, frozen: bool) -> Config {
    let options = weights.options(data.train.classes());
    let spec = ModelSpec::new(&weights.spec().name, options).unwrap();
    let mut config = Recipe::Finetune.config(&spec);
    data.fit(&mut config);
    weights.fit(&mut config);
    config.fit_finetuning(frozen, true);
    config.length = resnet_cpu::train::Length::Epochs(3);
    config.settle(|_| false);
    config
}

#[test]
fn few_images_become_a_network_that_infer_knows_all_of() {
    let fixture = Fixture::new(&["circle", "ring", "square"], 5);
    for (flags, out) in [("", "whole"), ("--freeze backbone", "frozen")] {
        let run = fixture.succeeds(&format!(
            "train data --weights weights.safetensors {flags} --epochs 4 --out {out}"
        ));
        // One of each class is held out, and three images say little.
        assert!(run.err.contains("3 of 15 images are held out"), "{}", run.err);
        assert!(run.err.contains("recipe            = finetune"), "{}", run.err);
        assert!(run.out.starts_with("validation top-1 "), "{}", run.out);
        assert!(run.out.contains(" of 3 images (95 % interval "), "{}", run.out);
        let metrics = read_metrics(&fixture.path(out).join(METRICS), &Disk).unwrap();
        assert_eq!(metrics.epochs.len(), 4);
        let config = checkpoint::load_config(&fixture.path(out).join(LAST)).unwrap();
        assert_eq!((config.side, config.batch, config.classes), (24, 8, 3));
        assert_eq!(config.initial.as_ref().unwrap().len(), 16);

        for name in [LAST, BEST] {
            let file =
                WeightsFile::open(fixture.path(out).join(name), &Overrides::default()).unwrap();
            assert_eq!(*file.preprocess(), STATED, "{name}");
            assert_eq!(file.classes().unwrap(), ["circle", "ring", "square"], "{name}");
        }
        let infer =
            fixture.succeeds(&format!("infer --weights {out}/best.safetensors data/ring/0.png"));
        assert!(infer.out.contains("circle") && infer.out.lines().count() == 3, "{}", infer.out);
    }
    assert_eq!(fixture.features_kept(), 2);
}

#[test]
fn any_threads_and_instruction_sets_give_the_same_bytes() {
    let fixture = Fixture::new(&["circle", "ring", "square"], 9);
    for frozen in ["none", "backbone"] {
        let train = |out: String, flags: &str| {
            fixture.succeeds(&format!(
                "train data --weights weights.safetensors --freeze {frozen} --epochs 3 --out {out} \
                 --cache kept-{out} {flags} --quiet"
            ));
            fixture.bytes(&out)
        };
        let first = train(format!("{frozen}-1"), "--threads 1");
        for threads in [2, 3, 8] {
            let out = format!("{frozen}-{threads}");
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                fixture.with_run(frozen == "backbone", &out, &Cache::none(), |run| {
                    assert_eq!(run.train(&mut (), &Interrupt::none()).unwrap(), Outcome::Finished);
                });
            });
            assert!(fixture.bytes(&out) == first, "{out}");
        }
        for isa in Isa::available().into_iter().filter(|isa| isa.is_exact()) {
            let out = format!("{frozen}-{isa}");
            assert!(train(out.clone(), &format!("--isa {isa}")) == first, "{out}");
        }
    }
}

#[test]
fn another_recipe_goes_on_with_the_classifier_that_fits() {
    let fixture = Fixture::new(&["circle"], 1);
    let mut classes = demo::CLASSES;
    classes.sort_unstable();
    let names = classes.map(str::to_owned).to_vec();
    let metadata = Metadata { classes: Some(names), preprocess: STATED, ..Default::default() };
    let before = fixture.weights("named.safetensors", "resnet20", metadata);
    fixture.images("ten", &classes, 2);
    fixture.succeeds(
        "train ten -w named.safetensors --recipe fast-cifar --batch 8 --iterations 1 --lr 1e-9 --out a",
    );
    let file =
        WeightsFile::open(fixture.path("a/last.safetensors"), &Overrides::default()).unwrap();
    let after = Params::from_source(file.network(), &file).unwrap();
    let fc = |params: &Params| params.by_name("fc.weight").unwrap().to_vec();
    let moved =
        fc(&before).iter().zip(fc(&after)).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
    assert!(moved < 1e-6, "{moved}");
    assert_eq!(*file.preprocess(), STATED);
}

#[test]
fn the_backbone_moves_slower_and_batch_norm_is_made_fit_first() {
    let fixture = Fixture::new(&["circle", "ring"], 20);
    let step = |out: &str, flags: &str| {
        let line = "train data -w weights.safetensors --iterations 1 --warmup 0 --augment none";
        fixture.succeeds(&format!("{line} {flags} --out {out}"));
        let file = WeightsFile::open(fixture.path(out).join(LAST), &Overrides::default()).unwrap();
        Params::from_source(file.network(), &file).unwrap()
    };
    let [slow, fast, still] = [
        ("a", "--lr 0.5 --backbone-lr 0.1"),
        ("b", "--lr 0.5 --backbone-lr 1"),
        ("c", "--lr 1e-12"),
    ]
    .map(|(out, flags)| step(out, flags));
    let moved = |params: &Params, name: &str| -> f64 {
        let (new, old) = (params.by_name(name).unwrap(), still.by_name(name).unwrap());
        new.iter().zip(old).map(|(a, b)| f64::from((a - b).abs())).sum()
    };
    assert_eq!(
        slow.by_name("fc.weight"),
        fast.by_name("fc.weight"),
        "the classifier's rate is the same"
    );
    let ratio = moved(&fast, "layer2.0.conv1.weight") / moved(&slow, "layer2.0.conv1.weight");
    assert!((ratio - 10.0).abs() < 0.1, "{ratio}");
    // The weights state variances of 1; the run's are those of its images.
    let var = still.by_name("layer3.2.bn2.running_var").unwrap();
    assert!(var.iter().any(|var| (var - 1.0).abs() > 0.5), "{var:?}");
}

#[test]
fn a_plan_says_what_fine_tuning_takes_and_writes_nothing() {
    let fixture = Fixture::new(&["circle", "ring"], 20);
    for (flags, steps) in
        [("", "steps   160 (40.0 epochs)"), ("--freeze backbone", "steps   400 (100.0 epochs)")]
    {
        let run = fixture.succeeds(&format!("train data -w weights.safetensors {flags} --plan"));
        assert!(run.out.starts_with(steps), "{}", run.out);
    }
    assert!(!fixture.path("runs").exists() && fixture.features_kept() == 0);
}
