//! `study` as its users meet it: what it leaves, how it goes on, what it refuses.

mod common;

use common::program::{Run, finish, folder_of_records, program};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// Two short runs of the smallest networks.
const SHORT: &str = "study degradation data --depths 20 --batch 16 --iterations 4";

/// A folder with `data`, 40 CIFAR-10 records to train on and 10 to test on.
struct Fixture {
    folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self { folder: folder_of_records() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn run(&self, args: &str) -> Run {
        let args: Vec<&str> = args.split_whitespace().collect();
        finish(&mut program(self.folder.path(), &args))
    }
}

#[test]
fn a_grid_of_runs_and_its_page() {
    let fixture = Fixture::new();
    let run = fixture.run(&format!("{SHORT} --seeds 2"));
    assert_eq!(run.code, 0, "{}", run.err);
    let out = "runs/study-degradation-data";
    for part in
        ["run 1 of 4, plain20-seed1: starting, 0 of 4 steps", "run 4 of 4, resnet20-a-seed2"]
    {
        assert!(run.err.contains(part), "{part}: {}", run.err);
    }
    for part in ["plain-20", "ResNet-20 (A)", "+-", &format!("page    {out}/study.html")] {
        assert!(run.out.contains(part), "{part}: {}", run.out);
    }
    let text = fixture.read(&format!("{out}/study.json"));
    let study: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&study["kind"], &study["measured_on"]), (&"degradation".into(), &"test".into()));
    assert_eq!((&study["iterations"], &study["recipe_iterations"]), (&4.into(), &64_000.into()));
    let runs = study["runs"].as_array().unwrap();
    let names: Vec<&str> = runs.iter().map(|run| run["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["plain20-seed1", "resnet20-a-seed1", "plain20-seed2", "resnet20-a-seed2"]);
    for (run, name) in runs.iter().zip(names) {
        assert_eq!(run["finished"], true);
        let layers = run["responses"]["layers"].as_array().unwrap();
        assert_eq!(layers.len(), 19, "all convolutions of 3x3");
        assert!(layers.iter().all(|layer| layer["std"].as_f64().unwrap() > 0.0), "{run}");
        let result: Value =
            serde_json::from_str(&fixture.read(&format!("{out}/{name}/result.json"))).unwrap();
        assert_eq!(run["result"], result);
        assert_eq!((&result["test"], &result["best"]), (&result["last"], &result["last"]));
        assert_eq!((&result["test"]["images"], &result["step"]), (&10.into(), &4.into()));
    }
    let row = &study["table"][1];
    let errors = [1, 3].map(|i| 1.0 - runs[i]["result"]["last"]["top1"].as_f64().unwrap());
    let mean = row["top1_error"]["mean"].as_f64().unwrap();
    assert!((mean - (errors[0] + errors[1]) / 2.0).abs() < 1e-12, "{row}");
    assert!(row["top1_error"]["std"].is_number() && row["runs"] == 2, "{row}");
    let page = fixture.read(&format!("{out}/study.html"));
    assert_eq!(page.matches("<svg").count(), 4);
    assert_eq!(page.matches("http").count(), 4, "namespaces only");
    assert!(page.contains("resnet-cpu study degradation data --depths 20"), "the command");
    assert!(!page.contains("missing"));

    // One that is done is left as it is.
    let last = || fs::read(fixture.path(out).join("plain20-seed1/last.safetensors")).unwrap();
    let before = last();
    let again = fixture.run(&format!("{SHORT} --seeds 2"));
    assert_eq!((again.code, &again.out), (0, &run.out), "{}", again.err);
    assert!(again.err.contains("run 1 of 4, plain20-seed1: finished"), "{}", again.err);
    assert!(last() == before && fixture.read(&format!("{out}/study.json")) == text);
}

#[test]
fn a_member_is_an_ordinary_run() {
    let fixture = Fixture::new();
    let flags = "--recipe paper-cifar --batch 16 --iterations 4 --seed 1";
    let train = fixture.run(&format!("train data {flags} --arch resnet20 --out by-hand"));
    assert_eq!(train.code, 0, "{}", train.err);
    let study = fixture.run(&format!("{SHORT} --nets a --out study"));
    assert_eq!(study.code, 0, "{}", study.err);
    for file in ["last.safetensors", "best.safetensors", "result.json"] {
        let bytes = |folder: &str| fs::read(fixture.path(folder).join(file)).unwrap();
        assert!(bytes("by-hand") == bytes("study/resnet20-a-seed1"), "{file}");
    }
    // It is found finished, and only its responses are measured. So is one of a version without result.json.
    let numbers = fixture.read("study/study.json");
    fs::create_dir(fixture.path("other")).unwrap();
    fs::rename(fixture.path("by-hand"), fixture.path("other/resnet20-a-seed1")).unwrap();
    fs::remove_file(fixture.path("other/resnet20-a-seed1/result.json")).unwrap();
    let found = fixture.run(&format!("{SHORT} --nets a --out other"));
    assert_eq!(found.code, 0, "{}", found.err);
    assert!(found.err.contains("continuing, 4 of 4 steps done"), "{}", found.err);
    assert_eq!(fixture.read("other/study.json"), numbers);
}

#[test]
fn a_budget_is_a_part_of_the_recipe() {
    let fixture = Fixture::new();
    let run =
        fixture.run("study shortcuts data --depths 20 --nets b -b 16 --budget 0.0001 --out s");
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.err.contains("iterations        = 6"), "{}", run.err);
    assert!(run.err.contains("milestones        = 3,4"), "{}", run.err);
    assert!(fixture.path("s/resnet20-b-seed1/last.safetensors").is_file());
    let page = fixture.read("s/study.html");
    assert!(page.contains("6 iterations (0.00937 % of the recipe's 64000)"), "{page}");
}

