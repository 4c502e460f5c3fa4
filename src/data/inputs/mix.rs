//! Mixup (Zhang et al., 2017) and CutMix (Yun et al., 2019): the images of a micro-batch are mixed in pairs,
//! and so are their classes.
//!
//! The partner of an image is the one at its place when the micro-batch is reversed, and one share holds for
//! all of a micro-batch. It is a pure function of seed, step and micro-batch.

use crate::data::Window;
use crate::runtime::{Parts as _, Rng, SlicesMut, Team};

/// Keys the random streams of mixing ("mix" in ASCII).
const MIX: u64 = 0x006D_6978;

/// How the images of a micro-batch are mixed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mixing {
    /// Both numbers of the Beta distribution of mixup's share; 0: no mixup.
    pub mixup: f64,
    /// The same of CutMix. If both are on, each is used half of the time.
    pub cutmix: f64,
}

/// What was drawn for a micro-batch.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mix {
    /// So much of each image itself, the rest of its partner.
    Whole(f64),
    /// A rectangle of the partner.
    Cut(Window),
}

impl Mixing {
    /// Whether anything is mixed.
    pub fn is_on(self) -> bool {
        self.mixup > 0.0 || self.cutmix > 0.0
    }

    /// Mixes the images of micro-batch number `micro_batch` of `step`, `[n, side, side, 3]`. The result is
    /// the share of an image's own class in its target; the rest is its partner's.
    ///
    /// # Panics
    /// If nothing is mixed, or `images` are not squares of `side`.
    pub fn apply(
        self,
        team: &mut Team,
        seed: u64,
        step: u64,
        micro_batch: u64,
        side: usize,
        images: &mut [f32],
    ) -> f64 {
        let image = side * side * 3;
        assert!(images.len().is_multiple_of(image), "images of {side} x {side}");
        let mix = self.draw(side, &mut Rng::new(seed, &[MIX, step, micro_batch]));
        let half = images.len() / image / 2;
        let (front, back) = images.split_at_mut(half * image);
        let front = SlicesMut::from_iter(front.chunks_exact_mut(image));
        let back = SlicesMut::from_iter(back.chunks_exact_mut(image).rev().take(half));
        debug_assert_eq!(front.count(), back.count(), "pairs");
        team.for_each_part((front, back), |_, (a, b), _| match mix {
            Mix::Whole(share) => blend(a, b, share),
            Mix::Cut(Window { left, top, width, height }) => {
                for row in top..top + height {
                    let run = (row * side + left) * 3..(row * side + left + width) * 3;
                    a[run.clone()].swap_with_slice(&mut b[run]);
                }
            }
        });
        match mix {
            Mix::Whole(share) => share,
            Mix::Cut(Window { width, height, .. }) => {
                1.0 - (width * height) as f64 / (side * side) as f64
            }
        }
    }

    fn draw(self, side: usize, rng: &mut Rng) -> Mix {
        assert!(self.is_on(), "something is mixed");
        let mixup = match (self.mixup > 0.0, self.cutmix > 0.0) {
            (true, true) => rng.below(2) == 0,
            (mixup, _) => mixup,
        };
        if mixup {
            return Mix::Whole(beta(self.mixup, rng));
        }
        // A square of the rest's area around any point, as far as it is within the image; as torchvision.
        let rest = 1.0 - beta(self.cutmix, rng);
        let half = (0.5 * rest.sqrt() * side as f64) as usize;
        let [x, y] = [0, 1].map(|_| rng.below(side));
        let [left, top] = [x, y].map(|at| at.saturating_sub(half));
        let [right, bottom] = [x, y].map(|at| (at + half).min(side));
        Mix::Cut(Window { left, top, width: right - left, height: bottom - top })
    }
}

/// Makes each of two images the share `share` of itself and the rest of the other.
fn blend(a: &mut [f32], b: &mut [f32], share: f64) {
    let (own, other) = (share as f32, (1.0 - share) as f32);
    for (a, b) in a.iter_mut().zip(b) {
        (*a, *b) = (own * *a + other * *b, own * *b + other * *a);
    }
}

/// A number from the Beta distribution whose two parameters are `alpha`.
fn beta(alpha: f64, rng: &mut Rng) -> f64 {
    // The ratio of two gammas, from their logarithms: small parameters make gammas that f64 does not hold.
    let (x, y) = (log_gamma_sample(alpha, rng), log_gamma_sample(alpha, rng));
    1.0 / (1.0 + libm::exp(y - x))
}

/// The logarithm of a number from the Gamma distribution of shape `alpha` (Marsaglia and Tsang, 2000).
fn log_gamma_sample(alpha: f64, rng: &mut Rng) -> f64 {
    // A shape below 1 is raised by one, which a power of a uniform number makes up for.
    let raised = if alpha < 1.0 { libm::log(above_zero(rng)) / alpha } else { 0.0 };
    let d = if alpha < 1.0 { alpha + 1.0 } else { alpha } - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = f64::from(rng.normal());
        let root = 1.0 + c * x;
        if root <= 0.0 {
            continue;
        }
        let v = root * root * root;
        if libm::log(above_zero(rng)) < 0.5 * x * x + d - d * v + d * libm::log(v) {
            return libm::log(d * v) + raised;
        }
    }
}

