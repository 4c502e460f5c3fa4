//! What a training set's centre views are like: mean and deviation of each channel, mean of each pixel,
//! and the principal components of the colours.
//!
//! All of it follows from sums of integers, which are exact and the same in any order: so a set can be
//! cut into parts, added up by any number of threads and joined, and the result has the same bits.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

use super::colours::Colours;
use super::{Mean, View};
use crate::data::{Dataset, Error, RgbImage};
use crate::runtime::{Watch, team};
use crate::simd::{Isa, Simd, SimdOp};

/// Where a [`Sums`] has its numbers: the images, the sums of the channels' products, the sums of the pixels.
const IMAGES: usize = 0;
const PRODUCTS: usize = IMAGES + 1;
const PIXELS: usize = PRODUCTS + PRODUCT.len();

/// The channels whose products are added up.
const PRODUCT: [(usize, usize); 6] = [(0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (0, 2)];

/// Squares whose pixels are added in 16 bits.
const RECENT: u64 = (u16::MAX / u8::MAX as u16) as u64;

/// Sums over squares of the same size. They overflow at 2^64 / 255² pixels, five thousand million squares
/// of 224.
#[derive(Clone, Debug)]
pub struct Sums {
    numbers: Vec<u64>,
    /// The sums of the pixels of the last few squares: a quarter of the memory to go through for each.
    recent: Vec<u16>,
    side: usize,
}

impl PartialEq for Sums {
    fn eq(&self, other: &Self) -> bool {
        self.side == other.side && self.numbers() == other.numbers()
    }
}

impl Eq for Sums {}

impl Sums {
    /// Sums over no square yet; those to come have `side` pixels a side.
    pub fn new(side: usize) -> Self {
        let pixels = 3 * side * side;
        Self { numbers: vec![0; PIXELS + pixels], recent: vec![0; pixels], side }
    }

    /// The sums for squares of `side` whose [`numbers`](Self::numbers) these are; none if there are too
    /// few or too many of them.
    pub fn from_numbers(side: usize, numbers: Vec<u64>) -> Option<Self> {
        let pixels = side.checked_mul(side)?.checked_mul(3)?;
        let whole = numbers.len() == pixels.checked_add(PIXELS)?;
        whole.then(|| Self { numbers, recent: vec![0; pixels], side })
    }

    /// All there is to keep of them, for whoever stores the sums of a part of a set.
    pub fn numbers(&self) -> Vec<u64> {
        let mut numbers = self.numbers.clone();
        add(&mut numbers[PIXELS..], &self.recent);
        numbers
    }

    /// Squares that were added.
    pub fn images(&self) -> u64 {
        self.numbers[IMAGES]
    }

    /// Adds a square, for example [`View::center`] of an image.
    ///
    /// # Panics
    /// If it is not of the size that [`new`](Self::new) was told.
    pub fn add(&mut self, square: &RgbImage) {
        let side = self.side;
        assert_eq!((square.width(), square.height()), (side, side), "size of a square");
        self.numbers[IMAGES] += 1;
        let (numbers, sums) = self.numbers.split_at_mut(PIXELS);
        if numbers[IMAGES].is_multiple_of(RECENT) {
            add(sums, &self.recent);
            self.recent.fill(0);
        }
        let pixels = square.pixels();
        let products = Isa::best().dispatch(Add { pixels, recent: &mut self.recent });
        numbers[PRODUCTS..].iter_mut().zip(products).for_each(|(sum, added)| *sum += added);
    }

    /// Adds all squares of `other`.
    ///
    /// # Panics
    /// If those are of another size.
    pub fn join(&mut self, other: &Self) {
        assert_eq!(self.side, other.side, "sums over squares of different sizes");
        let numbers = self.numbers();
        self.numbers =
            numbers.iter().zip(other.numbers()).map(|(sum, other)| sum + other).collect();
        self.recent.fill(0);
    }

    /// What follows from them.
    ///
    /// # Panics
    /// If there are no squares.
    pub fn statistics(&self) -> Statistics {
        assert!(self.images() > 0, "the mean of no images");
        let numbers = self.numbers();
        let n = i128::from(self.images()) * (self.side * self.side) as i128;
        let mut first = [0_i128; 3];
        for pixel in numbers[PIXELS..].as_chunks::<3>().0 {
            first.iter_mut().zip(pixel).for_each(|(sum, &x)| *sum += i128::from(x));
        }
        // n² times a covariance is an integer: nothing cancels.
        let mut covariance = [[0_i128; 3]; 3];
        for ((a, b), &product) in PRODUCT.into_iter().zip(&numbers[PRODUCTS..]) {
            covariance[a][b] = n * i128::from(product) - first[a] * first[b];
            covariance[b][a] = covariance[a][b];
        }
        let std = |c: usize| {
            let std = (covariance[c][c] as f64).sqrt() / n as f64 / 255.0;
            if std > 0.0 { std as f32 } else { 1.0 }
        };
        let scale = 255.0 * n as f64;
        let mean = |&sum: &u64| (sum as f64 / self.images() as f64 / 255.0) as f32;
        Statistics {
            images: self.images(),
            mean: first.map(|sum| (sum as f64 / n as f64 / 255.0) as f32),
            std: [0, 1, 2].map(std),
            colours: Colours::of(covariance.map(|row| row.map(|x| x as f64 / scale / scale))),
            pixel_mean: numbers[PIXELS..].iter().map(mean).collect(),
        }
    }
}

fn add(sums: &mut [u64], recent: &[u16]) {
    sums.iter_mut().zip(recent).for_each(|(sum, &recent)| *sum += u64::from(recent));
}

/// Adds the pixels of a square to `recent`; returns the sums of the channels' products, as [`PRODUCT`] has them.
struct Add<'a> {
    pixels: &'a [u8],
    recent: &'a mut [u16],
}

