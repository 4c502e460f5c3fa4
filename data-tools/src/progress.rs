//! How far a command is: a bar with the time left if stderr is a terminal, else a line now and then; and
//! whether it should stop.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use resnet_cpu::runtime::{Interrupt, Watch};

use crate::error::ToolError;
use crate::machine::Machine;
use crate::output::grouped;

/// Time between two lines where there is no bar.
const LINES: Duration = Duration::from_secs(10);

/// Shows the progress of one piece of work after another.
pub(crate) struct Progress<'a> {
    machine: &'a Machine,
    interrupt: Interrupt,
    bar: Option<ProgressBar>,
    shown: Mutex<Shown>,
}

/// What was shown last.
struct Shown {
    /// The piece of work, when it was first heard of, and how far it was then.
    what: &'static str,
    began: Instant,
    before: u64,
    line: Instant,
}

impl<'a> Progress<'a> {
    /// Catches signals from now on; `said` is printed at the first one.
    pub(crate) fn begin(machine: &'a Machine, said: &'static str) -> Result<Self, ToolError> {
        let interrupt = machine.interrupt(said)?;
        let bar = (!machine.quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(0);
            let style = "[{bar:20}] {human_pos}/{human_len} {msg}, ETA {eta}";
            let style = ProgressStyle::with_template(style);
            bar.set_style(
                style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "),
            );
            bar
        });
        let now = Instant::now();
        let shown = Mutex::new(Shown { what: "", began: now, before: 0, line: now });
        Ok(Self { machine, interrupt, bar, shown })
    }

    /// A line on stderr, unless `--quiet`.
    pub(crate) fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.machine.note(text)),
            None => self.machine.note(text),
        }
    }

    /// Says that there is saved work, so that a second signal exits with 130, too.
    pub(crate) fn has_saved(&self) {
        self.interrupt.has_saved();
    }

    /// Removes the bar.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

impl Watch for Progress<'_> {
    fn progress(&self, what: &'static str, done: u64, total: Option<u64>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.what != what {
            let now = Instant::now();
            *shown = Shown { what, began: now, before: done, line: now };
            if let Some(bar) = &self.bar {
                bar.set_length(total.unwrap_or(done));
                bar.set_position(done);
                bar.reset_eta();
                bar.set_message(what);
            }
        }
        if let Some(bar) = &self.bar {
            bar.set_length(total.unwrap_or(done));
            bar.set_position(done);
        } else if shown.line.elapsed() >= LINES {
            shown.line = Instant::now();
            let (of, left) = match total {
                Some(total) => (
                    format!(" of {}", grouped(total)),
                    left(
                        shown.began.elapsed(),
                        done.saturating_sub(shown.before),
                        total - done.min(total),
                    ),
                ),
                None => (String::new(), String::new()),
            };
            self.machine.note(&format!("{}{of} {what}{left}", grouped(done)));
        }
    }

    fn stopped(&self) -> bool {
        self.interrupt.is_raised()
    }
}

/// The time left for `rest` more, as text, if `done` took `elapsed`.
fn left(elapsed: Duration, done: u64, rest: u64) -> String {
    if done == 0 {
        return String::new();
    }
    format!(", ETA {}", duration(elapsed.as_secs_f64() / done as f64 * rest as f64))
}

/// Seconds for people; what is longer than can be said is as long as can be said.
pub(crate) fn duration(seconds: f64) -> HumanDuration {
    HumanDuration(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_from_the_time_spent() {
        assert_eq!(left(Duration::from_secs(60), 10, 20), ", ETA 2 minutes");
        assert_eq!(left(Duration::from_secs(60), 0, 20), "");
    }
}
