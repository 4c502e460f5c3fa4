//! `resnet-data pack IN OUT`: a data set into shards.
//!
//! The shards depend on the images and the settings only: not on the number of threads, on interruptions, or on
//! where the set lies. What is known of a finished shard is kept beside it, so the same command goes on where it was
//! killed; `dataset.json` is written last of all, and a folder without it is an unfinished pack.

mod encode;
mod folder;
mod part;
mod plan;
mod settings;
mod source;
mod store;
mod write;

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use resnet_cpu::data::View;
use resnet_cpu::data::shards::{Manifest, Within};

use crate::error::ToolError;
use crate::machine::Machine;
use crate::output::{grouped, size};
use crate::progress::Progress;
use crate::stats::store_measured;
pub(crate) use folder::OutFolder;
use part::PartPlan;
use settings::Choices;
use source::HoldOut;
use store::Format;
use write::{Job, Packed};

/// The side of the images of small sets.
const SMALL: usize = 32;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The data set: a folder of a folder for each class, of ImageNet's tars, of shards (WebDataset tars), of
    /// CIFAR-10's binary files or of idx files; or a single shard
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The folder for the shards, which is made; or one with a pack to go on with
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// Print how many images there are, how large the shards will be and how long it will take, and write nothing
    #[arg(long)]
    plan: bool,
    /// Shorter side of training images; smaller ones keep their size
    #[arg(long, value_name = "N", default_value_t = 480, value_parser = side)]
    shorter_side: usize,
    /// How training images are stored that are not taken as they are [default: jpeg; raw for CIFAR-10 and idx]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Quality of JPEG, 1 to 100
    #[arg(long, value_name = "N", default_value_t = 95, value_parser = clap::value_parser!(u8).range(1..=100))]
    quality: u8,
    /// Most bytes of a shard, also as 500MB or 1GB
    #[arg(long, value_name = "SIZE", default_value = "1GB", value_parser = bytes)]
    shard_size: u64,
    /// Seed of the order of training images
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Hold N training images out for validation; 0 holds none out [default: what `resnet-cpu train` would do: a tenth
    /// of each class of class folders without validation images, of other sets nothing]
    #[arg(long, value_name = "N")]
    val_split: Option<usize>,
    /// What to do about images that cannot be read: end with an error, or leave them out and list them
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = OnBadImage::Fail)]
    on_bad_image: OnBadImage,
    /// Labels of ImageNet's validation images: the devkit's .tar.gz or ground truth file, or a list of WordNet ids
    /// [default: one of the usual names in IN]
    #[arg(long, value_name = "FILE")]
    val_labels: Option<PathBuf>,
    /// Side of the centre crop on which means and colours are measured [default: 224; 32 for CIFAR-10 and idx]
    #[arg(long, value_name = "N", value_parser = side)]
    crop: Option<usize>,
    /// Shorter side to which images are resized before that [default: 8/7 of the crop; 32 for CIFAR-10 and idx]
    #[arg(long, value_name = "N", value_parser = side)]
    resize: Option<usize>,
}

/// What happens when an image cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OnBadImage {
    /// End with an error that names it
    Fail,
    /// Leave it out and list it in dataset.json
    Skip,
}

pub(crate) fn run(args: &Args, machine: &Machine) -> Result<(), ToolError> {
    let said = "interrupted: finished shards are kept, the same command goes on; interrupt again to stop at once";
    let progress = Progress::begin(machine, said)?;
    refuse_nested(args)?;
    let hold_out = args.val_split.map_or(HoldOut::Usual, HoldOut::Images);
    let source =
        source::open(&args.input, args.val_labels.as_deref(), hold_out, machine, &progress)?;
    source.notes.iter().for_each(|note| progress.note(note));
    let Some((_, first)) = source.parts.first().filter(|_| !source.classes.is_empty()) else {
        let path = args.input.display();
        return Err(ToolError::failed(format!("{path}: expected images, found none")));
    };
    let (pad, flip) = (first.pad(), first.may_flip());
    let choices = args.choices(source.of_pixels, pad);
    let parts = PartPlan::of(&source, choices.seed);
    if args.plan {
        progress.end();
        return plan::print(&parts, &choices, machine, &progress);
    }
    let settings = choices.settings(&source, &parts);
    let folder = OutFolder::take(&args.output)?;
    if let Some(manifest) = folder.finished(&settings)? {
        progress.note(&format!("{}: it is packed already", args.output.display()));
        folder.clean();
        return summary(&manifest);
    }
    if folder.begin(&settings)? {
        progress.note(&format!("{}: going on with a pack", args.output.display()));
    }
    let total = parts.iter().map(|part| part.order.len() as u64).sum();
    let prefix = prefix(&args.input);
    let mut manifest = Manifest::new(source.classes);
    (manifest.pad, manifest.flip) = (pad, flip);
    manifest.within = Within::of(&machine.limits);
    manifest.pack = settings;
    let (mut before, mut measured) = (0, None);
    for part in &parts {
        let job = Job {
            part,
            choices: &choices,
            limits: &machine.limits,
            prefix: &prefix,
            skip: args.on_bad_image == OnBadImage::Skip,
            folder: &folder,
            progress: &progress,
            before,
            total,
        };
        let Packed { split, sums, within } = job.run()?;
        manifest.within = manifest.within.or(within);
        manifest.splits.insert(part.name.to_owned(), split);
        measured = measured.or(sums);
        before += part.order.len() as u64;
    }
    if let Some(sums) = measured {
        let statistics = sums.statistics();
        manifest.statistics.push(store_measured(&statistics, choices.view, folder.path())?);
    }
    folder.finish(&manifest)?;
    progress.end();
    summary(&manifest)
}