#[test]
fn photographs_have_networks_and_sides_of_their_own() {
    let fixture = Fixture::new();
    let run = fixture.run(
        "study degradation data --depths 18 -b 8 --iterations 2 --side 64 --schedule constant --micro-batch 8 --out s",
    );
    assert_eq!(run.code, 0, "{}", run.err);
    let study: Value = serde_json::from_str(&fixture.read("s/study.json")).unwrap();
    assert_eq!((&study["side"], &study["recipe"]), (&64.into(), &"paper-imagenet".into()));
    assert!(
        fixture.path("s/plain18-seed1").is_dir() && fixture.path("s/resnet18-b-seed1").is_dir()
    );
    // The stem of 7x7 is no layer of 3x3, nor is a projection.
    assert_eq!(study["runs"][1]["responses"]["layers"].as_array().unwrap().len(), 16);
}

/// The shallow network diverges at this rate; the others have their turn all the same.
#[test]
fn a_run_that_diverges_stops_no_other() {
    let fixture = Fixture::new();
    let run = fixture.run(&format!("{SHORT} --lr 1e30 --out s"));
    assert_eq!(run.code, 1, "{}", run.err);
    let errors: Vec<&str> = run.err.lines().filter(|line| line.contains("error: ")).collect();
    assert_eq!(errors.len(), 2, "{}", run.err);
    assert!(
        errors[0].contains("plain20-seed1: step ") && errors[1].contains("resnet20-a-seed1: step ")
    );
    assert!(fixture.read("s/study.html").contains("0 of 2 runs finished"));
}

#[test]
fn a_plan_writes_nothing() {
    let fixture = Fixture::new();
    let plan = fixture.run(&format!("{SHORT} --plan --seeds 3"));
    assert_eq!(plan.code, 0, "{}", plan.err);
    for part in ["plain-20", "ResNet-20 (A)", "runs    6", "time    about", "memory", "disk"] {
        assert!(plan.out.contains(part), "{part}: {}", plan.out);
    }
    assert!(!fixture.path("runs").exists());
}

#[test]
fn what_is_no_study_or_another_is_refused() {
    let fixture = Fixture::new();
    let run = fixture.run(&format!("{SHORT} --nets a --out s"));
    assert_eq!(run.code, 0, "{}", run.err);
    let before = fixture.read("s/study.json");
    // The run that is in the folder already has another rate, whatever networks are asked for.
    for nets in ["a", "plain"] {
        let other = fixture.run(&format!("{SHORT} --nets {nets} --lr 0.2 --out s"));
        other.fails(2, &["s/resnet20-a-seed1", "lr: stored 0.1, requested 0.2"]);
    }
    let kind = SHORT.replace("degradation", "shortcuts");
    let other = fixture.run(&format!("{kind} --out s"));
    other.fails(2, &["s: ", "kind: stored degradation, requested shortcuts"]);
    assert_eq!(fixture.read("s/study.json"), before);
    let other = fixture.run(&format!("{SHORT} --out data"));
    other.fails(2, &["data: expected a new folder", "found test.bin"]);
    for (flags, parts) in [
        ("--depths 21", &["--depths", "resnet21"][..]),
        ("--depths 20,18", &["--depths", "found both"]),
        ("--depths 50", &["plain-50", "plain50"]),
        ("--nets d", &["--nets", "expected plain, a, b or c, found d"]),
        ("--seeds 0", &["--seeds: expected 1 to 1000, found 0"]),
        ("--budget 2", &["--budget: expected a number above 0, at most 1, found 2"]),
        ("--budget 0.1 --epochs 2", &["--budget", "--epochs"]),
        ("--recipe finetune", &["--recipe", "found finetune"]),
        ("--depths 18 --side 0", &["side: expected"]),
        ("--lr -1", &["lr: expected a positive number, found -1"]),
    ] {
        fixture.run(&format!("study degradation data {flags} --out new")).fails(2, parts);
        assert!(!fixture.path("new").exists(), "{flags}");
    }
    fixture.run("study").fails(2, &["no command given"]);
}

