//! Interruption: Ctrl-C (SIGINT), SIGTERM and SIGHUP ask the program to save and end; a second one ends
//! it at once.
//!
//! A signal that was ignored when the program began stays so (`nohup`, jobs of a script). When the last
//! [`Interrupt`] is dropped, signals do again what they did before.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{SigId, flag, low_level};

use super::{INTERRUPTED, Interrupt};

/// That of one that had nothing to save.
const FAILED: i32 = 1;

#[cfg(unix)]
/// Time in which a second signal that is not Ctrl-C is taken for the first once more.
const TWICE: Duration = Duration::from_secs(2);

const SIGNALS: [i32; 3] = [SIGINT, SIGTERM, signal_hook::consts::SIGHUP];
#[cfg(not(unix))]
const SIGNALS: [i32; 2] = [SIGINT, SIGTERM];

impl Interrupt {
    /// Catches the signals from now on, until it and its clones are dropped. `tell` is called once, at
    /// the first one, in a thread of its own: to say what will happen. It has been when they are dropped.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn catch(tell: impl Fn() + Send + Sync + 'static) -> io::Result<Self> {
        let tell = Arc::new(Tell { once: Once::new(), tell: Box::new(tell) });
        Self::by_signals(|asked, saved| Caught::new(asked, saved, tell))
    }
}

/// What is said at the first signal.
struct Tell {
    once: Once,
    tell: Box<dyn Fn() + Send + Sync>,
}

impl Tell {
    fn say(&self) {
        self.once.call_once(|| (self.tell)());
    }
}

impl fmt::Debug for Tell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.once.is_completed() { "said" } else { "not said" })
    }
}

/// Handlers that are in place; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Caught {
    asked: Arc<AtomicBool>,
    tell: Arc<Tell>,
    flags: Vec<SigId>,
    #[cfg(unix)]
    signals: signal_hook::iterator::Handle,
}

impl Caught {
    fn new(asked: &Arc<AtomicBool>, saved: &Arc<AtomicBool>, tell: Arc<Tell>) -> io::Result<Self> {
        let heeded = begin()?;
        let placed = Self::place(&heeded, asked, saved, tell);
        if placed.is_err() {
            end();
        }
        placed
    }

    fn place(
        heeded: &[i32],
        asked: &Arc<AtomicBool>,
        saved: &Arc<AtomicBool>,
        tell: Arc<Tell>,
    ) -> io::Result<Self> {
        let flags = heeded.iter().map(|&signal| flag::register(signal, Arc::clone(asked)));
        let flags = flags.collect::<io::Result<_>>()?;
        #[cfg(unix)]
        let signals = {
            let mut signals = signal_hook::iterator::Signals::new(heeded)?;
            let (handle, saved, tell) = (signals.handle(), Arc::clone(saved), Arc::clone(&tell));
            let listen = move || {
                let mut first: Option<Instant> = None;
                for signal in signals.forever() {
                    match first {
                        None => {
                            first = Some(Instant::now());
                            tell.say();
                        }
                        // A terminal that closes hangs up twice, and `timeout` tells a process and then its
                        // group: at once only a hand at the keyboard means it twice.
                        Some(first) if signal == SIGINT || first.elapsed() > TWICE => {
                            let saved = saved.load(Ordering::Relaxed);
                            low_level::exit(if saved { INTERRUPTED } else { FAILED });
                        }
                        Some(_) => {}
                    }
                }
            };
            std::thread::Builder::new().name("resnet-cpu-signals".into()).spawn(listen)?;
            handle
        };
        #[cfg(not(unix))]
        let _ = (saved, FAILED);
        Ok(Self {
            asked: Arc::clone(asked),
            tell,
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
        // The thread may be behind the work that saw the signal.
        if self.asked.load(Ordering::Relaxed) {
            self.tell.say();
        }
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
    use crate::runtime::Watch;
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
            drop(interrupt);
            assert_eq!(told.load(Ordering::SeqCst), times, "once each time");
        }
        let by_hand = Interrupt::none();
        assert!(!by_hand.is_raised());
        by_hand.clone().raise();
        assert!(by_hand.is_raised());
    }
}
