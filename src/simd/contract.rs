//! The contract of [`Simd`], operation by operation, on every instruction set, against what scalars say.

use super::{Isa, Simd, SimdOp};

/// Everything that comparisons and rounding treat in ways of their own, and some that are ordinary.
const VALUES: [f32; 18] = [
    0.0,
    -0.0,
    1.0,
    -1.5,
    0.1,
    3.4e-5,
    -7.7e9,
    f32::MIN_POSITIVE,
    -f32::MIN_POSITIVE,
    1.1e-38, // a denormal number
    -1e-45,  // the smallest one
    f32::EPSILON,
    f32::MAX,
    f32::MIN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    // Another NaN: a selection passes it as it is.
    f32::from_bits(0xFFC0_1234),
];

/// More floats than any vector has.
const MOST: usize = 16;

#[derive(Clone, Copy, Debug)]
enum Op {
    Splat,
    Add,
    Sub,
    Mul,
    Div,
    Fma,
    Max,
    IfGt,
    IfNan,
    Flush,
}

const OPS: [Op; 10] = [
    Op::Splat,
    Op::Add,
    Op::Sub,
    Op::Mul,
    Op::Div,
    Op::Fma,
    Op::Max,
    Op::IfGt,
    Op::IfNan,
    Op::Flush,
];

impl Op {
    /// What each lane must become.
    fn scalar(self, exact: bool, [a, b, c]: [f32; 3]) -> f32 {
        match self {
            Op::Splat => a,
            Op::Add => a + b,
            Op::Sub => a - b,
            Op::Mul => a * b,
            Op::Div => a / b,
            Op::Fma if exact => a.mul_add(b, c),
            // `wide` decides when it is compiled.
            Op::Fma if cfg!(any(target_feature = "fma", target_arch = "aarch64")) => {
                a.mul_add(b, c)
            }
            Op::Fma => a * b + c,
            Op::Max => {
                if a > b {
                    a
                } else {
                    b
                }
            }
            Op::IfGt => {
                if a > b {
                    c
                } else {
                    a
                }
            }
            Op::IfNan => {
                if a.is_nan() {
                    b
                } else {
                    c
                }
            }
            Op::Flush => {
                if a.abs() < f32::MIN_POSITIVE {
                    0.0
                } else {
                    a
                }
            }
        }
    }

    /// Whether a result that is NaN has the bits of an operand.
    fn selects(self) -> bool {
        matches!(self, Op::Splat | Op::Max | Op::IfGt | Op::IfNan | Op::Flush)
    }
}

/// `op` in every lane; the lanes hold different operands.
struct Apply {
    op: Op,
    operands: [[f32; MOST]; 3],
}

impl SimdOp for Apply {
    type Output = Vec<f32>;

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) -> Vec<f32> {
        let [a, b, c] = self.operands.map(|lanes| s.load(&lanes));
        let result = match self.op {
            Op::Splat => s.splat(self.operands[0][0]),
            Op::Add => s.add(a, b),
            Op::Sub => s.sub(a, b),
            Op::Mul => s.mul(a, b),
            Op::Div => s.div(a, b),
            Op::Fma => s.fma(a, b, c),
            Op::Max => s.max(a, b),
            Op::IfGt => s.if_gt(a, b, c, a),
            Op::IfNan => s.if_nan(a, b, c),
            Op::Flush => s.flush(a),
        };
        let mut lanes = vec![0.0; S::LANES];
        s.store(result, &mut lanes);
        lanes
    }
}

