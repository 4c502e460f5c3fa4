//! `resnet-data stats SHARDS`: measures the training images of a packed set through another view than the one
//! that `pack` used, and stores what it finds with the set.

use std::io::Write;
use std::path::{Path, PathBuf};

use resnet_cpu::data::shards::{MANIFEST, Manifest, Measured, ShardSet};
use resnet_cpu::data::{Dataset, Statistics, View};
use resnet_cpu::runtime::{Disk, write_durably};
use serde_json::json;

use crate::error::ToolError;
use crate::machine::Machine;
use crate::pack::OutFolder;
use crate::progress::Progress;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A folder of shards that `resnet-data pack` has written
    shards: PathBuf,
    /// Side of the centre crop
    #[arg(long, value_name = "N", default_value_t = 224, value_parser = clap::value_parser!(u16).range(1..=4096))]
    crop: u16,
    /// Shorter side to which images are resized before that
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=4096))]
    resize: u16,
}

pub(crate) fn run(args: &Args, machine: &Machine) -> Result<(), ToolError> {
    let progress = Progress::begin(machine, "interrupted: stopping")?;
    let path = &args.shards;
    let set = ShardSet::find(path, &progress)?;
    let Some((set, manifest)) =
        set.as_ref().and_then(|set| Some((set, set.manifest()?))).filter(|_| path.is_dir())
    else {
        return Err(ToolError::failed(format!(
            "{}: expected a folder with {MANIFEST}, as resnet-data pack writes it, found none",
            path.display()
        )));
    };
    let splits = manifest.splits.clone();
    let data = set.open("train", machine.limits, &machine.cache, &progress)?;
    let view = View { pad: data.pad(), ..View::of(args.resize.into(), args.crop.into()) };
    let statistics = Statistics::of(&data, view, &progress)?;
    // Hours may have passed: the description may be another now, and so may the set.
    let _held = OutFolder::take(path)?;
    let mut manifest = Manifest::read(path)?;
    if manifest.splits != splits {
        return Err(ToolError::failed(format!(
            "{}: the set was packed again while it was measured; measure it again",
            path.display()
        )));
    }
    let measured = store_measured(&statistics, view, path)?;
    manifest.statistics.retain(|other| other.view() != view);
    manifest.statistics.push(measured);
    manifest
        .write(&Disk, path)
        .map_err(|error| ToolError::unwritten(&path.join(MANIFEST), &error))?;
    progress.end();
    let Statistics { images, mean, std, colours, .. } = statistics;
    let found = json!({
        "images": images,
        "resize": args.resize,
        "crop": args.crop,
        "mean": mean,
        "std": std,
        "eigenvalues": colours.eigenvalues,
        "eigenvectors": colours.eigenvectors,
    });
    let mut out = std::io::stdout().lock();
    writeln!(out, "{found}").map_err(|error| ToolError::stdout(&error))
}

/// Writes the mean of each pixel beside the description of a set in `folder`, and returns what goes into that.
pub(crate) fn store_measured(
    statistics: &Statistics,
    view: View,
    folder: &Path,
) -> Result<Measured, ToolError> {
    let file = format!("pixel-mean-{}-{}.safetensors", view.resize.unwrap_or(0), view.crop);
    let (measured, bytes) = Measured::of(statistics, view, &file);
    let path = folder.join(file);
    write_durably(&Disk, &path, |out| out.write_all(&bytes))
        .map_err(|error| ToolError::unwritten(&path, &error))?;
    Ok(measured)
}