/// Uniform in (0, 1].
fn above_zero(rng: &mut Rng) -> f64 {
    ((rng.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{alone, team};

    #[test]
    fn shares_have_the_moments_of_the_beta_distribution() {
        for alpha in [0.01, 0.2, 0.5, 1.0, 2.5, 30.0] {
            let n = 20_000;
            let (mut mean, mut variance) = (0.0_f64, 0.0_f64);
            for i in 0..n {
                let share = beta(alpha, &mut Rng::new(4, &[i]));
                assert!((0.0..=1.0).contains(&share));
                mean += share / n as f64;
                variance += (share - 0.5) * (share - 0.5) / n as f64;
            }
            let expected = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            // Six standard errors; a squared deviation varies by no more than a quarter of itself at most.
            let error = 6.0 / (n as f64).sqrt();
            assert!((mean - 0.5).abs() < error * expected.sqrt(), "{alpha}: {mean}");
            assert!((variance - expected).abs() < error * expected * 1.5, "{alpha}: {variance}");
        }
        // Beta(1, 1) is uniform: every tenth of it is as likely as the others.
        let mut tenths = [0; 10];
        for i in 0..20_000 {
            tenths[(beta(1.0, &mut Rng::new(5, &[i])) * 10.0).min(9.0) as usize] += 1;
        }
        assert!(tenths.iter().all(|n: &i32| (n - 2000).abs() < 6 * 43), "{tenths:?}");
    }

    fn images(n: usize, side: usize) -> Vec<f32> {
        (0..n * side * side * 3).map(|i| i as f32).collect()
    }

    #[test]
    fn mixup_is_one_share_of_each_image_and_its_partner() {
        for n in [1, 2, 5, 6] {
            let (before, mut after) = (images(n, 4), images(n, 4));
            let mixing = Mixing { mixup: 1.0, cutmix: 0.0 };
            let share = alone(|team| mixing.apply(team, 3, 7, n as u64, 4, &mut after));
            assert!((0.0..=1.0).contains(&share));
            for (i, image) in after.chunks(48).enumerate() {
                let (own, partner) = (&before[i * 48..][..48], &before[(n - 1 - i) * 48..][..48]);
                for ((&x, &a), &b) in image.iter().zip(own).zip(partner) {
                    // In the middle of an odd number, both are the same image, which stays as it is.
                    let expected = share * f64::from(a) + (1.0 - share) * f64::from(b);
                    assert!((f64::from(x) - expected).abs() < 1e-4, "{n}, {i}: {x}, {expected}");
                }
            }
        }
    }

    #[test]
    fn cutmix_is_a_rectangle_of_the_partner_whose_area_is_the_rest() {
        let (mut sum, mut at_edge) = (0.0, 0);
        for step in 0..2000 {
            let (before, mut after) = (images(5, 9), images(5, 9));
            let mixing = Mixing { mixup: 0.0, cutmix: 1.0 };
            let share = alone(|team| mixing.apply(team, 3, step, 0, 9, &mut after));
            sum += share / 2000.0;
            let image = 9 * 9 * 3;
            assert_eq!(
                after[2 * image..3 * image],
                before[2 * image..3 * image],
                "its own partner"
            );
            let partners: Vec<usize> = (0..81)
                .filter(|pixel| {
                    let (at, from) = (image + pixel * 3, 3 * image + pixel * 3);
                    let other = after[at..at + 3] == before[from..from + 3];
                    assert!(other || after[at..at + 3] == before[at..at + 3]);
                    other
                })
                .collect();
            assert!((1.0 - partners.len() as f64 / 81.0 - share).abs() < 1e-12);
            if let (Some(first), Some(last)) = (partners.first(), partners.last()) {
                let (width, height) = (last % 9 - first % 9 + 1, last / 9 - first / 9 + 1);
                assert_eq!(partners.len(), width * height, "a rectangle");
                at_edge += usize::from(first % 9 == 0);
            }
        }
        assert!((0.5..0.75).contains(&sum) && at_edge > 200, "{sum}, {at_edge}");
    }

    #[test]
    fn either_of_two_is_used_half_of_the_time_by_any_number_of_threads() {
        let both = Mixing { mixup: 0.2, cutmix: 1.0 };
        let cut = |step| matches!(both.draw(8, &mut Rng::new(1, &[MIX, step, 0])), Mix::Cut(_));
        let cuts = (0..4000).filter(|&step| cut(step)).count();
        assert!(cuts.abs_diff(2000) < 6 * 32, "{cuts}");
        for step in 0..20 {
            let mut one = images(7, 8);
            let share = alone(|team| both.apply(team, 1, step, 2, 8, &mut one));
            for threads in [2, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut many = images(7, 8);
                let again =
                    pool.install(|| team(|team| both.apply(team, 1, step, 2, 8, &mut many)));
                assert_eq!((again.to_bits(), &many), (share.to_bits(), &one));
            }
        }
        assert!(!Mixing::default().is_on());
    }
}
