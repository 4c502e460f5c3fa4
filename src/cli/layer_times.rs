//! `--verbose`: the table of where a run's time went.
//!
//! A first run packs weights and touches memory, once, and a table of it would mislead: what is shown is
//! another run, of blank images.

use resnet_cpu::infer::{LayerTime, Session};
use resnet_cpu::simd::peak_gflops;

use super::machine::Machine;
use super::output::{aligned, print_line};

const HEAD: [&str; 7] =
    ["layer", "input -> output", "algorithm", "kernel", "ms", "GFLOP/s", "% of peak"];
/// Columns of words; those of numbers follow.
const WORDS: usize = 4;

/// Runs `images` blank images of `side` x `side` pixels through a session that has run as many before,
/// and prints where the time went.
pub(super) fn print_warm_layer_times(
    session: &mut Session,
    images: usize,
    side: usize,
    machine: &Machine,
) {
    session.set_profiling(true);
    let blank = vec![0.0; images * side * side * 3];
    // The first of the two may be the first of this size.
    for _ in 0..2 {
        if session.run(&blank, images, side, side).is_err() {
            return;
        }
    }
    print_layer_times(&session.layer_times(), machine);
}

/// Prints a line for each layer and one for all of them, beside the machine's peak, which is measured
/// for that. Nothing if no layer ran.
fn print_layer_times(layers: &[LayerTime], machine: &Machine) {
    if layers.is_empty() {
        return;
    }
    let peak = peak_gflops(machine.isa, machine.threads);
    let mut table = vec![HEAD.map(str::to_owned)];
    let (mut seconds, mut macs) = (0.0, 0);
    for layer in layers {
        let size = |[h, w, c]: [usize; 3]| format!("{h}x{w}x{c}");
        let shape = format!("{} -> {}", size(layer.input), size(layer.output));
        let kernel = if layer.macs > 0 { machine.kernel() } else { "" };
        let words = [layer.name, &shape, layer.algorithm, kernel];
        table.push(row(words, layer.time.as_secs_f64(), layer.macs, peak));
        seconds += layer.time.as_secs_f64();
        macs += layer.macs;
    }
    table.push(row(["total", "", "", ""], seconds, macs, peak));
    aligned(&table, WORDS).iter().for_each(|line| print_line(line));
    print_line(&format!("peak of {} threads: {peak:.1} GFLOP/s", machine.threads));
}

fn row(words: [&str; WORDS], seconds: f64, macs: u64, peak: f64) -> [String; HEAD.len()] {
    let [name, shape, algorithm, kernel] = words.map(str::to_owned);
    let rate = 2.0 * macs as f64 / seconds / 1e9;
    let [gflops, percent] = [rate, 100.0 * rate / peak]
        .map(|x| if macs > 0 { format!("{x:.1}") } else { String::new() });
    [name, shape, algorithm, kernel, format!("{:.3}", seconds * 1e3), gflops, percent]
}
