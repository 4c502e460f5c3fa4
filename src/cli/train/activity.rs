//! What happens before the first step, as it is shown, and how it is stopped.

use indicatif::ProgressBar;
use resnet_cpu::runtime::{Interrupt, Watch};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::super::error::CliError;
use super::super::machine::Machine;
use super::super::output::print_line;
use super::progress::bar;

/// Time after which work is worth a line where there is no bar, and between two lines.
const LINES: Duration = Duration::from_secs(5);

/// Shows scanning and reading on stderr, and ends it when a signal comes.
pub(in crate::cli) struct Activity<'a> {
    machine: &'a Machine,
    bar: Option<ProgressBar>,
    said: Mutex<Instant>,
    pub(in crate::cli) interrupt: Interrupt,
}

impl<'a> Activity<'a> {
    /// Catches signals from now on.
    pub(in crate::cli) fn begin(machine: &'a Machine) -> Result<Self, CliError> {
        let first = machine.exchange().rank() == 0;
        let interrupt = Interrupt::catch(move || {
            if first {
                print_line(
                    "interrupted: saving the run if it has started, then stopping; interrupt again to stop at once",
                );
            }
        })
        .map_err(|error| CliError::failed(format!("cannot catch signals: {error}")))?;
        let (bar, said) = (bar(machine, 0), Mutex::new(Instant::now()));
        Ok(Self { machine, bar, said, interrupt })
    }

    /// The same with a bar of its own, for what comes after that of this one has ended.
    pub(in crate::cli) fn again(&self) -> Self {
        let (bar, said) = (bar(self.machine, 0), Mutex::new(Instant::now()));
        Self { machine: self.machine, bar, said, interrupt: self.interrupt.clone() }
    }

    /// Removes the bar.
    pub(in crate::cli) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// An error if a signal has come.
    pub(in crate::cli) fn check(&self) -> Result<(), CliError> {
        if self.stopped() {
            Err(CliError::failed("interrupted; nothing was saved"))
        } else {
            Ok(())
        }
    }
}

impl Watch for Activity<'_> {
    fn progress(&self, what: &'static str, done: u64, total: Option<u64>) {
        if let Some(bar) = &self.bar {
            bar.set_length(total.unwrap_or(done));
            bar.set_position(done);
            bar.set_message(what);
            return;
        }
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.elapsed() >= LINES {
            *said = Instant::now();
            let of = total.map_or(String::new(), |total| format!(" of {total}"));
            self.machine.note(&format!("{done}{of} {what}"));
        }
    }

    fn stopped(&self) -> bool {
        self.interrupt.is_raised()
    }
}
