//! Several processes, started by `mpirun`: the bytes of one, whoever is killed, stopped or missing.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use resnet_cpu::runtime::Rng;
use resnet_cpu::train::{BEST, INTERRUPTED, LAST};

const PROGRAM: &str = env!("CARGO_BIN_EXE_resnet-cpu");
/// Eight micro-batches a step.
const RUN: [&str; 7] = ["train", "--batch", "64", "--micro-batch", "8", "--iterations", "24"];
/// After which a job whose process was killed or stopped must have ended.
const END: Duration = Duration::from_secs(20);

/// One test at a time: each starts more processes than there are cores.
static TURN: Mutex<()> = Mutex::new(());

/// Whoever may start processes; none, which is said, if there is no launcher.
fn turn() -> Option<MutexGuard<'static, ()>> {
    if Command::new("mpirun").arg("--version").output().is_err() {
        eprintln!("SKIPPED: several processes need mpirun");
        return None;
    }
    Some(TURN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// `mpirun` with these arguments; more processes than cores, and root, are fine.
fn mpirun(args: &[&str], folder: &Path) -> Command {
    let mut command = Command::new("mpirun");
    for name in [
        "OMPI_ALLOW_RUN_AS_ROOT",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM",
        "OMPI_MCA_rmaps_base_oversubscribe",
    ] {
        command.env(name, "1");
    }
    command.args(args).current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(processes: &str, threads: &str, out: &str, folder: &Path) -> Command {
    let mut command = mpirun(&["-n", processes, PROGRAM], folder);
    command.args(RUN).args(["-q", "-j", threads, "--out", out]);
    command
}

fn alone(folder: &Path, out: &str) {
    let done =
        Command::new(PROGRAM).args(RUN).args(["-q", "--out", out]).current_dir(folder).output();
    assert_eq!(done.unwrap().status.code(), Some(0));
}

fn same(folder: &Path, a: &str, b: &str) {
    for name in [LAST, BEST] {
        let [a, b] = [a, b].map(|run| fs::read(folder.join(run).join(name)).unwrap());
        assert!(a == b, "{name}");
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The processes of the program that write to `out`.
fn processes(out: &str) -> Vec<String> {
    let found =
        Command::new("pgrep").args(["-f", &format!("{PROGRAM} train .*--out {out}")]).output();
    let found = String::from_utf8(found.unwrap().stdout).unwrap();
    let is_program = |pid: &&str| {
        fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == Path::new(PROGRAM))
    };
    found.lines().filter(is_program).map(str::to_owned).collect()
}

fn signal(name: &str, pid: &str) {
    // It may just have ended.
    let _ = Command::new("kill").args([name, pid]).status();
}

/// Its output, which must come soon.
fn ended(mut job: Child) -> Output {
    let start = Instant::now();
    while job.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < END, "the job has not ended");
        sleep(Duration::from_millis(20));
    }
    job.wait_with_output().unwrap()
}

#[test]
fn any_number_of_processes_and_threads_writes_the_same_bytes() {
    let Some(_turn) = turn() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    alone(folder, "alone");
    for (processes, threads) in [("1", "1"), ("2", "1"), ("3", "2"), ("8", "1")] {
        let out = format!("{processes}-{threads}");
        let output = run(processes, threads, &out, folder).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        same(folder, "alone", &out);
    }
}

#[test]
fn a_run_whose_processes_are_killed_and_stopped_goes_on_with_others() {
    let Some(_turn) = turn() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    alone(folder, "alone");
    let mut rng = Rng::named(1, "killed");
    let wanted = std::env::var("RESNET_CPU_TEST_ENDS").map_or(4, |ends| ends.parse().unwrap());
    let mut ends = 0;
    while ends < wanted {
        let count = 2 + rng.below(3);
        let mut command = run(&count.to_string(), "1", "killed", folder);
        let job = command.args(["--save-every", "0"]).spawn().unwrap();
        sleep(Duration::from_millis(1000 + rng.below(2000) as u64));
        let found = processes("killed");
        let name = if ends % 2 == 0 { "-KILL" } else { "-TERM" };
        if !found.is_empty() {
            signal(name, &found[rng.below(found.len())]);
        }
        let output = ended(job);
        let expected: &[Option<i32>] = match (output.status.code(), name) {
            // It had finished before.
            (Some(0), _) => break,
            (_, "-KILL") => &[Some(128 + 9), None],
            // Before its first step, there is nothing to save.
            _ => &[Some(INTERRUPTED), Some(1)],
        };
        let code = output.status.code();
        assert!(expected.contains(&code), "{name}: {code:?}: {}", said(&output));
        assert!(processes("killed").is_empty());
        ends += 1;
    }
    assert!(ends > 0, "the run has ended before any process was killed");
    let output = run("3", "1", "killed", folder).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    same(folder, "alone", "killed");
}

#[test]
fn what_cannot_be_shared_is_refused() {
    let Some(_turn) = turn() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let many = run("9", "1", "many", folder).output().unwrap();
    for part in ["9 processes for 8 micro-batches", "at most 8", "--micro-batch"] {
        assert!(said(&many).contains(part), "{part}: {}", said(&many));
    }
    assert_eq!(many.status.code(), Some(2));
    let others = [
        "-n",
        "1",
        PROGRAM,
        "train",
        "--micro-batch",
        "8",
        "--out",
        "a",
        "--seed",
        "1",
        ":",
        "-n",
        "1",
    ];
    let mut command = mpirun(&others, folder);
    command.args([PROGRAM, "train", "--micro-batch", "8", "--out", "a", "--seed", "2"]);
    let output = command.output().unwrap();
    for part in ["process 1 on", "would train another run", "seed"] {
        assert!(said(&output).contains(part), "{part}: {}", said(&output));
    }
    assert_eq!(output.status.code(), Some(2));
    let frozen =
        mpirun(&["-n", "2", PROGRAM, "bench", "--mode", "infer"], folder).output().unwrap();
    assert!(said(&frozen).contains("several processes are for --mode train"), "{}", said(&frozen));
    assert!(!folder.join("many").exists() && !folder.join("a").exists());
}
