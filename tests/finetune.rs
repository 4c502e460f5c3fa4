//! Fine-tuning as a user sees it: from weights and a folder of images to a network that `infer` can use.

mod common;

use common::program::{Run, finish, program};
use resnet_cpu::data::{self, demo};
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
fn a_frozen_backbone_keeps_every_bit_and_its_classifier_sees_what_infer_sees() {
    let fixture = Fixture::new(&["circle"], 1);
    fixture.shades("shades", 30);
    fixture.succeeds(
        "train shades --weights weights.safetensors --freeze backbone --out a --epochs 30",
    );
    let load = |name: &str| {
        let file = WeightsFile::open(fixture.path(name), &Overrides::default()).unwrap();
        Params::from_source(file.network(), &file).unwrap()
    };
    let (before, after) = (load("weights.safetensors"), load("a/last.safetensors"));
    for (id, info) in before.table().iter() {
        let same = before.get(id) == after.by_name(&info.name).unwrap();
        assert_eq!(same, !info.name.starts_with("fc."), "{}", info.name);
    }

    // The accuracy and the loss on record are those of the saved network on the images themselves.
    let classifier = Classifier::open(fixture.path("a/last.safetensors")).unwrap();
    let splits = data::open(Some(&fixture.path("shades"))).unwrap();
    let val = splits.val.unwrap();
    let images: Vec<_> = (0..val.len()).map(|i| val.image(i).unwrap()).collect();
    let (mut right, mut loss) = (0, 0.0);
    for (i, logits) in classifier.logits(&images).into_iter().enumerate() {
        let logits: Vec<f64> = logits.unwrap().into_iter().map(f64::from).collect();
        let own = logits[val.label(i)];
        right += usize::from(logits.iter().all(|&x| x <= own));
        loss += logits.iter().map(|x| (x - own).exp()).sum::<f64>().ln() / images.len() as f64;
    }
    let metrics = read_metrics(&fixture.path("a").join(METRICS), &Disk).unwrap();
    let last = metrics.epochs.last().unwrap();
    assert_eq!(last.val_top1, Some(right as f64 / images.len() as f64));
    assert!((last.val_loss.unwrap() - loss).abs() < 1e-6, "{last:?} {loss}");
    assert_eq!((last.train_top1, last.val_top1), (Some(1.0), Some(1.0)), "{last:?}");
}

#[test]
fn features_are_computed_once_and_again_when_anything_of_them_changes() {
    let fixture = Fixture::new(&["circle", "ring"], 6);
    let read = |out: &str, cache: &Cache| {
        fixture.with_run(true, out, cache, |run| {
            assert_eq!(run.train(&mut (), &Interrupt::none()).unwrap(), Outcome::Finished);
        });
        fixture.bytes(out)
    };
    let cache = Cache::at(fixture.path("kept"));
    let files = || {
        let mut files: Vec<PathBuf> =
            fs::read_dir(fixture.path("kept")).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        files
    };
    let first = read("a", &cache);
    let kept = files();
    assert_eq!(kept.len(), 2, "training and validation images");
    assert!(read("b", &Cache::none()) == first, "without a cache");
    // A file of features that is damaged is not used, and replaced.
    let whole = fs::read(&kept[0]).unwrap();
    for damage in [&whole[..whole.len() / 2], b"", b"something else"] {
        fs::write(&kept[0], damage).unwrap();
        let out = format!("damaged-{}", damage.len());
        assert!(read(&out, &cache) == first, "{out}");
        assert!(fs::read(&kept[0]).unwrap() == whole, "{out}");
    }
    // An image that is replaced by another of the same name and size is noticed.
    let image = fixture.path("data/ring/0.png");
    let time = fs::metadata(&image).unwrap().modified().unwrap() + Duration::from_secs(7);
    fs::File::options().append(true).open(&image).unwrap().set_modified(time).unwrap();
    assert!(read("touched", &cache) == first);
    assert!(files().len() > 2, "computed again");
    // Where nothing can be kept, the run says so and goes on.
    fs::write(fixture.path("file"), b"").unwrap();
    fixture.with_run(true, "unkept", &Cache::at(fixture.path("file")), |run| {
        assert!(run.notes()[0].contains("cannot keep features here"), "{:?}", run.notes());
    });
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

/// Asks the run to stop after some calls.
struct StopAt {
    left: usize,
    interrupt: Interrupt,
}

impl StopAt {
    fn count(&mut self) {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            self.interrupt.raise();
        }
    }
}