impl SimdOp for Add<'_> {
    type Output = [u64; 6];

    #[inline(always)]
    fn eval<S: Simd>(self, _: S) -> [u64; 6] {
        /// Bytes of a step; and steps whose products add up in 32 bits.
        const STEP: usize = 48;
        const STEPS: usize = (u32::MAX / (255 * 255)) as usize;
        let Self { pixels, recent } = self;
        for (sum, &byte) in recent.iter_mut().zip(pixels) {
            *sum += u16::from(byte);
        }
        // The products of each byte and itself, the one after it, and the one after that: of every three, all that
        // are within a pixel. They are a few too many, but no byte has to be moved.
        let mut products = [0; 6];
        let mut rest = pixels;
        while rest.len() > STEP + 1 {
            let mut sums = [[0_u32; STEP]; 3];
            for _ in 0..STEPS {
                let Some(bytes) = rest.first_chunk::<{ STEP + 2 }>() else { break };
                for i in 0..STEP {
                    let byte = u32::from(bytes[i]);
                    sums[0][i] += byte * byte;
                    sums[1][i] += byte * u32::from(bytes[i + 1]);
                    sums[2][i] += byte * u32::from(bytes[i + 2]);
                }
                rest = &rest[STEP..];
            }
            for i in (0..STEP).step_by(3) {
                let [same, next, last] = &sums;
                let found = [same[i], same[i + 1], same[i + 2], next[i], next[i + 1], last[i]];
                for (product, found) in products.iter_mut().zip(found) {
                    *product += u64::from(found);
                }
            }
        }
        for pixel in rest.as_chunks::<3>().0 {
            for (product, (a, b)) in products.iter_mut().zip(PRODUCT) {
                *product += u64::from(pixel[a]) * u64::from(pixel[b]);
            }
        }
        products
    }
}

/// What the centre views of a set are like, in units of pixel / 255.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Statistics {
    /// How many there are.
    pub images: u64,
    /// Mean of each channel (red, green, blue).
    pub mean: [f32; 3],
    /// Population standard deviation of each channel; 1 for one that never varies.
    pub std: [f32; 3],
    /// Principal components of the pixels' colours.
    pub colours: Colours,
    /// Mean of each pixel, `[crop, crop, 3]`.
    pub pixel_mean: Vec<f32>,
}

