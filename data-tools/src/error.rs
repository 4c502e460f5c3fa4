//! What ends a command, and the exit code it means.

use std::fmt::Display;
use std::io;
use std::path::Path;

use resnet_cpu::data;
use resnet_cpu::runtime::INTERRUPTED;

use crate::output::{print_error, print_line};

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ToolError {
    /// The command cannot be meant so; exit code 2.
    #[error("{0}")]
    Usage(String),
    /// It was meant well but failed; exit code 1.
    #[error("{0}")]
    Failed(String),
    /// What was found has been reported; exit code 1.
    #[error("some of the work failed")]
    Reported,
    /// It was asked to stop; exit code 130.
    #[error("{0}")]
    Interrupted(String),
    /// Nobody reads stdout any more: a quiet success.
    #[error("nobody reads the output")]
    BrokenPipe,
}

impl ToolError {
    pub(crate) fn usage(reason: impl Display) -> Self {
        Self::Usage(reason.to_string())
    }

    pub(crate) fn failed(reason: impl Display) -> Self {
        Self::Failed(reason.to_string())
    }

    /// The file at `path` cannot be written.
    pub(crate) fn unwritten(path: &Path, error: &io::Error) -> Self {
        Self::Failed(format!("{}: cannot write: {error}", path.display()))
    }

    /// An error of writing to stdout.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::BrokenPipe,
            _ => Self::Failed(format!("cannot write to stdout: {error}")),
        }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Failed(_) | Self::Reported => 1,
            Self::Interrupted(_) => INTERRUPTED as u8,
            Self::BrokenPipe => 0,
        }
    }

    /// Writes it to stderr as one line.
    pub(crate) fn report(&self) {
        match self {
            Self::Usage(reason) | Self::Failed(reason) => print_error(reason),
            Self::Interrupted(reason) => print_line(reason),
            Self::Reported | Self::BrokenPipe => {}
        }
    }

    /// Help and version are printed; what is wrong is said in one line, without the usage text.
    pub(crate) fn from_clap(error: &clap::Error) -> Result<(), Self> {
        if !error.use_stderr() {
            return error.print().map_err(|error| Self::stdout(&error));
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

impl From<data::Error> for ToolError {
    fn from(error: data::Error) -> Self {
        match error {
            data::Error::Interrupted => Self::Interrupted("interrupted".to_owned()),
            data::Error::TooLarge { .. } => {
                Self::Failed(format!("{error} (see --max-side, --max-bytes)"))
            }
            error => Self::Failed(error.to_string()),
        }
    }
}
