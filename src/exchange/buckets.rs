//! The parts of the gradients that travel together: the backward pass finishes them one after the other.

use std::ops::Range;

use crate::model::Network;

/// Floats of a bucket at least, but for the last: 1 MB, so that a message takes longer than its latency.
const LEAST: usize = 256 << 10;

/// Where each bucket begins in the flat buffer, from the last to the first: a bucket ends where the one before it in
/// this list begins, and the first where the buffer does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Buckets {
    starts: Vec<usize>,
    len: usize,
}

impl Buckets {
    /// Those of `network`: whole blocks, and the classifier and the stem, of at least [`LEAST`] floats.
    pub(super) fn new(network: &Network) -> Self {
        let len = network.table().learnable_len();
        let start = |first| network.table().info(first).offset;
        let blocks = network.blocks.iter().rev().map(|block| start(block.first()));
        let finished = std::iter::once(start(network.fc.weight)).chain(blocks).chain([0]);
        let mut starts = Vec::new();
        let mut end = len;
        for start in finished {
            assert!(start <= end, "tensors lie in the order of the layers");
            if end - start >= LEAST || start == 0 {
                starts.push(start);
                end = start;
            }
        }
        Self { starts, len }
    }

    pub(super) fn starts(&self) -> &[usize] {
        &self.starts
    }

    /// The floats of all buckets, in the order in which they are finished.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let ends = std::iter::once(self.len).chain(self.starts.iter().copied());
        self.starts.iter().zip(ends).map(|(&start, end)| start..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ModelSpec, Options};

    #[test]
    fn buckets_cover_the_buffer_from_its_end() {
        for (name, few, many) in [("resnet20", 1, 2), ("resnet18", 6, 9), ("resnet50", 12, 18)] {
            let network = Network::new(&ModelSpec::new(name, Options::default()).unwrap());
            let buckets = Buckets::new(&network);
            let mut end = network.table().learnable_len();
            for range in buckets.ranges() {
                assert!(range.end == end && !range.is_empty(), "{name}: {range:?}");
                assert!(range.start == 0 || range.len() >= LEAST);
                end = range.start;
            }
            assert_eq!(end, 0);
            let count = buckets.starts().len();
            assert!((few..=many).contains(&count), "{name}: {count}");
        }
    }
}
