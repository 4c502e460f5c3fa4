//! The program as a test runs it, and what it leaves.

use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// What a run of the command left.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    /// Exactly one line of error, which says all of `parts`; no panic.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{}", self.err);
        let prefix = "resnet-cpu: error: ";
        let errors: Vec<&str> = self.err.lines().filter(|l| l.starts_with(prefix)).collect();
        assert_eq!(errors.len(), 1, "{}", self.err);
        for part in parts {
            assert!(errors[0].contains(part), "{part:?} is not in: {}", self.err);
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
        assert!(self.err.lines().all(|line| line.starts_with("resnet-cpu: ")), "{}", self.err);
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }
}

/// The program in `folder`, with nothing of the caller's environment that it would heed.
pub(crate) fn program(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_resnet-cpu"));
    command.args(args).current_dir(folder);
    command.env_remove("RESNET_CPU_ISA").env_remove("RESNET_CPU_WEIGHTS");
    // Nothing is remembered from one test to the next, nor among the user's own.
    command.env("XDG_CACHE_HOME", folder.join(".cache"));
    command
}

/// Runs `command` to its end.
pub(crate) fn finish(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// Writes `images` records of CIFAR-10's binary format: noise around a colour that tells the class.
pub(crate) fn write_records(path: &Path, images: u32) {
    let mut bytes = Vec::new();
    for i in 0..images {
        let label = (i % 10) as u8;
        bytes.push(label);
        bytes.extend((0..3072_u32).map(|j| {
            let noise = (i * 3072 + j).wrapping_mul(2_654_435_761) >> 26;
            label * 19 + noise as u8
        }));
    }
    std::fs::write(path, bytes).unwrap();
}

/// A folder with `data`, 40 of CIFAR-10's records to train on and 10 to test on.
pub(crate) fn folder_of_records() -> tempfile::TempDir {
    let folder = tempfile::TempDir::new().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    write_records(&data.join("train.bin"), 40);
    write_records(&data.join("test.bin"), 10);
    folder
}
