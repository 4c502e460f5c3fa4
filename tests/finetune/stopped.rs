//! Runs that are stopped, killed or whose weights are gone: they go on to the same bytes, or leave nothing.

use super::*;

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
    // The same of published weights that are in no cache.
    let get = |line: &str| {
        let mut command = fixture.command(line);
        finish(command.env("HF_HUB_OFFLINE", "1").env("HF_HOME", fixture.path("hf")))
    };
    let named = line.replace("weights.safetensors", "hf:me/mine");
    let longer = get(&named.replace("--epochs 2", "--epochs 4"));
    assert_eq!(longer.code, 0, "{}", longer.err);
    assert!(longer.err.contains("hf:me/mine: not in the cache"), "{}", longer.err);
    assert!(longer.err.contains("; the run has what it needs of them"), "{}", longer.err);
    get(&format!("{named} --out new")).fails(1, &["hf:me/mine: not in the cache"]);
    assert!(!fixture.path("new").exists());
    let none = fixture.run("train data --recipe finetune --out new");
    none.fails(2, &["--recipe finetune: expected --weights FILE"]);
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
