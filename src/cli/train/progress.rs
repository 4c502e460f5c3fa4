//! The progress of a run: a bar if stderr is a terminal, else one line per epoch and per half minute.

use indicatif::{HumanDuration, ProgressBar};
use resnet_cpu::train::{Config, EpochMetrics, Observer, StepReport};
use std::ops::Range;
use std::time::{Duration, Instant};

use super::super::activity::{bar, duration};
use super::super::machine::Machine;
use super::percent;

/// Time between two lines where there is no bar.
const LINES: Duration = Duration::from_secs(30);

/// Weight of a step in the figures shown.
const BLEND: f64 = 0.05;

/// Draws a run's progress on stderr; nothing if the machine is quiet.
pub(in crate::cli) struct Progress<'a> {
    machine: &'a Machine,
    bar: Option<ProgressBar>,
    total_steps: u64,
    steps_per_epoch: u64,
    /// Sides of images and for how many steps, one after another.
    sides: Vec<(usize, u64)>,
    /// What the images are called that the run is measured on.
    measured: &'static str,
    /// Whether an epoch is over in no time, so that not each is worth a line.
    brief: bool,
    /// Since this process began to train; how many steps it has done.
    start: Instant,
    steps: u64,
    last_line: Instant,
    recent: Option<Recent>,
    /// Of this epoch, where several processes train.
    waits: Waits,
    /// The machine of each process.
    hosts: Vec<String>,
}

/// What this process has had of the others in an epoch.
#[derive(Clone, Default)]
struct Waits {
    seconds: f64,
    waited: f64,
    /// In how many steps each was the slowest.
    slowest: Vec<u32>,
}

impl Waits {
    fn add(&mut self, report: &StepReport) {
        let Some(others) = report.others else { return };
        self.seconds += report.seconds;
        self.waited += others.waited;
        self.slowest.resize(others.processes, 0);
        self.slowest[others.slowest] += 1;
    }

    /// `; 2 processes, 3.1 % waiting, 1 on node7 slowest in 61 % of steps`, on `hosts`; nothing if there is one process.
    fn text(&self, hosts: &[String]) -> String {
        let steps: u32 = self.slowest.iter().sum();
        let Some((slowest, count)) =
            self.slowest.iter().enumerate().max_by_key(|(_, count)| **count)
        else {
            return String::new();
        };
        let share = |part: f64, all: f64| 100.0 * part / all.max(f64::MIN_POSITIVE);
        format!(
            "; {} processes, {:.1} % waiting, {slowest} on {} slowest in {:.0} % of steps",
            self.slowest.len(),
            share(self.waited, self.seconds),
            hosts.get(slowest).map_or("?", String::as_str),
            share(f64::from(*count), f64::from(steps))
        )
    }
}

/// Figures of the last steps.
#[derive(Clone, Copy)]
struct Recent {
    loss: f64,
    /// None if images are mixed.
    top1: Option<f64>,
    images_per_second: f64,
}

impl<'a> Progress<'a> {
    pub(in crate::cli) fn new(machine: &'a Machine, config: &Config) -> Self {
        let (total_steps, steps_per_epoch) = (config.total_steps(), config.steps_per_epoch());
        let bar = bar(machine, steps_per_epoch);
        let now = Instant::now();
        let (start, last_line) = (now, now);
        Self {
            machine,
            bar,
            total_steps,
            steps_per_epoch,
            sides: config.sides_and_steps(),
            measured: if config.data.test { "test" } else { "validation" },
            brief: config.is_frozen(),
            start,
            steps: 0,
            last_line,
            recent: None,
            waits: Waits::default(),
            hosts: Vec::new(),
        }
    }

    /// Several processes train, on these machines.
    pub(in crate::cli) fn set_hosts(&mut self, hosts: Vec<String>) {
        self.hosts = hosts;
    }

