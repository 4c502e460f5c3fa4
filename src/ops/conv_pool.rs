//! A convolution and the max-pool after it in one go: the beginning of a large network.
//!
//! What lies between them is the largest activation of the network, and the pool keeps a quarter of
//! it. So a task computes it band by band in its second-level cache, pools from there, and carries
//! the lines that two bands share from one to the next.

use super::PoolShape;
use super::max_pool::Row;
use crate::conv::{ConvShape, Filter, forward_rows};
use crate::gemm::Epilogue;
use crate::runtime::{Scratch, Team};
use crate::simd::Isa;

/// Floats of a band: an eighth of a 2 MiB second-level cache.
const BAND: usize = 64 * 1024;
/// The most tasks a thread: they even out what else the machine does.
const TASKS_A_THREAD: usize = 4;

/// output = max-pool(epilogue(convolution of `input` with `filter`)), the bits of
/// [`conv::forward`](crate::conv::forward()) and [`max_pool`](super::max_pool()).
///
/// `input` is `[batch, height, width, in_channels]`, `output`
/// `[batch, out_height, out_width, out_channels]` by the pool's shape. The filter is packed for
/// [`Algorithm::Strip`](crate::conv::Algorithm::Strip).
///
/// # Panics
/// If a size is not what the shapes say, the pool's input is not the convolution's output, the
/// epilogue has a residual, or the filter is packed for another algorithm.
pub fn conv_max_pool(
    team: &mut Team,
    isa: Isa,
    conv: &ConvShape,
    pool: &PoolShape,
    input: &[f32],
    filter: &Filter,
    epilogue: &Epilogue,
    output: &mut [f32],
) {
    let between = [conv.batch, conv.out_height(), conv.out_width(), conv.out_channels];
    assert_eq!(between, [pool.batch, pool.height, pool.width, pool.channels], "pool of {conv:?}");
    assert!(epilogue.residual.is_none(), "a residual before a pool");
    pool.check(conv.output_len(), output.len());
    if output.is_empty() {
        return;
    }
    let both = ConvPool { isa, conv, pool, input, filter, epilogue };
    let (line, height) = (pool.out_width() * pool.channels, pool.out_height());
    let (rows, threads) = (pool.batch * height, team.threads());
    // Where a task begins inside of an image it computes lines that its neighbour has, too; so there
    // are several a thread only if each can have an image.
    let tasks = threads * (pool.batch / threads).clamp(1, TASKS_A_THREAD);
    let rows_a_task = rows.div_ceil(tasks);
    team.for_each_chunk(output, rows_a_task * line, |task, mut output, mut scratch| {
        let mut row = task * rows_a_task;
        while !output.is_empty() {
            let (image, y) = (row / height, row % height);
            let rows = (height - y).min(output.len() / line);
            let of_image;
            (of_image, output) = output.split_at_mut(rows * line);
            both.rows(image, y, of_image, scratch.reborrow());
            row += rows;
        }
    });
}

/// The operands.
struct ConvPool<'a> {
    isa: Isa,
    conv: &'a ConvShape,
    pool: &'a PoolShape,
    input: &'a [f32],
    filter: &'a Filter,
    epilogue: &'a Epilogue<'a>,
}

