//! The definition against finite differences, the kernels against the definition, and against each
//! other to the bit.

use super::super::testing::{assert_close, assert_gradient, everywhere, normals, wide};
use super::reference::Layer;
use super::*;
use crate::gemm::{AfterRows, Operand};
use crate::runtime::team;
use crate::simd::Isa;
use proptest::prelude::*;

const EPSILON: f32 = 1e-5;
const EPS: f64 = f32::EPSILON as f64;
/// How many eps of its terms the mean over a block may stray: 8 · √pixels for the sum, at most, since its
/// errors add up like the steps of a random walk.
const BLOCK: f64 = 8.0;

/// A random layer in f32.
struct Case {
    channels: usize,
    x: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    residual: Option<Vec<f32>>,
    relu: bool,
    dout: Vec<f32>,
}

impl Case {
    fn new(pixels: usize, channels: usize, residual: bool, relu: bool, seed: u64) -> Self {
        let len = pixels * channels;
        // Means up to some ten standard deviations away; every seventh channel is constant.
        let (offset, spread) = (normals(seed, channels), normals(seed ^ 1, channels));
        let x = normals(seed ^ 2, len).into_iter().enumerate().map(|(i, x)| {
            let c = i % channels;
            if c % 7 == 6 { 3.3 } else { 5.0 * offset[c] + (0.3 + spread[c].abs()) * x }
        });
        Self {
            channels,
            x: x.collect(),
            gamma: normals(seed ^ 3, channels),
            beta: normals(seed ^ 4, channels),
            residual: residual.then(|| normals(seed ^ 5, len)),
            relu,
            dout: normals(seed ^ 6, len),
        }
    }

    fn reference(&self) -> Layer {
        Layer {
            channels: self.channels,
            x: wide(&self.x),
            gamma: wide(&self.gamma),
            beta: wide(&self.beta),
            residual: self.residual.as_deref().map(wide),
            relu: self.relu,
            epsilon: f64::from(EPSILON),
        }
    }

    /// Forward and backward: mean, var, out, dgamma, dbeta, dx, dz.
    fn run(&self, isa: Isa) -> Vec<Vec<f32>> {
        let statistics = team(|team| statistics(team, isa, &self.x, self.channels));
        let coefficients = Coefficients::new(&statistics, &self.gamma, &self.beta, EPSILON);
        let mut out = vec![f32::NAN; self.x.len()];
        team(|team| {
            normalize(
                team,
                isa,
                &self.x,
                &coefficients,
                self.residual.as_deref().map(|values| Residual { values, map: None }),
                self.relu,
                &mut out,
            )
        });

        // Whole, and with parts of it seen before, of any length.
        let pixels = self.x.len() / self.channels;
        let seen = |after: &dyn AfterRows, values: &mut [f32]| {
            let mut first = 0;
            for (i, rows) in values.chunks_mut(self.channels * (1 + pixels / 3)).enumerate() {
                let count = rows.len() / self.channels;
                if i != 1 {
                    after.rows(first, rows);
                }
                first += count;
            }
        };
        let moments = BatchMoments::new(isa, pixels, self.channels);
        seen(&moments, &mut self.x.clone());
        assert!(team(|team| moments.statistics(team, &self.x)) == statistics, "seen before");
        if let Some(values) = &self.residual {
            // Of a residual that is normalised on the way, and of one that was before.
            let Coefficients { scale, shift } = coefficients.clone();
            let map = Coefficients { scale: shift, shift: scale };
            let mut normalized = vec![f32::NAN; values.len()];
            team(|team| normalize(team, isa, values, &map, None, false, &mut normalized));
            let of_both = Residual { values, map: Some(&map) };
            let of_one = Residual { values: &normalized, map: None };
            let [on_the_way, before] = [of_both, of_one].map(|residual| {
                let mut out = vec![f32::NAN; values.len()];
                let (x, c, residual) = (&self.x, &coefficients, Some(residual));
                team(|team| normalize(team, isa, x, c, residual, self.relu, &mut out));
                out
            });
            assert!(on_the_way == before, "{isa}: a residual normalised on the way");
        }
        if self.relu && self.residual.is_none() {
            let Coefficients { scale, shift } = &coefficients;
            let mut on_load = vec![f32::NAN; self.x.len()];
            Operand::activated(isa, &self.x, scale, shift).write(isa, 0, &mut on_load);
            assert!(on_load == out, "{isa}: activated where it is read");
        }
        let backward = |mask: ReluMask| {
            let x = &self.x;
            let gradients = |see: bool| {
                let mut dz = self.dout.clone();
                let products = BatchProducts::new(isa, pixels, self.channels);
                if see {
                    seen(&products.of(x, mask, &statistics), &mut dz);
                }
                let sums = team(|team| products.sums(team, x, &mut dz, mask, &statistics, EPSILON));
                (sums, dz)
            };
            let ((dgamma, dbeta), mut dz) = gradients(false);
            assert!(
                gradients(true) == ((dgamma.clone(), dbeta.clone()), dz.clone()),
                "seen before"
            );
            let map = Backward::new(&statistics, &self.gamma, EPSILON, &dgamma, &dbeta);
            let mut dx = vec![f32::NAN; x.len()];
            team(|team| backward_input(team, isa, x, &mut dz, &map, Some(&mut dx)));
            let mut in_place = dz.clone();
            team(|team| backward_input(team, isa, x, &mut in_place, &map, None));
            assert!(in_place == dx, "{isa}: in place");
            [dgamma, dbeta, dx, dz]
        };
        let gradients = backward(if self.relu { ReluMask::Output(&out) } else { ReluMask::None });
        if self.relu && self.residual.is_none() {
            assert!(backward(ReluMask::Recompute(&coefficients)) == gradients, "the masks differ");
        }
        let mut all = vec![statistics.mean, statistics.var, out];
        all.extend(gradients);
        all
    }

