//! Counter-based random numbers: a draw is a pure function of (seed, keys, counter).
//!
//! Training must give the same result for any number of threads and after a resume, so there is no
//! generator state to share or to save: each purpose (initialisation of one tensor, augmentation of
//! one sample in one epoch) has its own stream, keyed by what it is for. The mixing function is the
//! finaliser of SplitMix64 (Steele, Lea, Flood, 2014).

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Rng {
    key: u64,
    counter: u64,
}

impl Rng {
    /// The stream of `seed` for the purpose that `keys` name, e.g. `[epoch, sample]`.
    pub fn new(seed: u64, keys: &[u64]) -> Self {
        let mut key = mix(seed.wrapping_add(GOLDEN));
        for &k in keys {
            key = mix(key ^ mix(k.wrapping_add(GOLDEN)));
        }
        Self { key, counter: 0 }
    }

    /// The stream of `seed` for what `name` names (FNV-1a of its bytes is the key).
    pub fn named(seed: u64, name: &str) -> Self {
        let hash = name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01B3)
        });
        Self::new(seed, &[hash])
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.counter += 1;
        mix(self.key.wrapping_add(self.counter.wrapping_mul(GOLDEN)))
    }

    /// Uniform in [0, 1), one of 2^24 equally spaced values.
    pub fn uniform(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 / (1 << 24) as f32
    }

    /// Uniform in [low, high).
    pub fn uniform_in(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.uniform()
    }

    /// Uniform among `0..n`; `n` must not be zero. (Multiply-shift; the bias is below n / 2^64.)
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }

    /// Standard normal (Box-Muller, in f64 with portable `libm`: the same bits on every platform).
    pub fn normal(&mut self) -> f32 {
        let scale = 1.0 / (1u64 << 53) as f64;
        let u = ((self.next_u64() >> 11) + 1) as f64 * scale;
        let v = (self.next_u64() >> 11) as f64 * scale;
        let radius = libm::sqrt(-2.0 * libm::log(u));
        (radius * libm::cos(2.0 * std::f64::consts::PI * v)) as f32
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_never_change() {
        // SplitMix64 from state 0 (the reference implementation's first outputs).
        let mut rng = Rng { key: 0, counter: 0 };
        assert_eq!(rng.next_u64(), 0xE220_A839_7B1D_CDAF);
        assert_eq!(rng.next_u64(), 0x6E78_9E6A_A1B9_65F4);
    }

    #[test]
    fn moments_are_those_of_the_distribution() {
        let mut rng = Rng::new(1, &[2, 3]);
        let n = 100_000;
        let (mut mean, mut var) = (0.0_f64, 0.0_f64);
        for _ in 0..n {
            let x = f64::from(rng.normal());
            mean += x / f64::from(n);
            var += x * x / f64::from(n);
        }
        assert!(mean.abs() < 0.02 && (var - 1.0).abs() < 0.02, "{mean} {var}");
        let hits = (0..n).filter(|_| rng.below(10) == 3).count();
        assert!((9_500..10_500).contains(&hits), "{hits}");
    }
}
