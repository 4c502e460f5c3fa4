//! Our side of `data-tools/pytorch/time_data.py`, which interleaves it with other libraries: training inputs
//! by the paper's augmentation (shorter side 256 to 480, crop 224, flip, colour) on one thread.
//!
//!     cargo bench --bench photographs -- FOLDER
//!
//! FOLDER has class folders. With Cargo's feature `libjpeg-turbo`, that decodes. Each line of stdin is one pass over its images: `jpeg` reads and decodes the
//! files, `shards` the same from a shard of them, `raw` reads a shard of pixels, `decoded` starts from pixels in
//! memory; `pixel` or `channel` after it is the mean. The answer to each is a line of JSON: images, seconds.

mod common;

use std::io::{BufRead, Write};
use std::time::Instant;

use resnet_cpu::data::{
    Augmentation, Batches, ColourShift, Crop, Dataset, ImageFolder, JpegDecoder, Limits, Mean, View,
};

use common::{Decoded, shard};

const BATCH: usize = 32;

/// Seconds that one pass over all images takes.
fn pass(data: &dyn Dataset, mean: &Mean, epoch: u64) -> Result<f64, Box<dyn std::error::Error>> {
    let augment = Augmentation {
        crop: Crop::Scale { shortest: 256, longest: 480 },
        flip: true,
        colour: Some(ColourShift::IMAGENET),
        ..Augmentation::NONE
    };
    let batches = Batches::training(data, View::imagenet(), mean, augment, 1)?;
    let all: Vec<usize> = (0..data.len()).collect();
    let mut out = vec![0.0; BATCH * batches.input_len()];
    let mut labels = [0; BATCH];
    let start = Instant::now();
    for indices in all.chunks(BATCH) {
        let out = &mut out[..indices.len() * batches.input_len()];
        batches.fill(epoch, indices, out, &mut labels[..indices.len()])?;
    }
    Ok(start.elapsed().as_secs_f64())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Cargo itself gives `--bench`, and no folder where it only wants to know that this runs.
    let Some(folder) = std::env::args().skip(1).find(|word| !word.starts_with('-')) else {
        println!(
            "usage: cargo bench --bench photographs -- FOLDER, then lines such as `jpeg pixel`"
        );
        return Ok(());
    };
    let decoder = match cfg!(feature = "libjpeg-turbo") {
        true => JpegDecoder::LibjpegTurbo,
        false => JpegDecoder::Rust,
    };
    let limits = Limits { decoder, ..Limits::default() };
    let files = ImageFolder::open(folder.as_ref(), limits)?;
    let decoded = (0..files.len()).map(|i| files.image(i)).collect::<Result<_, _>>()?;
    let decoded = Decoded(decoded);
    let room = tempfile::tempdir()?;
    let shards = shard(room.path(), &files, false, limits)?;
    let raw = shard(room.path(), &files, true, limits)?;
    let pixel = Mean::Pixel(vec![0.45; View::imagenet().input_len()]);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    for (epoch, line) in std::io::stdin().lock().lines().enumerate() {
        let line = line?;
        let (source, mean) = line.split_once(' ').unwrap_or((&line, "channel"));
        let data: &dyn Dataset = match source {
            "jpeg" => &files,
            "shards" => &shards,
            "raw" => &raw,
            "decoded" => &decoded,
            other => {
                return Err(format!("expected jpeg, shards, raw or decoded, found {other}").into());
            }
        };
        let mean = if mean == "pixel" { &pixel } else { &Mean::IMAGENET };
        let result =
            pool.install(|| pass(data, mean, epoch as u64).map_err(|error| error.to_string()));
        println!("{{\"images\": {}, \"seconds\": {}}}", data.len(), result?);
        std::io::stdout().flush()?;
    }
    Ok(())
}
