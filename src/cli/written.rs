//! Files of weights that commands write: where, and what they say of themselves.

use resnet_cpu::data::Preprocess;
use resnet_cpu::runtime::{Disk, NewFiles, Storage};
use resnet_cpu::weights::{Metadata, PixelMean, WeightsFile};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use super::error::CliError;

/// What a header says to this program only; it is written anew.
const OURS: &str = "resnet_cpu.";

/// The metadata of a file with the network of `weights`: what it says itself, with the preparation and the names that
/// are in use.
pub(super) fn entries(
    weights: &WeightsFile,
    used: &Preprocess,
    classes: Option<Vec<String>>,
) -> BTreeMap<String, String> {
    let metadata =
        Metadata { preprocess: used.stated(), classes, ..weights.metadata().clone() }.entries();
    let foreign = weights.file().metadata().iter().filter(|(key, _)| !key.starts_with(OURS));
    let mut entries: BTreeMap<String, String> =
        foreign.map(|(key, value)| (key.clone(), value.clone())).collect();
    entries.extend(metadata);
    entries
}

/// The mean of each pixel as files store it, if that is what is subtracted.
pub(super) fn pixel_mean(used: &Preprocess) -> Option<PixelMean<'_>> {
    let side = used.view.crop;
    let values = Cow::Borrowed(used.pixel_mean()?);
    Some(PixelMean { height: side, width: side, values })
}

/// Refuses the name that elsewhere means stdout.
pub(super) fn refuse_stdout(output: &Path) -> Result<(), CliError> {
    if output == Path::new("-") {
        let reason = "-: expected a file name; for a file called -, give ./-";
        return Err(CliError::usage(reason));
    }
    Ok(())
}

/// Whether a file can be at `path`, which `flag` names: before hours of work.
pub(super) fn check_place(flag: &str, path: &Path) -> Result<(), CliError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder {
        _ if path.is_dir() => Err(CliError::usage(format!(
            "{flag}: {}: expected a file, found a folder",
            path.display()
        ))),
        Some(folder) if !folder.is_dir() => {
            Err(CliError::usage(format!("{flag}: {}: no such folder", folder.display())))
        }
        _ => Ok(()),
    }
}

/// Refuses a `page` in the place of one of the files of weights, each with what the command line calls it.
pub(super) fn refuse_weights<'a>(
    flag: &str,
    page: &Path,
    weights: impl IntoIterator<Item = (&'static str, &'a Path)>,
) -> Result<(), CliError> {
    let same = |other: &Path| {
        let real = |path: &Path| path.canonicalize().ok();
        page == other || real(page).is_some_and(|page| real(other) == Some(page))
    };
    match weights.into_iter().find(|(_, file)| same(file)) {
        None => Ok(()),
        Some((name, _)) => {
            let page = page.display();
            let reason = format!("{flag}: {page}: expected a file for the page, found {name}");
            Err(CliError::usage(reason))
        }
    }
}

/// Where `output` is written: never over `input`, and without `force` over nothing. What can be refused now
/// is; what appears until then is seen when the file gets its name.
pub(super) fn storage(
    input: &Path,
    output: &Path,
    force: bool,
) -> Result<&'static dyn Storage, CliError> {
    let failed =
        |error: &dyn std::fmt::Display| CliError::failed(format!("{}: {error}", output.display()));
    refuse_stdout(output)?;
    let one = output.canonicalize().is_ok_and(|out| input.canonicalize().is_ok_and(|i| i == out));
    if one {
        return Err(CliError::usage(format!("{}: IN and OUT are the same file", output.display())));
    }
    if force {
        return Disk.target(output).map(|_| &Disk as &dyn Storage).map_err(|error| failed(&error));
    }
    match NewFiles.target(output) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(failed(&"it already exists; --force replaces it"))
        }
        // What else is wrong is said when the file is written.
        _ => Ok(&NewFiles),
    }
}