impl ConvPool<'_> {
    /// The rows of one image's output from `y` on.
    fn rows(&self, image: usize, mut y: usize, output: &mut [f32], mut scratch: Scratch) {
        let &Self { isa, conv, pool, input, filter, epilogue } = self;
        let line = pool.width * pool.channels;
        let out_line = pool.out_width() * pool.channels;
        let rows_a_band = (BAND / line.max(1)).saturating_sub(pool.kernel) / pool.stride + 1;
        let lines = (rows_a_band - 1) * pool.stride + pool.kernel;
        let (band, mut scratch) = scratch.take(lines * line);
        // The lines of the convolution's output that the band holds.
        let mut held = 0..0;
        for output in output.chunks_mut(rows_a_band * out_line) {
            let end = y + output.len() / out_line;
            let first = pool.window(y, pool.height).start;
            let last = pool.window(end - 1, pool.height).end;
            let place = |row: usize| (row - first) * line;
            if held.end > first {
                let shared = (first - held.start) * line..(held.end - held.start) * line;
                band.copy_within(shared, 0);
            }
            let new = held.end.max(first)..last;
            let computed = &mut band[place(new.start)..place(new.end)];
            let top = image * pool.height;
            let rows = top + new.start..top + new.end;
            let to = (computed, &*output);
            forward_rows(conv, input, filter, rows, epilogue, to, scratch.reborrow());
            for output in output.chunks_exact_mut(out_line) {
                let window = pool.window(y, pool.height);
                let lines = &band[place(window.start)..place(window.end)];
                isa.dispatch(Row { shape: pool, lines, output });
                y += 1;
            }
            held = first..last;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::max_pool;
    use super::super::testing::normals;
    use super::*;
    use crate::conv::{Algorithm, forward};
    use crate::gemm::Backend;
    use crate::runtime::{Rng, team};

    /// The bits of the convolution and the pool one after the other, on every set and for any number
    /// of threads.
    fn check(conv: &ConvShape, [kernel, stride, padding]: [usize; 3], seed: u64) {
        let (batch, channels) = (conv.batch, conv.out_channels);
        let (height, width) = (conv.out_height(), conv.out_width());
        let pool = PoolShape { batch, height, width, channels, kernel, stride, padding };
        let mut input = normals(seed, conv.input_len());
        // What comparisons treat in their own ways.
        for (value, i) in input.iter_mut().step_by(997).zip(0..) {
            *value = if i % 2 == 0 { f32::NAN } else { f32::INFINITY };
        }
        let (weights, bias) = (normals(seed + 1, conv.weight_len()), normals(seed + 2, channels));
        let epilogue = Epilogue { bias: Some(&bias), residual: None, relu: true, after: None };
        let len = batch * pool.out_height() * pool.out_width() * channels;
        for isa in Isa::available() {
            let filter = |algorithm| {
                let mut filter = Filter::zeros_for(algorithm, Backend::Native(isa), conv);
                team(|team| filter.pack(team, &weights, None));
                filter
            };
            let mut between = vec![f32::NAN; conv.output_len()];
            team(|team| {
                forward(team, conv, &input, &filter(Algorithm::Direct), &epilogue, &mut between)
            });
            let mut expected = vec![f32::NAN; len];
            team(|team| max_pool(team, isa, &pool, &between, &mut expected));
            let filter = filter(Algorithm::Strip);
            for threads in [1, 2, 3, 5, 8] {
                let threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut output = vec![-1.0; len];
                threads.install(|| {
                    team(|team| {
                        conv_max_pool(
                            team,
                            isa,
                            conv,
                            &pool,
                            &input,
                            &filter,
                            &epilogue,
                            &mut output,
                        )
                    });
                });
                let same = output.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(same, "{isa}, {threads:?}: other bits, {conv:?} {pool:?}");
            }
        }
    }

    #[test]
    fn equals_one_after_the_other() {
        for case in 0..40 {
            let mut rng = Rng::new(8, &[case]);
            let (kernel, stride, padding) = (2 + rng.below(6), 1 + rng.below(3), rng.below(4));
            let least = (kernel + 4 * stride).saturating_sub(2 * padding).max(1);
            let conv = ConvShape {
                batch: 1 + rng.below(3),
                height: least + rng.below(30),
                width: least + rng.below(30),
                in_channels: 1 + rng.below(4),
                out_channels: 1 + rng.below(70),
                kernel,
                stride,
                padding,
            };
            let window = 2 + rng.below(2);
            check(&conv, [window, 1 + rng.below(4), rng.below(window)], case);
        }
    }

    #[test]
    fn bands_and_tasks_meet() {
        for batch in [1, 3] {
            let conv = ConvShape {
                batch,
                height: 97,
                width: 240,
                in_channels: 3,
                out_channels: 64,
                kernel: 7,
                stride: 2,
                padding: 3,
            };
            check(&conv, [3, 2, 1], 5);
        }
    }
}
