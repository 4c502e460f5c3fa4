//! What ends a run, and the exit code it means.

use std::fmt::Display;
use std::io;

use resnet_cpu::train::INTERRUPTED;

use super::output::{print_error, print_line};

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// The command cannot be meant so; exit code 2.
    #[error("{0}")]
    Usage(String),
    /// It was meant well but failed; exit code 1.
    #[error("{0}")]
    Failed(String),
    /// Some of the work failed, and each failure has been reported; exit code 1.
    #[error("some of the work failed")]
    Reported,
    /// It was asked to stop, and has saved its work; exit code 130.
    #[error("{0}")]
    Interrupted(String),
    /// A process of the job has failed or was interrupted, and has said so; with its exit code.
    #[error("a process of the job has ended")]
    Elsewhere(u8),
    /// Nobody reads stdout any more: a quiet success.
    #[error("nobody reads the output")]
    BrokenPipe,
}

impl CliError {
    pub(super) fn usage(reason: impl Display) -> Self {
        Self::Usage(reason.to_string())
    }

    pub(super) fn failed(reason: impl Display) -> Self {
        Self::Failed(reason.to_string())
    }

    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Failed(_) | Self::Reported => 1,
            Self::Interrupted(_) => INTERRUPTED as u8,
            Self::Elsewhere(code) => *code,
            Self::BrokenPipe => 0,
        }
    }

    /// Writes it to stderr as one line.
    pub(super) fn report(&self) {
        match self {
            Self::Usage(reason) | Self::Failed(reason) => print_error(reason),
            Self::Interrupted(reason) => print_line(reason),
            Self::Reported | Self::Elsewhere(_) | Self::BrokenPipe => {}
        }
    }

    /// Help and version are printed; what is wrong is said in one line, without the usage text.
    pub(super) fn from_clap(error: clap::Error) -> Result<(), Self> {
        if !error.use_stderr() {
            return Ok(error.print()?);
        }
        let text = error.render().to_string();
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
            .filter(|line| !line.is_empty())
            .collect();
        let reason = match lines.first() {
            // Without arguments clap shows the whole help.
            Some(first) if first.starts_with("error: ") => {
                let reason = lines.join(" ").replace(" tip: ", "; ");
                reason.trim_start_matches("error: ").to_owned()
            }
            _ => "no command given".to_owned(),
        };
        Err(Self::Usage(format!("{reason} (see --help)")))
    }
}

impl From<io::Error> for CliError {
    /// An error of writing to stdout.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::BrokenPipe,
            _ => Self::Failed(format!("cannot write to stdout: {error}")),
        }
    }
}
