//! A set of shards as training takes it: images to train on, and images to validate on.

use std::path::Path;

use super::find::ShardSet;
use super::open::without_images;
use crate::data::decode::Limits;
use crate::data::sets::{Kind, Splits, ValidationOrigin};
use crate::data::{Dataset, Error};
use crate::runtime::{Cache, Watch};

/// Opens the shards `set`, found at `path`.
///
/// # Errors
/// [`Error`] if something in them is wrong; [`Error::Interrupted`].
pub(in crate::data::sets) fn open_splits(
    set: &ShardSet,
    path: &Path,
    limits: Limits,
    cache: &Cache,
    watch: &dyn Watch,
) -> Result<Splits, Error> {
    let open = |part| set.open(part, limits, cache, watch);
    let has = |part| set.parts().any(|(name, _)| name == part);
    let mut notes = set.notes().to_vec();
    let shown = path.display();
    let (measured, origin) = match (has("val"), has("test")) {
        (true, _) => (Some("val"), ValidationOrigin::Val),
        (false, true) => (Some("test"), ValidationOrigin::Test),
        (false, false) => (None, ValidationOrigin::HeldOut),
    };
    let (part, measured, origin) = if has("train") {
        (Some("train"), measured, origin)
    } else {
        // The user has named the part.
        (measured, None, ValidationOrigin::HeldOut)
    };
    let Some(part) = part else {
        let detail = "expected shards, found none".to_owned();
        return Err(Error::Manifest { path: path.to_path_buf(), detail });
    };
    if part != "train" {
        notes.push(format!("{shown}: no shards for training; those of {part} are all of the set"));
    }
    let train = open(part)?;
    if let [class] = train.class_names().unwrap_or_default() {
        return Err(Error::SingleClass { path: path.to_path_buf(), class: class.clone() });
    }
    notes.extend(without_images(&train).map(|note| format!("{shown}: {note}")));
    let val = match measured {
        Some(part) => {
            let classes = train.class_names().unwrap_or_default();
            Some(open(part)?.with_classes(classes)?)
        }
        None => {
            notes.push(format!(
                "{shown}: no shards for validation, so nothing is validated (--val-split N holds images out)"
            ));
            None
        }
    };
    let val = val.map(|val| Box::new(val) as Box<dyn Dataset>);
    let (train, kind) = (Box::new(train), Kind::Shards);
    Ok(Splits { train, val, test: None, origin, kind, notes })
}
