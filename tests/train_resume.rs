//! The promise for training: the same bytes for any threads and instruction set, and after any
//! interruption, kills inside a save included.

mod common;

use common::program::{finish, program, write_records};
use common::shards::pack;
use resnet_cpu::data::{self, JpegDecoder};
use resnet_cpu::gemm::Backend;
use resnet_cpu::runtime::{Disk, Rng, Unwatched};
use resnet_cpu::simd::Isa;
use resnet_cpu::train::{
    Interrupt, LAST, METRICS, Observer, Outcome, Run, RunOptions, StepReport, TrainData, checkpoint,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A run of 20 steps, five an epoch, with every part of the state in use.
const TRAIN: &str = "train data --arch resnet20 --batch 16 --epochs 4 --mean-mode pixel-mean \
    --ema 0.9 --label-smoothing 0.1 --val-split 20 --schedule plateau --patience 0 --quiet";

struct Fixture {
    folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        write_records(&folder.path().join("data/train.bin"), 103);
        write_records(&folder.path().join("data/test.bin"), 20);
        Self { folder }
    }

    /// As many images in shards.
    fn of_shards() -> Self {
        let folder = TempDir::new().unwrap();
        pack(&folder.path().join("data"), &[("train", 0..103), ("val", 103..123)], 30);
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn train(&self, out: &str, flags: &[&str]) -> Command {
        let mut args: Vec<&str> = TRAIN.split_whitespace().collect();
        args.extend(["--out", out]);
        args.extend(flags);
        program(self.folder.path(), &args)
    }

    /// Trains to the end; the bytes of the last checkpoint and of the best weights.
    fn finish(&self, out: &str, flags: &[&str]) -> [Vec<u8>; 2] {
        let run = finish(&mut self.train(out, flags));
        assert_eq!(run.code, 0, "{}", run.err);
        self.bytes(out)
    }

    /// Trains what `like` trained once more in this process, on `threads` threads; as
    /// [`finish`](Self::finish).
    fn finish_with(&self, like: &str, threads: usize) -> [Vec<u8>; 2] {
        let out = format!("rayon-{threads}");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let config = checkpoint::load(&self.path(like).join(LAST)).unwrap().config;
            let data = TrainData::new(data::open(Some(&self.path("data"))).unwrap(), 20).unwrap();
            let backend = Backend::Native(Isa::best());
            let options = RunOptions { backend, save_every: Duration::MAX };
            let out = self.path(&out);
            let mut run = Run::open(&out, config, &data, options, &Disk, &Unwatched).unwrap();
            assert_eq!(run.train(&mut (), &Interrupt::none()).unwrap(), Outcome::Finished);
        });
        self.bytes(&out)
    }

    fn bytes(&self, out: &str) -> [Vec<u8>; 2] {
        let folder = self.path(out);
        ["last.safetensors", "best.safetensors"].map(|name| fs::read(folder.join(name)).unwrap())
    }
}

#[test]
fn the_same_bytes_for_any_threads_and_instruction_set() {
    let fixture = Fixture::new();
    let first = fixture.finish("threads-1", &["--threads", "1"]);
    // The program starts no more threads than there are CPUs; rayon does.
    for threads in [2, 3, 8] {
        let same = fixture.finish_with("threads-1", threads) == first;
        assert!(same, "{threads} threads gave other bytes");
    }
    for isa in Isa::available().into_iter().filter(|isa| isa.is_exact()) {
        let same = fixture.finish(isa.name(), &["--isa", isa.name()]) == first;
        assert!(same, "{isa} gave other bytes");
    }
    let metrics = fs::read_to_string(fixture.path("threads-1/metrics.jsonl")).unwrap();
    assert_eq!(metrics.lines().count(), 4);
    let other = fixture.finish("seed-1", &["--seed", "1"]);
    assert_ne!(other[0], first[0], "the seed matters");
}

#[test]
#[cfg(unix)]
fn killed_at_random_moments_it_ends_with_the_same_bytes() {
    killed_at_random_moments(&Fixture::new());
}

/// The order of an epoch and the place in it are not in any reader.
#[test]
#[cfg(unix)]
fn killed_in_the_middle_of_epochs_from_shards_it_ends_with_the_same_bytes() {
    killed_at_random_moments(&Fixture::of_shards());
}