    /// Holds what [`run`](Self::run) gives to the definition.
    fn check(&self) {
        let layer = self.reference();
        let (mean, var) = layer.statistics();
        let expected = layer.forward();
        let of_channel = |c: usize, values: &[f64]| -> f64 {
            values.iter().skip(c).step_by(self.channels).fold(0.0, |max, v| v.abs().max(max))
        };
        let centred: Vec<f64> =
            layer.x.iter().enumerate().map(|(i, x)| x - mean[i % self.channels]).collect();
        let dout = wide(&self.dout);
        let bounds: Vec<Bounds> = (0..self.channels)
            .map(|c| {
                Bounds::new(
                    mean[c],
                    (var[c] + layer.epsilon).sqrt(),
                    of_channel(c, &centred),
                    of_channel(c, &dout),
                    layer.gamma[c].abs(),
                )
            })
            .collect();
        let bound = |i: usize| &bounds[i % self.channels];
        for got in everywhere(|_, isa| self.run(isa)) {
            let [got_mean, got_var, out, dgamma, dbeta, dx, dz] = &got[..] else { unreachable!() };
            assert_close("mean", got_mean, &mean, |c| bound(c).mean);
            assert_close("var", got_var, &var, |c| bound(c).var);
            assert_close("out", out, &expected, |i| {
                let others = layer.beta[i % self.channels].abs()
                    + layer.residual.as_ref().map_or(0.0, |r| r[i].abs());
                bound(i).gamma * bound(i).normalized + 2.0 * EPS * (others + expected[i].abs())
            });
            // The mask of the kernel: where the output is nearly 0, rounding decides what passes.
            let gradients = layer.backward(&dout, &wide(out));
            let pixels = layer.pixels();
            assert_close("dz", dz, &gradients.residual, |_| 0.0);
            assert_close("dbeta", dbeta, &gradients.beta, |c| bound(c).dbeta_mean * pixels);
            assert_close("dgamma", dgamma, &gradients.gamma, |c| bound(c).dgamma_mean * pixels);
            assert_close("dx", dx, &gradients.x, |i| bound(i).dx);
        }
    }
}

/// How far rounding may take the results of a channel.
struct Bounds {
    gamma: f64,
    mean: f64,
    var: f64,
    /// Of x̂.
    normalized: f64,
    dbeta_mean: f64,
    dgamma_mean: f64,
    dx: f64,
}

