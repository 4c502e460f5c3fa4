//! Keeping the pool's threads awake through a run of many short parallel loops.
//!
//! A rayon worker that finds nothing to do for a few microseconds goes to sleep, and waking it costs
//! tens more; a network at batch 1 is fifty loops of a few hundred microseconds each. So for as long
//! as a network runs, idle workers keep looking for work instead.

use rayon::Yield;
use std::sync::atomic::{AtomicBool, Ordering};

/// Fruitless looks for work after which a thread lets others have the core, should they need it.
const PATIENCE: u32 = 2000;

/// Runs `body` on the current pool and keeps the pool's other threads awake meanwhile.
pub fn awake<R: Send>(body: impl FnOnce() -> R + Send) -> R {
    if rayon::current_num_threads() == 1 {
        return body();
    }
    let done = AtomicBool::new(false);
    rayon::scope(|scope| {
        let leader = rayon::current_thread_index();
        let done = &done;
        scope.spawn_broadcast(move |_, context| {
            if Some(context.index()) != leader {
                look_for_work(done);
            }
        });
        // Also if the body panics: the others must not wait for ever.
        let _guard = SetOnDrop(done);
        body()
    })
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn look_for_work(done: &AtomicBool) {
    let mut fruitless = 0;
    while !done.load(Ordering::Acquire) {
        match rayon::yield_now() {
            Some(Yield::Executed) => fruitless = 0,
            _ if fruitless < PATIENCE => {
                fruitless += 1;
                std::hint::spin_loop();
            }
            _ => std::thread::yield_now(),
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
}
