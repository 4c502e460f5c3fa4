//! The processes of an MPI job, if this is one of them.

use resnet_cpu::exchange::{Alone, Exchange};
#[cfg(feature = "mpi")]
use resnet_cpu::exchange::{Mpi, Session};

use super::error::CliError;

/// What launchers tell the processes that they start: how many there are, or the number of this one.
const SIZES: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"];
#[cfg(feature = "mpi")]
const RANKS: [&str; 2] = ["PMIX_RANK", "PMI_RANK"];

/// This process, and those that were started with it.
pub(super) struct Processes {
    exchange: Box<dyn Exchange + Send>,
    #[cfg(feature = "mpi")]
    session: Option<Session>,
}

impl Processes {
    /// This process only.
    pub(super) fn alone() -> Self {
        Self {
            exchange: Box::new(Alone),
            #[cfg(feature = "mpi")]
            session: None,
        }
    }

    /// All that a launcher of MPI has started, if one has.
    #[cfg(feature = "mpi")]
    pub(super) fn begin() -> Result<Self, CliError> {
        if !SIZES.iter().chain(&RANKS).any(|name| std::env::var_os(name).is_some()) {
            return Ok(Self::alone());
        }
        let (mpi, session) = Mpi::begin().map_err(CliError::failed)?;
        Ok(Self { exchange: Box::new(mpi), session: Some(session) })
    }

    /// This process only; an error if a launcher of MPI has started more.
    #[cfg(not(feature = "mpi"))]
    pub(super) fn begin() -> Result<Self, CliError> {
        for name in SIZES {
            let size = std::env::var(name).ok().and_then(|size| size.parse().ok()).unwrap_or(1);
            if size > 1 {
                return Err(CliError::usage(format!(
                    "{name} is {size}: expected one process, since this program was built without MPI; build it with \
                     --features mpi"
                )));
            }
        }
        Ok(Self::alone())
    }

    pub(super) fn exchange(&self) -> &dyn Exchange {
        &*self.exchange
    }

    /// Waits for the other processes, and passes the result on. If this one has failed, all end at once.
    pub(super) fn end(self, result: Result<(), CliError>) -> Result<(), CliError> {
        #[cfg(feature = "mpi")]
        if let (Some(session), true) = (self.session, self.exchange.processes() > 1) {
            // Said now: a launcher that was interrupted itself does not wait long.
            return result.map_err(|error| {
                let failed = matches!(error, CliError::Usage(_) | CliError::Failed(_));
                match (failed, self.exchange.rank(), self.exchange.host()) {
                    (true, rank @ 1.., host) => {
                        super::output::print_error(&format!("process {rank} on {host}: {error}"));
                    }
                    _ => error.report(),
                }
                let code = error.exit_code();
                if failed {
                    Mpi::end_all(code.into());
                }
                drop(session);
                CliError::Elsewhere(code)
            });
        }
        result
    }
}
