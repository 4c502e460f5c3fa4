//! Which images each step of training reads: every epoch is a new order of the whole set, cut into
//! batches of equal size.
//!
//! The order is a pure function of (seed, epoch), so the number of steps taken is all that a resumed
//! run needs to know. The last images of an order, too few for a batch, are left out of that epoch:
//! iterations as the paper counts them have equal batches.

use super::SettingError;
use crate::runtime::Rng;

/// Keys the random streams of orders ("order" in ASCII).
const ORDER: u64 = 0x6F_7264_6572;

/// Batches of a training set, step by step.
#[derive(Clone, Debug)]
pub struct Sampler {
    seed: u64,
    batch: usize,
    step: u64,
    /// The order of [`epoch`](Self::epoch).
    order: Vec<usize>,
}

/// The numbers of the images of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picked<'a> {
    /// The epoch, from 0: part of the key of each image's augmentation.
    pub epoch: u64,
    /// Numbers of the images.
    pub indices: &'a [usize],
}

impl Sampler {
    /// A sampler of a set of `images` images, `batch` a step, whose next batch is that of `step`
    /// (from 0, over all epochs).
    ///
    /// # Errors
    /// [`SettingError::Batch`] if `batch` is zero or larger than the set.
    pub fn new(seed: u64, images: usize, batch: usize, step: u64) -> Result<Self, SettingError> {
        if batch == 0 || batch > images {
            return Err(SettingError::Batch { batch, images });
        }
        let epoch = step / (images / batch) as u64;
        Ok(Self { seed, batch, step, order: epoch_order(seed, epoch, images) })
    }

    /// Steps of an epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        (self.order.len() / self.batch) as u64
    }

    /// Batches taken since the start of training. A sampler made with this number continues as this one
    /// does.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The epoch of the next batch, from 0.
    pub fn epoch(&self) -> u64 {
        self.step / self.steps_per_epoch()
    }

    /// Batches of [`epoch`](Self::epoch) that have been taken.
    pub fn position(&self) -> u64 {
        self.step % self.steps_per_epoch()
    }

    /// The images of the next batch, as far as its order is known: none at the end of an epoch.
    pub fn coming(&self) -> &[usize] {
        match self.position() as usize {
            0 => &[],
            position => &self.order[position * self.batch..][..self.batch],
        }
    }

    /// Takes the next batch. There is always one.
    pub fn next_batch(&mut self) -> Picked<'_> {
        let (epoch, position) = (self.epoch(), self.position() as usize);
        if position == 0 {
            self.order = epoch_order(self.seed, epoch, self.order.len());
        }
        self.step += 1;
        Picked { epoch, indices: &self.order[position * self.batch..][..self.batch] }
    }
}

/// The order in which `epoch` reads a set of `images` images.
pub fn epoch_order(seed: u64, epoch: u64, images: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..images).collect();
    shuffle(&mut Rng::new(seed, &[ORDER, epoch]), &mut order);
    order
}

/// A uniformly random permutation (Fisher and Yates).
pub(in crate::data) fn shuffle(rng: &mut Rng, items: &mut [usize]) {
    for last in (1..items.len()).rev() {
        items.swap(last, rng.below(last + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_a_permutation_and_a_pure_function() {
        let order = epoch_order(7, 3, 1000);
        assert_eq!(order, epoch_order(7, 3, 1000));
        assert_ne!(order, epoch_order(7, 4, 1000));
        assert_ne!(order, epoch_order(8, 3, 1000));
        let mut sorted = order;
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..1000));
    }

    #[test]
    fn orders_never_change() {
        // Computed by a program in another language.
        assert_eq!(epoch_order(1, 0, 10), [4, 6, 7, 5, 9, 8, 1, 0, 3, 2]);
    }

    #[test]
    fn every_place_is_equally_likely() {
        let mut counts = [[0_i32; 5]; 5];
        for epoch in 0..20_000 {
            for (place, item) in epoch_order(0, epoch, 5).into_iter().enumerate() {
                counts[item][place] += 1;
            }
        }
        // Five standard deviations of a binomial count.
        assert!(counts.as_flattened().iter().all(|count| (count - 4000).abs() < 283), "{counts:?}");
    }

    #[test]
    fn a_sampler_made_at_any_step_goes_on_as_the_first() {
        let mut whole = Sampler::new(5, 23, 4, 0).unwrap();
        assert_eq!(whole.steps_per_epoch(), 5);
        for step in 0..17 {
            let mut resumed = Sampler::new(5, 23, 4, step).unwrap();
            assert_eq!((whole.step(), whole.epoch(), whole.position()), (step, step / 5, step % 5));
            assert_eq!((resumed.epoch(), resumed.position()), (step / 5, step % 5));
            let order = epoch_order(5, step / 5, 23);
            let expected = &order[(step % 5 * 4) as usize..][..4];
            let coming = resumed.coming().to_vec();
            assert_eq!(coming, if step % 5 == 0 { &[][..] } else { expected });
            assert_eq!(resumed.next_batch(), Picked { epoch: step / 5, indices: expected });
            assert_eq!(whole.next_batch(), Picked { epoch: step / 5, indices: expected });
        }
    }

    #[test]
    fn batches_that_cannot_be_filled_are_errors() {
        assert!(Sampler::new(0, 8, 8, 0).is_ok());
        assert!(Sampler::new(0, 8, 0, 0).is_err());
        let error = Sampler::new(0, 8, 9, 0).unwrap_err().to_string();
        assert_eq!(error, "batch: expected 1 to 8 (the images of the set), found 9");
    }
}
