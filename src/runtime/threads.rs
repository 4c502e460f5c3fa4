//! How many threads, and the pool they live in.
//!
//! Two hardware threads of one core share its multiply-add ports, so more threads than physical cores
//! only cost cache. The default is the number of physical cores among the CPUs this process may run
//! on, and no more than its share of CPU time (cgroup quota) allows. More threads than that share are
//! never started: the parts of a layer are equal, and a thread that waits for its turn on a core keeps
//! all others waiting.
//!
//! The standard library knows affinity and quota but not cores; the `num_cpus` crate knows cores, but
//! those of the whole machine: a process that may run on two hardware threads of one core would get
//! two threads. So cores are counted here, among the CPUs of the affinity.

use std::collections::BTreeSet;

/// The most threads that may be asked for.
pub const MAX_THREADS: usize = 1024;

/// Why there is no pool.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ThreadsError {
    /// A number of threads out of range.
    #[error("{0} threads; expected 1 to {MAX_THREADS}")]
    OutOfRange(usize),
    /// The operating system refused to start them.
    #[error("cannot start {threads} threads: {reason}")]
    Start {
        /// How many were asked for.
        threads: usize,
        /// Its reason.
        reason: String,
    },
}

/// A pool of `threads` threads, by default [`default_threads`], and at most as many as there are CPUs for
/// this process.
///
/// # Errors
/// If the number is 0 or above [`MAX_THREADS`], or the threads cannot be started.
pub fn pool(threads: Option<usize>) -> Result<rayon::ThreadPool, ThreadsError> {
    let threads = threads.unwrap_or_else(default_threads);
    if !(1..=MAX_THREADS).contains(&threads) {
        return Err(ThreadsError::OutOfRange(threads));
    }
    let threads = threads.min(allowed_cpus());
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|index| format!("resnet-cpu-{index}"))
        .build()
        .map_err(|error| ThreadsError::Start { threads, reason: error.to_string() })
}

/// Physical cores within CPU affinity and cgroup quota; at least 1.
pub fn default_threads() -> usize {
    let allowed = allowed_cpus();
    physical_cores().unwrap_or(allowed).min(allowed).clamp(1, MAX_THREADS)
}

/// CPUs within affinity and quota; hardware threads count.
fn allowed_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Physical cores among the CPUs of this process's affinity, where the system tells (Linux).
fn physical_cores() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let cpus = parse_cpu_list(allowed_list(&status)?)?;
    Some(count_cores(&cpus, |cpu| {
        let topology = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        std::fs::read_to_string(topology).ok()
    }))
}

/// The value of `Cpus_allowed_list` in the text of `/proc/self/status`.
fn allowed_list(status: &str) -> Option<&str> {
    status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).map(str::trim)
}

/// `0-3,8` to `[0, 1, 2, 3, 8]`.
fn parse_cpu_list(text: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cpus.extend(first.parse::<usize>().ok()?..=last.parse().ok()?);
    }
    Some(cpus)
}

/// Hardware threads of one core have the same list of siblings. A CPU without one is a core of its own.
fn count_cores(cpus: &[usize], siblings: impl Fn(usize) -> Option<String>) -> usize {
    let core = |&cpu: &usize| siblings(cpu).unwrap_or_else(|| cpu.to_string()).trim().to_owned();
    cpus.iter().map(core).collect::<BTreeSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_linux_writes() {
        let status = "Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t0-3,8\nMems_allowed:\t1\n";
        assert_eq!(allowed_list(status), Some("0-3,8"));
        assert_eq!(parse_cpu_list("0-3,8"), Some(vec![0, 1, 2, 3, 8]));
        assert_eq!(parse_cpu_list("5"), Some(vec![5]));
        assert_eq!(parse_cpu_list(""), None);
        assert_eq!(parse_cpu_list("a-b"), None);
    }

    #[test]
    fn hardware_threads_of_a_core_count_once() {
        let siblings = |cpu: usize| Some(format!("{},{}\n", cpu % 4, cpu % 4 + 4));
        assert_eq!(count_cores(&[0, 1, 2, 3, 4, 5, 6, 7], siblings), 4);
        assert_eq!(count_cores(&[0, 4], siblings), 1);
        assert_eq!(count_cores(&[0, 4], |_| None), 2);
    }

    #[test]
    fn a_pool_has_the_threads_asked_for_as_far_as_there_are_cpus() {
        let started = |threads| pool(threads).unwrap().current_num_threads();
        assert_eq!(started(Some(1)), 1);
        assert_eq!(started(Some(2)), allowed_cpus().min(2));
        assert_eq!(started(Some(MAX_THREADS)), allowed_cpus().min(MAX_THREADS));
        assert_eq!(started(None), default_threads());
        for wrong in [0, MAX_THREADS + 1] {
            assert!(matches!(pool(Some(wrong)), Err(ThreadsError::OutOfRange(_))));
        }
    }
}
