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
/// Looks between two looks at the clock: a microsecond or a few.
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

/// What the leader says, on one cache line: a member has all of it when it sees that something is new.
struct Board {
    /// Counts what is new: loops, and the end.
    news: AtomicU32,
    /// Tasks of the present loop.
    tasks: AtomicU32,
    /// The shares into which they are cut.
    shares: AtomicU32,
    /// The present loop's task. The leader writes it when no loop is under way; whoever has claimed a
    /// task reads it before that task is finished.
    task: UnsafeCell<Option<*const Task<'static>>>,
    /// Whether a computation is under way.
    open: AtomicBool,
}

/// What leader and members share.
pub(super) struct Shared {
    board: CachePadded<Board>,
    places: Box<[CachePadded<Place>]>,
    /// Places from the first to the last one taken; those that are free since do not count.
    reach: CachePadded<AtomicU32>,
    /// Tasks that members have ever finished.
    finished: CachePadded<AtomicUsize>,
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
            board: CachePadded::new(Board {
                news: AtomicU32::new(0),
                tasks: AtomicU32::new(0),
                shares: AtomicU32::new(1),
                task: UnsafeCell::new(None),
                open: AtomicBool::new(false),
            }),
            places: (0..most).map(|_| CachePadded::default()).collect(),
            reach: CachePadded::new(AtomicU32::new(1)),
            finished: CachePadded::default(),
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
                self.0.board.open.store(false, Ordering::SeqCst);
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
        // No loop is under way, so nobody counts this up.
        let before = self.finished.load(Ordering::Relaxed);
        self.publish(tasks, task);
        let mut own = 0;
        self.work(0, scratch, |finished| own += finished);
        self.wait_until_finished(before.wrapping_add(tasks - own));
        if self.panicked.swap(false, Ordering::Relaxed) {
            let payload = lock(&self.payload).take();
            resume_unwind(payload.unwrap_or_else(|| Box::new("a task panicked")));
        }
    }

    /// Asks the pool's workers to join, once a computation.
    fn invite(self: &Arc<Self>) {
        if self.board.open.load(Ordering::Relaxed) {
            return;
        }
        self.board.open.store(true, Ordering::SeqCst);
        self.reach.store(1, Ordering::SeqCst);
        let mut present = 1;
        for (place, i) in self.places.iter().zip(0..).skip(1) {
            if place.taken.load(Ordering::SeqCst) {
                self.reach.fetch_max(i + 1, Ordering::SeqCst);
                present += 1;
            }
        }
        let wanted = self.most() - present;
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
        unsafe { *self.board.task.get() = Some(task) };
        let shares = self.reach.load(Ordering::Relaxed);
        self.board.tasks.store(tasks as u32, Ordering::Relaxed);
        self.board.shares.store(shares, Ordering::Relaxed);
        let shares = shares as usize;
        for (i, place) in self.places[..shares].iter().enumerate() {
            let [next, end] = [i, i + 1].map(|i| first_task(tasks, shares, i));
            place.share.store(next | end << 32, Ordering::Release);
        }
        self.tell_members();
    }

    fn tell_members(&self) {
        self.board.news.fetch_add(1, Ordering::SeqCst);
        if self.sleeping.load(Ordering::SeqCst) > 0 {
            drop(lock(&self.sleep));
            self.wake_members.notify_all();
        }
    }

    /// Waits for whoever has the place to begin with its share, if nobody has: for as long as it takes
    /// those who are awake. Whoever has computed a part before has its data in a cache.
    fn let_begin(&self, share: usize, shares: usize) {
        let tasks = self.board.tasks.load(Ordering::Relaxed) as usize;
        let [first, end] = [share, share + 1].map(|i| first_task(tasks, shares, i));
        for _ in 0..LOOKS {
            if self.places[share].share.load(Ordering::Relaxed) != (first | end << 32) {
                return;
            }
            std::hint::spin_loop();
        }
    }

    /// Does all tasks that can be claimed, those of the share `own` first; `report` hears after each share
    /// how many it were, so that nobody waits for them longer than they take.
    fn work(&self, own: usize, mut scratch: Scratch, mut report: impl FnMut(usize)) {
        let shares = self.board.shares.load(Ordering::Relaxed) as usize;
        for i in 0..shares {
            let share = (own + i) % shares;
            let place = &self.places[share];
            if i > 0 {
                self.let_begin(share, shares);
            }
            let mut finished = 0;
            while let Some(i) = place.claim() {
                // SAFETY: this task is claimed and not reported as finished, so the loop that it belongs to
                // is under way, and what `task` points to is there.
                let task =
                    unsafe { &*(*self.board.task.get()).expect("published with its shares") };
                // After a panic the rest is claimed only.
                if !self.panicked.load(Ordering::Relaxed) {
                    let run = AssertUnwindSafe(|| task(i, scratch.reborrow()));
                    if let Err(payload) = catch_unwind(run) {
                        let mut first = lock(&self.payload);
                        match &*first {
                            None => *first = Some(payload),
                            // Dropping it might panic, while others are still at their tasks.
                            Some(_) => std::mem::forget(payload),
                        }
                        drop(first);
                        self.panicked.store(true, Ordering::Relaxed);
                    }
                }
                finished += 1;
            }
            if finished > 0 {
                report(finished);
            }
        }
    }

    /// Returns when members have finished `total` tasks since ever.
    fn wait_until_finished(&self, total: usize) {
        let finished = || self.finished.load(Ordering::SeqCst) == total;
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
        if IN_TEAM.get() || !self.board.open.load(Ordering::Acquire) {
            return;
        }
        let free =
            |(_, place): &(usize, &CachePadded<Place>)| !place.taken.swap(true, Ordering::SeqCst);
        let Some((own, place)) = self.places.iter().enumerate().skip(1).find(free) else { return };
        let _in_team = InTeam::enter();
        loop {
            self.reach.fetch_max(own as u32 + 1, Ordering::SeqCst);
            self.take_part(own);
            // Either the leader of the next computation sees that the place is free, and invites; or that
            // computation is seen here.
            place.taken.store(false, Ordering::SeqCst);
            if !self.board.open.load(Ordering::SeqCst) || place.taken.swap(true, Ordering::SeqCst) {
                return;
            }
        }
    }

    /// What a member does at the place `own` while a computation is under way.
    fn take_part(&self, own: usize) {
        let mut buffers = lock(&self.places[own].buffers);
        loop {
            // Before the look for tasks: what comes after that look is news.
            let known = self.board.news.load(Ordering::SeqCst);
            if !self.board.open.load(Ordering::Acquire) {
                return;
            }
            self.work(own, buffers.scratch(), |finished| {
                self.finished.fetch_add(finished, Ordering::SeqCst);
                if self.leader_sleeps.load(Ordering::SeqCst) {
                    drop(lock(&self.sleep));
                    self.wake_leader.notify_one();
                }
            });
            self.wait_for_news(known);
        }
    }

    fn wait_for_news(&self, known: u32) {
        let news = || self.board.news.load(Ordering::SeqCst) != known;
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

/// Where share `i` of `tasks` begins.
fn first_task(tasks: usize, shares: usize, i: usize) -> u64 {
    (tasks * i / shares) as u64
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
