//! The options that every command has: threads, how much is said, how large an image may be.

use std::path::PathBuf;

use resnet_cpu::data::Limits;
use resnet_cpu::runtime::{Cache, Interrupt, ThreadsError, pool};

use crate::error::ToolError;
use crate::output::print_line;

#[derive(clap::Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct MachineArgs {
    /// Number of threads [default: physical cores within CPU affinity and cgroup quota]
    #[arg(short = 'j', long, global = true, value_name = "N")]
    threads: Option<usize>,
    /// Print results and errors only, no notes or progress
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Largest width and height of an image, in pixels
    #[arg(long, global = true, value_name = "N", default_value_t = Limits::default().side, value_parser = clap::value_parser!(u32).range(1..))]
    max_side: u32,
    /// Largest size of an image in bytes, both decoded and as a file
    #[arg(long, global = true, value_name = "N", default_value_t = Limits::default().bytes, value_parser = clap::value_parser!(u64).range(1..=2 << 30))]
    max_bytes: u64,
    /// Folder for the indexes of other people's shards that cannot be written beside them [default:
    /// $XDG_CACHE_HOME/resnet-cpu, else ~/.cache/resnet-cpu]
    #[arg(long, global = true, value_name = "DIR")]
    cache: Option<PathBuf>,
}

/// What runs.
pub(crate) struct Machine {
    pub(crate) threads: usize,
    pub(crate) quiet: bool,
    pub(crate) limits: Limits,
    pub(crate) cache: Cache,
    pool: rayon::ThreadPool,
}

impl Machine {
    pub(crate) fn resolve(args: &MachineArgs) -> Result<Self, ToolError> {
        let pool = pool(args.threads).map_err(|error| match error {
            ThreadsError::OutOfRange(_) => ToolError::usage(format!("--threads: {error}")),
            _ => ToolError::failed(error),
        })?;
        let threads = pool.current_num_threads();
        // Packing is by the usual decoder: what is measured is what training sees.
        let limits = Limits { side: args.max_side, bytes: args.max_bytes, ..Limits::default() };
        let cache = args.cache.as_ref().map_or_else(Cache::of_user, Cache::at);
        let machine = Self { threads, quiet: args.quiet, limits, cache, pool };
        if let Some(wanted) = args.threads.filter(|&wanted| wanted > threads) {
            machine.note(&format!(
                "--threads {wanted}: using {threads}, as many as there are CPUs available"
            ));
        }
        Ok(machine)
    }

    /// Runs `work` on the pool.
    pub(crate) fn install<T: Send>(&self, work: impl FnOnce(&Self) -> T + Send) -> T {
        self.pool.install(|| work(self))
    }

    /// A line on stderr, unless `--quiet`.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            print_line(text);
        }
    }

    /// Catches signals from now on; `said` is printed at the first one.
    pub(crate) fn interrupt(&self, said: &'static str) -> Result<Interrupt, ToolError> {
        Interrupt::catch(move || print_line(said))
            .map_err(|error| ToolError::failed(format!("cannot catch signals: {error}")))
    }
}
