//! Who updates what: a slice of each bucket for each process, whose velocity that process alone has.

use std::ops::Range;

use super::buckets::Buckets;

/// Floats that a slice begins at a multiple of: a cache line.
const ALIGN: usize = 16;

/// The slices of all buckets.
#[derive(Clone, Debug)]
pub(super) struct Slices {
    /// In the order in which the backward pass finishes them.
    buckets: Vec<Range<usize>>,
    processes: usize,
}

impl Slices {
    pub(super) fn new(buckets: &Buckets, processes: usize) -> Self {
        Self { buckets: buckets.ranges().collect(), processes }
    }

    /// Where the bucket lies in the flat buffer.
    pub(super) fn bucket(&self, bucket: usize) -> Range<usize> {
        self.buckets[bucket].clone()
    }

    pub(super) fn count(&self) -> usize {
        self.buckets.len()
    }

    /// The slice of `bucket` that the process `rank` updates, in floats from the bucket's begin.
    pub(super) fn slice(&self, bucket: usize, rank: usize) -> Range<usize> {
        let len = self.buckets[bucket].len();
        let start = |rank: usize| (len.div_ceil(ALIGN) * rank / self.processes * ALIGN).min(len);
        start(rank)..start(rank + 1)
    }

    /// Floats of the largest slice of `rank`.
    pub(super) fn largest(&self, rank: usize) -> usize {
        (0..self.count()).map(|bucket| self.slice(bucket, rank).len()).max().unwrap_or(0)
    }

    /// Floats of all slices of `rank`.
    pub(super) fn total(&self, rank: usize) -> usize {
        (0..self.count()).map(|bucket| self.slice(bucket, rank).len()).sum()
    }

    /// Where the slices of `rank` lie in the flat buffer, bucket after bucket.
    pub(super) fn places(&self, rank: usize) -> impl Iterator<Item = Range<usize>> {
        self.buckets.iter().enumerate().map(move |(bucket, range)| {
            let slice = self.slice(bucket, rank);
            range.start + slice.start..range.start + slice.end
        })
    }

    /// Copies the slices of `rank` out of the flat buffer `all`, one after the other.
    pub(super) fn take(&self, rank: usize, all: &[f32], mine: &mut [f32]) {
        let mut to = mine;
        for place in self.places(rank) {
            let (slice, rest) = to.split_at_mut(place.len());
            slice.copy_from_slice(&all[place]);
            to = rest;
        }
    }

    /// Copies the slices of `rank` back to the flat buffer `all`.
    pub(super) fn put(&self, rank: usize, mine: &[f32], all: &mut [f32]) {
        let mut from = mine;
        for place in self.places(rank) {
            let (slice, rest) = from.split_at(place.len());
            all[place].copy_from_slice(slice);
            from = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ModelSpec, Network, Options};

    #[test]
    fn each_float_is_in_one_slice() {
        let network = Network::new(&ModelSpec::new("resnet18", Options::default()).unwrap());
        let len = network.table().learnable_len();
        let all: Vec<f32> = (0..len).map(|i| i as f32).collect();
        for processes in [1, 2, 3, 7, 64] {
            let slices = Slices::new(&Buckets::new(&network), processes);
            let mut back = vec![-1.0; len];
            let mut largest = 0;
            for rank in 0..processes {
                let mut mine = vec![-1.0; slices.total(rank)];
                slices.take(rank, &all, &mut mine);
                slices.put(rank, &mine, &mut back);
                largest = largest.max(mine.len());
            }
            assert_eq!(back, all);
            assert!(largest <= len / processes + ALIGN * slices.count(), "{processes}");
        }
    }
}
