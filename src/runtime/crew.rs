//! How a leader and the workers that join it share out the tasks of a loop.
//!
//! The leader publishes a loop: the task to call, and for each of those present a share of the numbers
//! 0..tasks, a word that holds the next and the end. Whoever is there claims from its own share first,
//! then from the others', by one atomic addition a task, and says how many it has finished. The leader
//! takes part and waits for those tasks only that others have claimed: a worker that is busy elsewhere,
//! or never comes, is never waited for.
//!
//! Workers come by invitations in the pool's queue, which they find when they have nothing else to do.
//! They wait between loops, first spinning, then asleep, and take up no other work meanwhile; so no
//! computation waits for a thread that is busy with another. Nobody waits inside rayon.

use super::scratch::{Buffers, Scratch};
use crossbeam_utils::CachePadded;
use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a thread spins before it sleeps: some times what waking it takes.
const SPIN: Duration = Duration::from_micros(50);
/// Looks between two looks at the clock.
const LOOKS: u32 = 64;

/// What a loop calls for each of its tasks.
type Task<'a> = dyn Fn(usize, Scratch) + Sync + 'a;

/// One who takes part. The first is the leader's place.
#[derive(Default)]
struct Place {
    /// The rest of its share of the present loop: the next task below, its end above.
    share: AtomicU64,
    taken: AtomicBool,
    buffers: Mutex<Buffers>,
}

impl Place {
    /// A task of the share that nobody has claimed.
    fn claim(&self) -> Option<usize> {
        let split = |share: u64| (share as u32, (share >> 32) as u32);
        // Looked at first: a finished share must not be counted up.
        let (next, end) = split(self.share.load(Ordering::Relaxed));
        if next >= end {
            return None;
        }
        // Acquires what the leader wrote before it stored the share.
        let (next, end) = split(self.share.fetch_add(1, Ordering::AcqRel));
        (next < end).then_some(next as usize)
    }
}

/// What leader and members share.
pub(super) struct Shared {
    places: Box<[CachePadded<Place>]>,
    /// The present loop's task. The leader writes it when no loop is under way; whoever has claimed a
    /// task reads it before that task is finished.
    task: UnsafeCell<Option<*const Task<'static>>>,
    /// Shares of the present loop.
    shares: AtomicUsize,
    /// Counts what is new: loops, and the end.
    news: CachePadded<AtomicU32>,
    /// Tasks of the present loop that members have finished.
    finished: CachePadded<AtomicUsize>,
    /// Whether a computation is under way.
    open: AtomicBool,
    /// Invitations that nobody has taken up yet.
    invitations: AtomicUsize,
    panicked: AtomicBool,
    payload: Mutex<Option<Box<dyn Any + Send>>>,
    /// Members asleep, and whether the leader is.
    sleeping: AtomicUsize,
    leader_sleeps: AtomicBool,
    sleep: Mutex<()>,
    wake_members: Condvar,
    wake_leader: Condvar,
}

// SAFETY: `task` is written by the leader alone, and only while no task is claimed and unfinished; it
// is read by those who have claimed one. Claims and finished tasks order the two. What it points to is
// `Sync`. All else is `Sync` by itself.
unsafe impl Sync for Shared {}
// SAFETY: as above; the pointer is used within `run_loop` only.
unsafe impl Send for Shared {}

thread_local! {
    /// Whether this thread is in a team: it accepts no invitation then. It could only find one while a
    /// task waits inside rayon, and the loop that it would wait for might be waiting for that task.
    static IN_TEAM: Cell<bool> = const { Cell::new(false) };
}

/// Says that this thread is in a team, until dropped.
struct InTeam {
    before: bool,
}

impl InTeam {
    fn enter() -> Self {
        Self { before: IN_TEAM.replace(true) }
    }
}

impl Drop for InTeam {
    fn drop(&mut self) {
        IN_TEAM.set(self.before);
    }
}

impl Shared {
    /// For a leader and `most - 1` others at most.
    pub(super) fn new(most: usize) -> Self {
        Self {
            places: (0..most).map(|_| CachePadded::default()).collect(),
            task: UnsafeCell::new(None),
            shares: AtomicUsize::new(1),
            news: CachePadded::default(),
            finished: CachePadded::default(),
            open: AtomicBool::new(false),
            invitations: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            payload: Mutex::new(None),
            sleeping: AtomicUsize::new(0),
            leader_sleeps: AtomicBool::new(false),
            sleep: Mutex::new(()),
            wake_members: Condvar::new(),
            wake_leader: Condvar::new(),
        }
    }

    /// How many take part at most.
    pub(super) fn most(&self) -> usize {
        self.places.len()
    }

