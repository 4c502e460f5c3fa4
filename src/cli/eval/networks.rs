//! Which networks `eval` measures: one, or several whose probabilities are averaged.

use resnet_cpu::infer::Ensemble;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::super::classifier::{ClassifierArgs, Weights};
use super::super::error::CliError;
use super::super::machine::Machine;
use super::super::weights::Offer;

/// The networks, and where their weights were.
pub(super) struct Networks {
    pub(super) ensemble: Ensemble,
    pub(super) paths: Vec<PathBuf>,
}

/// Opens all weights that `given` names.
pub(super) fn read(
    given: Option<&OsStr>,
    args: &ClassifierArgs,
    machine: &Machine,
) -> Result<Vec<Weights>, CliError> {
    let Some(given) = given else { return Ok(vec![args.read(None, Offer::No, machine)?]) };
    let named = listed(given);
    if named.iter().any(|name| name.is_empty()) {
        return Err(CliError::usage(
            "--weights: expected names between commas, found nothing: give FILE or FILE,FILE",
        ));
    }
    named.iter().map(|name| args.read(Some(Path::new(name)), Offer::No, machine)).collect()
}

/// The names in a list with commas between them. What is the name of a file as a whole is one.
fn listed(given: &OsStr) -> Vec<OsString> {
    match given.to_str() {
        Some(text) if !Path::new(given).exists() => text.split(',').map(OsString::from).collect(),
        _ => vec![given.to_owned()],
    }
}

impl Networks {
    /// The networks of `weights`. `pad` as for a [classifier](ClassifierArgs::classifier).
    pub(super) fn new(
        weights: Vec<Weights>,
        args: &ClassifierArgs,
        pad: Option<usize>,
        machine: &Machine,
        notes: &mut Vec<String>,
    ) -> Result<Self, CliError> {
        let paths: Vec<PathBuf> = weights.iter().map(|weights| weights.path.clone()).collect();
        let mut classifiers = Vec::with_capacity(paths.len());
        for weights in weights {
            classifiers.push(args.classifier(weights, pad, machine, notes)?);
        }
        let mut classifiers = classifiers.into_iter();
        let first = classifiers.next().expect("at least one file of weights was opened");
        let ensemble = Ensemble::new(first, classifiers).map_err(|error| {
            let (path, first) = (paths[error.index].display(), paths[0].display());
            CliError::failed(format!(
                "{path}: its classes are not those of {first}: {}",
                error.mismatch
            ))
        })?;
        if paths.len() > 1 {
            notes.push(format!("the probabilities of {} networks are averaged", paths.len()));
        }
        Ok(Self { ensemble, paths })
    }

    /// The names of the networks, as `--arch` has them, with commas between.
    pub(super) fn arch(&self) -> String {
        let names = self.ensemble.classifiers().map(|c| c.model().network().spec.name.as_str());
        names.collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_have_a_comma_in_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a,b.pth");
        assert_eq!(listed(file.as_os_str()).len(), 2);
        std::fs::write(&file, b"").unwrap();
        assert_eq!(listed(file.as_os_str()), [file.into_os_string()]);
        assert_eq!(listed(OsStr::new("a,b")), ["a", "b"]);
    }
}
