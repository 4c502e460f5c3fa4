//! A study's folder: what may be in it, whose runs these are, one process at a time.

use resnet_cpu::runtime::{FolderLock, LockError};
use resnet_cpu::study::{Kind, Member, NUMBERS, PAGE};
use resnet_cpu::train::{LAST, RunError, checkpoint};
use std::fs;
use std::io;
use std::path::Path;

use super::super::error::CliError;
use super::super::output::one_line;
use super::members::Maker;

/// Refuses a folder that holds something else, another study, or runs with other settings than this study gives
/// them. Nothing is changed.
pub(super) fn check(out: &Path, kind: Kind, maker: &Maker) -> Result<(), CliError> {
    let entries = match fs::read_dir(out) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(CliError::failed(format!("{}: cannot read: {error}", out.display())));
        }
    };
    let names = entries.filter_map(Result::ok).map(|entry| entry.file_name());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    let members: Vec<Member> = names.iter().filter_map(|name| Member::of_name(name)).collect();
    let is_study = names.iter().any(|name| name == NUMBERS);
    let foreign = |name: &&String| {
        let own = [NUMBERS, PAGE].contains(&name.as_str()) || name.starts_with('.');
        !own && Member::of_name(name).is_none()
    };
    if let (false, Some(found)) = (is_study, names.iter().find(foreign)) {
        return Err(CliError::usage(format!(
            "{}: expected a new folder, or one with a study ({NUMBERS}) in it, found {}; choose another folder with \
             --out",
            out.display(),
            one_line(found)
        )));
    }
    if let Some(stored) = stored_kind(&out.join(NUMBERS)).filter(|stored| *stored != kind) {
        let (path, differences) =
            (out.to_owned(), vec![format!("kind: stored {stored}, requested {kind}")]);
        return Err(CliError::usage(RunError::AnotherRun { path, differences }));
    }
    for member in members {
        let folder = out.join(member.name());
        let last = folder.join(LAST);
        // The runs of networks that exist, of this grid or not: all of a study have the same settings.
        let (true, Ok(asked)) = (last.is_file(), maker.config(&member)) else { continue };
        let stored = checkpoint::load_config(&last).map_err(CliError::failed)?;
        let differences = stored.diff_from_start(&asked);
        if !differences.is_empty() {
            return Err(CliError::usage(RunError::AnotherRun { path: folder, differences }));
        }
    }
    Ok(())
}

/// What the study in the file compares; nothing if it is not such a file: it is written anew.
fn stored_kind(path: &Path) -> Option<Kind> {
    let value: serde_json::Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    serde_json::from_value(value.get("kind")?.clone()).ok()
}

/// Makes the folder, if it is missing, and locks it.
pub(super) fn take(out: &Path) -> Result<FolderLock, CliError> {
    let failed = |error: &dyn std::fmt::Display| {
        CliError::failed(format!("{}: cannot use the folder: {error}", out.display()))
    };
    fs::create_dir_all(out).map_err(|error| failed(&error))?;
    FolderLock::take(out).map_err(|error| match error {
        LockError::Held => CliError::failed(RunError::InUse { path: out.to_owned() }),
        error => failed(&error),
    })
}
