//! How large a pack will be and how long it will take, by trying some of the images.

use std::io::Write;
use std::time::Instant;

use resnet_cpu::data::Error;
use resnet_cpu::data::shards::ShardWriter;
use resnet_cpu::runtime::{Watch, team};

use super::part::PartPlan;
use super::settings::Choices;
use crate::error::ToolError;
use crate::machine::Machine;
use crate::output::{grouped, size};
use crate::progress::duration;

/// Images of a part that are tried.
const SAMPLE: usize = 96;

/// Prints what a pack of `parts` would be.
pub(super) fn print(
    parts: &[PartPlan],
    choices: &Choices,
    machine: &Machine,
    watch: &dyn Watch,
) -> Result<(), ToolError> {
    let mut out = std::io::stdout().lock();
    let (mut all_bytes, mut all_seconds) = (0, 0.0);
    for part in parts {
        let tried = try_some(part, choices, machine, watch)?;
        let images = part.order.len() as u64;
        let bytes = (tried.bytes as f64 / tried.images as f64 * images as f64) as u64;
        all_bytes += bytes;
        all_seconds += tried.seconds / tried.images as f64 * images as f64;
        let shards = bytes.div_ceil(choices.shard_size).max(1);
        let bad = match tried.bad {
            0 => String::new(),
            bad => format!("; {bad} of those cannot be read"),
        };
        writeln!(
            out,
            "{}: {} images, about {} in {} ({} images tried{bad})",
            part.name,
            grouped(images),
            size(bytes),
            if shards == 1 { "1 shard".to_owned() } else { format!("{} shards", grouped(shards)) },
            tried.images
        )
        .map_err(|error| ToolError::stdout(&error))?;
    }
    let threads = match machine.threads {
        1 => "1 thread".to_owned(),
        threads => format!("{threads} threads"),
    };
    writeln!(out, "total: about {}, {} on {threads}", size(all_bytes), duration(all_seconds))
        .map_err(|error| ToolError::stdout(&error))
}

/// What some of the images came to.
struct Tried {
    images: usize,
    bad: usize,
    bytes: u64,
    seconds: f64,
}

fn try_some(
    part: &PartPlan,
    choices: &Choices,
    machine: &Machine,
    watch: &dyn Watch,
) -> Result<Tried, ToolError> {
    let rule = choices.rule(part.name);
    // At even distances, so that all of an order by class is seen.
    let images = part.order.len().min(SAMPLE);
    let chosen: Vec<usize> =
        (0..images).map(|i| part.order[i * part.order.len() / images]).collect();
    let start = Instant::now();
    let tried = team(|team| {
        team.map(images, |i, _| {
            if watch.stopped() {
                return Err(Error::Interrupted);
            }
            let stored = rule.store(&*part.data, chosen[i], &machine.limits)?;
            Ok(ShardWriter::size_of(stored.bytes.len() as u64))
        })
    });
    let seconds = start.elapsed().as_secs_f64();
    let (mut bad, mut bytes) = (0, 0);
    for tried in tried {
        match tried {
            Ok(size) => bytes += size,
            Err(error) if error.is_of_image() => bad += 1,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Tried { images: images.max(1), bad, bytes, seconds })
}