#[cfg(unix)]
fn killed_at_random_moments(fixture: &Fixture) {
    /// At least so many kills, and of those inside a save (their half-written file is left).
    const KILLS: usize = 12;
    const INSIDE: usize = 2;
    let whole = fixture.finish("whole", &[]);
    let mut rng = Rng::named(3, "kills");
    let exact: Vec<&str> =
        Isa::available().into_iter().filter(|isa| isa.is_exact()).map(Isa::name).collect();
    let (mut kills, mut inside, mut runs) = (0, 0, 0);
    let mut out = "killed-0".to_owned();
    while kills < KILLS || inside < INSIDE {
        assert!(kills < 20 * KILLS, "no kill was inside a save");
        // Machine and save interval may change from one part of a run to the next.
        let isa = exact[kills % exact.len()];
        let threads = ["1", "2"][kills % 2];
        let flags = ["--save-every", "0", "--threads", threads, "--isa", isa];
        let mut child = fixture.train(&out, &flags).stdout(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + Duration::from_millis(30 + rng.below(700) as u64);
        let aimed = kills % 2 == 1;
        while Instant::now() < until || (aimed && half_written(&fixture.path(&out)).is_none()) {
            if child.try_wait().unwrap().is_some() {
                break;
            }
            if !aimed {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            assert!(fixture.bytes(&out) == whole, "{out} ended with other bytes");
            runs += 1;
            out = format!("killed-{runs}");
            continue;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        inside += usize::from(half_written(&fixture.path(&out)).is_some());
    }
    println!("{kills} kills, {inside} of them inside a save, {runs} runs ended between");
    assert!(fixture.finish(&out, &[]) == whole, "{out} ended with other bytes");
    let names = fs::read_dir(fixture.path(&out)).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let expected = [
        ".lock",
        "best.safetensors",
        "last.safetensors",
        "metrics.jsonl",
        "report.html",
        "result.json",
    ];
    assert_eq!(names, expected);
    let metrics = fs::read_to_string(fixture.path(&out).join("metrics.jsonl")).unwrap();
    assert_eq!(metrics.lines().count(), 4, "{metrics}");
}

/// A file that a save has begun in `folder`.
fn half_written(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.filter_map(Result::ok);
    entries.map(|entry| entry.path()).find(|path| path.to_string_lossy().ends_with(".partial"))
}

#[test]
#[cfg(unix)]
fn signals_save_and_the_same_command_goes_on() {
    let fixture = Fixture::new();
    let whole = fixture.finish("whole", &[]);
    for signal in ["-TERM", "-INT", "-HUP"] {
        let out = format!("stopped{signal}");
        let child = fixture.train(&out, &[]).stderr(Stdio::piped()).spawn().unwrap();
        let last = fixture.path(&out).join(LAST);
        let begun = Instant::now();
        while !last.exists() {
            assert!(begun.elapsed() < Duration::from_secs(60), "it does not begin");
            std::thread::sleep(Duration::from_millis(5));
        }
        let pid = child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{signal}: {err}");
        for part in ["interrupted: saving", "interrupted after step", "last.safetensors"] {
            assert!(err.contains(part), "{signal}: {err}");
        }
        assert!(fixture.finish(&out, &[]) == whole, "{signal}");
    }
}

/// Asked to stop at a moment of its own: the numbers of steps and validated images are counted down.
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

#[test]
fn stopped_anywhere_the_validation_included_it_ends_with_the_same_bytes() {
    stopped_anywhere(&Fixture::new());
}

#[test]
fn stopped_anywhere_from_shards_it_ends_with_the_same_bytes() {
    let fixture = Fixture::of_shards();
    stopped_anywhere(&fixture);
    let first = fixture.bytes("whole");
    for threads in [1, 3, 8] {
        assert!(fixture.finish_with("whole", threads) == first, "{threads} threads");
    }
}

fn stopped_anywhere(fixture: &Fixture) {
    let whole = fixture.finish("whole", &[]);
    let data = data::open(Some(&fixture.path("data"))).unwrap();
    let data = TrainData::new(data, 20).unwrap();
    let config = checkpoint::load(&fixture.path("whole").join(LAST)).unwrap().config;
    let options = RunOptions { backend: Backend::Native(Isa::best()), save_every: Duration::MAX };
    let folder = fixture.path("stopped");
    // The sixth call of an epoch of five steps comes from its validation.
    let mut runs = 0;
    loop {
        let mut run =
            Run::open(&folder, config.clone(), &data, options, &Disk, &Unwatched).unwrap();
        let interrupt = Interrupt::none();
        let mut observer = StopAt { left: 1 + runs % 3, interrupt: interrupt.clone() };
        runs += 1;
        if run.train(&mut observer, &interrupt).unwrap() == Outcome::Finished {
            break;
        }
        assert!(runs < 100);
    }
    assert!(runs > 8, "{runs}");
    assert!(fixture.bytes("stopped") == whole);
    let metrics = fs::read_to_string(folder.join(METRICS)).unwrap();
    assert_eq!(metrics.lines().count(), 4, "{metrics}");
}

/// Stopped in a validation, and when it was made up for, killed after its line in the record was written and before the
/// checkpoint: the line is there, and what follows it is not. At the end of an epoch, and of a run within one.
#[test]
fn a_validation_whose_record_alone_was_written_is_done_again() {
    let fixture = Fixture::new();
    for (steps, stopped_at) in [(20_usize, 10_usize), (18, 18)] {
        let name = |kind: &str| format!("{kind}-{steps}");
        let train = |out: &str| {
            let flags = TRAIN.replace("--epochs 4", &format!("--iterations {steps}"));
            let args = format!("{flags} --out {out}");
            let args: Vec<&str> = args.split_whitespace().collect();
            let run = finish(&mut program(fixture.folder.path(), &args));
            assert_eq!(run.code, 0, "{}", run.err);
        };
        train(&name("whole"));
        let whole = fixture.bytes(&name("whole"));
        let data = data::open(Some(&fixture.path("data"))).unwrap();
        let data = TrainData::new(data, 20).unwrap();
        let config = checkpoint::load(&fixture.path(&name("whole")).join(LAST)).unwrap().config;
        let options =
            RunOptions { backend: Backend::Native(Isa::best()), save_every: Duration::MAX };
        let folder = fixture.path(&name("stopped"));
        let mut run =
            Run::open(&folder, config.clone(), &data, options, &Disk, &Unwatched).unwrap();
        // Asked to stop after this step, before its validation; those before have called, too.
        let interrupt = Interrupt::none();
        let left = stopped_at + (stopped_at - 1) / 5;
        let mut observer = StopAt { left, interrupt: interrupt.clone() };
        assert_eq!(run.train(&mut observer, &interrupt).unwrap(), Outcome::Interrupted);
        assert_eq!(run.state().progress.step, stopped_at as u64);
        drop(run);
        let record = folder.join(METRICS);
        let line = fs::read_to_string(fixture.path(&name("whole")).join(METRICS)).unwrap();
        let line = line.lines().find(|line| line.contains(&format!("\"step\":{stopped_at},")));
        let before = fs::read_to_string(&record).unwrap();
        fs::write(&record, format!("{before}{}\n", line.unwrap())).unwrap();
        train(&name("stopped"));
        assert!(fixture.bytes(&name("stopped")) == whole, "{steps} steps");
        let lines = fs::read_to_string(&record).unwrap().lines().count();
        assert_eq!(lines, steps.div_ceil(5), "{steps} steps");
    }
}

/// The two decoders differ in their last digits, so a run goes on with the one that it began with, or not at all.
#[test]
fn a_run_of_another_decoder_is_refused_by_name() {
    let fixture = Fixture::new();
    fixture.finish("run", &[]);
    let last = fixture.path("run").join(LAST);
    let mut state = checkpoint::load(&last).unwrap();
    state.config.decoder = JpegDecoder::LibjpegTurbo;
    checkpoint::save(&state, &last, &Disk).unwrap();
    let before = fs::read(&last).unwrap();
    let run = finish(&mut fixture.train("run", &[]));
    assert_ne!(run.code, 0, "{}", run.err);
    let expected = match cfg!(feature = "libjpeg-turbo") {
        true => "decoder",
        false => "decoder: expected a decoder that this build has, found libjpeg-turbo",
    };
    assert!(run.err.contains(expected) && run.err.contains("libjpeg-turbo"), "{}", run.err);
    assert!(!run.err.contains("panicked"), "{}", run.err);
    assert_eq!(fs::read(&last).unwrap(), before, "the run is as it was");
}
