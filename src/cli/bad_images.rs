//! The option that says what becomes of images that cannot be read.

use super::machine::Machine;

#[derive(clap::Args)]
pub(super) struct BadImageArgs {
    /// What to do about images that cannot be read: fail at the first, or skip (count, list and leave
    /// them out)
    #[arg(long, value_name = "WHAT", default_value = "fail")]
    pub(super) on_bad_image: OnBadImage,
}

/// What becomes of images that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum OnBadImage {
    Fail,
    Skip,
}

/// Counts and lists the images that were left out.
pub(super) fn list(reasons: &[String], machine: &Machine) {
    for reason in reasons {
        machine.note(&format!("skipped {reason}"));
    }
    match reasons.len() {
        0 => {}
        1 => machine.note("1 image cannot be read and is left out"),
        count => machine.note(&format!("{count} images cannot be read and are left out")),
    }
}
