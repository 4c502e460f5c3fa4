//! The parallel loops of one computation, say a network's run, on the threads of a pool.
//!
//! Whoever computes leads a [`Team`]: each [loop](Team::for_each) is cut into tasks, which the leader and
//! those workers of the current rayon pool that have joined share out. Workers join once a computation,
//! not once a loop, and leave when it ends. The protocol is `crew`'s.

use super::crew::Shared;
use super::parts::{ChunksMut, Parts};
use super::scratch::{Buffers, Scratch};
use std::sync::Arc;

/// What a team keeps from one computation to the next: every worker's scratch memory.
#[derive(Default)]
pub struct Crew(Option<Arc<Shared>>);

impl Crew {
    /// Runs `body`, which leads a team of the current pool's workers; a thread outside of any pool enters
    /// the global one first.
    ///
    /// # Panics
    /// If `body` or a task of its loops does; the crew can be used again.
    pub fn run<R: Send>(&mut self, body: impl FnOnce(&mut Team) -> R + Send) -> R {
        rayon::scope(|_| {
            let threads = rayon::current_num_threads();
            let shared = match &mut self.0 {
                Some(shared) if shared.most() == threads => shared,
                other => other.insert(Arc::new(Shared::new(threads))),
            };
            shared
                .lead(|scratch| body(&mut Team { crew: (threads > 1).then_some(shared), scratch }))
        })
    }
}

impl std::fmt::Debug for Crew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Crew({} workers)", self.0.as_ref().map_or(0, |shared| shared.most()))
    }
}

/// Runs `body` with a team of its own; see [`Crew::run`].
pub fn team<R: Send>(body: impl FnOnce(&mut Team) -> R + Send) -> R {
    Crew::default().run(body)
}

/// Runs `body` with a team of nobody but the calling thread.
pub fn alone<R>(body: impl FnOnce(&mut Team) -> R) -> R {
    body(&mut Team::alone(Buffers::default().scratch()))
}

/// Those who compute together; the leader's view.
pub struct Team<'a> {
    /// None if there is nobody but the leader.
    crew: Option<&'a Arc<Shared>>,
    /// The leader's.
    scratch: Scratch<'a>,
}

impl<'a> Team<'a> {
    /// The calling thread alone.
    pub fn alone(scratch: Scratch<'a>) -> Self {
        Self { crew: None, scratch }
    }

    /// How many threads there are at most, for whoever cuts work into tasks.
    pub fn threads(&self) -> usize {
        self.crew.map_or(1, |crew| crew.most())
    }

    /// A buffer of the leader's scratch, of `len` floats of any value, for loops to come; and the team
    /// with what is left.
    pub fn take(&mut self, len: usize) -> (&mut [f32], Team<'_>) {
        let (buffer, scratch) = self.scratch.take(len);
        (buffer, Team { crew: self.crew, scratch })
    }

