//! Keeping the pool's threads awake through a run of many short parallel loops.
//!
//! A rayon worker that finds nothing to do for a few microseconds goes to sleep, and waking it costs
//! tens more; a network at batch 1 is fifty loops of a few hundred microseconds each. So while a
//! network runs, idle workers keep looking for work instead.
//!
//! Rayon may hand a worker this search in the middle of a task that the network itself waits for. So a
//! search ends by itself when it has been in vain for long, or has gone on for long with others' work,
//! whether the network has ended or not.

use rayon::Yield;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Fruitless looks for work, some 0.1 us each, after which a thread lets others have the core, should
/// they need it.
const PATIENCE: u32 = 2000;
/// Those after which it stops looking: 1 or 2 ms, longer than a network has work for one thread only.
const END_OF_PATIENCE: u32 = 2 * PATIENCE;
/// How long a thread looks for work in all, roughly. In a longer run, waking it costs little.
const LONGEST: Duration = Duration::from_secs(1);

/// Whether a network keeps threads awake already: one is enough.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Runs `body` on the current pool and keeps the pool's other threads awake meanwhile.
pub fn awake<R: Send>(body: impl FnOnce() -> R + Send) -> R {
    // Entered once, so that each parallel loop of the body need not enter the pool from outside.
    rayon::scope(|_| {
        if rayon::current_num_threads() == 1 || TAKEN.swap(true, Ordering::AcqRel) {
            return body();
        }
        let _free = FreeOnDrop(&TAKEN);
        let _search = Search::start();
        body()
    })
}

/// A flag that falls when the body ends, also by a panic.
struct FreeOnDrop<'a>(&'a AtomicBool);

impl Drop for FreeOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// The other threads' search for work; dropped, it ends.
struct Search(Arc<AtomicBool>);

impl Search {
    /// Nobody waits for it: a worker that is busy elsewhere comes when all is over.
    fn start() -> Self {
        let (leader, done) = (rayon::current_thread_index(), Arc::new(AtomicBool::new(false)));
        let search = Self(Arc::clone(&done));
        rayon::spawn_broadcast(move |context| {
            if Some(context.index()) != leader {
                look_for_work(&done);
            }
        });
        search
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn look_for_work(done: &AtomicBool) {
    let (start, mut fruitless) = (Instant::now(), 0);
    while !done.load(Ordering::Acquire) && fruitless < END_OF_PATIENCE {
        match rayon::yield_now() {
            Some(Yield::Executed) if start.elapsed() > LONGEST => return,
            Some(Yield::Executed) => fruitless = 0,
            _ => {
                fruitless += 1;
                if fruitless < PATIENCE {
                    std::hint::spin_loop();
                } else {
                    std::thread::yield_now();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;

    #[test]
    fn runs_loops_nests_and_survives_panics() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let sum = pool.install(|| awake(|| awake(|| (0..1000_u64).into_par_iter().sum::<u64>())));
        assert_eq!(sum, 499_500);
        let panics = || pool.install(|| awake(|| -> () { panic!("on purpose") }));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).is_err());
        assert_eq!(pool.install(|| awake(|| 7)), 7);
    }

    /// Waits without working.
    fn wait_for(flag: &AtomicBool) -> bool {
        let start = Instant::now();
        while !flag.load(Ordering::Acquire) && start.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_micros(50));
        }
        flag.load(Ordering::Acquire)
    }

    /// The task that the body waits for is in the hands of a worker that meets the search within it.
    #[test]
    fn a_search_within_a_task_ends() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let [taken, searching, finished] = [(); 3].map(|()| AtomicBool::new(false));
        let task = || {
            taken.store(true, Ordering::Release);
            assert!(wait_for(&searching));
            while rayon::yield_local() == Some(Yield::Executed) {}
            finished.store(true, Ordering::Release);
        };
        let body = || {
            let _search = Search::start();
            searching.store(true, Ordering::Release);
            wait_for(&finished)
        };
        let network = || wait_for(&taken) && body();
        let (in_time, ()) = pool.install(|| rayon::join(network, task));
        assert!(in_time, "the worker never came back from its search");
    }
}
