//! The processes of a run beside the first, which has the folder: they compute what it tells them to.

use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
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
    // Its number is random: a process's own is the same in every container, and a folder may be shared.
    let number = RandomState::new().build_hasher().finish();
    let path = std::env::temp_dir().join(format!("resnet-cpu-{number:016x}.safetensors"));
    let refused = |reason| RunError::Folder { path: path.clone(), action: "write", reason };
    let mut made = File::create_new(&path).map_err(refused)?;
    let written = made.write_all(&file);
    drop((made, file));
    let state = written.map_err(refused).and_then(|()| Ok(checkpoint::load(&path)?));
    let _ = fs::remove_file(&path);
    Ok(State { config, ..state? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Alone;
    use crate::exchange::testing::together;
    use crate::model::Options;
    use crate::runtime::{Disk, Interrupt, Unwatched};
    use crate::simd::Isa;
    use crate::train::{LAST, Length, Observer, Recipe, Run, RunOptions, StepReport};

    const BACKEND: fn() -> Backend = || Backend::Native(Isa::best());

    /// Interrupts a run after so many steps.
    struct StopAfter(u64, Interrupt);

    impl Observer for StopAfter {
        fn step(&mut self, report: &StepReport) {
            if report.step == self.0 {
                self.1.raise();
            }
        }
    }

    /// With all that depends on micro-batches or on all of them: mixed images, an average, validation.
    fn config(data: &TrainData) -> Config {
        let spec = Recipe::Demo.spec("resnet20", Options::default()).unwrap();
        let mut config = Recipe::Demo.config(&spec);
        data.fit(&mut config);
        config.length = Length::Iterations(5);
        (config.batch, config.micro_batch) = (20, Some(4));
        config.ema_decay = Some(0.9);
        config.images.mixup = Some(0.4);
        config.settle(|_| false);
        config
    }

    /// Trains as one of the processes until a step, or to the end.
    fn run(exchange: &dyn Exchange, data: &TrainData, folder: &Path, until: u64) -> Outcome {
        let config = config(data);
        let several = exchange.processes() > 1;
        if several {
            agree(exchange, &config, BACKEND()).unwrap();
        }
        if exchange.rank() > 0 {
            return assist(exchange, data, BACKEND(), &|| false).unwrap();
        }
        let options = RunOptions::default();
        let mut run = Run::open(folder, config, data, options, &Disk, &Unwatched).unwrap();
        if several {
            run.share(exchange).unwrap();
        }
        let interrupt = Interrupt::none();
        run.train(&mut StopAfter(until, interrupt.clone()), &interrupt).unwrap()
    }

    #[test]
    fn a_run_that_goes_on_with_other_processes_writes_the_same_bytes() {
        let data = TrainData::demo();
        let folder = tempfile::tempdir().unwrap();
        let [alone, shared] = ["alone", "shared"].map(|name| folder.path().join(name));
        assert_eq!(run(&Alone, &data, &alone, u64::MAX), Outcome::Finished);
        for (processes, until) in [(2, 2), (3, 4)] {
            let ends = together(processes, |exchange| run(exchange, &data, &shared, until));
            assert_eq!(ends, vec![Outcome::Interrupted; processes]);
        }
        let ends = together(5, |exchange| run(exchange, &data, &shared, u64::MAX));
        assert_eq!(ends, [Outcome::Finished; 5]);
        let [alone, shared] = [alone, shared].map(|run| fs::read(run.join(LAST)).unwrap());
        assert!(alone == shared);
    }

    #[test]
    fn processes_that_want_other_runs_are_named() {
        let data = TrainData::demo();
        let errors = together(3, |exchange| {
            let mut config = config(&data);
            config.seed += u64::from(exchange.rank() == 2);
            agree(exchange, &config, BACKEND()).unwrap_err().to_string()
        });
        for error in errors {
            assert!(error.contains("process 2 on host2") && error.contains("seed"), "{error}");
        }
        let too_many = together(6, |exchange| {
            agree(exchange, &config(&data), BACKEND()).unwrap_err().to_string()
        });
        assert!(
            too_many[0].contains("6 processes for 5 micro-batches of 4 images"),
            "{too_many:?}"
        );
    }
}
