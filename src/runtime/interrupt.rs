//! A request to stop, which long work looks at: raised by the program itself or, with the feature `signals`,
//! by signals.

#[cfg(feature = "signals")]
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Watch;

/// The exit code of a program that was interrupted and has saved its work.
pub const INTERRUPTED: i32 = 130;

/// Whether the program has been asked to stop.
#[derive(Clone, Debug)]
pub struct Interrupt(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// By a signal, or by the program itself.
    asked: Arc<AtomicBool>,
    raised: AtomicBool,
    saved: Arc<AtomicBool>,
    #[cfg(feature = "signals")]
    _caught: Option<super::signals::Caught>,
}

impl Interrupt {
    /// One that signals raise, which `caught` catches; see [`Interrupt::catch`].
    #[cfg(feature = "signals")]
    pub(super) fn by_signals(
        catch: impl FnOnce(&Arc<AtomicBool>, &Arc<AtomicBool>) -> io::Result<super::signals::Caught>,
    ) -> io::Result<Self> {
        let mut inner = Inner::default();
        inner._caught = Some(catch(&inner.asked, &inner.saved)?);
        Ok(Self(Arc::new(inner)))
    }

    /// One that never happens, unless [`raise`](Self::raise) is called: for runs inside other
    /// programs.
    pub fn none() -> Self {
        Self(Arc::default())
    }

    /// Asks the program to stop, as a signal does.
    pub fn raise(&self) {
        self.0.raised.store(true, Ordering::Relaxed);
    }

    /// Whether the program should save and end.
    pub fn is_raised(&self) -> bool {
        self.0.asked.load(Ordering::Relaxed) || self.0.raised.load(Ordering::Relaxed)
    }

    /// Says that there is saved work from now on, so that a program which is ended at once by a second
    /// signal has the exit code [`INTERRUPTED`].
    pub fn has_saved(&self) {
        self.0.saved.store(true, Ordering::Relaxed);
    }
}

impl Watch for Interrupt {
    fn progress(&self, _: &'static str, _: u64, _: Option<u64>) {}

    fn stopped(&self) -> bool {
        self.is_raised()
    }
}
