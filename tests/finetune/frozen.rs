//! A backbone that is not trained: its features are computed once, kept, and stopped when that is asked for.

use super::*;

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
fn a_network_that_cannot_be_trained_whole_can_be_frozen() {
    let fixture = Fixture::new(&["circle"], 1);
    fixture.shades("shades", 12);
    let stated = Metadata { preprocess: STATED, ..Default::default() };
    fixture.weights("later.safetensors", "resnet10t", stated);
    let whole = fixture.run("train shades --weights later.safetensors --out whole");
    whole.fails(
        2,
        &["resnet10t can be run", "--freeze backbone", "training all of it is not supported"],
    );
    assert!(!fixture.path("whole").exists());
    let fresh = fixture.run("train shades --arch resnext50_32x4d --out fresh");
    fresh.fails(2, &["resnext50_32x4d can be run", "training all of it is not supported"]);
    fixture.succeeds(
        "train shades --weights later.safetensors --freeze backbone --out frozen --epochs 2 --lr 1e-6",
    );
    let file = WeightsFile::open(fixture.path("frozen/best.safetensors"), &Overrides::default());
    assert_eq!(file.unwrap().spec().name, "resnet10t");
    let eval = fixture.succeeds("eval shades --weights frozen/best.safetensors --json");
    assert!(eval.out.contains("\"images\""), "{}", eval.out);
}
