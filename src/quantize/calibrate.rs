//! Which values the activations of a network have: images run through it in f32, and every value counted.

use super::error::QuantizeError;
use super::histogram::Histogram;
use super::{FEWEST, POOL};
use crate::data::{self, Crops, Dataset, Normalizer, Preprocess};
use crate::infer::{Model, Seen, SeenValues, Session};
use crate::runtime::{AlignedBuf, Crew, Rng, Watch};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Images that run together. It decides how convolutions are computed, and so the last digits of ranges.
const BATCH: usize = 16;

/// Inputs that are kept to compare the network in 8 bits on, and the most floats that they take together.
const SAMPLES: usize = 32;
const SAMPLED_FLOATS: usize = 16 << 20;

/// Keys the choice of images ("calib" in ASCII).
const CHOICE: u64 = 0x63_616C_6962;

/// What was counted.
pub(super) struct Calibration {
    /// Of the prepared images.
    pub(super) input: Histogram,
    /// Of each activation, by its layer's name.
    pub(super) layers: BTreeMap<String, Histogram>,
    /// Inputs of some images, spread over those that ran.
    pub(super) samples: Vec<Vec<f32>>,
    /// Images that ran.
    pub(super) images: usize,
    /// Why others did not.
    pub(super) skipped: Vec<data::Error>,
}

/// `count` of `len` images, or all if there are no more: one of each of as many equal stretches of the set, chosen at
/// random but always the same. So all classes have their share where a set is sorted, and where classes alternate.
pub(super) fn choose(len: usize, count: usize) -> Vec<usize> {
    let count = count.min(len);
    let start = |i: usize| (i as u128 * len as u128 / count as u128) as usize;
    let pick = |i: usize| {
        let (from, to) = (start(i), start(i + 1));
        from + Rng::new(0, &[CHOICE, i as u64]).below(to - from)
    };
    (0..count).map(pick).collect()
}

/// Runs `images` of `data`, the numbers of images in the set, through `model`, and counts.
///
/// # Errors
/// An image cannot be read, unless such are skipped; the network cannot run, or its activations are not finite; it was
/// stopped.
pub(super) fn calibrate(
    model: &Arc<Model<'_>>,
    data: &dyn Dataset,
    images: &[usize],
    preprocess: &Preprocess,
    skip_bad: bool,
    watch: &dyn Watch,
) -> Result<Calibration, QuantizeError> {
    let (len, side) = (preprocess.input_len(), preprocess.view.crop);
    let normalizer = Normalizer::new(&preprocess.mean);
    let (mut session, mut crew) = (Session::of(model), Crew::default());
    let mut input = AlignedBuf::zeroed(BATCH.min(images.len()) * len);
    let mut found = Calibration {
        input: Histogram::default(),
        layers: BTreeMap::new(),
        samples: Vec::new(),
        images: 0,
        skipped: Vec::new(),
    };
    let layers = Mutex::new(&mut found.layers);
    let see = |seen: Seen<'_>| {
        let SeenValues::F32(values) = seen.values else { return };
        let counted = Histogram::of(values);
        let mut layers = layers.lock().unwrap_or_else(PoisonError::into_inner);
        match layers.get_mut(seen.name) {
            Some(histogram) => histogram.add(&counted),
            None => drop(layers.insert(seen.name.to_owned(), counted)),
        }
    };
    let mut left = images;
    let mut done = 0;
    loop {
        // A batch is filled up where images are skipped, so that it is as large as others.
        let mut filled = 0;
        while filled < BATCH && !left.is_empty() {
            let (next, rest) = left.split_at((BATCH - filled).min(left.len()));
            left = rest;
            let places = &mut input[filled * len..(filled + next.len()) * len];
            let read = read(&mut crew, data, next, preprocess, &normalizer, places, watch);
            let start = filled;
            for (i, read) in read.into_iter().enumerate() {
                match read {
                    Ok(()) => {
                        let from = (start + i) * len;
                        input.copy_within(from..from + len, filled * len);
                        filled += 1;
                    }
                    Err(error) if skip_bad && !matches!(error, data::Error::Interrupted) => {
                        found.skipped.push(error);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            done += next.len() as u64;
        }
        if filled == 0 {
            break;
        }
        let input = &input[..filled * len];
        found.input.add(&Histogram::of(input));
        let stopped = || watch.stopped();
        let ran = session.run_watched(input, filled, side, side, &stopped, &see)?;
        ran.ok_or(data::Error::Interrupted)?;
        found.images += filled;
        let most = SAMPLES.min(SAMPLED_FLOATS / len).max(1);
        let wanted = (done as usize * most).div_ceil(images.len());
        let taken = wanted.saturating_sub(found.samples.len());
        found.samples.extend(input.chunks_exact(len).take(taken).map(<[f32]>::to_vec));
        watch.progress("images for calibration", done, Some(images.len() as u64));
    }
    if found.images < FEWEST && !found.skipped.is_empty() {
        let first = found.skipped.swap_remove(0);
        return Err(QuantizeError::TooFewRead { read: found.images, chosen: images.len(), first });
    }
    let names = model.network().convs().map(|conv| &conv.name[..]).chain([POOL]);
    let overflows =
        |name: &&str| found.layers.get(*name).is_some_and(|counted| counted.not_finite() > 0);
    match names.into_iter().find(overflows) {
        Some(layer) => Err(QuantizeError::NotFinite { layer: layer.to_owned() }),
        None => Ok(found),
    }
}

/// Writes the inputs of `images` to `out`, in parallel; tells of each whether it could be read.
fn read(
    crew: &mut Crew,
    data: &dyn Dataset,
    images: &[usize],
    preprocess: &Preprocess,
    normalizer: &Normalizer,
    out: &mut [f32],
    watch: &dyn Watch,
) -> Vec<Result<(), data::Error>> {
    struct Place<'p> {
        input: &'p mut [f32],
        read: Result<(), data::Error>,
    }
    data.read_ahead(images);
    let inputs = out.chunks_exact_mut(preprocess.input_len());
    let mut places: Vec<Place> = inputs.map(|input| Place { input, read: Ok(()) }).collect();
    let fill = |i: usize, input: &mut [f32]| {
        if watch.stopped() {
            return Err(data::Error::Interrupted);
        }
        let image = data.image(images[i])?;
        preprocess.write(normalizer, &image, Crops::Center, input);
        Ok(())
    };
    crew.run(|team| {
        team.for_each_chunk(&mut places, 1, |i, place, _| {
            place[0].read = fill(i, place[0].input);
        });
    });
    places.into_iter().map(|place| place.read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_spread_over_the_set() {
        for (len, count) in [(1000, 256), (167, 64), (20, 16), (16, 256), (50_000, 256)] {
            let chosen = choose(len, count);
            assert_eq!(chosen.len(), count.min(len));
            assert!(chosen.is_sorted_by(|a, b| a < b) && chosen.iter().all(|&i| i < len));
            let gap = chosen.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
            assert!(gap <= 2 * len.div_ceil(chosen.len()), "{len} {count}: {gap}");
        }
        // Classes that alternate with a period of the stretches' length.
        let classes: std::collections::BTreeSet<usize> =
            choose(2560, 256).into_iter().map(|i| i % 10).collect();
        assert_eq!(classes.len(), 10);
    }
}