    /// Removes the bar.
    pub(in crate::cli) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.machine.note(text)),
            None => self.machine.note(text),
        }
    }

    /// The epoch of `step` (from 1), and of how many.
    fn epoch_of(&self, step: u64) -> String {
        let epochs = self.total_steps.div_ceil(self.steps_per_epoch);
        format!("epoch {}/{epochs}", step.div_ceil(self.steps_per_epoch))
    }

    fn eta(&self, step: u64) -> HumanDuration {
        let done = pixels(&self.sides, step.saturating_sub(self.steps)..step);
        let left = pixels(&self.sides, step..self.total_steps);
        duration(self.start.elapsed().as_secs_f64() / done.max(1.0) * left)
    }

    fn show(&mut self, step: u64, Recent { loss, top1, images_per_second }: Recent) {
        let eta = self.eta(step);
        let top1 = top1.map_or(String::new(), |top1| format!("top-1 {:.1} %, ", 100.0 * top1));
        let figures = format!("loss {loss:.3}, {top1}{images_per_second:.0} images/s, ETA {eta}");
        if let Some(bar) = &self.bar {
            bar.set_length(self.steps_per_epoch);
            bar.set_prefix(self.epoch_of(step));
            bar.set_position((step - 1) % self.steps_per_epoch + 1);
            bar.set_message(figures);
        } else if self.last_line.elapsed() >= LINES {
            self.last_line = Instant::now();
            self.machine.note(&format!("step {step}/{}: {figures}", self.total_steps));
        }
    }
}

/// What `steps` (numbers from 0) take in proportion: the pixels of an image, over all of them. Larger images come
/// last, so their steps would be missed in a mean of those before.
fn pixels(sides: &[(usize, u64)], steps: Range<u64>) -> f64 {
    let (mut begin, mut sum) = (0, 0.0);
    for &(side, count) in sides {
        let end = begin + count;
        let common = end.min(steps.end).saturating_sub(begin.max(steps.start));
        sum += common as f64 * (side * side) as f64;
        begin = end;
    }
    sum
}

impl Observer for Progress<'_> {
    fn starting(&mut self) {
        match &self.bar {
            Some(bar) => {
                bar.set_message("first step: allocating buffers");
                bar.tick();
            }
            None => self.machine.note("first step: allocating buffers"),
        }
    }

    fn warning(&mut self, text: &str) {
        self.line(&format!("warning: {text}"));
    }

    fn step(&mut self, report: &StepReport) {
        self.steps += 1;
        self.waits.add(report);
        let now = Recent {
            loss: report.loss,
            top1: report.top1,
            images_per_second: report.images as f64 / report.seconds,
        };
        let old = self.recent.unwrap_or(now);
        let blend = |old: f64, new: f64| old + BLEND * (new - old);
        let recent = Recent {
            loss: blend(old.loss, now.loss),
            top1: old.top1.zip(now.top1).map(|(old, new)| blend(old, new)),
            images_per_second: blend(old.images_per_second, now.images_per_second),
        };
        self.recent = Some(recent);
        self.show(report.step, recent);
    }

    fn validating(&mut self, done: usize, images: usize) {
        if let Some(bar) = &self.bar {
            bar.set_length(images as u64);
            bar.set_position(done as u64);
            bar.set_message(format!("{} images", self.measured));
        }
    }

    fn epoch(&mut self, metrics: &EpochMetrics) {
        if self.brief && metrics.step < self.total_steps && self.last_line.elapsed() < LINES {
            return;
        }
        self.last_line = Instant::now();
        let mut text = self.epoch_of(metrics.step);
        if let Some(loss) = metrics.train_loss {
            text += &format!(": loss {loss:.3}");
        }
        if let Some(top1) = metrics.train_top1 {
            text += &format!(", top-1 {}", percent(top1));
        }
        if let (Some(top1), Some(top5)) = (metrics.val_top1, metrics.val_top5) {
            let loss = metrics.val_loss.map_or("infinite".to_owned(), |loss| format!("{loss:.3}"));
            let (measured, top5) = (self.measured, percent(top5));
            text += &match measured {
                "test" => {
                    format!("; test error {}, loss {loss}, top-5 {top5}", percent(1.0 - top1))
                }
                _ => format!("; {measured} top-1 {}, loss {loss}, top-5 {top5}", percent(top1)),
            };
        }
        if let Some(speed) = metrics.images_per_second {
            text += &format!("; {speed:.0} images/s");
        }
        text += &std::mem::take(&mut self.waits).text(&self.hosts);
        if metrics.step < self.total_steps {
            text += &format!(", ETA {}", self.eta(metrics.step));
        }
        self.line(&text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_images_take_longer() {
        let sides = [(10, 4), (20, 3)];
        assert_eq!(pixels(&sides, 0..7), 400.0 + 1200.0);
        assert_eq!(pixels(&sides, 3..5), 100.0 + 400.0);
        assert_eq!(pixels(&sides, 5..9), 800.0);
        assert_eq!(pixels(&sides, 7..7), 0.0);
    }
}
