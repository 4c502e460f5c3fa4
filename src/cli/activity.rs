//! Work that has no picture of its own, as it is shown on stderr: a bar if that is a terminal, else a line now and
//! then. And how a signal ends it.

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use resnet_cpu::data;
use resnet_cpu::runtime::{Interrupt, Watch};
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::error::CliError;
use super::limits::advice;
use super::machine::Machine;
use super::output::print_line;

/// Time between two lines where there is no bar.
const LINES: Duration = Duration::from_secs(10);

/// Shows the work, and ends it when a signal comes.
pub(super) struct Activity<'a> {
    machine: &'a Machine,
    bar: Option<ProgressBar>,
    state: Mutex<State>,
    pub(super) interrupt: Interrupt,
}

/// When the last line was printed; what is under way, and since when.
struct State {
    said: Instant,
    what: &'static str,
    since: Instant,
}

impl<'a> Activity<'a> {
    /// Catches signals from now on; the first process says `stopping` when one comes.
    pub(super) fn begin(machine: &'a Machine, stopping: &'static str) -> Result<Self, CliError> {
        let first = machine.exchange().rank() == 0;
        let interrupt = Interrupt::catch(move || {
            if first {
                print_line(&format!("interrupted: {stopping}"));
            }
        })
        .map_err(|error| CliError::failed(format!("cannot catch signals: {error}")))?;
        Ok(Self::new(machine, interrupt))
    }

    /// The same with a bar of its own, for what comes after that of this one has ended.
    pub(super) fn again(&self) -> Self {
        Self::new(self.machine, self.interrupt.clone())
    }

    fn new(machine: &'a Machine, interrupt: Interrupt) -> Self {
        let now = Instant::now();
        let state = Mutex::new(State { said: now, what: "", since: now });
        Self { machine, bar: bar(machine, 0), state, interrupt }
    }

    /// Removes the bar.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// An error if a signal has come.
    pub(super) fn check(&self) -> Result<(), CliError> {
        if self.stopped() { Err(self.failure(data::Error::Interrupted)) } else { Ok(()) }
    }

    /// What is said of an error of the data, of which a signal may be the cause. Removes the bar.
    pub(super) fn failure(&self, error: data::Error) -> CliError {
        self.end();
        match error {
            data::Error::Interrupted => CliError::failed("interrupted; nothing was saved"),
            data::Error::NoSplit { .. } => CliError::usage(format!("--split: {error}")),
            _ => CliError::failed(format!("{error}{}", advice(&error))),
        }
    }
}

impl Watch for Activity<'_> {
    fn progress(&self, what: &'static str, done: u64, total: Option<u64>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.what != what {
            (state.what, state.since) = (what, Instant::now());
        }
        let seconds = state.since.elapsed().as_secs_f64();
        let eta = total.filter(|_| done > 0 && seconds > 1.0).map(|total| {
            let (speed, left) = (done as f64 / seconds, total.saturating_sub(done) as f64);
            let digits = if speed < 10.0 { 1 } else { 0 };
            format!(", {speed:.digits$} a second, ETA {}", duration(left / speed))
        });
        let eta = eta.unwrap_or_default();
        if let Some(bar) = &self.bar {
            bar.set_length(total.unwrap_or(done));
            bar.set_position(done);
            bar.set_message(format!("{what}{eta}"));
        } else if state.said.elapsed() >= LINES {
            state.said = Instant::now();
            let of = total.map_or(String::new(), |total| format!(" of {total}"));
            self.machine.note(&format!("{done}{of} {what}{eta}"));
        }
    }

    fn stopped(&self) -> bool {
        self.interrupt.is_raised()
    }
}

/// A bar, where stderr is a terminal and the machine not quiet.
pub(super) fn bar(machine: &Machine, length: u64) -> Option<ProgressBar> {
    (!machine.quiet && std::io::stderr().is_terminal()).then(|| {
        let bar = ProgressBar::new(length);
        let style = ProgressStyle::with_template("{prefix} [{bar:20}] {pos}/{len} {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        bar
    })
}

/// Seconds for people; what is longer than can be said is as long as can be said.
pub(super) fn duration(seconds: f64) -> HumanDuration {
    HumanDuration(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}
