//! What a training step costs whose activations have faded to where denormal numbers begin, in usual steps.
//!
//! Half of the channels of each batch norm have a scale and a shift so small that what comes out, or its products with
//! gradients, is denormal, which many CPUs compute in microcode. The two kinds of steps run in turns; printed is the
//! median of the ratios of neighbours. With `--test` there is one pair.

#[path = "common/steps.rs"]
mod steps;

use resnet_cpu::model::Role;
use std::time::Instant;
use steps::Steps;

const PAIRS: usize = 15;

fn main() {
    let pairs = if std::env::args().any(|arg| arg == "--test") { 1 } else { PAIRS };
    for scale in [1e-20, 1e-30, 1e-35, f32::MIN_POSITIVE] {
        let (mut usual, mut faded) = (Steps::new("resnet20", 128), Steps::new("resnet20", 128));
        fade(&mut faded, scale);
        // The first allocate.
        for steps in [&mut usual, &mut faded] {
            steps.step();
        }
        let ratio = |_| seconds(&mut faded) / seconds(&mut usual);
        let mut ratios: Vec<f64> = (0..pairs).map(ratio).collect();
        ratios.sort_by(f64::total_cmp);
        let [least, median, most] = [0, pairs / 2, pairs - 1].map(|i| ratios[i]);
        println!(
            "resnet20, batch 128, every second channel times {scale:e}: {median:.3} usual steps ({least:.3} to {most:.3})"
        );
    }
}

fn fade(steps: &mut Steps, scale: f32) {
    let of_batch_norm = |role| matches!(role, Role::Gamma | Role::Beta);
    let ids: Vec<_> = (steps.params.table().iter())
        .filter(|(_, info)| of_batch_norm(info.role))
        .map(|(id, _)| id)
        .collect();
    for id in ids {
        steps.params.get_mut(id).iter_mut().step_by(2).for_each(|x| *x = scale);
    }
}

fn seconds(steps: &mut Steps) -> f64 {
    let start = Instant::now();
    std::hint::black_box(steps.step());
    start.elapsed().as_secs_f64()
}
