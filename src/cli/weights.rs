//! Which file of weights is meant when none is named, and what is said of the one that is used.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use resnet_cpu::hub::{DEFAULT, PublishedWeights};
use resnet_cpu::weights::{Overrides, WeightsFile};

use super::error::CliError;
use super::hub::{file_of, is_cached, published};
use super::machine::Machine;
use super::network::NetworkArgs;

const VARIABLE: &str = "RESNET_CPU_WEIGHTS";

/// What a file of weights is, where it does not say so itself.
#[derive(clap::Args)]
pub(super) struct WeightsArgs {
    /// Network that the weights belong to [default: as the file says]
    #[arg(long, value_name = "NAME")]
    pub(super) arch: Option<String>,
    #[command(flatten)]
    pub(super) network: NetworkArgs,
    #[command(flatten)]
    extra: ExtraArgs,
}

impl WeightsArgs {
    /// All of it.
    pub(super) fn overrides(&self) -> Result<Overrides, CliError> {
        Ok(self.extra.and(self.network.overrides(self.arch.as_deref())?))
    }
}

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

/// Whether published weights may be fetched that nobody named.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    /// Only if they are in the cache.
    No,
    /// If whoever sits at the terminal says so.
    Ask,
    /// It has been allowed.
    Allowed,
}

/// The file or name given, else that of the environment, else the newest `runs/*/best.safetensors`, else
/// published weights, as `offer` says.
pub(super) fn find_weights(
    given: Option<&Path>,
    offer: Offer,
    machine: &Machine,
) -> Result<PathBuf, CliError> {
    if let Some(path) = given {
        return file_of(path, machine);
    }
    if let Some(path) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        return file_of(Path::new(&path), machine);
    }
    if let Some(path) = newest_run(Path::new("runs")) {
        return Ok(path);
    }
    let agreed = match offer {
        _ if is_cached(&DEFAULT) => true,
        Offer::No => false,
        // Nobody there has not said yes.
        Offer::Ask => {
            let (stdin, stderr) = (std::io::stdin(), std::io::stderr());
            stdin.is_terminal()
                && stderr.is_terminal()
                && agrees(&mut stdin.lock(), &mut stderr.lock())
        }
        Offer::Allowed => true,
    };
    if agreed {
        return published(&DEFAULT, machine);
    }
    let PublishedWeights { name, mebibytes, .. } = DEFAULT;
    let yes = match offer {
        Offer::No => "",
        _ => ", or -y to have it fetched",
    };
    Err(CliError::usage(format!(
        "no weights: give --weights FILE or a name (--weights {name} fetches torchvision's, {mebibytes} MiB, \
         once{yes}; `resnet-cpu weights list` prints others), set {VARIABLE}, or train a network with \
         `resnet-cpu train`"
    )))
}

/// Asks whether the default network shall be fetched. Anything but a clear yes is a no, and so is an answer that
/// cannot be read.
fn agrees(answers: &mut impl BufRead, questions: &mut impl Write) -> bool {
    let PublishedWeights { name, mebibytes, top1, .. } = DEFAULT;
    let question = format!(
        "resnet-cpu: no weights yet. Fetch torchvision's {name} ({top1:.1} % top-1 on ImageNet, {mebibytes} MiB, \
         once)? [y/N] "
    );
    let asked = questions.write_all(question.as_bytes()).and_then(|()| questions.flush());
    // More than any answer, and no more memory than that.
    let mut answer = String::new();
    let read = asked.and_then(|()| answers.by_ref().take(100).read_line(&mut answer));
    read.is_ok() && ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str())
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
    fn only_a_yes_is_a_yes() {
        for (answer, agreed) in [
            ("y\n", true),
            ("Yes\r\n", true),
            (" y", true),
            ("\n", false),
            ("", false),
            ("n\n", false),
            ("yes please\n", false),
            ("\ny\n", false),
            ("\u{1b}[A\n", false),
        ] {
            let mut question = Vec::new();
            assert_eq!(agrees(&mut answer.as_bytes(), &mut question), agreed, "{answer:?}");
            let question = String::from_utf8(question).unwrap();
            assert_eq!(
                question,
                "resnet-cpu: no weights yet. Fetch torchvision's resnet50 (80.9 % top-1 on ImageNet, 97.8 MiB, once)? \
                 [y/N] "
            );
        }
        let bytes: &[u8] = &[b'y', 0xff, b'\n'];
        assert!(!agrees(&mut &*bytes, &mut Vec::new()), "no text");
        // Nobody reads the question: a full or closed stderr.
        assert!(!agrees(&mut &b"y\n"[..], &mut &mut [0_u8; 3][..]));
    }

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
