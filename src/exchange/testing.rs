//! Threads in the place of processes, for tests.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use super::transport::{Exchange, Incoming, Kind, Outgoing};

/// Messages on their way, by sender, receiver and kind.
type Messages = HashMap<(usize, usize, Kind), VecDeque<Vec<u8>>>;

struct Post {
    messages: Mutex<Messages>,
    arrived: Condvar,
    asked: Vec<AtomicBool>,
}

struct Thread<'a> {
    rank: usize,
    post: &'a Post,
}

/// What `work` returns on each of so many threads, which are each other's processes.
pub(crate) fn together<T: Send>(
    processes: usize,
    work: impl Fn(&dyn Exchange) -> T + Sync,
) -> Vec<T> {
    let post = Post {
        messages: Mutex::default(),
        arrived: Condvar::new(),
        asked: (0..processes).map(|_| AtomicBool::new(false)).collect(),
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..processes)
            .map(|rank| {
                let (post, work) = (&post, &work);
                scope.spawn(move || work(&Thread { rank, post }))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

impl Exchange for Thread<'_> {
    fn rank(&self) -> usize {
        self.rank
    }

    fn processes(&self) -> usize {
        self.post.asked.len()
    }

    fn host(&self) -> String {
        format!("host{}", self.rank)
    }

    fn swap(&self, outgoing: &[Outgoing], incoming: &mut [Incoming], waiting: &mut dyn FnMut()) {
        let Post { messages, arrived, .. } = self.post;
        let mut messages = messages.lock().unwrap();
        for &Outgoing { to, kind, bytes } in outgoing {
            assert_ne!(to, self.rank);
            messages.entry((self.rank, to, kind)).or_default().push_back(bytes.to_vec());
        }
        arrived.notify_all();
        for Incoming { from, kind, bytes } in incoming {
            let message = loop {
                let queue = messages.entry((*from, self.rank, *kind)).or_default();
                if let Some(message) = queue.pop_front() {
                    break message;
                }
                waiting();
                let timeout = Duration::from_millis(1);
                (messages, _) = arrived.wait_timeout(messages, timeout).unwrap();
            };
            bytes.copy_from_slice(&message);
        }
    }

    fn ask_to_stop(&self) {
        for (rank, asked) in self.post.asked.iter().enumerate() {
            asked.fetch_or(rank != self.rank, Ordering::Relaxed);
        }
    }

    fn asked_to_stop(&self) -> bool {
        self.post.asked[self.rank].swap(false, Ordering::Relaxed)
    }
}
