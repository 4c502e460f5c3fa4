//! Stochastic gradient descent with momentum: one sweep over the flat buffers.
//!
//! The semantics are `torch.optim.SGD`'s. Every float is updated on its own with one written order of
//! fused operations, so neither threads nor vector width change a bit; denormals, which momentum
//! makes of every gradient that stays zero, are flushed where they are born.

use crate::model::{Role, TensorInfo, TensorTable};
use crate::runtime::{ChunksMut, Team};
use crate::simd::{Isa, Simd, SimdOp};

/// Floats of a chunk that one thread updates: three buffers of it fit a second-level cache.
const CHUNK: usize = 16 << 10;

/// Options of SGD.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdOptions {
    /// Momentum: the share of the last step's velocity that is kept, 0..1 (the paper: 0.9).
    pub momentum: f32,
    /// Whether to use Nesterov's momentum: a step along the velocity that the next step would have.
    pub nesterov: bool,
    /// Weight decay, added to the gradient as `weight_decay * weight` (the paper: 1e-4).
    pub weight_decay: f32,
    /// Whether batch norm's scale and shift and the classifier's bias decay too (the paper: yes).
    pub decay_bn: bool,
}

/// A run of the flat buffer with one weight decay and one rate.
#[derive(Clone, Copy, Debug)]
struct Run {
    end: usize,
    weight_decay: f32,
    /// Multiplies the learning rate.
    rate: f32,
}

/// The optimiser of a network's flat buffer of learnable tensors.
#[derive(Clone, Debug)]
pub struct Sgd {
    options: SgdOptions,
    /// In order; the last one ends where the buffer does.
    runs: Vec<Run>,
}

impl Sgd {
    /// The optimiser for the tensors of `table`.
    pub fn new(table: &TensorTable, options: SgdOptions) -> Self {
        Self::with_rates(table, options, |_| 1.0)
    }

    /// As [`new`](Self::new), where the learning rate of each tensor is multiplied by its `rate`. A tensor of
    /// rate 0 is left alone, and so is its velocity.
    pub fn with_rates(
        table: &TensorTable,
        options: SgdOptions,
        rate: impl Fn(&TensorInfo) -> f32,
    ) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        for info in table.infos().iter().filter(|info| info.role.is_learnable()) {
            let weight = matches!(info.role, Role::ConvWeight | Role::LinearWeight);
            let weight_decay = if weight || options.decay_bn { options.weight_decay } else { 0.0 };
            let (end, rate) = (info.range().end, rate(info));
            match runs.last_mut() {
                Some(run) if (run.weight_decay, run.rate) == (weight_decay, rate) => run.end = end,
                _ => runs.push(Run { end, weight_decay, rate }),
            }
        }
        if let Some(last) = runs.last_mut() {
            last.end = table.learnable_len();
        }
        Self { options, runs }
    }

    /// One step with learning rate `lr`: `g += wd * w; v = m * v + g; w -= lr * v` (Nesterov:
    /// `w -= lr * (g + m * v)`). `momentum` holds v, zeros before the first step.
    ///
    /// # Panics
    /// If the length of a buffer is not the table's
    /// [`learnable_len`](TensorTable::learnable_len).
    pub fn step(
        &self,
        team: &mut Team,
        isa: Isa,
        weights: &mut [f32],
        momentum: &mut [f32],
        gradients: &[f32],
        lr: f32,
    ) {
        let len = self.runs.last().map_or(0, |run| run.end);
        assert_eq!(weights.len(), len, "flat buffers");
        self.step_part(team, isa, 0, weights, momentum, gradients, lr);
    }

    /// As [`step`](Self::step), of the floats from `place` on: as many as the buffers have.
    ///
    /// # Panics
    /// If the buffers' lengths differ, or reach beyond the table's.
    pub(crate) fn step_part(
        &self,
        team: &mut Team,
        isa: Isa,
        place: usize,
        weights: &mut [f32],
        momentum: &mut [f32],
        gradients: &[f32],
        lr: f32,
    ) {
        let len = weights.len();
        assert_eq!([momentum.len(), gradients.len()], [len; 2], "flat buffers");
        assert!(self.runs.last().map_or(0, |run| run.end) >= place + len, "within the table");
        let chunks = (ChunksMut::new(weights, CHUNK), ChunksMut::new(momentum, CHUNK));
        team.for_each_part(chunks, |i, (w, v), _| {
            let g = &gradients[i * CHUNK..][..w.len()];
            let start = place + i * CHUNK;
            let first = self.runs.partition_point(|run| run.end <= start);
            let mut done = 0;
            for run in &self.runs[first..] {
                let part = done..(run.end - start).min(w.len());
                done = part.end;
                if run.rate != 0.0 {
                    isa.dispatch(Update {
                        weights: &mut w[part.clone()],
                        momentum: &mut v[part.clone()],
                        gradients: &g[part],
                        lr: lr * run.rate,
                        weight_decay: run.weight_decay,
                        options: self.options,
                    });
                }
                if done == w.len() {
                    break;
                }
            }
        });
    }
}

/// The update of a part of the buffers.
struct Update<'a> {
    weights: &'a mut [f32],
    momentum: &'a mut [f32],
    gradients: &'a [f32],
    lr: f32,
    weight_decay: f32,
    options: SgdOptions,
}

