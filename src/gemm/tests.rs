//! Every kernel against the definition, over random shapes; and against each other, to the bit.

#[cfg(not(miri))]
mod guards;
mod hostile;
mod small;
mod with_team;

use super::kernels::Kernel;
use super::{ASource, AfterRows, Backend, Epilogue, Matrix, PackedB, Part, gemm_batch, reference};
use crate::runtime::{Rng, team};
use crate::simd::Isa;
use proptest::prelude::*;
use std::sync::Mutex;
use with_team::{from_rows, gemm};

/// One product: the case table of correctness and of equality between instruction sets.
#[derive(Clone, Debug)]
struct Case {
    m: usize,
    n: usize,
    k: usize,
    bias: bool,
    residual: bool,
    relu: bool,
    seed: u64,
}

/// A matrix that refuses to be read in place, so that its panels are packed.
struct Packed<'a>(Matrix<'a>);

impl ASource for Packed<'_> {
    fn rows(&self) -> usize {
        self.0.rows()
    }

    fn k(&self) -> usize {
        self.0.k()
    }

    fn pack(&self, isa: Isa, part: Part, dst: &mut [f32], stride: usize) {
        self.0.pack(isa, part, dst, stride);
    }
}

/// How far rounding may take a sum of `terms` products of values of at most 1, and what an epilogue adds,
/// which should be `sum`: errors add up like the steps of a random walk, each half an eps of what has
/// been summed so far. (In the worst case they would all have one sign; so wide a bound would let
/// wrong code pass.)
pub(crate) fn rounding(terms: usize, sum: f64) -> f64 {
    f64::from(f32::EPSILON) * ((terms + 4) as f64).sqrt() * (8.0 + 0.5 * sum.abs())
}

/// Whoever is shown rows of a result, and remembers them.
pub(crate) struct Seen {
    unit: usize,
    columns: usize,
    values: Mutex<Vec<Option<f32>>>,
}

impl Seen {
    pub(crate) fn new(unit: usize, rows: usize, columns: usize) -> Self {
        Self { unit, columns, values: Mutex::new(vec![None; rows * columns]) }
    }

    /// Asserts that what was shown is what `result` became.
    pub(crate) fn check(&self, result: &[f32], case: &dyn std::fmt::Debug) {
        for (i, (seen, value)) in self.values.lock().unwrap().iter().zip(result).enumerate() {
            let same = seen.is_none_or(|seen| seen.to_bits() == value.to_bits());
            assert!(same, "{seen:?} was shown at {i}, {value} is there, {case:?}");
        }
    }

    /// Whether all rows were shown.
    pub(crate) fn all(&self) -> bool {
        self.values.lock().unwrap().iter().all(Option::is_some)
    }
}

impl AfterRows for Seen {
    fn unit(&self) -> usize {
        self.unit
    }

    fn rows(&self, first: usize, rows: &mut [f32]) {
        assert!(!rows.is_empty() && rows.len().is_multiple_of(self.columns), "whole rows");
        let mut values = self.values.lock().unwrap();
        for (seen, &value) in values[first * self.columns..].iter_mut().zip(&*rows) {
            assert!(seen.replace(value).is_none(), "a row is shown once");
        }
    }
}

fn draw(rng: &mut Rng, len: usize) -> Vec<f32> {
    (0..len).map(|_| rng.uniform_in(-1.0, 1.0)).collect()
}

