//! How far the work is, on stderr: a bar if that is a terminal, else a line now and then. And whether a
//! signal has come.

use indicatif::ProgressBar;
use resnet_cpu::runtime::{Interrupt, Watch};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::super::error::CliError;
use super::super::machine::Machine;
use super::super::output::print_line;
use super::super::train::progress::{bar, duration};

/// Time between two lines where there is no bar.
const LINES: Duration = Duration::from_secs(10);

/// Shows the work, and ends it when a signal comes.
pub(in crate::cli) struct Progress<'a> {
    machine: &'a Machine,
    bar: Option<ProgressBar>,
    state: Mutex<State>,
    interrupt: Interrupt,
}

/// When the last line was printed; what is under way, and since when.
struct State {
    said: Instant,
    what: &'static str,
    since: Instant,
}

impl<'a> Progress<'a> {
    /// Catches signals from now on.
    pub(in crate::cli) fn begin(machine: &'a Machine) -> Result<Self, CliError> {
        let interrupt = Interrupt::catch(|| print_line("interrupted: stopping"))
            .map_err(|error| CliError::failed(format!("cannot catch signals: {error}")))?;
        let now = Instant::now();
        let state = Mutex::new(State { said: now, what: "", since: now });
        Ok(Self { machine, bar: bar(machine, 0), state, interrupt })
    }

    /// Removes the bar.
    pub(in crate::cli) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Watch for Progress<'_> {
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