    /// Runs `body` as the leader: with its scratch, and until it ends others may join.
    pub(super) fn lead<R>(&self, body: impl FnOnce(Scratch) -> R) -> R {
        /// Lets the members go, also after a panic.
        struct Close<'a>(&'a Shared);
        impl Drop for Close<'_> {
            fn drop(&mut self) {
                self.0.open.store(false, Ordering::Release);
                self.0.tell_members();
            }
        }
        let _in_team = InTeam::enter();
        let mut buffers = lock(&self.places[0].buffers);
        let _close = Close(self);
        body(buffers.scratch())
    }

    /// The leader's side of a loop.
    pub(super) fn run_loop(self: &Arc<Self>, tasks: usize, task: &Task, scratch: Scratch) {
        self.invite();
        self.publish(tasks, task);
        let own = self.work(0, scratch);
        self.wait_until_finished(tasks - own);
        if self.panicked.swap(false, Ordering::Relaxed) {
            let payload = lock(&self.payload).take();
            resume_unwind(payload.unwrap_or_else(|| Box::new("a task panicked")));
        }
    }

    /// Asks the pool's workers to join, once a computation.
    fn invite(self: &Arc<Self>) {
        if self.open.swap(true, Ordering::AcqRel) {
            return;
        }
        let there = |place: &&CachePadded<Place>| place.taken.load(Ordering::Relaxed);
        let present = self.places[1..].iter().filter(there).count();
        let wanted = self.most() - 1 - present;
        for _ in self.invitations.load(Ordering::Relaxed)..wanted {
            self.invitations.fetch_add(1, Ordering::Relaxed);
            let shared = Arc::clone(self);
            rayon::spawn(move || shared.join());
        }
    }

    fn publish(&self, tasks: usize, task: &Task) {
        assert!(u32::try_from(tasks).is_ok(), "{tasks} tasks in a loop");
        let task: *const Task = task;
        // SAFETY: only the lifetime changes; `run_loop` returns, and `task` ends, after all tasks are
        // finished, and nobody calls it then.
        let task = unsafe { std::mem::transmute::<*const Task, *const Task<'static>>(task) };
        // SAFETY: no loop is under way, so nobody has a claim, and nobody reads it.
        unsafe { *self.task.get() = Some(task) };
        self.finished.store(0, Ordering::Relaxed);
        let there = |place: &CachePadded<Place>| place.taken.load(Ordering::Relaxed);
        let shares = self.places[1..].iter().rposition(there).map_or(1, |last| last + 2);
        self.shares.store(shares, Ordering::Relaxed);
        for (i, place) in self.places[..shares].iter().enumerate() {
            let [next, end] = [i, i + 1].map(|i| (tasks * i / shares) as u64);
            place.share.store(next | end << 32, Ordering::Release);
        }
        self.tell_members();
    }

    fn tell_members(&self) {
        self.news.fetch_add(1, Ordering::SeqCst);
        if self.sleeping.load(Ordering::SeqCst) > 0 {
            drop(lock(&self.sleep));
            self.wake_members.notify_all();
        }
    }

    /// Does all tasks that can be claimed, those of the share `own` first; returns how many.
    fn work(&self, own: usize, mut scratch: Scratch) -> usize {
        let shares = self.shares.load(Ordering::Relaxed);
        let mut finished = 0;
        for i in 0..shares {
            let place = &self.places[(own + i) % shares];
            while let Some(i) = place.claim() {
                // SAFETY: this task is claimed and not finished, so the loop that it belongs to is under
                // way, and what `task` points to is there.
                let task = unsafe { &*(*self.task.get()).expect("published with its shares") };
                // After a panic the rest is claimed only.
                if !self.panicked.load(Ordering::Relaxed) {
                    let run = AssertUnwindSafe(|| task(i, scratch.reborrow()));
                    if let Err(payload) = catch_unwind(run) {
                        lock(&self.payload).get_or_insert(payload);
                        self.panicked.store(true, Ordering::Relaxed);
                    }
                }
                finished += 1;
            }
        }
        finished
    }

    /// Returns when members have finished `tasks` tasks.
    fn wait_until_finished(&self, tasks: usize) {
        let finished = || self.finished.load(Ordering::SeqCst) == tasks;
        if spin_until(finished) {
            return;
        }
        self.leader_sleeps.store(true, Ordering::SeqCst);
        let mut guard = lock(&self.sleep);
        while !finished() {
            guard = self.wake_leader.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        drop(guard);
        self.leader_sleeps.store(false, Ordering::Relaxed);
    }

    /// A member's life, from the invitation to the end of the computation.
    fn join(&self) {
        self.invitations.fetch_sub(1, Ordering::Relaxed);
        if IN_TEAM.get() || !self.open.load(Ordering::Acquire) {
            return;
        }
        let free = |(_, place): &(usize, &CachePadded<Place>)| {
            !place.taken.swap(true, Ordering::AcqRel)
        };
        let Some((own, place)) = self.places.iter().enumerate().skip(1).find(free) else { return };
        let _in_team = InTeam::enter();
        let mut buffers = lock(&place.buffers);
        loop {
            // Before the look for tasks: what comes after that look is news.
            let known = self.news.load(Ordering::SeqCst);
            if !self.open.load(Ordering::Acquire) {
                break;
            }
            let finished = self.work(own, buffers.scratch());
            if finished > 0 {
                self.finished.fetch_add(finished, Ordering::SeqCst);
                if self.leader_sleeps.load(Ordering::SeqCst) {
                    drop(lock(&self.sleep));
                    self.wake_leader.notify_one();
                }
            }
            self.wait_for_news(known);
        }
        drop(buffers);
        place.taken.store(false, Ordering::Release);
    }

    fn wait_for_news(&self, known: u32) {
        let news = || self.news.load(Ordering::SeqCst) != known;
        if spin_until(news) {
            return;
        }
        self.sleeping.fetch_add(1, Ordering::SeqCst);
        let mut guard = lock(&self.sleep);
        while !news() {
            guard = self.wake_members.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        drop(guard);
        self.sleeping.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Spins until `condition` holds, for [`SPIN`] at most; whether it does.
fn spin_until(condition: impl Fn() -> bool) -> bool {
    let mut start = None;
    loop {
        for _ in 0..LOOKS {
            if condition() {
                return true;
            }
            std::hint::spin_loop();
        }
        if start.get_or_insert_with(Instant::now).elapsed() > SPIN {
            return false;
        }
    }
}

/// No code panics while it holds one of these locks; a task's panic is caught.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
