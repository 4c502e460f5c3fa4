//! Runs with every part of augmentation and with growing sides: the same bytes for any threads, and where
//! they are stopped at any step and continued; what mixed images do not have is null.

use resnet_cpu::data::{Dataset, Kind, MemoryDataset, ValidationOrigin};
use resnet_cpu::gemm::Backend;
use resnet_cpu::model::Options;
use resnet_cpu::runtime::{Cache, Disk, Unwatched};
use resnet_cpu::simd::Isa;
use resnet_cpu::train::{
    ColourKind, Config, CropKind, Images, Interrupt, LAST, Length, METRICS, Observer, Outcome,
    Plan, Recipe, Run, RunOptions, SideEpochs, StepReport, TrainData, read_metrics,
};
use std::fs;
use std::path::Path;
use std::time::Duration;

fn data() -> TrainData {
    let [train, val] = [0..50, 50..70]
        .map(|range| -> Box<dyn Dataset> { Box::new(MemoryDataset::demo(4, range)) });
    let (origin, kind, cache) = (ValidationOrigin::Val, Kind::Demo, Cache::none());
    TrainData { train, val: Some(val), origin, kind, cache }
}

/// Three epochs of three steps on sides of 16, 24 and 16 pixels.
fn config(data: &TrainData) -> Config {
    let recipe = Recipe::FastCifar;
    let mut config = recipe.config(&recipe.spec("resnet20", Options::default()).unwrap());
    data.fit(&mut config);
    config.length = Length::Epochs(3);
    (config.batch, config.micro_batch) = (16, Some(8));
    config.images = Images {
        crop: Some(CropKind::Area),
        flip: None,
        colour: Some(ColourKind::Own),
        area: Some(0.25),
        jitter: Some([0.4, 0.4, 0.4, 0.1]),
        erase: Some(0.5),
        mixup: Some(0.2),
        cutmix: Some(1.0),
        sides: [16, 24, 16].map(|side| SideEpochs(side, 1)).to_vec(),
    };
    config.settle(|_| true);
    config.check().unwrap();
    config
}

/// Stops a run when it has done some steps in this process.
struct StopAfter(u64, Interrupt);

impl Observer for StopAfter {
    fn step(&mut self, report: &StepReport) {
        assert_eq!(report.top1, None);
        self.0 = self.0.saturating_sub(1);
        if self.0 == 0 {
            self.1.raise();
        }
    }
}

fn train(folder: &Path, config: &Config, threads: usize, steps: u64) -> Outcome {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let data = data();
        let options =
            RunOptions { backend: Backend::Native(Isa::best()), save_every: Duration::MAX };
        let mut run = Run::open(folder, config.clone(), &data, options, &Disk, &Unwatched).unwrap();
        assert!(run.state().colours.is_some());
        let mut stop = StopAfter(steps, Interrupt::none());
        let interrupt = stop.1.clone();
        run.train(&mut stop, &interrupt).unwrap()
    })
}

#[test]
fn stopped_anywhere_it_ends_with_the_same_bytes() {
    let config = config(&data());
    let folders = tempfile::TempDir::new().unwrap();
    let whole = folders.path().join("whole");
    assert_eq!(train(&whole, &config, 2, u64::MAX), Outcome::Finished);
    let expected = fs::read(whole.join(LAST)).unwrap();
    for (threads, steps) in [(1, 1), (3, 2), (2, 4)] {
        let folder = folders.path().join(format!("stopped-{steps}"));
        let mut parts = 1;
        while train(&folder, &config, threads, steps) == Outcome::Interrupted {
            parts += 1;
        }
        assert!(parts as u64 >= 9 / steps, "{parts} parts");
        let same = fs::read(folder.join(LAST)).unwrap() == expected;
        assert!(same, "{threads} threads, stopped every {steps} steps");
    }
    let metrics = read_metrics(&whole.join(METRICS), &Disk).unwrap().epochs;
    assert_eq!(metrics.len(), 3);
    assert!(metrics.iter().all(|epoch| epoch.train_top1.is_none() && epoch.val_top1.is_some()));
    assert!(metrics.iter().all(|epoch| epoch.train_loss.is_some_and(|loss| loss > 0.0)));
}

/// A switch that does nothing would be worse than none.
#[test]
fn each_switch_changes_the_run() {
    type Change = fn(&mut Config);
    let changes: [Change; 10] = [
        |_| {},
        |c| c.images.crop = Some(CropKind::Pad),
        |c| c.images.flip = Some(false),
        |c| c.images.colour = Some(ColourKind::Imagenet),
        |c| c.images.area = None,
        |c| c.images.jitter = None,
        |c| c.images.erase = None,
        |c| c.images.mixup = Some(0.3),
        |c| c.images.cutmix = None,
        |c| c.images.sides.clear(),
    ];
    let folders = tempfile::TempDir::new().unwrap();
    let data = data();
    let options = RunOptions { backend: Backend::Native(Isa::best()), save_every: Duration::MAX };
    let mut losses = Vec::new();
    for (i, change) in changes.into_iter().enumerate() {
        let mut config = Config { length: Length::Iterations(3), ..config(&data) };
        config.images.sides.truncate(1);
        change(&mut config);
        config.check().unwrap();
        let folder = folders.path().join(i.to_string());
        let mut run = Run::open(&folder, config, &data, options, &Disk, &Unwatched).unwrap();
        assert_eq!(run.train(&mut (), &Interrupt::none()).unwrap(), Outcome::Finished);
        losses.push(run.epochs()[0].train_loss.unwrap());
    }
    for (i, loss) in losses.iter().enumerate() {
        assert!(!losses[..i].contains(loss), "change {i}: {losses:?}");
    }
}

#[test]
fn a_plan_times_each_side() {
    let data = data();
    let config = config(&data);
    let plan = Plan::measure(config, &data, Backend::Native(Isa::best()), &Unwatched).unwrap();
    assert_eq!((plan.steps, plan.steps_per_epoch), (9, 3));
    assert!(plan.step_seconds > 0.0 && plan.seconds().is_finite() && plan.validation_seconds > 0.0);
}
