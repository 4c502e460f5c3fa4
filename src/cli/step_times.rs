//! `train --profile` and `bench --mode train --profile`: where the time of a step went.
//!
//! Beside each part's time stands what limits it: operations, in percent of the multiply-add peak, and the bytes of
//! its tensors, in percent of what the threads copy from memory to memory. What stays in caches can exceed that.

use resnet_cpu::learn::StepTime;
use resnet_cpu::runtime::{AlignedBuf, team};
use serde::Serialize;
use std::io::Write;
use std::time::{Duration, Instant};

use super::error::CliError;
use super::output::{aligned, rounded, write_json};

/// Floats that are copied to measure the bandwidth: no cache has as many.
const COPIED: usize = 64 << 20;
const CHUNK: usize = 1 << 18;
const COPIES: usize = 5;

const HEAD: [&str; 10] = [
    "layer",
    "part",
    "algorithm",
    "ms",
    "% of step",
    "GFLOP/s",
    "% of peak",
    "MB",
    "GB/s",
    "% of copy",
];
/// Columns of words; those of numbers follow.
const WORDS: usize = 3;

/// Which steps were timed, and the peak of multiply-adds beside them.
pub(super) struct Timed<'a> {
    pub(super) arch: &'a str,
    pub(super) batch: usize,
    pub(super) threads: usize,
    pub(super) peak_gflops: f64,
}

/// A part of such steps.
#[derive(Serialize)]
struct PartRow<'a> {
    mode: &'static str,
    arch: &'a str,
    batch: usize,
    threads: usize,
    /// Empty for what is of no layer.
    layer: &'a str,
    part: String,
    algorithm: &'static str,
    ms: f64,
    percent_of_step: f64,
    gflops: f64,
    percent_of_peak: f64,
    bytes: u64,
    gb_per_second: f64,
    percent_of_copy: f64,
}

/// Prints a line for each part of each layer, one for each part of all layers, and one for the step; JSON has the
/// first kind only.
pub(super) fn print(of: &Timed, times: &[StepTime], json: bool) -> Result<(), CliError> {
    let copy = copy_gb_per_second();
    let step: Duration = times.iter().map(|time| time.time).sum();
    let line = |time| PartRow::new(of, time, step, copy);
    let mut out = std::io::stdout().lock();
    if json {
        return times.iter().try_for_each(|time| Ok(write_json(&mut out, &line(time))?));
    }
    let layers = times.iter().map(|time| line(time).cells(&time.layer));
    let parts = parts(times);
    let sums = parts.iter().map(|time| line(time).cells("all layers"));
    let whole = parts.iter().fold(None, |sum: Option<StepTime>, time| Some(plus(sum, time)));
    let whole =
        whole.iter().map(|time| PartRow { part: String::new(), ..line(time) }.cells("step"));
    let head = [HEAD.map(str::to_owned)];
    let table: Vec<_> = head.into_iter().chain(layers).chain(sums).chain(whole).collect();
    writeln!(out)?;
    for line in aligned(&table, WORDS) {
        writeln!(out, "{line}")?;
    }
    let (threads, peak) = (of.threads, of.peak_gflops);
    writeln!(out, "{threads} threads: peak {peak:.1} GFLOP/s, copying {copy:.1} GB/s\n")?;
    Ok(())
}

/// The sums over all layers, in the order of the parts.
fn parts(times: &[StepTime]) -> Vec<StepTime> {
    let mut sums: Vec<StepTime> = Vec::new();
    for time in times {
        match sums.iter_mut().find(|sum| sum.part == time.part) {
            Some(sum) => *sum = plus(Some(sum.clone()), time),
            None => sums.push(StepTime { algorithm: "", ..time.clone() }),
        }
    }
    sums
}

fn plus(sum: Option<StepTime>, time: &StepTime) -> StepTime {
    match sum {
        None => time.clone(),
        Some(sum) => StepTime {
            macs: sum.macs + time.macs,
            bytes: sum.bytes + time.bytes,
            time: sum.time + time.time,
            ..sum
        },
    }
}

impl<'a> PartRow<'a> {
    fn new(of: &Timed<'a>, time: &'a StepTime, step: Duration, copy: f64) -> Self {
        let seconds = time.time.as_secs_f64();
        let gflops = 2.0 * time.macs as f64 / seconds / 1e9;
        let rate = time.bytes as f64 / seconds / 1e9;
        Self {
            mode: "train-part",
            arch: of.arch,
            batch: of.batch,
            threads: of.threads,
            layer: &time.layer,
            part: time.part.to_string(),
            algorithm: time.algorithm,
            ms: rounded(seconds * 1e3),
            percent_of_step: rounded(100.0 * seconds / step.as_secs_f64()),
            gflops: rounded(gflops),
            percent_of_peak: rounded(100.0 * gflops / of.peak_gflops),
            bytes: time.bytes,
            gb_per_second: rounded(rate),
            percent_of_copy: rounded(100.0 * rate / copy),
        }
    }

    fn cells(self, layer: &str) -> [String; HEAD.len()] {
        let moved = |digits, x| match self.bytes {
            0 => String::new(),
            _ => format!("{x:.digits$}"),
        };
        let product = |x: f64| if self.gflops > 0.0 { format!("{x:.1}") } else { String::new() };
        [
            layer.to_owned(),
            self.part.clone(),
            self.algorithm.to_owned(),
            format!("{:.3}", self.ms),
            format!("{:.1}", self.percent_of_step),
            product(self.gflops),
            product(self.percent_of_peak),
            moved(2, self.bytes as f64 / 1e6),
            moved(1, self.gb_per_second),
            moved(0, self.percent_of_copy),
        ]
    }
}

/// What all threads read and write together while they copy from memory to memory, the best of several times.
fn copy_gb_per_second() -> f64 {
    let (from, mut to) = (AlignedBuf::zeroed(COPIED), AlignedBuf::zeroed(COPIED));
    let copy = |_| {
        let start = Instant::now();
        team(|team| {
            team.for_each_chunk(&mut to, CHUNK, |i, to, _| {
                to.copy_from_slice(&from[i * CHUNK..][..to.len()]);
            });
        });
        start.elapsed().as_secs_f64()
    };
    let best = (0..COPIES).map(copy).fold(f64::INFINITY, f64::min);
    2.0 * (COPIED * size_of::<f32>()) as f64 / best / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use resnet_cpu::learn::Part;

    #[test]
    fn parts_are_summed_over_layers() {
        let time = |layer: &str, part, n: u64| StepTime {
            layer: layer.to_owned(),
            part,
            algorithm: "",
            macs: n,
            bytes: 10 * n,
            time: Duration::from_millis(n),
        };
        let times =
            [time("a", Part::Forward, 1), time("a", Part::Pack, 5), time("b", Part::Forward, 2)];
        let found: Vec<_> = parts(&times).iter().map(|t| (t.part, t.macs, t.bytes)).collect();
        assert_eq!(found, [(Part::Forward, 3, 30), (Part::Pack, 5, 50)]);
    }
}
