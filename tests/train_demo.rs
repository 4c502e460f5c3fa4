//! The demo learns: what `resnet-cpu train` does without arguments, in its default budget.
//!
//! A minute or two on two cores. Under an emulator it would take hours: set `RESNET_CPU_EMULATED` there, and it is left out.

mod common;

use common::program::{finish, program};

#[test]
fn the_demo_learns_its_images() {
    if std::env::var_os("RESNET_CPU_EMULATED").is_some() {
        eprintln!("SKIPPED: RESNET_CPU_EMULATED is set");
        return;
    }
    let folder = tempfile::TempDir::new().unwrap();
    let run = finish(&mut program(folder.path(), &["train", "--quiet"]));
    assert_eq!(run.code, 0, "{}", run.err);
    let first = run.out.lines().next().unwrap();
    let top1 = first.strip_prefix("validation top-1 ").and_then(|rest| rest.split(' ').next());
    let top1: f64 = top1.expect(first).parse().unwrap();
    assert!(top1 >= 95.0, "{first}");
    assert!(folder.path().join("runs/demo-resnet20/best.safetensors").is_file());
}
