//! Which file of weights is meant when none is named, and what is said of the one that is used.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use resnet_cpu::weights::{Overrides, WeightsFile};

use super::error::CliError;
use super::machine::Machine;

const VARIABLE: &str = "RESNET_CPU_WEIGHTS";

/// What a file of weights has besides the network's.
#[derive(clap::Args)]
pub(super) struct ExtraArgs {
    /// Tensors of the file that are not part of the network and may be ignored, by name; * stands for
    /// any text, as in criterion.*
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    ignore_extra: Vec<String>,
}

impl ExtraArgs {
    /// `overrides` and these.
    pub(super) fn and(&self, overrides: Overrides) -> Overrides {
        let names = self.ignore_extra.iter().map(|name| name.trim().to_owned());
        Overrides { ignore_extra: names.collect(), ..overrides }
    }
}

/// The file given, else that of the environment, else the newest `runs/*/best.safetensors`.
pub(super) fn find_weights(given: Option<&Path>) -> Result<PathBuf, CliError> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    if let Some(path) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        return Ok(path.into());
    }
    newest_run(Path::new("runs")).ok_or_else(|| {
        CliError::usage(format!(
            "no weights: give --weights FILE, set {VARIABLE}, or train a network with `resnet-cpu \
             train`; torchvision's .pth and timm's .safetensors files of ResNets can be used as they \
             are (for example \
             https://huggingface.co/timm/resnet18.tv_in1k/resolve/main/model.safetensors)"
        ))
    })
}

/// Which network the file at `path` holds, and what had to be assumed for that.
pub(super) fn weights_notes(path: &Path, weights: &WeightsFile) -> Vec<String> {
    let spec = weights.spec();
    let first = format!("weights {}: {spec}, {} classes", path.display(), spec.classes);
    [&[first], weights.notes()].concat()
}

/// Whether a note only explains what the lines about network and preprocessing say anyway.
pub(super) fn explains(note: &str) -> bool {
    ["architecture ", "assumed ", "the file does not state "].iter().any(|s| note.starts_with(s))
}

/// Says it.
pub(super) fn note_weights(machine: &Machine, path: &Path, weights: &WeightsFile) {
    weights_notes(path, weights).iter().for_each(|note| machine.note(note));
}

fn newest_run(runs: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(runs).ok()?.filter_map(Result::ok);
    let best = entries.map(|entry| entry.path().join("best.safetensors"));
    let changed = |path: &PathBuf| -> Option<SystemTime> { path.metadata().ok()?.modified().ok() };
    best.filter_map(|path| Some((changed(&path)?, path))).max().map(|(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_newest_run_is_found() {
        let runs = tempfile::tempdir().unwrap();
        assert_eq!(newest_run(runs.path()), None);
        for (name, age) in [("a", 20), ("b", 10), ("c", 30)] {
            let folder = runs.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            let file = std::fs::File::create(folder.join("best.safetensors")).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        std::fs::create_dir(runs.path().join("d")).unwrap();
        assert_eq!(newest_run(runs.path()), Some(runs.path().join("b/best.safetensors")));
        assert_eq!(newest_run(&runs.path().join("none")), None);
    }
}
