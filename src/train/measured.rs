//! Centre views of chosen training images, batch after batch, for whoever measures batch norm on them.

use crate::data::{self, Batches, Dataset, Preprocess};
use crate::learn::TooSmall;
use crate::runtime::{AlignedBuf, Watch};

/// Images prepared between two looks whether to stop.
const PREPARED: usize = 16;

/// Calls `measure` with the inputs of the images of each of `parts`, `[images, crop, crop, 3]`, and how many they
/// are; it returns false if it was stopped. `watch` is told how far it is, in the words `what`.
///
/// # Errors
/// An image cannot be read, `measure` fails, or it was stopped.
pub(crate) fn measure_parts<E: From<data::Error> + From<TooSmall>>(
    data: &dyn Dataset,
    preprocess: &Preprocess,
    parts: &[&[usize]],
    watch: &dyn Watch,
    what: &'static str,
    mut measure: impl FnMut(&[f32], usize) -> Result<bool, TooSmall>,
) -> Result<(), E> {
    let batches = Batches::evaluation(data, preprocess.view, &preprocess.mean);
    let most = parts.iter().map(|part| part.len()).max().unwrap_or(0);
    let total = parts.iter().map(|part| part.len()).sum::<usize>() as u64;
    let mut input = AlignedBuf::zeroed(most * batches.input_len());
    let mut labels = [0; PREPARED];
    let mut done = 0;
    for part in parts {
        let input = &mut input[..part.len() * batches.input_len()];
        let prepared = input.chunks_mut(PREPARED * batches.input_len());
        for (indices, input) in part.chunks(PREPARED).zip(prepared) {
            if watch.stopped() {
                return Err(data::Error::Interrupted.into());
            }
            batches.fill(0, indices, input, &mut labels[..indices.len()])?;
        }
        if !measure(input, part.len())? {
            return Err(data::Error::Interrupted.into());
        }
        done += part.len() as u64;
        watch.progress(what, done, Some(total));
    }
    Ok(())
}
