//! The question to whoever sits at a terminal, which `script` makes here.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::Setup;
use crate::common::fixture::Fixture;

/// What the program prints on a terminal where `answer` is typed, and its exit code.
fn typed(setup: &Setup, answer: &str) -> Option<(String, Option<i32>)> {
    let program = setup.command(&["infer", "a.png"]);
    let mut script = Command::new("script");
    script.arg("-qec").arg(format!("{} infer a.png", program.get_program().to_str().unwrap()));
    script.arg("/dev/null").current_dir(setup.home.path());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    let started =
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = started else {
        eprintln!("SKIPPED: there is no program `script`, which makes a terminal");
        return None;
    };
    child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Some((String::from_utf8(output.stdout).unwrap(), output.status.code()))
}

#[test]
fn a_yes_fetches_and_anything_else_does_not() {
    let setup = Setup::new(5_000);
    let fixture = Fixture::new();
    std::fs::copy(fixture.path("images/a.png"), setup.home.path().join("a.png")).unwrap();
    for (answer, asked) in [("n\n", 0), ("\n", 0), ("y\n", 1)] {
        let Some((printed, code)) = typed(&setup, answer) else { return };
        assert!(printed.contains("Fetch torchvision's resnet50"), "{printed}");
        assert!(printed.contains("97.8 MiB, once)? [y/N]"), "{printed}");
        let (expected, said) = if asked == 1 {
            (1, "/models/resnet50-11ad3fa6.pth: not found")
        } else {
            (2, "no weights: give --weights")
        };
        assert_eq!(code, Some(expected), "{printed}");
        // The terminal breaks long lines.
        assert!(printed.replace(['\r', '\n'], "").contains(said), "{printed}");
        assert_eq!(setup.server.requests(""), asked);
    }
}
