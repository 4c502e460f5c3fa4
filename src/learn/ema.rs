//! An exponential moving average of a network's numbers, running statistics included.
//!
//! Early in a run the average follows faster, so that it forgets the random start: the decay of step
//! t is `min(decay, (1 + t) / (10 + t))`, as in TensorFlow's `ExponentialMovingAverage`.

use crate::model::Params;
use crate::runtime::Team;
use crate::simd::{Isa, Simd, SimdOp};

/// Floats that one thread updates at a time.
const CHUNK: usize = 16 << 10;

/// Moves `average` towards `params`: `a += (1 - d) * (p - a)`, with the decay d of `step`, the number of steps
/// done before (0 after the first).
///
/// # Panics
/// If they are not parameters of the same network.
pub fn update_ema(
    team: &mut Team,
    isa: Isa,
    average: &mut Params,
    params: &Params,
    decay: f64,
    step: u64,
) {
    let decay = decay.min((1.0 + step as f64) / (10.0 + step as f64));
    let rate = (1.0 - decay) as f32;
    sweep(team, isa, average.learnable_mut(), params.learnable(), rate);
    sweep(team, isa, average.statistics_mut(), params.statistics(), rate);
}

fn sweep(team: &mut Team, isa: Isa, average: &mut [f32], values: &[f32], rate: f32) {
    assert_eq!(average.len(), values.len(), "flat buffers");
    team.for_each_chunk(average, CHUNK, |i, average, _| {
        let values = &values[i * CHUNK..][..average.len()];
        isa.dispatch(Blend { average, values, rate });
    });
}

struct Blend<'a> {
    average: &'a mut [f32],
    values: &'a [f32],
    rate: f32,
}

impl SimdOp for Blend<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let rate = s.splat(self.rate);
        for (average, values) in self.average.chunks_mut(S::LANES).zip(self.values.chunks(S::LANES))
        {
            let a = s.load(average);
            let difference = s.sub(s.load(values), a);
            s.store(s.flush(s.fma(rate, difference, a)), average);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{InitOptions, ModelSpec, Network, Options, initialize};
    use crate::runtime::team;

    #[test]
    fn approaches_what_stays_the_same_on_every_isa() {
        let network = Network::new(&ModelSpec::new("resnet20", Options::default()).unwrap());
        let target = initialize(&network, 1, InitOptions::default());
        let mut first: Option<Params> = None;
        for isa in Isa::available().into_iter().filter(|isa| isa.is_exact()) {
            let mut average = initialize(&network, 2, InitOptions::default());
            for step in 0..40 {
                team(|team| update_ema(team, isa, &mut average, &target, 0.5, step));
            }
            let far = |a: &[f32], b: &[f32]| a.iter().zip(b).any(|(a, b)| (a - b).abs() > 1e-5);
            assert!(!far(average.learnable(), target.learnable()));
            assert!(!far(average.statistics(), target.statistics()));
            let first = first.get_or_insert_with(|| average.clone());
            assert_eq!(first.learnable(), average.learnable(), "{isa}");
        }
    }
}