/// With a cosine, a run that is lengthened is not one of that length from the start.
#[test]
fn runs_that_would_be_lengthened_with_another_schedule_are_refused() {
    let fixture = Fixture::new();
    let study = |iterations: u64, schedule: &str| {
        fixture.run(&format!(
            "study degradation data --depths 20 --nets a --batch 16 --warmup 0 --iterations {iterations} --schedule \
             {schedule} --out {schedule}"
        ))
    };
    for schedule in ["cosine", "constant"] {
        let run = study(2, schedule);
        assert_eq!(run.code, 0, "{}", run.err);
    }
    let longer = study(4, "cosine");
    longer.fails(
        2,
        &["cosine/resnet20-a-seed1", "stored 2 iterations", "4 iterations from the start"],
    );
    let longer = study(4, "constant");
    assert_eq!(longer.code, 0, "{}", longer.err);
    // Lengthened by hand, it is none of the study, either.
    let flags =
        "--recipe paper-cifar --arch resnet20 --seed 1 --batch 16 --warmup 0 --schedule cosine";
    let by_hand = format!("train data {flags} --out cosine/resnet20-a-seed1 --iterations 4");
    let by_hand = fixture.run(&by_hand);
    assert_eq!(by_hand.code, 0, "{}", by_hand.err);
    study(4, "cosine").fails(2, &["stored 2 iterations, lengthened to 4 iterations"]);
}

/// Nothing else says by which settings a run was trained.
#[test]
fn a_run_without_its_checkpoint_is_not_taken() {
    let fixture = Fixture::new();
    let args = format!("{SHORT} --nets a --out s");
    let run = fixture.run(&args);
    assert_eq!(run.code, 0, "{}", run.err);
    fs::remove_file(fixture.path("s/resnet20-a-seed1/last.safetensors")).unwrap();
    fixture.run(&args).fails(2, &["s/resnet20-a-seed1"]);
}

#[cfg(unix)]
mod stopped {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    /// A study that is under way: it has said `word`.
    fn start(fixture: &Fixture, args: &str, word: &str) -> Child {
        let args: Vec<&str> = args.split_whitespace().collect();
        let mut command = program(fixture.folder.path(), &args);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.as_mut().unwrap()).lines().map(Result::unwrap);
        let said: Vec<String> = lines.take(60).take_while(|line| !line.contains(word)).collect();
        if said.len() == 60 || child.try_wait().unwrap().is_some() {
            let _ = child.kill();
            panic!("it never said {word}: {said:#?}");
        }
        child
    }

    #[test]
    fn it_goes_on_where_it_was_stopped() {
        let fixture = Fixture::new();
        let args = "study degradation data --depths 20 --batch 16 --iterations 60";
        let whole = fixture.run(&format!("{args} --out whole"));
        assert_eq!(whole.code, 0, "{}", whole.err);
        let out = format!("{args} --out s");
        let again = || program(fixture.folder.path(), &out.split(' ').collect::<Vec<_>>());
        // In the first run by a signal, in the second one by a crash.
        let mut child = start(&fixture, &out, "epoch 3/");
        // Meanwhile nobody else may work on it.
        let second = finish(&mut again());
        second.fails(1, &["s: another process"]);
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let mut said = String::new();
        std::io::Read::read_to_string(child.stderr.as_mut().unwrap(), &mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
        assert!(said.contains("interrupted in plain20-seed1 after step"), "{said}");
        assert!(said.contains("the same command continues the study"), "{said}");
        let page = fixture.read("s/study.html");
        assert!(page.contains("0 of 2 runs finished") && page.contains("missing"));

        let mut child = start(&fixture, &out, "resnet20-a-seed1: starting");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(fixture.read("s/study.html").contains("1 of 2 runs finished"));
        let last = finish(&mut again());
        assert_eq!(
            (last.code, &last.out.replace(" s/", " whole/")),
            (0, &whole.out),
            "{}",
            last.err
        );
        assert_eq!(fixture.read("s/study.json"), fixture.read("whole/study.json"));
    }
}