impl Observer for StopAt {
    fn step(&mut self, _: &StepReport) {
        self.count();
    }

    fn validating(&mut self, _: usize, _: usize) {
        self.count();
    }
}

/// Trains until it is stopped, each time at another kind of moment.
fn train_for_a_while(run: &mut resnet_cpu::train::Run, runs: &mut usize) -> Outcome {
    let interrupt = Interrupt::none();
    let mut observer = StopAt { left: 1 + *runs % 3, interrupt: interrupt.clone() };
    *runs += 1;
    run.train(&mut observer, &interrupt).unwrap()
}

#[test]
fn stopped_anywhere_it_goes_on_without_the_weights_to_the_same_bytes() {
    let fixture = Fixture::new(&["circle", "ring", "square"], 9);
    for frozen in [false, true] {
        let name = |kind: &str| format!("{kind}-{frozen}");
        fixture.with_run(frozen, &name("whole"), &Cache::none(), |run| {
            assert_eq!(run.train(&mut (), &Interrupt::none()).unwrap(), Outcome::Finished);
        });
        let whole = fixture.bytes(&name("whole"));
        let mut runs = 0;
        let first = fixture.with_run(frozen, &name("stopped"), &Cache::none(), |run| {
            train_for_a_while(run, &mut runs)
        });
        assert_eq!(first, Outcome::Interrupted);
        // The same configuration, and no weights.
        let config = checkpoint::load_config(&fixture.path(&name("stopped")).join(LAST)).unwrap();
        assert_eq!(config.freeze == Freeze::Backbone, frozen);
        let data = TrainData::new(data::open(Some(&fixture.path("data"))).unwrap(), 0).unwrap();
        let options =
            RunOptions { backend: Backend::Native(Isa::best()), save_every: Duration::MAX };
        let out = fixture.path(&name("stopped"));
        loop {
            let mut run = resnet_cpu::train::Run::open(
                &out,
                config.clone(),
                &data,
                options,
                &Disk,
                &Unwatched,
            )
            .unwrap();
            if train_for_a_while(&mut run, &mut runs) == Outcome::Finished {
                break;
            }
        }
        assert!(runs > 4, "{runs}");
        assert!(fixture.bytes(&name("stopped")) == whole, "frozen: {frozen}");
        let lines = fs::read_to_string(out.join(METRICS)).unwrap().lines().count();
        assert_eq!(lines, 3);
    }
}

#[test]
#[cfg(unix)]
fn killed_and_started_again_by_the_same_command_it_ends_with_the_same_bytes() {
    let fixture = Fixture::new(&["circle", "ring", "square"], 12);
    for frozen in ["none", "backbone"] {
        let line = |out: &str| {
            format!(
                "train data --weights weights.safetensors --freeze {frozen} --epochs 12 --save-every 0 \
                 --out {out}"
            )
        };
        fixture.succeeds(&line(&format!("whole-{frozen}")));
        let whole = fixture.bytes(&format!("whole-{frozen}"));
        let out = format!("killed-{frozen}");
        let mut rng = Rng::named(2, frozen);
        let (mut kills, mut gone) = (0_u64, false);
        loop {
            let mut command = fixture.command(&line(&out));
            let mut child = command.arg("--quiet").stdout(Stdio::null()).spawn().unwrap();
            let until =
                Instant::now() + Duration::from_millis(30 + rng.below(400) as u64 + 20 * kills);
            while Instant::now() < until && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                break;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
            if !gone && fixture.path(&out).join(LAST).exists() {
                // From here on without the weights.
                fs::rename(fixture.path("weights.safetensors"), fixture.path("away")).unwrap();
                gone = true;
            }
            assert!(kills < 500, "it does not get on");
        }
        if gone {
            fs::rename(fixture.path("away"), fixture.path("weights.safetensors")).unwrap();
        }
        println!("{kills} kills, the weights were gone: {gone}");
        assert!(fixture.bytes(&out) == whole, "{out}");
    }
}

