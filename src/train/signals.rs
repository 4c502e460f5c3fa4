//! Interruption: the first Ctrl-C or SIGTERM asks the run to finish its step and save, a second one
//! ends the program at once. Either way it exits with code 130.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// The exit code of an interrupted run.
pub const INTERRUPTED: i32 = 130;

/// Whether the program has been asked to stop.
#[derive(Clone, Debug)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Catches Ctrl-C (SIGINT) and SIGTERM from now on.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn catch() -> io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag down and only raises it.
            flag::register_conditional_shutdown(signal, INTERRUPTED, Arc::clone(&asked))?;
            flag::register(signal, Arc::clone(&asked))?;
        }
        Ok(Self(asked))
    }

    /// One that never happens, unless [`raise`](Self::raise) is called: for runs inside other
    /// programs.
    pub fn none() -> Self {
        Self(Arc::new(AtomicBool::new(false)))
    }

    /// Asks the run to stop, as a signal does.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the run should finish its step, save and end.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signal_raises_the_flag() {
        let interrupt = Interrupt::catch().unwrap();
        assert!(!interrupt.is_raised());
        signal_hook::low_level::raise(SIGTERM).unwrap();
        assert!(interrupt.is_raised());
        let by_hand = Interrupt::none();
        by_hand.clone().raise();
        assert!(by_hand.is_raised());
    }
}