impl SimdOp for Update<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let minus_lr = s.splat(-self.lr);
        let weight_decay = s.splat(self.weight_decay);
        let keep = s.splat(self.options.momentum);
        let parts = self
            .weights
            .chunks_mut(S::LANES)
            .zip(self.momentum.chunks_mut(S::LANES))
            .zip(self.gradients.chunks(S::LANES));
        for ((weights, momentum), gradients) in parts {
            let w = s.load(weights);
            let g = s.flush(s.fma(weight_decay, w, s.load(gradients)));
            let v = s.flush(s.fma(keep, s.load(momentum), g));
            let direction = if self.options.nesterov { s.fma(keep, v, g) } else { v };
            s.store(v, momentum);
            s.store(s.flush(s.fma(minus_lr, direction, w)), weights);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ModelSpec, Network, Options};
    use crate::runtime::team;
    use crate::runtime::{AlignedBuf, Rng};

    fn flush(x: f32) -> f32 {
        if x.abs() < f32::MIN_POSITIVE { 0.0 } else { x }
    }

    /// torch's rule, a tensor at a time.
    fn reference(
        table: &TensorTable,
        o: &SgdOptions,
        w: &mut [f32],
        v: &mut [f32],
        g: &[f32],
        lr: f32,
    ) {
        for info in table.infos().iter().filter(|info| info.role.is_learnable()) {
            let decays = o.decay_bn || info.shape.len() > 1;
            let wd = if decays { o.weight_decay } else { 0.0 };
            for i in info.range() {
                let g = flush(wd.mul_add(w[i], g[i]));
                v[i] = flush(o.momentum.mul_add(v[i], g));
                let step = if o.nesterov { o.momentum.mul_add(v[i], g) } else { v[i] };
                w[i] = flush((-lr).mul_add(step, w[i]));
            }
        }
    }

    #[test]
    fn equals_plain_loops_on_every_isa() {
        let network = Network::new(&ModelSpec::new("resnet20", Options::default()).unwrap());
        let table = network.table();
        let mut rng = Rng::new(11, &[]);
        for case in 0..4 {
            let options = SgdOptions {
                momentum: 0.9,
                nesterov: case % 2 == 1,
                weight_decay: 5e-4,
                decay_bn: case < 2,
            };
            let sgd = Sgd::new(table, options);
            let mut start = AlignedBuf::zeroed(table.learnable_len());
            let mut steps = vec![start.clone(); 3];
            for info in table.infos().iter().filter(|info| info.role.is_learnable()) {
                for i in info.range() {
                    start[i] = rng.normal();
                    // The second gradient is tiny: its momentum must not linger as a denormal.
                    for (g, scale) in steps.iter_mut().zip([1.0, 1e-38, 1e-3]) {
                        g[i] = scale * rng.normal();
                    }
                    if i % 7 == 0 {
                        (start[i], steps[0][i], steps[2][i]) = (0.0, 0.0, 0.0);
                    }
                }
            }
            let (mut w, mut v) = (start.clone(), AlignedBuf::zeroed(start.len()));
            for g in &steps {
                reference(table, &options, &mut w, &mut v, g, 0.1);
            }
            for isa in Isa::available() {
                let (mut ours, mut velocity) = (start.clone(), AlignedBuf::zeroed(start.len()));
                for g in &steps {
                    team(|team| sgd.step(team, isa, &mut ours, &mut velocity, g, 0.1));
                }
                for (i, (a, b)) in [(&ours, &w), (&velocity, &v)].into_iter().enumerate() {
                    for (a, b) in a.iter().zip(b.iter()) {
                        let equal = a.to_bits() == b.to_bits();
                        // Without fused operations: a few roundings of operands about 1.
                        let close = (a - b).abs() <= 4.0 * f32::EPSILON * b.abs().max(1.0);
                        assert!(equal || (!isa.is_exact() && close), "{case} {isa} {i}: {a} {b}");
                        assert!(!a.is_subnormal());
                    }
                }
            }
        }
    }
    #[test]
    fn each_tensor_has_its_rate_and_rate_0_stands_still() {
        let network = Network::new(&ModelSpec::new("resnet20", Options::default()).unwrap());
        let table = network.table();
        let options =
            SgdOptions { momentum: 0.9, nesterov: true, weight_decay: 5e-4, decay_bn: false };
        let rate = |info: &TensorInfo| match &*info.name {
            "fc.weight" => 4.0,
            "fc.bias" => 1.0,
            name if name.starts_with("layer2") => 0.0,
            _ => 0.25,
        };
        let mut rng = Rng::new(12, &[]);
        let mut normals = || {
            let mut flat = AlignedBuf::zeroed(table.learnable_len());
            for info in table.infos().iter().filter(|info| info.role.is_learnable()) {
                flat[info.range()].fill_with(|| rng.normal());
            }
            flat
        };
        let (start, velocity, gradients) = (normals(), normals(), normals());
        let step = |sgd: &Sgd, lr| {
            let (mut w, mut v) = (start.clone(), velocity.clone());
            team(|team| sgd.step(team, Isa::best(), &mut w, &mut v, &gradients, lr));
            (w, v)
        };
        let (w, v) = step(&Sgd::with_rates(table, options, rate), 0.1);
        for info in table.infos().iter().filter(|info| info.role.is_learnable()) {
            let part = info.range();
            let rate = rate(info);
            if rate == 0.0 {
                assert_eq!(
                    (&w[part.clone()], &v[part.clone()]),
                    (&start[part.clone()], &velocity[part])
                );
                continue;
            }
            let (whole, all) = step(&Sgd::new(table, options), 0.1 * rate);
            assert_eq!((&w[part.clone()], &v[part.clone()]), (&whole[part.clone()], &all[part]));
        }
    }
}