#[test]
fn the_weights_may_be_gone_and_others_are_not_taken_for_them() {
    let fixture = Fixture::new(&["circle", "ring"], 6);
    let line = "train data --weights weights.safetensors --freeze backbone --epochs 2";
    fixture.succeeds(line);
    assert!(fixture.path("runs/data-finetune-resnet20/last.safetensors").is_file());
    let again = fixture.succeeds(line);
    assert!(again.err.contains("runs/data-finetune-resnet20: finished"), "{}", again.err);

    fixture.weights("others.safetensors", "resnet20", Metadata::default());
    let other = fixture.run("train data --weights others.safetensors --freeze backbone --epochs 2");
    other.fails(2, &["runs/data-finetune-resnet20: holds a run", "initial weights: stored "]);

    fs::remove_file(fixture.path("weights.safetensors")).unwrap();
    let longer = fixture.succeeds(&line.replace("--epochs 2", "--epochs 3"));
    assert!(longer.err.contains("weights.safetensors: no longer there"), "{}", longer.err);
    fixture.succeeds("train data --recipe finetune --freeze backbone --epochs 3");
    fixture.succeeds("train data --freeze backbone --epochs 3 --out runs/data-finetune-resnet20");
    fixture
        .run("train data --weights weights.safetensors --out new")
        .fails(1, &["weights.safetensors"]);
    assert!(!fixture.path("new").exists());
    let none = fixture.run("train data --recipe finetune --out new");
    none.fails(2, &["--recipe finetune: expected --weights FILE"]);
}

