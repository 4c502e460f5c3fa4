//! The cache is Python's: `huggingface_hub` finds what was fetched here, and the other way round. Runs where
//! `$RESNET_CPU_PYTHON` (else `python3`) has that package, and says so where not.

use std::path::Path;
use std::process::Command;

use crate::Setup;
use crate::server::COMMIT;

fn python() -> Option<Command> {
    let program = std::env::var_os("RESNET_CPU_PYTHON").unwrap_or("python3".into());
    let there = Command::new(&program).args(["-c", "import huggingface_hub"]).output();
    if there.is_ok_and(|output| output.status.success()) {
        return Some(Command::new(program));
    }
    eprintln!(
        "SKIPPED: {program:?} has no huggingface_hub (set RESNET_CPU_PYTHON to one that has)"
    );
    None
}

/// What the script prints, with the settings of `setup`.
fn run(mut python: Command, setup: &Setup, script: &str) -> String {
    for (name, value) in setup.command(&[]).get_envs() {
        match value {
            Some(value) => python.env(name, value),
            None => python.env_remove(name),
        };
    }
    python.env("HF_HUB_DISABLE_PROGRESS_BARS", "1").env("HF_HUB_DISABLE_TELEMETRY", "1");
    let output = python.args(["-c", script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn python_finds_what_was_fetched_here() {
    let Some(python) = python() else { return };
    let setup = Setup::new(50_000);
    setup.is_there(&setup.get());
    let script = "
from huggingface_hub import hf_hub_download, scan_cache_dir, try_to_load_from_cache
print(hf_hub_download('timm/some', 'model.safetensors', local_files_only=True))
print(hf_hub_download('timm/some', 'config.json', local_files_only=True))
print(type(try_to_load_from_cache('timm/some', 'preprocessor_config.json')) is object)
cache = scan_cache_dir()
print(len(cache.warnings), [(r.repo_id, r.nb_files, [sorted(v.refs) for v in r.revisions]) for r in cache.repos])
";
    let found = run(python, &setup, script);
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(Path::new(lines[0]), setup.snapshot("model.safetensors"));
    assert_eq!(Path::new(lines[1]), setup.snapshot("config.json"));
    assert_eq!(lines[2..], ["True", "0 [('timm/some', 2, [['main']])]"]);
}

#[test]
fn what_python_fetched_is_found_here() {
    let Some(python) = python() else { return };
    let setup = Setup::new(50_000);
    let script = "
from huggingface_hub import hf_hub_download
print(hf_hub_download('timm/some', 'model.safetensors'))
";
    let path = run(python, &setup, script);
    let found = setup.run(&["weights", "where", "hf:timm/some"]);
    assert_eq!((found.code, &found.out), (0, &path), "{}", found.err);
    assert!(path.contains(COMMIT));
    // What lies beside it is fetched when it is used, the weights are not again.
    let content = setup.server.requests("GET localhost/cdn");
    assert_eq!(content, 1);
    setup.run(&["inspect", "hf:timm/some"]).fails(1, &["model.safetensors"]);
    assert!(setup.snapshot("config.json").is_file());
    assert_eq!(setup.server.requests("GET localhost/cdn"), content);
}