#[test]
fn every_operation_is_its_scalar_in_every_lane() {
    let mut count = 0;
    for (i, &a) in VALUES.iter().enumerate() {
        for (j, &b) in VALUES.iter().enumerate() {
            for &c in &VALUES {
                // Neighbouring lanes hold other operands.
                let lane = |lane: usize| match lane % 3 {
                    _ if lane == 0 => [a, b, c],
                    0 => [a, b, c],
                    1 => [VALUES[(i + lane) % VALUES.len()], b, c],
                    _ => [a, VALUES[(j + lane) % VALUES.len()], c],
                };
                let operands = [0, 1, 2].map(|n| std::array::from_fn(|l| lane(l)[n]));
                for op in OPS {
                    for isa in Isa::available() {
                        let got = isa.dispatch(Apply { op, operands });
                        for (l, &got) in got.iter().enumerate() {
                            let l = if matches!(op, Op::Splat) { 0 } else { l };
                            let want = op.scalar(isa.is_exact(), lane(l));
                            let same = got.to_bits() == want.to_bits()
                                || (!op.selects() && got.is_nan() && want.is_nan());
                            let of = lane(l);
                            assert!(same, "{op:?} on {isa} of {of:?}: {got:e}, not {want:e}");
                            count += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(count > VALUES.len().pow(3) * OPS.len());
}

/// Runs a closure for each instruction set: [`SimdOp`] needs a type.
struct Memory;

impl SimdOp for Memory {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let l = S::LANES;
        // Guards that no load may show and no store may touch.
        const GUARD: f32 = 99.0;
        let values: Vec<f32> = (0..8 * l + 9).map(|i| i as f32 + 1.0).collect();
        let lanes = |v: S::V| {
            let mut lanes = vec![0.0; l];
            s.store(v, &mut lanes);
            lanes
        };
        for n in 0..=l {
            let mut source = vec![GUARD; l];
            source[..n].copy_from_slice(&values[..n]);
            // SAFETY: `n` floats are readable, `source` has more.
            let loaded = unsafe { s.load_first(source.as_ptr(), n) };
            let expected: Vec<f32> = (0..l).map(|i| if i < n { values[i] } else { 0.0 }).collect();
            assert_eq!(lanes(loaded), expected, "load_first of {n}");
            assert_eq!(lanes(s.load(&values[..n])), expected, "load of {n}");

            let mut target = vec![GUARD; l + 1];
            // SAFETY: `n` floats are writable, `target` has more.
            unsafe { s.store_first(s.load(&values), target.as_mut_ptr(), n) };
            let stored: Vec<f32> = (0..=l).map(|i| if i < n { values[i] } else { GUARD }).collect();
            assert_eq!(target, stored, "store_first of {n}");
            let mut target = vec![GUARD; l + 1];
            s.store(s.load(&values), &mut target[..n]);
            assert_eq!(target, stored, "store of {n}");
        }
        // A whole vector at every place.
        for at in 0..l {
            // SAFETY: `values` has 8 vectors.
            let loaded = unsafe { s.load_ptr(values[at..].as_ptr()) };
            assert_eq!(lanes(loaded), values[at..at + l]);
            let mut target = vec![GUARD; 2 * l];
            // SAFETY: there is room for two vectors.
            unsafe { s.store_ptr(loaded, target[at..].as_mut_ptr()) };
            assert_eq!(target[at..at + l], values[at..at + l]);
            assert!(target[..at].iter().chain(&target[at + l..]).all(|&v| v == GUARD));
        }
        // SAFETY: nothing is read where the condition does not hold.
        let nothing = unsafe { s.load_if(false, std::ptr::without_provenance(4)) };
        assert_eq!(lanes(nothing), vec![0.0; l]);
        // SAFETY: `values` has 8 vectors.
        assert_eq!(lanes(unsafe { s.load_if(true, values.as_ptr()) }), values[..l]);
        // Hints take any address.
        for at in [std::ptr::null(), std::ptr::without_provenance(4), values.as_ptr_range().end] {
            s.prefetch_read(at);
            s.prefetch_write(at);
        }

        for stride in [0, 1, 3, l, 2 * l + 1] {
            let vectors: [S::V; 3] = s.load_strided(&values, stride);
            for (i, v) in vectors.into_iter().enumerate() {
                assert_eq!(lanes(v), values[i * stride..][..l], "load_strided by {stride}");
            }
            for inside in [0..0, 0..3, 1..3, 0..2, 2..3] {
                // The first vector in `inside` is the first in `values`.
                let first = 0_usize.wrapping_sub(inside.start * stride);
                let vectors: [S::V; 3] = s.load_strided_inside(&values, first, stride, &inside);
                for (i, v) in vectors.into_iter().enumerate() {
                    let expected = match inside.contains(&i) {
                        true => values[(i - inside.start) * stride..][..l].to_vec(),
                        false => vec![0.0; l],
                    };
                    assert_eq!(lanes(v), expected, "{i} of {inside:?} by {stride}");
                }
            }
            if stride >= l {
                let mut target = vec![GUARD; 2 * stride + l];
                s.store_strided(vectors, &mut target, stride);
                for (i, &v) in target.iter().enumerate() {
                    let (vector, lane) = (i / stride, i % stride);
                    let expected = if lane < l { values[vector * stride + lane] } else { GUARD };
                    assert_eq!(v, expected, "store_strided by {stride} at {i}");
                }
            }
        }
        for n in 0..3 * l {
            let mut target = vec![GUARD; n + 1];
            s.copy(&values[..n], &mut target[..n]);
            assert!(target[..n] == values[..n] && target[n] == GUARD, "copy of {n}");
        }
    }
}

#[test]
fn loads_and_stores_touch_what_they_say() {
    Isa::available().into_iter().for_each(|isa| isa.dispatch(Memory));
}

/// Loads and stores of vectors that are not all in the slice.
struct Beyond {
    len: usize,
    stride: usize,
    first: usize,
    store: bool,
}

impl SimdOp for Beyond {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let mut values = vec![0.0; self.len + S::LANES];
        if self.store {
            return s.store_strided([s.splat(1.0); 3], &mut values, self.stride);
        }
        if self.first == 0 {
            let _: [S::V; 3] = s.load_strided(&values, self.stride);
        }
        let _: [S::V; 3] = s.load_strided_inside(&values, self.first, self.stride, &(0..3));
    }
}

#[test]
fn vectors_beyond_a_slice_are_refused() {
    let half = 1 << (usize::BITS - 1);
    let cases = [(5, 3, 0), (0, 1, 0), (0, half, 0), (8, half, 0), (40, 3, usize::MAX), (4, 0, 5)];
    for isa in Isa::available() {
        for (len, stride, first) in cases {
            for store in [false, true] {
                if store && first > 0 {
                    continue;
                }
                let refused = std::panic::catch_unwind(|| {
                    isa.dispatch(Beyond { len, stride, first, store });
                });
                assert!(refused.is_err(), "{len} and a vector, {stride} apart from {first}: {isa}");
            }
        }
    }
}
