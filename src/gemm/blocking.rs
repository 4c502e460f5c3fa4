//! How a product is cut into blocks, and why. Only the blocks of K, and the chunks of a long sum, change
//! a result: they follow from the shape and from the constants in `numerics`.

use super::kernels::Kernel;
use crate::numerics::{KC, chunks};

/// Steps of K a block in a product of `k` steps: equal parts of at most KC.
pub fn k_block(k: usize) -> usize {
    even(k, KC, 1)
}

/// Floats of a packed block of A (MC x KC): a quarter of a 2 MiB second-level cache; the rest is for
/// the panels of B and the tile of C.
pub const A_BLOCK: usize = 128 * 1024;

/// Multiply-adds below which a product is not worth a second thread.
pub const SMALL: usize = 64 * 1024;

/// How C is cut into tasks: a grid of runs of rows by runs of panels (of NR columns), each as even as
/// can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocking {
    /// Tasks down.
    pub row_tasks: usize,
    /// Tasks across.
    pub column_tasks: usize,
    /// Steps of K a block.
    pub kc: usize,
}

impl Blocking {
    /// The blocking of an `m` x `n` x `k` product on `threads` threads.
    pub fn new(kernel: &Kernel, m: usize, n: usize, k: usize, threads: usize) -> Blocking {
        let kc = k_block(k);
        let fewest = m.div_ceil(A_BLOCK / kc.max(1));
        if threads == 1 || (m * n).saturating_mul(k) < SMALL {
            return Blocking { row_tasks: fewest, column_tasks: 1, kc };
        }
        // Rows first: a task that has all columns packs its part of A once. A few tasks a thread even
        // out what else the machine does; short ones would load B too often.
        let most = (m / (3 * kernel.mr)).clamp(1, 4 * threads);
        let row_tasks = fewest.max(most);
        if row_tasks >= threads {
            let row_tasks = row_tasks / threads * threads;
            return Blocking { row_tasks: row_tasks.max(fewest), column_tasks: 1, kc };
        }
        // Then columns, where there are few rows (deep layers at batch 1): each thread reads its own
        // part of the weights.
        let column_tasks = threads.div_ceil(row_tasks).min(n.div_ceil(kernel.nr));
        Blocking { row_tasks, column_tasks, kc }
    }
}

/// Cuts `total` into equal parts of at most `most`, each a multiple of `unit`.
fn even(total: usize, most: usize, unit: usize) -> usize {
    let parts = total.div_ceil((most / unit * unit).max(unit)).max(1);
    total.div_ceil(parts).next_multiple_of(unit).max(unit)
}

/// Chunks of the sum over `m` rows in a product Aᵀ · B with a `k` x `n` result: enough tasks for many
/// threads where the result is small, none so short that adding up the chunks would be felt.
pub fn chunks(m: usize, k: usize, n: usize) -> usize {
    let column_tasks = k.div_ceil(even(k, chunks::COLUMNS, 1));
    let most = (chunks::MOST_PARTIAL / (k * n).max(1)).max(1);
    chunks::TASKS.div_ceil(column_tasks).min(m / chunks::SHORTEST).min(most).max(1)
}

/// Columns of A that a task takes, at most; half of what a second-level cache holds of them.
const COLUMNS: usize = 336;

/// Columns of A that a task of a product Aᵀ · B takes.
pub(super) fn columns_a_task(k: usize) -> usize {
    even(k, COLUMNS, 1)
}