impl Statistics {
    /// Those of the centre crops that `view` takes of the images of `data`, on a team of the current thread
    /// pool. `watch` is told how many images have been read, and may stop it.
    ///
    /// # Errors
    /// [`Error`] of the first image that cannot be read, [`Error::Interrupted`] if it was stopped.
    ///
    /// # Panics
    /// If `data` is empty.
    pub fn of(data: &dyn Dataset, view: View, watch: &dyn Watch) -> Result<Self, Error> {
        /// Images of a task: a small part of the work, and more than it takes to hand one out.
        const TASK: usize = 16;
        assert!(!data.is_empty(), "the mean of no images");
        // As many sums as there are threads at work.
        let spare: Mutex<Vec<Sums>> = Mutex::new(Vec::new());
        let failed: Mutex<Option<(usize, Error)>> = Mutex::new(None);
        let first_failed = AtomicUsize::new(usize::MAX);
        let read = AtomicU64::new(0);
        let task = |task: usize| {
            let spared = spare.lock().expect("no panic while it is held").pop();
            let mut sums = spared.unwrap_or_else(|| Sums::new(view.crop));
            for index in task * TASK..((task + 1) * TASK).min(data.len()) {
                // After an error only those before it matter.
                if watch.stopped() || index > first_failed.load(Ordering::Relaxed) {
                    break;
                }
                match data.image(index) {
                    Ok(image) => sums.add(&view.center(&image)),
                    Err(error) => {
                        first_failed.fetch_min(index, Ordering::Relaxed);
                        let mut failed = failed.lock().expect("no panic while it is held");
                        if failed.as_ref().is_none_or(|(before, _)| index < *before) {
                            *failed = Some((index, error));
                        }
                        break;
                    }
                }
                let read = read.fetch_add(1, Ordering::Relaxed) + 1;
                watch.progress("training images read", read, Some(data.len() as u64));
            }
            spare.lock().expect("no panic while it is held").push(sums);
        };
        team(|team| team.for_each(data.len().div_ceil(TASK), |i, _| task(i)));
        if watch.stopped() {
            return Err(Error::Interrupted);
        }
        if let Some((_, error)) = failed.into_inner().expect("no panic while it is held") {
            return Err(error);
        }
        let mut parts = spare.into_inner().expect("no panic while it is held").into_iter();
        let mut total = parts.next().expect("a set has images");
        parts.for_each(|part| total.join(&part));
        Ok(total.statistics())
    }

    /// Whether they can be those of `images` images through `view`.
    pub(in crate::data) fn fits(&self, images: usize, view: View) -> bool {
        self.images == images as u64 && self.pixel_mean.len() == view.input_len()
    }

