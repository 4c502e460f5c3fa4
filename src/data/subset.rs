//! Some images of a set, such as those that are held out for validation.

use std::borrow::Cow;
use std::sync::Arc;

use super::hash::Hash;
use super::sampler::shuffle;
use super::{Dataset, Error, JpegDecoder, RgbImage, RgbView, SettingError, Window};
use crate::runtime::Rng;

/// Some images of a set.
pub struct Subset {
    data: Arc<dyn Dataset>,
    indices: Vec<usize>,
    verified: bool,
}

impl Subset {
    /// The images `indices` of `data`, in that order.
    ///
    /// # Panics
    /// If an index is not below the length of `data`.
    pub fn new(data: Arc<dyn Dataset>, indices: Vec<usize>) -> Self {
        assert!(indices.iter().all(|&index| index < data.len()), "indices beyond the set");
        Self { data, indices, verified: false }
    }

    /// The same, of which every image has been decoded before.
    pub(super) fn verified(self) -> Self {
        Self { verified: true, ..self }
    }

    /// Holds `held_out` images out for validation, e.g. 5,000 of CIFAR-10's 50,000 as in the
    /// paper: the others, then these, each in the order of the set. Which they are is a pure function
    /// of the number of images, so every run holds out the same.
    ///
    /// # Errors
    /// [`SettingError::HoldOut`] unless both parts have images.
    pub fn hold_out(data: Arc<dyn Dataset>, held_out: usize) -> Result<(Self, Self), SettingError> {
        if held_out == 0 || held_out >= data.len() {
            return Err(SettingError::HoldOut { held_out, images: data.len() });
        }
        let mut others: Vec<usize> = (0..data.len()).collect();
        shuffle(&mut Rng::named(0, "held out for validation"), &mut others);
        let mut held_out = others.split_off(data.len() - held_out);
        others.sort_unstable();
        held_out.sort_unstable();
        Ok((Self::new(data.clone(), others), Self::new(data, held_out)))
    }

    /// As [`hold_out`](Self::hold_out), of each class in proportion to its images (by largest remainders), so
    /// that few images have all classes among them. As long as that is possible, each class keeps an image to
    /// train on. Which they are is a pure function of the labels.
    ///
    /// # Errors
    /// As for [`hold_out`](Self::hold_out).
    pub fn hold_out_of_each_class(
        data: Arc<dyn Dataset>,
        held_out: usize,
    ) -> Result<(Self, Self), SettingError> {
        let images = data.len();
        if held_out == 0 || held_out >= images {
            return Err(SettingError::HoldOut { held_out, images });
        }
        let mut order: Vec<usize> = (0..images).collect();
        shuffle(&mut Rng::named(0, "held out for validation"), &mut order);
        let mut classes = vec![Vec::new(); data.classes()];
        order.into_iter().for_each(|index| classes[data.label(index)].push(index));
        let sizes: Vec<usize> = classes.iter().map(Vec::len).collect();
        let (mut others, mut taken) = (Vec::new(), Vec::new());
        for (class, share) in classes.iter().zip(shares(&sizes, held_out)) {
            taken.extend_from_slice(&class[..share]);
            others.extend_from_slice(&class[share..]);
        }
        others.sort_unstable();
        taken.sort_unstable();
        Ok((Self::new(data.clone(), others), Self::new(data, taken)))
    }

    /// Which images they are.
    fn chosen(&self) -> Hash {
        let mut hash = Hash::new();
        self.indices.iter().for_each(|&index| hash.number(index as u64));
        hash
    }
}

/// How many of classes of these `sizes` are taken where it is `taken` of all, which are more.
fn shares(sizes: &[usize], taken: usize) -> Vec<usize> {
    let all: usize = sizes.iter().sum();
    // In 128 bits, whose product cannot overflow.
    let scaled = |size: usize| size as u128 * taken as u128;
    let mut shares: Vec<usize> =
        sizes.iter().map(|&size| (scaled(size) / all as u128) as usize).collect();
    let mut by_remainder: Vec<usize> = (0..sizes.len()).collect();
    by_remainder.sort_by_key(|&class| std::cmp::Reverse(scaled(sizes[class]) % all as u128));
    let mut left = taken - shares.iter().sum::<usize>();
    // What is left over is less than one for each class, but a class that would be used up passes its own on.
    for keep in [1, 0] {
        while left > 0 {
            let before = left;
            for &class in &by_remainder {
                if left > 0 && shares[class] + keep < sizes[class] {
                    shares[class] += 1;
                    left -= 1;
                }
            }
            if left == before {
                break;
            }
        }
    }
    shares
}

impl Dataset for Subset {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn classes(&self) -> usize {
        self.data.classes()
    }

    fn class_names(&self) -> Option<&[String]> {
        self.data.class_names()
    }

    fn label(&self, index: usize) -> usize {
        self.data.label(self.indices[index])
    }

    fn image(&self, index: usize) -> Result<RgbImage, Error> {
        self.data.image(self.indices[index])
    }

    fn name(&self, index: usize) -> String {
        self.data.name(self.indices[index])
    }

    fn with_image(&self, index: usize, see: &mut dyn FnMut(RgbView<'_>)) -> Result<(), Error> {
        self.data.with_image(self.indices[index], see)
    }

    fn with_part(
        &self,
        index: usize,
        choose: &mut dyn FnMut([usize; 2]) -> Window,
        see: &mut dyn FnMut(RgbView<'_>),
    ) -> Result<(), Error> {
        self.data.with_part(self.indices[index], choose, see)
    }

    fn read_ahead(&self, indices: &[usize]) {
        let indices: Vec<usize> = indices.iter().map(|&index| self.indices[index]).collect();
        self.data.read_ahead(&indices);
    }

    fn decoder(&self) -> JpegDecoder {
        self.data.decoder()
    }

    fn pad(&self) -> Option<usize> {
        self.data.pad()
    }

    fn may_flip(&self) -> bool {
        self.data.may_flip()
    }

    fn fingerprint(&self) -> String {
        format!("{} of {}; {}", self.len(), self.chosen(), self.data.fingerprint())
    }

    fn stamp(&self) -> Option<u64> {
        let mut hash = self.chosen();
        hash.number(self.data.stamp()?);
        Some(hash.value())
    }

    fn is_verified(&self) -> bool {
        self.verified || self.data.is_verified()
    }

    fn stored(&self, index: usize) -> Result<Option<Cow<'_, [u8]>>, Error> {
        self.data.stored(self.indices[index])
    }
}