impl Args {
    fn choices(&self, of_pixels: bool, pad: Option<usize>) -> Choices {
        let default = if of_pixels { View::cifar() } else { View::imagenet() };
        let crop = self.crop.unwrap_or(default.crop);
        let in_proportion = if of_pixels && crop == SMALL { crop } else { (crop * 8 + 3) / 7 };
        let resize = Some(self.resize.unwrap_or(in_proportion));
        let format = if of_pixels { Format::Raw } else { Format::Jpeg };
        Choices {
            shorter_side: self.shorter_side,
            format: self.format.unwrap_or(format),
            quality: self.quality,
            shard_size: self.shard_size,
            seed: self.seed,
            view: View { pad, resize, ..View::of(crop, crop) },
        }
    }
}

/// What the names of images begin with that depends on where the set is: its folder.
fn prefix(input: &Path) -> String {
    let folder = if input.is_dir() { Some(input) } else { input.parent() };
    match folder.map(|folder| folder.display().to_string()).filter(|folder| !folder.is_empty()) {
        Some(folder) => folder.trim_end_matches('/').to_owned() + std::path::MAIN_SEPARATOR_STR,
        None => String::new(),
    }
}

/// Refuses to pack a folder into itself: its shards would be taken for images of the set the next time.
fn refuse_nested(args: &Args) -> Result<(), ToolError> {
    let Ok(input) = args.input.canonicalize() else { return Ok(()) };
    let existing = args.output.ancestors().find_map(|folder| {
        let folder = if folder.as_os_str().is_empty() { ".".as_ref() } else { folder };
        folder.canonicalize().ok()
    });
    match existing {
        Some(existing) if input.is_dir() && existing.starts_with(&input) => {
            Err(ToolError::usage(format!(
                "{}: it lies in {}, which is packed; give a folder elsewhere",
                args.output.display(),
                args.input.display()
            )))
        }
        _ => Ok(()),
    }
}

/// Prints what there is.
fn summary(manifest: &Manifest) -> Result<(), ToolError> {
    let mut out = std::io::stdout().lock();
    for name in ["train", "val", "test"] {
        let Some(split) = manifest.splits.get(name) else { continue };
        let bytes = split.shards.iter().map(|shard| shard.bytes).sum();
        let shards = match split.shards.len() {
            1 => "1 shard".to_owned(),
            shards => format!("{shards} shards"),
        };
        let skipped = match split.skipped.len() {
            0 => String::new(),
            skipped => format!("; {skipped} skipped, listed in dataset.json"),
        };
        let images = grouped(split.images);
        writeln!(out, "{name}: {images} images in {shards}, {}{skipped}", size(bytes))
            .map_err(|error| ToolError::stdout(&error))?;
    }
    Ok(())
}

/// A side of an image in pixels.
fn side(text: &str) -> Result<usize, String> {
    let side = text.parse().ok().filter(|side| (1..=16_384).contains(side));
    side.ok_or_else(|| "expected 1 to 16384".to_owned())
}

/// Bytes, with or without a decimal unit.
fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "t" | "tb" => 1_000_000_000_000,
        _ => return Err("expected bytes, such as 1000000000, 500MB or 1GB".to_owned()),
    };
    let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    let bytes = bytes.filter(|&bytes| bytes > 0);
    bytes.ok_or_else(|| "expected bytes, such as 1000000000, 500MB or 1GB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("17"), Ok(17));
        assert_eq!(bytes("500MB"), Ok(500_000_000));
        assert_eq!(bytes("2g"), Ok(2_000_000_000));
        for wrong in ["", "0", "MB", "-1", "1.5GB", "1XB", "99999999999TB"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
