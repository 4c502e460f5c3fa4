//! Processes that a launcher of MPI (`mpirun`, `srun`) has started, by the MPI library of the machine.

use std::time::{Duration, Instant};

use mpi::Threading;
use mpi::environment::Universe;
use mpi::request::{Request, scope};
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;

use super::transport::{Exchange, Incoming, Kind, Outgoing};

/// The tag of the message that asks to stop.
const STOP: i32 = 1;

/// How long a process looks without pause for what it waits for, and its pauses after that: it must not take a core
/// from whoever computes.
const SPIN: Duration = Duration::from_micros(20);
const PAUSES: [Duration; 2] = [Duration::from_micros(20), Duration::from_micros(200)];

/// One of the processes of an MPI job.
///
/// Anything that goes wrong between them, the death of one, say, ends all: that is MPI's rule.
pub struct Mpi {
    rank: usize,
    processes: usize,
    host: String,
}

/// The MPI library is not fit for this program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected an MPI library that several threads may call (MPI_THREAD_MULTIPLE), found one of {found}"
)]
pub struct Unfit {
    found: String,
}

/// Ends MPI when it is dropped, on the thread that began it.
pub struct Session {
    _universe: Universe,
}

impl Drop for Session {
    fn drop(&mut self) {
        // The others would wait for it at the end.
        if std::thread::panicking() {
            Mpi::end_all(1);
        }
    }
}

impl Mpi {
    /// Begins MPI, once in the life of a process. It ends when the session is dropped, which waits for all processes.
    ///
    /// # Errors
    /// The library does not allow calls by several threads.
    ///
    /// # Panics
    /// If it was begun before.
    pub fn begin() -> Result<(Self, Session), Unfit> {
        let begun = mpi::initialize_with_threading(Threading::Multiple);
        let (universe, threading) = begun.expect("MPI is begun once");
        if threading != Threading::Multiple {
            return Err(Unfit { found: format!("MPI_THREAD_{threading:?}").to_uppercase() });
        }
        let world = universe.world();
        let host = mpi::environment::processor_name().unwrap_or_else(|_| "?".to_owned());
        let [rank, processes] = [world.rank(), world.size()].map(|number| number as usize);
        Ok((Self { rank, processes, host }, Session { _universe: universe }))
    }

    /// Ends all processes at once, with this exit code.
    pub fn end_all(code: i32) -> ! {
        SimpleCommunicator::world().abort(code)
    }
}

impl Kind {
    fn tag(self) -> i32 {
        match self {
            Self::Sums => 2,
            Self::Weights => 3,
            Self::Words => 4,
        }
    }
}

impl Exchange for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn processes(&self) -> usize {
        self.processes
    }

    fn host(&self) -> String {
        self.host.clone()
    }

    fn swap(&self, outgoing: &[Outgoing], incoming: &mut [Incoming], waiting: &mut dyn FnMut()) {
        let world = SimpleCommunicator::world();
        scope(|scope| {
            let receives = incoming.iter_mut().map(|Incoming { from, kind, bytes }| {
                let from = world.process_at_rank(*from as i32);
                from.immediate_receive_into_with_tag(scope, &mut **bytes, kind.tag())
            });
            let mut requests: Vec<Request<[u8], _>> = receives.collect();
            requests.extend(outgoing.iter().map(|&Outgoing { to, kind, bytes }| {
                let to = world.process_at_rank(to as i32);
                to.immediate_send_with_tag(scope, bytes, kind.tag())
            }));
            let mut since = Instant::now();
            let mut pause = PAUSES[0];
            loop {
                let before = requests.len();
                // Each test also moves the others on.
                requests =
                    requests.into_iter().filter_map(|request| request.test().err()).collect();
                if requests.is_empty() {
                    break;
                }
                if requests.len() < before {
                    (since, pause) = (Instant::now(), PAUSES[0]);
                } else if since.elapsed() > SPIN {
                    waiting();
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(PAUSES[1]);
                }
            }
        });
    }

    fn ask_to_stop(&self) {
        let world = SimpleCommunicator::world();
        for rank in (0..self.processes).filter(|&rank| rank != self.rank) {
            // So short that no library waits for its receiver.
            world.process_at_rank(rank as i32).send_with_tag(&[0_u8; 0][..], STOP);
        }
    }

    fn asked_to_stop(&self) -> bool {
        let world = SimpleCommunicator::world();
        let Some((message, _)) = world.any_process().immediate_matched_probe_with_tag(STOP) else {
            return false;
        };
        message.matched_receive_into(&mut [0_u8; 0][..]);
        true
    }
}
