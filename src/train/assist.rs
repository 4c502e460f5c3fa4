//! The processes of a run beside the first, which has the folder: they compute what it tells them to.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::checkpoint;
use super::config::Config;
use super::data::TrainData;
use super::error::RunError;
use super::run::Outcome;
use super::run_team::{self, Task};
use super::state::State;
use super::trainer::Trainer;
use crate::exchange::{Exchange, gather, tell};
use crate::gemm::Backend;

/// What all processes must agree on.
#[derive(Serialize, Deserialize)]
struct Asked {
    version: String,
    exact: bool,
    host: String,
    config: Config,
}

/// The machines of all processes, or an error on all: unless they want the same run of the same data, with the same
/// version, and can share it. All must call this.
///
/// # Errors
/// It says which process differs, and in what.
pub fn agree(
    exchange: &dyn Exchange,
    config: &Config,
    backend: Backend,
) -> Result<Vec<String>, RunError> {
    run_team::check(config, exchange.processes())?;
    let asked = Asked {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        exact: backend.isa().is_exact(),
        host: exchange.host(),
        config: config.clone(),
    };
    let words = serde_json::to_vec(&asked).expect("plain data");
    let all: Vec<Option<Asked>> = gather(exchange, &words, &mut || ())
        .iter()
        .map(|words| serde_json::from_slice(words).ok())
        .collect();
    for (rank, other) in all.iter().enumerate() {
        let Some(Some(first)) = all.first() else { continue };
        let (host, differences) = match other {
            None => ("?", vec!["another version of this program".to_owned()]),
            Some(other) => {
                let mut differences = first.config.diff(&other.config);
                if first.version != other.version {
                    differences.push(format!("version {}, not {}", other.version, first.version));
                }
                (other.host.as_str(), differences)
            }
        };
        if !differences.is_empty() {
            return Err(RunError::Processes(format!(
                "process {rank} on {host} would train another run than process 0: {}",
                differences.join("; ")
            )));
        }
        if let Some(Asked { exact: false, host, .. }) = other {
            return Err(RunError::Processes(format!(
                "process {rank} on {host} has no instruction set that gives the bits of the others: expected avx512, avx2 \
                 or neon"
            )));
        }
    }
    Ok(all.into_iter().flatten().map(|asked| asked.host).collect())
}

/// Tells the other processes the configuration and the stored state of the run that the first has opened.
pub(super) fn tell_state(
    exchange: &dyn Exchange,
    config: &Config,
    checkpoint: &Path,
) -> Result<(), RunError> {
    let read = |reason| RunError::Folder { path: checkpoint.to_owned(), action: "read", reason };
    let mut file = fs::read(checkpoint).map_err(read)?;
    let mut words = serde_json::to_vec(config).expect("plain data");
    tell(exchange, &mut words, &mut || ());
    tell(exchange, &mut file, &mut || ());
    Ok(())
}

/// Computes its part of the run of the first process until that ends it. `stopped` says when this process was asked to
/// stop; then all end.
///
/// # Errors
/// An image cannot be read, another process cannot go on, or a number of the run is not finite.
pub fn assist(
    exchange: &dyn Exchange,
    data: &TrainData,
    backend: Backend,
    stopped: &(dyn Fn() -> bool + Sync),
) -> Result<Outcome, RunError> {
    let state = hear_state(exchange)?;
    let mut trainer = Trainer::new(state, data, None, backend)?;
    trainer.share(exchange)?;
    loop {
        let task = trainer.team.as_ref().expect("just shared").hear(stopped);
        match task {
            // What they find is the first process's to say.
            Task::Step => _ = trainer.step(stopped)?,
            Task::Validate => _ = trainer.validate(stopped, &mut |_| ())?,
            Task::NextEpoch(error) => trainer.next_epoch(error.map(f64::from_bits)),
            Task::Collect => trainer.collect_momentum(),
            Task::End { finished: true } => return Ok(Outcome::Finished),
            Task::End { finished: false } => return Ok(Outcome::Interrupted),
        }
    }
}

/// The state that the first process tells.
fn hear_state(exchange: &dyn Exchange) -> Result<State, RunError> {
    let (mut words, mut file) = (Vec::new(), Vec::new());
    tell(exchange, &mut words, &mut || ());
    tell(exchange, &mut file, &mut || ());
    let config: Config = serde_json::from_slice(&words).expect("this very program's words");
    // Checkpoints are read from files: one that only this process sees.
    let name = format!("resnet-cpu-{}-{}.safetensors", std::process::id(), exchange.rank());
    let path = std::env::temp_dir().join(name);
    let write = |file: &[u8]| -> io::Result<()> { File::create_new(&path)?.write_all(file) };
    let written = write(&file);
    drop(file);
    let state = written
        .map_err(|reason| RunError::Folder { path: path.clone(), action: "write", reason })
        .and_then(|()| Ok(checkpoint::load(&path)?));
    let _ = fs::remove_file(&path);
    Ok(State { config, ..state? })
}
