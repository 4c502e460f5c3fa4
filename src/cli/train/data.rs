//! The images of a run or of a study, opened as the flags say.

use resnet_cpu::data::{self, Limits, Scan, Wanted};
use resnet_cpu::runtime::Cache;
use resnet_cpu::train::TrainData;
use std::path::Path;

use super::super::activity::Activity;
use super::super::bad_images::{self, OnBadImage};
use super::super::error::CliError;
use super::super::machine::Machine;

/// Which images are asked for.
pub(in crate::cli) struct Asked<'a> {
    /// Where they are; none are the built-in ones.
    pub(in crate::cli) path: Option<&'a Path>,
    /// Training images to hold out.
    pub(in crate::cli) held_out: u64,
    pub(in crate::cli) limits: Limits,
    pub(in crate::cli) cache: Cache,
    pub(in crate::cli) on_bad_image: OnBadImage,
}

impl Asked<'_> {
    /// Opens them, and says what runs and what was found.
    pub(in crate::cli) fn open(
        self,
        machine: &Machine,
        activity: &Activity,
    ) -> Result<TrainData, CliError> {
        let Self { path, held_out, limits, cache, on_bad_image } = self;
        let wanted = Wanted { whole: held_out > 0, test: false };
        let splits = data::open_as(path, wanted, limits, &cache, activity);
        let mut splits = splits.map_err(|error| activity.failure(error))?;
        activity.check()?;
        machine.note_itself();
        splits.notes.iter().for_each(|note| machine.note(note));
        if on_bad_image == OnBadImage::Skip {
            let scan = Scan { cache: &cache, watch: activity };
            let found = scan.leave_out(splits);
            let (good, bad) = found.map_err(|error| activity.failure(error))?;
            bad_images::list(&bad, machine);
            splits = good;
        }
        let data = TrainData::new(splits, held_out)
            .map_err(|error| CliError::usage(format!("--val-split: {error}")))?;
        Ok(data.remembered_in(cache))
    }
}

/// The name of the folder with the data, as a part of a file name.
pub(in crate::cli) fn data_name(path: &Path) -> String {
    // `.` and `..` have names, too.
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = whole.file_name().unwrap_or_default().to_string_lossy();
    let plain = |c: char| if c.is_control() || c == '/' || c == '\\' { '_' } else { c };
    let name: String = name.trim_start_matches('.').chars().map(plain).collect();
    if name.is_empty() { "data".to_owned() } else { name }
}
