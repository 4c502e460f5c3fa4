//! Which micro-batches are whose, and how the sums of all become that of one process.

use std::iter::Peekable;
use std::ops::Range;

/// The micro-batches of each process: neighbours, as evenly as can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    micro_batches: usize,
    processes: usize,
}

/// There are more processes than micro-batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{processes} processes cannot share {micro_batches} micro-batches: each takes whole ones")]
pub struct TooMany {
    /// Processes.
    pub processes: usize,
    /// Micro-batches of a batch.
    pub micro_batches: usize,
}

impl Share {
    /// `micro_batches` of a batch among `processes`.
    ///
    /// # Errors
    /// If a process would get none.
    pub fn new(micro_batches: usize, processes: usize) -> Result<Self, TooMany> {
        if processes > micro_batches {
            return Err(TooMany { processes, micro_batches });
        }
        Ok(Self { micro_batches, processes })
    }

    /// Those of the process `rank`.
    pub fn of(&self, rank: usize) -> Range<usize> {
        let start = |rank| rank * self.micro_batches / self.processes;
        start(rank)..start(rank + 1)
    }

    /// The same in blocks whose gradients a process adds up alone: the largest nodes of the tree that are all its own.
    pub fn blocks(&self, rank: usize) -> Vec<Range<usize>> {
        let mut blocks = Vec::new();
        nodes(0..self.micro_batches, &self.of(rank), &mut blocks);
        blocks
    }

    /// The sum of `blocks`, those of all processes in order, by the tree; it is in the buffer of the first.
    pub(super) fn sum<'a>(
        &self,
        blocks: impl Iterator<Item = (Range<usize>, &'a mut [f32])>,
        mut add: impl FnMut(&mut [f32], &[f32]),
    ) -> &'a mut [f32] {
        sum(0..self.micro_batches, &mut blocks.peekable(), &mut add)
    }
}

/// The two halves of a node of the tree: the first is the largest power of two that leaves something.
fn halves(node: &Range<usize>) -> [Range<usize>; 2] {
    let middle = node.start + node.len().next_power_of_two() / 2;
    [node.start..middle, middle..node.end]
}

/// The largest nodes below `node` that lie in `own`.
fn nodes(node: Range<usize>, own: &Range<usize>, found: &mut Vec<Range<usize>>) {
    if node.start >= own.start && node.end <= own.end {
        found.push(node);
    } else if node.start < own.end && own.start < node.end {
        halves(&node).into_iter().for_each(|half| nodes(half, own, found));
    }
}

fn sum<'a>(
    node: Range<usize>,
    blocks: &mut Peekable<impl Iterator<Item = (Range<usize>, &'a mut [f32])>>,
    add: &mut impl FnMut(&mut [f32], &[f32]),
) -> &'a mut [f32] {
    if let Some((_, block)) = blocks.next_if(|(range, _)| *range == node) {
        return block;
    }
    let [first, second] = halves(&node);
    let first = sum(first, blocks, add);
    let second = sum(second, blocks, add);
    add(first, second);
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Rng;

    #[test]
    fn blocks_are_those_that_the_tree_adds_up_first() {
        let share = |micro_batches, processes| Share::new(micro_batches, processes).unwrap();
        assert_eq!(share(8, 3).of(1), 2..5);
        assert_eq!(share(8, 3).blocks(1), [2..4, 4..5]);
        assert_eq!(share(8, 3).blocks(2), [5..6, 6..8]);
        assert_eq!(share(12, 2).blocks(1), [6..8, 8..12]);
        assert_eq!(share(5, 1).blocks(0), vec![0..5]);
        let error = Share::new(2, 3).unwrap_err();
        assert_eq!(error, TooMany { processes: 3, micro_batches: 2 });
    }

    #[test]
    fn the_sum_of_the_blocks_is_the_tree_s_for_any_number_of_processes() {
        let mut rng = Rng::named(0, "share");
        for micro_batches in 1..40 {
            let values: Vec<f32> = (0..micro_batches).map(|_| rng.normal()).collect();
            let add = |a: &mut [f32], b: &[f32]| a[0] += b[0];
            let alone = |block: Range<usize>| {
                let mut one: Vec<[f32; 1]> = values[block.clone()].iter().map(|&v| [v]).collect();
                let parts = one.iter_mut().zip(block.clone()).map(|(v, i)| (i..i + 1, &mut v[..]));
                sum(block, &mut parts.peekable(), &mut { add })[0]
            };
            let expected = alone(0..micro_batches);
            for processes in 1..=micro_batches {
                let share = Share::new(micro_batches, processes).unwrap();
                let blocks = (0..processes).flat_map(|rank| share.blocks(rank));
                let mut sums: Vec<_> =
                    blocks.map(|block| (block.clone(), [alone(block)])).collect();
                let sums = sums.iter_mut().map(|(block, sum)| (block.clone(), &mut sum[..]));
                assert_eq!(share.sum(sums, add)[0], expected, "{micro_batches}, {processes}");
            }
        }
    }
}