    /// Mean and deviation of the channels, to be subtracted and divided by.
    pub fn channels(&self) -> Mean {
        Mean::Channel { mean: self.mean, std: self.std }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::MemoryDataset;
    use crate::runtime::{Rng, Unwatched};
    use std::time::{Duration, Instant};

    fn squares(count: u64) -> Vec<RgbImage> {
        let square = |i: u64| {
            let mut rng = Rng::new(3, &[i]);
            let base = rng.below(150);
            let colour = |_| [0, 40, 80].map(|add| (base + add + rng.below(20)) as u8);
            RgbImage::new(5, 5, (0..25).flat_map(colour).collect())
        };
        (0..count).map(square).collect()
    }

    #[test]
    fn sums_are_the_same_in_any_order_and_any_parts() {
        let squares = squares(20);
        let mut all = Sums::new(5);
        squares.iter().for_each(|square| all.add(square));
        let (mut front, mut back) = (Sums::new(5), Sums::new(5));
        squares[..7].iter().rev().for_each(|square| front.add(square));
        squares[7..].iter().rev().for_each(|square| back.add(square));
        let stored = back.numbers();
        assert!(Sums::from_numbers(4, stored.clone()).is_none());
        assert!(Sums::from_numbers(usize::MAX, stored.clone()).is_none());
        let mut back = Sums::from_numbers(5, stored).unwrap();
        back.join(&front);
        assert_eq!((&back, back.images()), (&all, 20));
        assert_eq!(back.statistics(), all.statistics());
    }

    #[test]
    fn sums_are_exact_for_any_size_and_any_number() {
        let mut rng = Rng::named(0, "sums");
        for (side, count) in [(1, 600), (4, 300), (5, 1), (224, 3)] {
            let mut sums = Sums::new(side);
            let mut expected = vec![0_u64; PIXELS + 3 * side * side];
            for i in 0..count {
                let bright = i % 4 > 0;
                let byte = |_| if bright { 255 } else { rng.below(256) as u8 };
                let square = RgbImage::new(side, side, (0..3 * side * side).map(byte).collect());
                sums.add(&square);
                expected[IMAGES] += 1;
                for (sum, &byte) in expected[PIXELS..].iter_mut().zip(square.pixels()) {
                    *sum += u64::from(byte);
                }
                for pixel in square.pixels().as_chunks::<3>().0.iter().map(|p| p.map(u64::from)) {
                    for (sum, (a, b)) in expected[PRODUCTS..].iter_mut().zip(PRODUCT) {
                        *sum += pixel[a] * pixel[b];
                    }
                }
            }
            assert_eq!(sums.numbers(), expected, "{count} of {side}");
        }
    }

    #[test]
    fn statistics_are_those_of_the_definition() {
        let squares = squares(30);
        let mut sums = Sums::new(5);
        squares.iter().for_each(|square| sums.add(square));
        let found = sums.statistics();
        let pixels: Vec<[f64; 3]> = squares
            .iter()
            .flat_map(|square| square.pixels().as_chunks::<3>().0)
            .map(|pixel| pixel.map(|byte| f64::from(byte) / 255.0))
            .collect();
        let n = pixels.len() as f64;
        let mean = [0, 1, 2].map(|c| pixels.iter().map(|pixel| pixel[c]).sum::<f64>() / n);
        let covariance = |a: usize, b: usize| {
            pixels.iter().map(|p| (p[a] - mean[a]) * (p[b] - mean[b])).sum::<f64>() / n
        };
        for (c, mean) in mean.into_iter().enumerate() {
            assert!((f64::from(found.mean[c]) - mean).abs() < 1e-7);
            assert!((f64::from(found.std[c]) - covariance(c, c).sqrt()).abs() < 1e-7);
        }
        let Colours { eigenvalues, eigenvectors } = found.colours;
        assert!(eigenvalues.is_sorted_by(|a, b| a >= b) && eigenvalues[2] > 0.0);
        for (i, vector) in eigenvectors.iter().enumerate() {
            let largest = vector.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs()));
            assert!(largest > Some(0.0), "{vector:?}");
            for a in 0..3 {
                let times: f64 = (0..3).map(|b| covariance(a, b) * vector[b]).sum();
                assert!((times - eigenvalues[i] * vector[a]).abs() < 1e-14, "component {i}");
            }
            for (j, other) in eigenvectors.iter().enumerate() {
                let dot: f64 = vector.iter().zip(other).map(|(x, y)| x * y).sum();
                assert!((dot - f64::from(i == j)).abs() < 1e-14);
            }
        }
        let first: f64 = squares.iter().map(|square| f64::from(square.pixels()[0])).sum();
        assert_eq!(found.pixel_mean.len(), 75);
        assert!((f64::from(found.pixel_mean[0]) - first / 30.0 / 255.0).abs() < 1e-7);
    }

    /// Tells to stop after some images.
    struct StopAfter(u64, AtomicU64);

    impl Watch for StopAfter {
        fn progress(&self, _: &'static str, _: u64, total: Option<u64>) {
            assert_eq!(total, Some(2000));
            self.1.fetch_add(1, Ordering::Relaxed);
        }

        fn stopped(&self) -> bool {
            self.1.load(Ordering::Relaxed) >= self.0
        }
    }

    #[test]
    fn a_set_is_read_in_parallel_and_can_be_stopped() {
        let data = MemoryDataset::demo(1, 0..2000);
        let view = View::cifar();
        let mut found = Vec::new();
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            found.push(pool.install(|| Statistics::of(&data, view, &Unwatched)).unwrap());
            let start = Instant::now();
            let watch = StopAfter(100, AtomicU64::new(0));
            let stopped = pool.install(|| Statistics::of(&data, view, &watch));
            assert!(matches!(stopped, Err(Error::Interrupted)));
            assert!(watch.1.into_inner() < 100 + 16 * threads as u64);
            assert!(start.elapsed() < Duration::from_secs(1));
        }
        assert_eq!(found[0], found[1]);
        assert_eq!(found[0].images, 2000);
    }
}