    /// The leader's scratch.
    pub fn scratch(&mut self) -> Scratch<'_> {
        self.scratch.reborrow()
    }

    /// Runs `task` for each of 0..`tasks`, each once and with the scratch of whoever runs it, and returns
    /// when all are done. Which worker runs which is not fixed, but it mostly runs the same part as in
    /// the loop before, whose data are in its caches.
    ///
    /// # Panics
    /// If a task does.
    pub fn for_each(&mut self, tasks: usize, task: impl Fn(usize, Scratch) + Sync) {
        match self.crew {
            Some(crew) if tasks > 1 => crew.run_loop(tasks, &task, self.scratch.reborrow()),
            _ => (0..tasks).for_each(|i| task(i, self.scratch.reborrow())),
        }
    }

    /// As [`for_each`](Self::for_each), where each task has its own part of `parts`.
    pub fn for_each_part<P: Parts>(
        &mut self,
        parts: P,
        task: impl Fn(usize, P::Part, Scratch) + Sync,
    ) {
        self.for_each(parts.count(), |i, scratch| {
            // SAFETY: each i below the count comes once.
            let part = unsafe { parts.part(i) };
            task(i, part, scratch);
        });
    }

    /// As [`for_each`](Self::for_each) over chunks of `len` of `slice`.
    pub fn for_each_chunk<T: Send>(
        &mut self,
        slice: &mut [T],
        len: usize,
        task: impl Fn(usize, &mut [T], Scratch) + Sync,
    ) {
        self.for_each_part(ChunksMut::new(slice, len), task);
    }

    /// What `task` returns for each of 0..`tasks`, in their order.
    pub fn map<T: Send>(
        &mut self,
        tasks: usize,
        task: impl Fn(usize, Scratch) -> T + Sync,
    ) -> Vec<T> {
        let mut results: Vec<Option<T>> = std::iter::repeat_with(|| None).take(tasks).collect();
        self.for_each_chunk(&mut results, 1, |i, result, scratch| {
            result[0] = Some(task(i, scratch));
        });
        results.into_iter().map(|result| result.expect("every task has run")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::{ThreadPool, ThreadPoolBuilder};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    fn pool(threads: usize) -> ThreadPool {
        ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
    }

    /// Waits without working; whether it came.
    fn wait_for(flag: &AtomicBool) -> bool {
        let start = Instant::now();
        while !flag.load(Ordering::Acquire) && start.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_micros(50));
        }
        flag.load(Ordering::Acquire)
    }

    #[test]
    fn every_task_runs_once_with_a_scratch_of_its_own() {
        for threads in [1, 2, 3, 8] {
            let mut crew = Crew::default();
            for round in 0..200 {
                let counts: Vec<AtomicUsize> = (0..round % 40).map(|_| 0.into()).collect();
                pool_of(threads).install(|| {
                    crew.run(|team| {
                        assert_eq!(team.threads(), threads);
                        for pass in 0..5 {
                            team.for_each(counts.len(), |i, mut scratch| {
                                let (buffer, _) = scratch.take(64);
                                buffer.fill(i as f32);
                                counts[i].fetch_add(1, Ordering::Relaxed);
                                assert!(buffer.iter().all(|&x| x == i as f32));
                            });
                            assert!(counts.iter().all(|n| n.load(Ordering::Relaxed) == pass + 1));
                            if round % 50 == 0 {
                                // Longer than a member spins.
                                std::thread::sleep(Duration::from_micros(300));
                            }
                        }
                    });
                });
            }
        }
    }

    fn pool_of(threads: usize) -> &'static ThreadPool {
        use std::sync::LazyLock;
        static POOLS: LazyLock<Vec<ThreadPool>> = LazyLock::new(|| (1..=8).map(pool).collect());
        &POOLS[threads - 1]
    }

    #[test]
    fn parts_and_results_keep_their_order() {
        let mut values = vec![0; 103];
        let squares = pool(3).install(|| {
            team(|team| {
                team.for_each_chunk(&mut values, 10, |i, chunk, _| chunk.fill(i));
                team.map(50, |i, _| i * i)
            })
        });
        assert!(values.iter().enumerate().all(|(i, &value)| value == i / 10));
        assert!(squares.iter().enumerate().all(|(i, &square)| square == i * i));
    }

    #[test]
    fn a_panic_reaches_the_leader_and_the_crew_lives_on() {
        let pool = pool(3);
        let mut crew = Crew::default();
        for bad in [0, 7, 19] {
            let run = || crew.run(|team| team.for_each(20, |i, _| assert!(i != bad, "task {bad}")));
            let payload = pool.install(|| catch_unwind(AssertUnwindSafe(run))).unwrap_err();
            assert_eq!(payload.downcast_ref::<String>(), Some(&format!("task {bad}")));
            let in_body = || crew.run(|_| panic!("in the body"));
            assert!(pool.install(|| catch_unwind(AssertUnwindSafe(in_body))).is_err());
            assert_eq!(pool.install(|| crew.run(|team| team.map(5, |i, _| i))), [0, 1, 2, 3, 4]);
        }
    }

    /// The other worker is in a task of somebody else's for as long as the computation takes.
    #[test]
    fn a_busy_worker_is_not_waited_for() {
        let pool = pool(2);
        let [busy, done] = [(); 2].map(|()| AtomicBool::new(false));
        pool.in_place_scope(|scope| {
            scope.spawn(|_| {
                busy.store(true, Ordering::Release);
                assert!(wait_for(&done), "waited for in vain");
            });
            assert!(wait_for(&busy));
            let sum: usize = pool.install(|| team(|team| team.map(100, |i, _| i))).iter().sum();
            done.store(true, Ordering::Release);
            assert_eq!(sum, 4950);
        });
    }

    /// A worker waits inside rayon within a task, and finds the invitation to the team it is in, and
    /// other computations.
    #[test]
    fn invitations_found_within_a_task_are_declined() {
        let pool = pool(2);
        for _ in 0..50 {
            let total = AtomicUsize::new(0);
            pool.install(|| {
                team(|outer| {
                    outer.for_each(8, |_, _| {
                        let (a, b) = rayon::join(
                            || team(|inner| inner.map(9, |i, _| i).len()),
                            || team(|inner| inner.map(5, |i, _| i).len()),
                        );
                        total.fetch_add(a + b, Ordering::Relaxed);
                    });
                });
            });
            assert_eq!(total.into_inner(), 8 * 14);
        }
    }

    #[test]
    fn many_clients_share_a_pool() {
        let pool = pool(2);
        std::thread::scope(|threads| {
            for client in 0..6 {
                let pool = &pool;
                threads.spawn(move || {
                    let mut crew = Crew::default();
                    for round in 0..300 {
                        let run = || crew.run(|team| team.map(1 + round % 30, |i, _| i + client));
                        let sum: usize = pool.install(run).iter().sum();
                        let n = 1 + round % 30;
                        assert_eq!(sum, n * (n - 1) / 2 + n * client);
                    }
                });
            }
        });
    }

    #[test]
    fn a_team_of_one_is_the_caller() {
        let here = std::thread::current().id();
        alone(|team| {
            assert_eq!(team.threads(), 1);
            let (buffer, mut team) = team.take(10);
            buffer.fill(1.0);
            team.for_each(3, |_, _| assert_eq!(std::thread::current().id(), here));
        });
    }
}