#[test]
fn what_does_not_fit_is_one_line_before_images_are_read() {
    let fixture = Fixture::new(&["circle", "ring"], 6);
    // Whoever reads this image fails.
    fs::write(fixture.path("data/ring/broken.png"), b"\x89PNG\r\n\x1a\n").unwrap();
    fs::create_dir(fixture.path("one")).unwrap();
    fixture.images("one", &["circle"], 3);
    fs::write(
        fixture.path("corrupt.safetensors"),
        &fs::read(fixture.path("weights.safetensors")).unwrap()[..9999],
    )
    .unwrap();
    fixture.images("photos", &["a", "b"], 1);
    image::RgbImage::new(300, 200).save(fixture.path("photos/a/0.png")).unwrap();
    let named = |names: [&str; 10]| Metadata {
        classes: Some(names.map(str::to_owned).to_vec()),
        ..Metadata::default()
    };
    fixture.weights("named.safetensors", "resnet20", named(demo::CLASSES));
    let mut swapped = demo::CLASSES;
    swapped.swap(3, 4);
    fixture.weights("swapped.safetensors", "resnet20", named(swapped));
    let mut ten = demo::CLASSES;
    ten.sort_unstable();
    fixture.images("ten", &ten, 2);
    for (line, code, parts) in [
        ("data -w missing.safetensors", 1, &["missing.safetensors"][..]),
        ("data -w corrupt.safetensors", 1, &["corrupt.safetensors"]),
        ("data -w data/circle/0.png", 1, &["0.png", "PNG image"]),
        (
            "data -w weights.safetensors --arch resnet32",
            1,
            &["weights.safetensors", "resnet32", "resnet20"],
        ),
        ("one -w weights.safetensors", 1, &["circle"]),
        (
            "photos -w weights.safetensors",
            2,
            &["resnet20 sees 24 x 24", "300 x 200", "--arch resnet20"],
        ),
        (
            "data -w weights.safetensors --recipe fast-cifar",
            2,
            &["one for 10 classes, not 2", "--recipe finetune"],
        ),
        (
            "ten -w swapped.safetensors --recipe fast-cifar",
            2,
            &["one whose class ", "--recipe finetune"],
        ),
        (
            "data -w weights.safetensors --mean-mode pixel-mean",
            2,
            &["mean-mode: expected channel, as the weights say"],
        ),
        ("data -w weights.safetensors --zero-init", 2, &["zero-init: expected false"]),
        (
            "data -w weights.safetensors --backbone-lr 0",
            2,
            &["backbone-lr: expected a positive number", "--freeze"],
        ),
        (
            "data -w weights.safetensors --freeze head",
            2,
            &["--freeze: expected none, backbone, found head"],
        ),
        (
            "data -w weights.safetensors --freeze backbone --augment crop",
            2,
            &["augment: expected none, since"],
        ),
        (
            "data -w weights.safetensors --freeze backbone --backbone-lr 0.5",
            2,
            &["backbone-lr: expected nothing"],
        ),
        (
            "data -w weights.safetensors --freeze backbone --batch 8 --micro-batch 4",
            2,
            &["micro-batch: expected nothing"],
        ),
        ("data --freeze backbone", 2, &["freeze: expected none, or --weights FILE"]),
        // Reads no image to say so, either.
        ("data -w weights.safetensors --val-split 12", 2, &["val-split: expected fewer images"]),
    ] {
        let run = fixture.run(&format!("train {line} --out new"));
        run.fails(code, parts);
        assert!(!run.err.contains("broken.png"), "{line}: {}", run.err);
        assert!(!fixture.path("new").exists(), "{line}");
    }
    for flags in ["", "--freeze backbone"] {
        let broken = fixture.run(&format!("train data -w weights.safetensors --out new {flags}"));
        broken.fails(1, &["broken.png"]);
        assert!(!fixture.path("new").exists());
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

/// Stops after some signs of progress of a kind.
struct StopIn(&'static str, u64, AtomicU64);

impl Watch for StopIn {
    fn progress(&self, what: &'static str, _: u64, _: Option<u64>) {
        if what.contains(self.0) {
            self.2.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn stopped(&self) -> bool {
        self.2.load(Ordering::Relaxed) >= self.1
    }
}

#[test]
fn stopped_before_the_first_step_it_leaves_nothing() {
    let fixture = Fixture::new(&["circle", "ring"], 40);
    let weights = WeightsFile::open(fixture.path("weights.safetensors"), &Overrides::default());
    let weights = StartingWeights::of_file(&weights.unwrap()).unwrap();
    let data = TrainData::new(data::open(Some(&fixture.path("data"))).unwrap(), 0).unwrap();
    let options = RunOptions { backend: Backend::Native(Isa::best()), save_every: Duration::MAX };
    for (frozen, what) in [
        (false, "images read"),
        (false, "measured for batch norm"),
        (true, "training images through"),
    ] {
        let watch = StopIn(what, 1, AtomicU64::new(0));
        let config = config(&weights, &data, frozen);
        let out = fixture.path("out");
        let error = resnet_cpu::train::Run::open_from(
            Some(&weights),
            &out,
            config,
            &data,
            options,
            &Disk,
            &watch,
        )
        .err()
        .unwrap_or_else(|| panic!("{what}: not stopped"));
        assert!(error.to_string().contains("interrupted"), "{what}: {error}");
        assert!(!out.exists(), "{what}");
    }
}

/// Counts how often it is asked whether to stop, and says yes from some time on.
struct Looks {
    looked: AtomicU64,
    most: u64,
}

impl Watch for Looks {
    fn progress(&self, _: &'static str, _: u64, _: Option<u64>) {}

    fn stopped(&self) -> bool {
        self.looked.fetch_add(1, Ordering::Relaxed) >= self.most
    }
}

/// A batch of features takes seconds for a large network on photographs: it is not waited for.
#[test]
fn features_are_stopped_between_layers() {
    let fixture = Fixture::new(&["circle", "ring"], 34);
    let weights = WeightsFile::open(fixture.path("weights.safetensors"), &Overrides::default());
    let weights = StartingWeights::of_file(&weights.unwrap()).unwrap();
    let data = TrainData::new(data::open(Some(&fixture.path("data"))).unwrap(), 0).unwrap();
    let options = RunOptions { backend: Backend::Native(Isa::best()), save_every: Duration::MAX };
    let open = |out: &str, most: u64| {
        let watch = Looks { looked: AtomicU64::new(0), most };
        let config = config(&weights, &data, true);
        let out = fixture.path(out);
        let run = resnet_cpu::train::Run::open_from(
            Some(&weights),
            &out,
            config,
            &data,
            options,
            &Disk,
            &watch,
        );
        (run.err().map(|error| error.to_string()), watch.looked.into_inner())
    };
    let (error, all) = open("whole", u64::MAX);
    assert_eq!(error, None);
    // A batch of training images and one of validation: 22 layers each, beside what reads images.
    assert!(all >= 2 * 22, "{all} looks");
    for most in [all / 4, all / 2, all * 3 / 4] {
        let (error, _) = open("stopped", most);
        assert!(error.is_some_and(|error| error.contains("interrupted")), "{most} of {all}");
        assert!(!fixture.path("stopped").exists(), "{most} of {all}");
    }
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
