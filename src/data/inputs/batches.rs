//! Images of a set to the tensor of a step: read, augmented and normalised in parallel.
//!
//! Every image has a random stream of its own, keyed by (seed, epoch, number in the set): a batch
//! is the same for any number of threads, in any order, and after a resume.

use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

use super::{Augmentation, Mean, Normalizer, View};
use crate::data::{Dataset, Error, SettingError};
use crate::runtime::{ChunksMut, Crew, Rng, Scratch};

/// Keys the random streams of augmentation ("augm" in ASCII).
const AUGMENT: u64 = 0x6175_676D;

/// Makes the batches of a set.
pub struct Batches<'a> {
    data: &'a dyn Dataset,
    view: View,
    normalizer: Normalizer,
    augment: Augmentation,
    seed: u64,
    /// Those who prepare them. Kept, so that whoever does not come is asked once.
    crew: Mutex<Crew>,
}

impl<'a> Batches<'a> {
    /// Batches for training: the images of `data`, changed by `augment` and normalised by `mean`.
    ///
    /// # Errors
    /// [`SettingError::ResizeBelowCrop`] if `augment` leaves no room for the crop of `view`.
    ///
    /// # Panics
    /// If a per-pixel mean is not of the crop of `view`.
    pub fn training(
        data: &'a dyn Dataset,
        view: View,
        mean: &Mean,
        augment: Augmentation,
        seed: u64,
    ) -> Result<Self, SettingError> {
        augment.check(view)?;
        Ok(Self { augment, seed, ..Self::evaluation(data, view, mean) })
    }

    /// Batches for evaluation: the centre crops of the images, normalised by `mean`. The epoch given to
    /// [`fill`](Self::fill) does not matter.
    ///
    /// # Panics
    /// If a per-pixel mean is not of the crop of `view`, or the mean is for inputs of one channel.
    pub fn evaluation(data: &'a dyn Dataset, view: View, mean: &Mean) -> Self {
        assert_eq!(mean.channels(), 3, "batches have three channels");
        if let Mean::Pixel(mean) = mean {
            assert_eq!(mean.len(), view.input_len(), "numbers of the per-pixel mean");
        }
        let normalizer = Normalizer::new(mean);
        let (augment, crew) = (Augmentation::NONE, Mutex::default());
        Self { data, view, normalizer, augment, seed: 0, crew }
    }

    /// The images.
    pub fn data(&self) -> &'a dyn Dataset {
        self.data
    }

    /// Floats of one input, `crop * crop * 3`.
    pub fn input_len(&self) -> usize {
        self.view.input_len()
    }

    /// Writes the inputs of images `indices` to `out`, `[indices, crop, crop, 3]`, and their
    /// classes to `labels`. Runs on a team of the current thread pool.
    ///
    /// # Errors
    /// [`Error`] of the first image, in the order of `indices`, that cannot be read.
    ///
    /// # Panics
    /// If the lengths do not agree or an index is not below the length of the set.
    pub fn fill(
        &self,
        epoch: u64,
        indices: &[usize],
        out: &mut [f32],
        labels: &mut [usize],
    ) -> Result<(), Error> {
        assert_eq!(out.len(), indices.len() * self.input_len(), "floats of the inputs of a batch");
        assert_eq!(labels.len(), indices.len(), "labels of a batch");
        self.data.read_ahead(indices);
        for (label, &index) in labels.iter_mut().zip(indices) {
            *label = self.data.label(index);
        }
        let mut failed: Vec<Option<Error>> = indices.iter().map(|_| None).collect();
        let parts = (ChunksMut::new(out, self.input_len()), ChunksMut::new(&mut failed, 1));
        let image = |i: usize, out: &mut [f32], mut scratch: Scratch| {
            let index = indices[i];
            let mut rng = Rng::new(self.seed, &[AUGMENT, epoch, index as u64]);
            // Drawn as soon as the size is known: where it is cheaper, the rest is not even decoded.
            let drawn = RefCell::new(None);
            let mut choose = |size| {
                let now = self.augment.draw(self.view, size, &mut rng);
                let part = now.square.reach();
                *drawn.borrow_mut() = Some(now);
                part
            };
            self.data.with_part(index, &mut choose, &mut |image| {
                let drawn = drawn.borrow();
                let drawn = drawn.as_ref().expect("the size is told before the image");
                let (room, _) = scratch.take(drawn.square.room().div_ceil(size_of::<f32>()));
                drawn.write(image, &self.normalizer, bytemuck::cast_slice_mut(room), out);
            })
        };
        // Whoever fills beside this one has another.
        let lock = || self.crew.lock().unwrap_or_else(PoisonError::into_inner);
        let mut crew = std::mem::take(&mut *lock());
        crew.run(|team| {
            team.for_each_part(
                parts,
                |i, (out, failed): (&mut [f32], &mut [Option<Error>]), scratch| {
                    failed[0] = image(i, out, scratch).err();
                },
            );
        });
        *lock() = crew;
        failed.into_iter().flatten().next().map_or(Ok(()), Err)
    }
}
