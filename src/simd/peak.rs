//! The machine's own multiply-add peak: the yardstick of every speed that this project states.

use super::{Isa, Simd, SimdOp};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Independent chains: enough to cover latency 4 on two ports with room to spare, and to stay within
/// the 16 registers of AVX2.
const CHAINS: usize = 12;
const STEPS: usize = 4096;
/// Long enough for the clock to settle under wide vectors (the first milliseconds run faster), short
/// enough that on a shared machine some run is undisturbed.
const RUN: Duration = Duration::from_millis(10);
const RUNS: usize = 20;
const WARM_UP: Duration = Duration::from_millis(100);

struct Chains;

impl SimdOp for Chains {
    type Output = f32;

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) -> f32 {
        let (factor, term) = (s.splat(black_box(0.5)), s.splat(black_box(1.0)));
        let mut acc = [s.splat(black_box(1.0)); CHAINS];
        for _ in 0..STEPS {
            for a in &mut acc {
                *a = s.fma(*a, factor, term);
            }
        }
        let mut sum = acc[0];
        for a in &acc[1..] {
            sum = s.add(sum, *a);
        }
        let mut lanes = [0.0; 16];
        s.store(sum, &mut lanes);
        lanes.iter().sum()
    }
}

/// Measures how many GFLOP/s of fused multiply-adds `threads` threads of the current pool reach on
/// `isa`, best of several short runs (a multiply-add counts as two operations).
pub fn peak_gflops(isa: Isa, threads: usize) -> f64 {
    struct Lanes;
    impl SimdOp for Lanes {
        type Output = usize;
        #[inline(always)]
        fn eval<S: Simd>(self, _: S) -> usize {
            S::LANES
        }
    }
    let flops_a_call = (2 * CHAINS * STEPS * isa.dispatch(Lanes)) as f64;
    let spin = |duration: Duration| {
        let (start, mut calls) = (Instant::now(), 0_u32);
        while start.elapsed() < duration {
            for _ in 0..8 {
                black_box(isa.dispatch(Chains));
            }
            calls += 8;
        }
        f64::from(calls) * flops_a_call / start.elapsed().as_secs_f64() / 1e9
    };
    let run = |duration| -> f64 {
        if threads == 1 {
            return spin(duration);
        }
        let spin_some = |index| if index < threads { spin(duration) } else { 0.0 };
        rayon::broadcast(|context| spin_some(context.index())).iter().sum()
    };
    run(WARM_UP);
    (0..RUNS).map(|_| run(RUN)).fold(0.0, f64::max)
}