impl Bounds {
    /// For a mean, √(var + ε), the largest |x - mean| and |dout|, and |γ|.
    fn new(mean: f64, std: f64, range: f64, dout: f64, gamma: f64) -> Self {
        // Around a block's own mean, values are up to twice as far away.
        let mean_error = EPS * (mean.abs() + BLOCK * 2.0 * range);
        let var_error = EPS * 2.0 * BLOCK * 4.0 * range * range + mean_error * mean_error;
        let std_share = 2.0 * EPS + var_error / (2.0 * std * std);
        let most = range / std;
        let normalized = mean_error / std + most * std_share + 4.0 * EPS * mean.abs() / std;
        let dbeta_mean = BLOCK * EPS * dout;
        let dgamma_mean = dout * normalized + BLOCK * EPS * dout * most;
        let parts = dout * (2.0 + most * most);
        let sums = dbeta_mean + most * dgamma_mean + dout * most * normalized;
        let dx = gamma / std * ((4.0 * EPS + std_share) * parts + sums);
        Self {
            gamma,
            mean: mean_error,
            var: var_error + f64::from(f32::MIN_POSITIVE),
            normalized,
            dbeta_mean,
            dgamma_mean,
            dx: dx + f64::from(f32::MIN_POSITIVE),
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn the_reference_is_right() {
    for (residual, relu) in [(false, false), (false, true), (true, false), (true, true)] {
        let case = Case::new(5, 3, residual, relu, 11);
        let (layer, dout) = (case.reference(), wide(&case.dout));
        let gradients = layer.backward(&dout, &layer.forward());
        let loss = |change: &dyn Fn(&mut Layer)| {
            let mut layer = layer.clone();
            change(&mut layer);
            dot(&layer.forward(), &dout)
        };
        assert_gradient(|v| loss(&|l| l.x = v.to_vec()), &layer.x, &gradients.x);
        assert_gradient(|v| loss(&|l| l.gamma = v.to_vec()), &layer.gamma, &gradients.gamma);
        assert_gradient(|v| loss(&|l| l.beta = v.to_vec()), &layer.beta, &gradients.beta);
        if let Some(r) = &layer.residual {
            assert_gradient(|v| loss(&|l| l.residual = Some(v.to_vec())), r, &gradients.residual);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn equals_the_definition_everywhere(
        pixels in prop_oneof![1..4_usize, 30..36_usize, 1..700_usize],
        channels in 1..80_usize,
        (residual, relu) in any::<(bool, bool)>(),
        seed in any::<u64>(),
    ) {
        Case::new(pixels, channels, residual, relu, seed).check();
    }
}

#[test]
fn equals_the_definition_with_many_blocks_and_chunks() {
    for (pixels, channels) in [(40_000, 2), (513, 129), (70, 600), (1, 2048)] {
        Case::new(pixels, channels, true, true, 5).check();
    }
}

#[test]
fn the_variance_is_exact_far_from_zero_and_over_many_pixels() {
    let x: Vec<f32> = normals(1, 300_000).iter().map(|x| 1000.0 + x).collect();
    let layer = Case { x, channels: 1, ..Case::new(1, 1, false, false, 0) }.reference();
    let (mean, var) = layer.statistics();
    let got = team(|team| {
        statistics(team, Isa::best(), &layer.x.iter().map(|&x| x as f32).collect::<Vec<_>>(), 1)
    });
    assert_close("mean", &got.mean, &mean, |_| 0.5 * EPS * 1024.0);
    assert_close("var", &got.var, &var, |_| 2.0 * EPS);
}

#[test]
fn constant_and_tiny_inputs_stay_finite() {
    for value in [0.0, 1e-40, 1e-30, 0.1, 1e4, 1e10] {
        for isa in Isa::available() {
            let x = vec![value; 1000 * 3];
            let found = team(|team| statistics(team, isa, &x, 3));
            let spread = BLOCK * EPS * f64::from(value);
            for c in 0..3 {
                assert!((f64::from(found.mean[c]) - f64::from(value)).abs() <= spread + 1e-38);
                assert!(found.var[c] >= 0.0 && f64::from(found.var[c]) <= spread * spread);
                assert!(found.var[c] == 0.0 || found.var[c].is_normal());
            }
            let coefficients = Coefficients::new(&found, &[1.0; 3], &[0.5; 3], EPSILON);
            let mut out = vec![f32::NAN; x.len()];
            team(|team| normalize(team, isa, &x, &coefficients, None, true, &mut out));
            assert!(out.iter().all(|v| v.is_finite()), "{value} on {isa}");
        }
    }
}

#[test]
fn nan_passes_through_relu() {
    for isa in Isa::available() {
        let coefficients = Coefficients { scale: vec![1.0], shift: vec![0.0] };
        let mut out = [0.0; 2];
        team(|team| normalize(team, isa, &[f32::NAN, -1.0], &coefficients, None, true, &mut out));
        assert!(out[0].is_nan() && out[1] == 0.0, "{isa}");
    }
}

#[test]
fn running_statistics_move_as_torch_has_them() {
    let batch = Statistics { pixels: 5, mean: vec![2.0], var: vec![4.0] };
    let (mut mean, mut var) = ([1.0], [1.0]);
    update_running(&mut mean, &mut var, &batch, 0.1);
    assert_eq!((mean, var), ([1.1], [0.9 + 0.1 * 5.0]));

    let single = Statistics { pixels: 1, mean: vec![2.0], var: vec![0.0] };
    update_running(&mut mean, &mut var, &single, 1.0);
    assert_eq!((mean, var), ([2.0], [0.0]));

    // A channel that died does not fade into denormals.
    let dead = Statistics { pixels: 9, mean: vec![0.0], var: vec![0.0] };
    let (mut mean, mut var) = ([1.0], [1.0]);
    for _ in 0..900 {
        update_running(&mut mean, &mut var, &dead, 0.1);
        assert!(var[0] == 0.0 || var[0].is_normal());
    }
    assert_eq!((mean, var), ([0.0], [0.0]));
}