fn check(case: &Case) {
    let &Case { m, n, k, relu, seed, .. } = case;
    let mut rng = Rng::new(seed, &[]);
    let (a, b) = (draw(&mut rng, m * k), draw(&mut rng, k * n));
    let (bias, residual) = (draw(&mut rng, n), draw(&mut rng, m * n));
    let epilogue = Epilogue {
        bias: case.bias.then_some(&bias[..]),
        residual: case.residual.then_some(&residual[..]),
        relu,
        after: None,
    };
    let expected = reference::gemm(m, n, k, &a, &b, &epilogue);

    let backends = Kernel::all().into_iter().map(|kernel| Backend::Native(kernel.isa()));
    let mut exact: Option<Vec<f32>> = None;
    for backend in backends.chain([Backend::Matrixmultiply]) {
        let b = from_rows(backend, k, n, &b);
        let matrix = Matrix::new(&a, m, k);
        // Guards on both sides: nothing may be written outside C.
        const GUARD: usize = 33;
        let mut c = vec![f32::MAX; m * n + 2 * GUARD];
        gemm(&matrix, &b, &mut c[GUARD..GUARD + m * n], &epilogue);
        assert!(c[..GUARD].iter().chain(&c[GUARD + m * n..]).all(|&v| v == f32::MAX));
        let c = c[GUARD..GUARD + m * n].to_vec();
        let mut again = vec![f32::NAN; m * n];
        gemm(&Packed(matrix), &b, &mut again, &epilogue);
        assert!(c == again, "{backend:?}: packed and in place differ, {case:?}");
        let seen = Seen::new(1 + seed as usize % 9, m, n);
        gemm(&matrix, &b, &mut again, &Epilogue { after: Some(&seen), ..epilogue });
        assert!(c == again, "{backend:?}: other bits where rows are shown, {case:?}");
        seen.check(&c, case);
        for (i, (&got, &want)) in c.iter().zip(&expected).enumerate() {
            let error = (f64::from(got) - want).abs();
            assert!(error <= rounding(k, want), "{backend:?} at {i}: {got} for {want}, {case:?}");
        }
        if let Backend::Native(isa) = backend
            && isa.is_exact()
        {
            assert!(*exact.get_or_insert(c.clone()) == c, "{isa} has other bits, {case:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn equals_the_definition(
        (m, n, k) in (1..70_usize, 1..70_usize, 0..300_usize),
        (bias, residual, relu) in any::<(bool, bool, bool)>(),
        seed in any::<u64>(),
    ) {
        check(&Case { m, n, k, bias, residual, relu, seed });
    }
}

#[test]
fn every_row_and_column_tail() {
    for kernel in Kernel::all() {
        for m in 1..=kernel.mr + 1 {
            for n in 1..=kernel.nr + 1 {
                check(&Case { m, n, k: 5, bias: true, residual: true, relu: true, seed: 1 });
            }
        }
    }
}

#[test]
fn large_enough_for_every_loop() {
    for (m, n, k) in [(700, 70, 600), (3, 1000, 1024), (500, 33, 513), (1, 1, 5000)] {
        check(&Case { m, n, k, bias: true, residual: false, relu: true, seed: 2 });
    }
}

/// A product with packed filters, and with the matrix that they are by definition, must be the
/// same; and each filter must be asked for once.
fn check_filters(n: usize, channels: usize, taps: usize, scaled: bool) {
    let k = channels * taps;
    let mut rng = Rng::new(4, &[n as u64, k as u64]);
    let (a, filters) = (draw(&mut rng, 2 * k), draw(&mut rng, n * k));
    let scale: Option<Vec<f64>> = scaled.then(|| (0..n).map(|j| 1.0 / (j + 3) as f64).collect());
    for backend in Kernel::all().iter().map(|kernel| Backend::Native(kernel.isa())) {
        for backend in [backend, Backend::Matrixmultiply] {
            let mut rows = vec![0.0; k * n];
            for (i, &weight) in filters.iter().enumerate() {
                let (j, channel, tap) = (i / k, i % k / taps, i % taps);
                let scale = scale.as_ref().map_or(1.0, |scale| scale[j]);
                let scaled = (f64::from(weight) * scale) as f32;
                rows[(tap * channels + channel) * n + j] = scaled;
            }
            let by_rows = from_rows(backend, k, n, &rows);
            let mut packed = PackedB::zeros(backend, k, n);
            let asked = Mutex::new(vec![0; n * k]);
            let tasks = packed.pack_filters(taps, scale.as_deref(), |part, pack| {
                asked.lock().unwrap()[part.clone()].iter_mut().for_each(|times| *times += 1);
                pack(&filters[part]);
            });
            team(|team| tasks.run(team));
            assert_eq!(asked.into_inner().unwrap(), vec![1; n * k]);
            let [got, want] = [&packed, &by_rows].map(|b| {
                let mut c = vec![f32::NAN; 2 * n];
                gemm(&Matrix::new(&a, 2, k), b, &mut c, &Epilogue::default());
                c
            });
            assert!(got == want, "{backend:?}: {n} filters of {channels} x {taps}");
        }
    }
}

#[test]
fn filters_become_columns_tap_by_tap() {
    for n in [1, 3, 12, 31, 32, 33, 70] {
        for (channels, taps) in [(1, 1), (3, 49), (5, 9), (64, 9), (127, 1), (130, 1)] {
            check_filters(n, channels, taps, n % 2 == 0);
        }
    }
    // More than a task.
    check_filters(100, 512, 9, true);
}

#[test]
fn the_result_does_not_depend_on_threads() {
    let mut rng = Rng::new(3, &[]);
    for (m, n, k) in [(700, 70, 600), (49, 512, 1000), (1, 1000, 512)] {
        let (a, b) = (draw(&mut rng, m * k), draw(&mut rng, k * n));
        let mut first: Option<Vec<f32>> = None;
        for threads in [1, 2, 3, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut c = vec![f32::NAN; m * n];
            pool.install(|| {
                let b = from_rows(Backend::Native(Isa::best()), k, n, &b);
                gemm(&Matrix::new(&a, m, k), &b, &mut c, &Epilogue::default());
            });
            assert!(*first.get_or_insert(c.clone()) == c, "{threads} threads: {m} x {n} x {k}");
        }
    }
}

#[test]
fn nan_passes_through_relu() {
    let (a, b) = ([f32::NAN, 1.0], [1.0, -1.0]);
    for kernel in Kernel::all() {
        let b = from_rows(Backend::Native(kernel.isa()), 2, 1, &b);
        let mut c = [0.0];
        gemm(&Matrix::new(&a, 1, 2), &b, &mut c, &Epilogue { relu: true, ..Epilogue::default() });
        assert!(c[0].is_nan(), "{}", kernel.name());
    }
}

/// Many small products, rows further apart than they are long: each is the product alone.
fn check_batch([count, rows, n, k]: [usize; 4], pad: usize, seed: u64) {
    let mut rng = Rng::new(seed, &[]);
    let (a_stride, c_stride) = (k + pad, n + pad);
    let (a_len, b_rows, c_len) = (rows * a_stride + 3 * pad, k + pad, rows * c_stride + pad);
    let a = draw(&mut rng, count * a_len);
    let b = draw(&mut rng, count * b_rows * n);
    for kernel in Kernel::all() {
        let backend = Backend::Native(kernel.isa());
        let packed = from_rows(backend, count * b_rows, n, &b);
        let panels = packed.panels().expect("packed for a kernel of ours");
        let mut c = vec![f32::MAX; count * c_len];
        let b_part = (panels, k, 0..panels.count());
        gemm_batch(count, (&a, a_stride, rows), b_part, (&mut c, c_stride));
        for f in 0..count {
            let dense: Vec<f32> = a[f * a_len..]
                .chunks(a_stride)
                .take(rows)
                .flat_map(|row| &row[..k])
                .copied()
                .collect();
            let alone = from_rows(backend, k, n, &b[f * b_rows * n..][..k * n]);
            let mut expected = vec![0.0; rows * n];
            gemm(&Matrix::new(&dense, rows, k), &alone, &mut expected, &Epilogue::default());
            let case = (kernel.name(), count, rows, n, k, pad);
            let (c, beyond) = c[f * c_len..][..c_len].split_at(rows * c_stride);
            assert!(beyond.iter().all(|&v| v == f32::MAX), "written beyond a product: {case:?}");
            for (row, want) in c.chunks(c_stride).zip(expected.chunks(n)) {
                assert!(row[..n] == *want, "product {f} of {case:?}");
                assert!(row[n..].iter().all(|&v| v == f32::MAX), "written beyond a row: {case:?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn a_batch_is_its_products(
        count in 1..5_usize,
        rows in 1..40_usize,
        n in prop_oneof![(1..4_usize).prop_map(|v| 16 * v), 1..70_usize],
        k in prop_oneof![(1..9_usize).prop_map(|v| 8 * v), 1..300_usize],
        pad in 0..20_usize,
        seed in any::<u64>(),
    ) {
        check_batch([count, rows, n, k], pad, seed);
    }
}
