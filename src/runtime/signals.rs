//! Interruption: Ctrl-C (SIGINT), SIGTERM and SIGHUP ask the program to save and end; a second one ends
//! it at once.
//!
//! A signal that was ignored when the program began stays so (`nohup`, jobs of a script). When the last
//! [`Interrupt`] is dropped, signals do again what they did before.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{SigId, flag, low_level};

use super::Watch;

/// The exit code of a program that was interrupted and has saved its work.
pub const INTERRUPTED: i32 = 130;

/// That of one that had nothing to save.
const FAILED: i32 = 1;

#[cfg(unix)]
const SIGNALS: [i32; 3] = [SIGINT, SIGTERM, signal_hook::consts::SIGHUP];
#[cfg(not(unix))]
const SIGNALS: [i32; 2] = [SIGINT, SIGTERM];

/// Whether the program has been asked to stop.
#[derive(Clone, Debug)]
pub struct Interrupt(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    asked: Arc<AtomicBool>,
    saved: Arc<AtomicBool>,
    _caught: Option<Caught>,
}

impl Interrupt {
    /// Catches the signals from now on, until it and its clones are dropped. `told` is called once, at
    /// the first one, in a thread of its own: to say what will happen.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn catch(told: impl Fn() + Send + 'static) -> io::Result<Self> {
        let (asked, saved) = (Arc::default(), Arc::default());
        let caught = Caught::new(&asked, &saved, told)?;
        Ok(Self(Arc::new(Inner { asked, saved, _caught: Some(caught) })))
    }

    /// One that never happens, unless [`raise`](Self::raise) is called: for runs inside other
    /// programs.
    pub fn none() -> Self {
        Self(Arc::default())
    }

    /// Asks the program to stop, as a signal does.
    pub fn raise(&self) {
        self.0.asked.store(true, Ordering::Relaxed);
    }

    /// Whether the program should save and end.
    pub fn is_raised(&self) -> bool {
        self.0.asked.load(Ordering::Relaxed)
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

/// Handlers that are in place; given back when it is dropped.
#[derive(Debug)]
struct Caught {
    flags: Vec<SigId>,
    #[cfg(unix)]
    signals: signal_hook::iterator::Handle,
}

impl Caught {
    fn new(
        asked: &Arc<AtomicBool>,
        saved: &Arc<AtomicBool>,
        told: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let heeded = begin()?;
        let placed = Self::place(&heeded, asked, saved, told);
        if placed.is_err() {
            end();
        }
        placed
    }

    fn place(
        heeded: &[i32],
        asked: &Arc<AtomicBool>,
        saved: &Arc<AtomicBool>,
        told: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let flags = heeded.iter().map(|&signal| flag::register(signal, Arc::clone(asked)));
        let flags = flags.collect::<io::Result<_>>()?;
        #[cfg(unix)]
        let signals = {
            let mut signals = signal_hook::iterator::Signals::new(heeded)?;
            let (handle, saved) = (signals.handle(), Arc::clone(saved));
            let listen = move || {
                for (i, _) in signals.forever().enumerate() {
                    if i > 0 {
                        let saved = saved.load(Ordering::Relaxed);
                        low_level::exit(if saved { INTERRUPTED } else { FAILED });
                    }
                    told();
                }
            };
            std::thread::Builder::new().name("resnet-cpu-signals".into()).spawn(listen)?;
            handle
        };
        #[cfg(not(unix))]
        let _ = (saved, told, FAILED);
        Ok(Self {
            flags,
            #[cfg(unix)]
            signals,
        })
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        #[cfg(unix)]
        self.signals.close();
        for &id in &self.flags {
            low_level::unregister(id);
        }
        end();
    }
}

/// What the process has done to its signals: those that it heeds (none before the first time), and how
/// many [`Caught`] there are.
static HEEDED: Mutex<(Vec<i32>, usize)> = Mutex::new((Vec::new(), 0));

/// Raised while nobody catches signals: then they do what they do by default. Handlers that another
/// library had set before are called all the time.
static IDLE: AtomicBool = AtomicBool::new(false);

/// The signals to catch. The first time, those that were ignored are told from the others.
fn begin() -> io::Result<Vec<i32>> {
    let mut heeded = HEEDED.lock().unwrap_or_else(PoisonError::into_inner);
    let (signals, users) = &mut *heeded;
    if signals.is_empty() {
        for signal in SIGNALS {
            match disposition(signal)? {
                Disposition::Default => {
                    flag::register_conditional_default(signal, &IDLE)?;
                }
                Disposition::Handled => {}
                Disposition::Ignored => continue,
            }
            signals.push(signal);
        }
    }
    *users += 1;
    IDLE.store(false, Ordering::SeqCst);
    Ok(signals.clone())
}

/// The end of what [`begin`] began.
fn end() {
    let mut heeded = HEEDED.lock().unwrap_or_else(PoisonError::into_inner);
    heeded.1 -= 1;
    IDLE.store(heeded.1 == 0, Ordering::SeqCst);
}

/// What a signal does to a process.
enum Disposition {
    Default,
    Ignored,
    Handled,
}

#[cfg(unix)]
fn disposition(signal: i32) -> io::Result<Disposition> {
    let mut found = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action only the present one is written to `found`, which is of its type
    // and lives long enough.
    if unsafe { libc::sigaction(signal, std::ptr::null(), found.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: written by the call that succeeded; all of its fields are plain data, zeros included.
    let found = unsafe { found.assume_init() };
    Ok(match found.sa_sigaction {
        libc::SIG_DFL => Disposition::Default,
        libc::SIG_IGN => Disposition::Ignored,
        _ => Disposition::Handled,
    })
}

#[cfg(not(unix))]
fn disposition(_: i32) -> io::Result<Disposition> {
    Ok(Disposition::Default)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn a_second_interruption_in_the_same_process_works() {
        let told = Arc::new(AtomicUsize::new(0));
        for times in 1..=3 {
            let count = Arc::clone(&told);
            let tell = move || {
                count.fetch_add(1, Ordering::SeqCst);
            };
            let interrupt = Interrupt::catch(tell).unwrap();
            assert!(!interrupt.is_raised());
            low_level::raise(SIGTERM).unwrap();
            assert!(interrupt.clone().stopped());
            let begun = std::time::Instant::now();
            while cfg!(unix) && told.load(Ordering::SeqCst) < times {
                assert!(begun.elapsed().as_secs() < 10, "nobody was told");
                std::thread::yield_now();
            }
        }
        let by_hand = Interrupt::none();
        assert!(!by_hand.is_raised());
        by_hand.clone().raise();
        assert!(by_hand.is_raised());
    }
}
