//! The options that every command has: threads, instruction set, GEMM backend, how much is said.

use clap::ValueEnum;
use resnet_cpu::exchange::Exchange;
use resnet_cpu::gemm::{Backend, kernels::Kernel};
use resnet_cpu::runtime::{ThreadsError, pool};
use resnet_cpu::simd::Isa;
use std::ffi::OsStr;

use super::error::CliError;
use super::output::{one_line, print_line};
use super::processes::Processes;

/// The environment variable that chooses the instruction set.
const ISA_VARIABLE: &str = "RESNET_CPU_ISA";

#[derive(clap::Args)]
#[command(next_help_heading = "Options of every command")]
pub(super) struct MachineArgs {
    /// Number of threads [default: physical cores within CPU affinity and cgroup quota]
    #[arg(short = 'j', long, global = true, value_name = "N")]
    threads: Option<usize>,
    /// Instruction set: auto, avx512, avx2, neon or portable [default: $RESNET_CPU_ISA, else auto]
    #[arg(long, global = true, value_name = "ISA")]
    isa: Option<String>,
    /// GEMM backend: built-in kernels or the matrixmultiply crate
    #[arg(long, global = true, value_enum, default_value_t)]
    backend: BackendName,
    /// Print results and errors only, no notes or progress
    #[arg(short, long, global = true)]
    quiet: bool,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum BackendName {
    /// The built-in kernels
    #[default]
    Native,
    /// The matrixmultiply crate, for comparison
    Matrixmultiply,
}

/// What runs.
pub(super) struct Machine {
    pub(super) isa: Isa,
    pub(super) backend: Backend,
    pub(super) threads: usize,
    /// Whether only results and errors are printed.
    pub(super) quiet: bool,
    processes: Processes,
    pool: rayon::ThreadPool,
}

impl Machine {
    pub(super) fn resolve(args: &MachineArgs) -> Result<Self, CliError> {
        let isa = choose_isa(args.isa.as_deref(), std::env::var_os(ISA_VARIABLE).as_deref())?;
        let backend = match args.backend {
            BackendName::Native => Backend::Native(isa),
            BackendName::Matrixmultiply => Backend::Matrixmultiply,
        };
        let pool = pool(args.threads).map_err(|error| match error {
            ThreadsError::OutOfRange(_) => CliError::usage(format!("--threads: {error}")),
            _ => CliError::failed(error),
        })?;
        let threads = pool.current_num_threads();
        let processes = Processes::alone();
        let machine = Self { isa, backend, threads, quiet: args.quiet, processes, pool };
        if let Some(wanted) = args.threads.filter(|&wanted| wanted > threads) {
            machine.note(&format!(
                "--threads {wanted}: using {threads}, as many as there are CPUs available"
            ));
        }
        Ok(machine)
    }

    /// Runs `work` on the pool.
    pub(super) fn install<T: Send>(&self, work: impl FnOnce(&Self) -> T + Send) -> T {
        self.pool.install(|| work(self))
    }

    /// The same as one of the processes that a launcher of MPI has started, if one has. Only the first says anything but
    /// errors.
    pub(super) fn install_shared(
        mut self,
        work: impl FnOnce(&Self) -> Result<(), CliError> + Send,
    ) -> Result<(), CliError> {
        self.processes = Processes::begin()?;
        self.quiet |= self.exchange().rank() > 0;
        let result = self.install(work);
        self.processes.end(result)
    }

    /// The processes that do the work.
    pub(super) fn exchange(&self) -> &dyn Exchange {
        self.processes.exchange()
    }

    /// A line on stderr, unless `--quiet`.
    pub(super) fn note(&self, text: &str) {
        if !self.quiet {
            print_line(text);
        }
    }

    /// Says what runs.
    pub(super) fn note_itself(&self) {
        let threads =
            if self.threads == 1 { "1 thread" } else { &format!("{} threads", self.threads) };
        let (isa, kernel, backend) = (self.isa, self.kernel(), self.backend_name());
        self.note(&format!("{isa}, kernel {kernel}, {threads}, {backend} backend"));
    }

    /// The processor's name, as Linux knows it; else its architecture.
    pub(super) fn cpu(&self) -> String {
        let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let named = text.lines().find_map(|line| line.strip_prefix("model name"));
        let name =
            named.and_then(|rest| rest.split_once(':')).map(|(_, name)| one_line(name.trim()));
        name.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
    }

    /// The name of the kernel that multiplies.
    pub(super) fn kernel(&self) -> &'static str {
        match self.backend {
            Backend::Native(isa) => Kernel::of(isa).name(),
            Backend::Matrixmultiply => "sgemm",
        }
    }

    /// The backend, as `--backend` takes it.
    pub(super) fn backend_name(&self) -> &'static str {
        match self.backend {
            Backend::Native(_) => "native",
            Backend::Matrixmultiply => "matrixmultiply",
        }
    }
}

/// The flag wins over the variable; an empty variable is none.
fn choose_isa(flag: Option<&str>, variable: Option<&OsStr>) -> Result<Isa, CliError> {
    let (name, from) = match (flag, variable.filter(|value| !value.is_empty())) {
        (Some(name), _) => (name.into(), "--isa"),
        (None, Some(value)) => (value.to_string_lossy(), ISA_VARIABLE),
        (None, None) => return Ok(Isa::best()),
    };
    Isa::named(&name).map_err(|error| CliError::usage(format!("{from}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_wins_over_the_variable() {
        let choose = |flag, variable: Option<&str>| choose_isa(flag, variable.map(OsStr::new));
        assert_eq!(choose(None, None).unwrap(), Isa::best());
        assert_eq!(choose(None, Some("portable")).unwrap().name(), "portable");
        assert_eq!(choose(Some("auto"), Some("nonsense")).unwrap(), Isa::best());
        assert_eq!(choose(None, Some("")).unwrap(), Isa::best());
        let error = choose(None, Some("mmx")).err().unwrap();
        assert!(error.exit_code() == 2 && error.to_string().contains(ISA_VARIABLE), "{error}");
    }
}
