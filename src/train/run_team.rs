//! A run's processes: what they share, and what the first tells the others to do.
//!
//! The first has the run's folder and decides: it announces each task to the others, and all do it at the same time.

use std::cell::Cell;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::config::Config;
use super::error::RunError;
use crate::data;
use crate::exchange::{
    Compute, Concluded, Exchange, Stepped, Together, ToldLoss, Update, conclude, tell,
};
use crate::learn::MicroBatch;
use crate::model::{Network, Params};
use crate::ops::Loss;
use crate::runtime::AlignedBuf;

/// What all processes do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Task {
    /// A step.
    Step,
    /// Measure the validation images.
    Validate,
    /// Turn to the next epoch, after a validation that found an error of these bits.
    NextEpoch(Option<u64>),
    /// Send the velocity to the first.
    Collect,
    /// Nothing: the run has all its steps, or was interrupted.
    End {
        /// Which of the two.
        finished: bool,
    },
}

/// What a process had of the others in a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Others {
    /// How many processes there are.
    pub processes: usize,
    /// Seconds that it waited for them when its own part was computed.
    pub waited: f64,
    /// The process whose part took longest.
    pub slowest: usize,
}

/// One of the processes of a run.
pub(super) struct RunTeam<'a> {
    together: Together<'a>,
    micro_batch: usize,
    /// Whether someone has been told, or has told, to stop.
    stop: Cell<bool>,
}

impl<'a> RunTeam<'a> {
    /// One of the processes of `exchange`, for the run `config` at the velocity `momentum`.
    pub(super) fn new(
        exchange: &'a dyn Exchange,
        network: &Network,
        config: &Config,
        momentum: &[f32],
    ) -> Result<Self, RunError> {
        let micro_batch = check(config, exchange.processes())?;
        let mut together = Together::new(exchange, network, config.batch / micro_batch)
            .map_err(|error| RunError::Processes(error.to_string()))?;
        together.set_momentum(momentum);
        Ok(Self { together, micro_batch, stop: Cell::new(false) })
    }

    /// The places in a batch of the images that this process computes.
    pub(super) fn images(&self) -> Range<usize> {
        let Range { start, end } = self.together.micro_batches();
        start * self.micro_batch..end * self.micro_batch
    }

    pub(super) fn exchange(&self) -> &'a dyn Exchange {
        self.together.exchange()
    }

    /// Tells the others what to do, if this is the first process.
    pub(super) fn announce(&self, task: Task) {
        if self.exchange().rank() == 0 {
            let mut words = serde_json::to_vec(&task).expect("plain data");
            tell(self.exchange(), &mut words, &mut || ());
        }
    }

    /// What the first process says is to be done. If this one is `stopped` meanwhile, the others hear of it.
    pub(super) fn hear(&self, stopped: &dyn Fn() -> bool) -> Task {
        let mut words = Vec::new();
        tell(self.exchange(), &mut words, &mut || self.pass_on(stopped));
        serde_json::from_slice(&words).expect("this very program's words")
    }

    /// Tells the others once if this process is stopped.
    fn pass_on(&self, stopped: &dyn Fn() -> bool) {
        if !self.stop.get() && stopped() {
            self.exchange().ask_to_stop();
            self.stop.set(true);
        }
    }

    /// The loss of a step, and what this process had of the others; none if one was stopped.
    pub(super) fn step(
        &mut self,
        params: &mut Params,
        update: &Update,
        stopped: &(dyn Fn() -> bool + Sync),
        compute: impl FnOnce(Compute) -> Result<Option<Vec<MicroBatch>>, RunError>,
    ) -> Result<Option<(Loss, Others)>, RunError> {
        match self.together.step(params, update, stopped, compute)? {
            Stepped::Done { loss, waited, slowest } => {
                let processes = self.exchange().processes();
                Ok(Some((loss, Others { processes, waited, slowest })))
            }
            Stepped::Stopped => Ok(None),
            Stepped::Failed(failed) => Err(failed.into()),
        }
    }

    /// The losses of so many `parts` of the images, of which each process measures some; none if one is stopped.
    pub(super) fn validate(
        &mut self,
        parts: usize,
        stopped: &dyn Fn() -> bool,
        mut measure: impl FnMut(usize) -> Result<Loss, RunError>,
    ) -> Result<Option<Vec<Loss>>, RunError> {
        let exchange = self.exchange();
        let (rank, processes) = (exchange.rank(), exchange.processes());
        let mut own = || {
            let mut losses = Vec::new();
            for part in (rank..parts).step_by(processes) {
                self.pass_on(stopped);
                if self.stop.get() || exchange.asked_to_stop() {
                    return Ok(None);
                }
                match measure(part) {
                    Ok(loss) => losses.push(ToldLoss::from(loss)),
                    Err(RunError::Data(data::Error::Interrupted)) => {
                        self.pass_on(stopped);
                        return Ok(None);
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(Some((losses, Vec::new())))
        };
        let own: Result<_, RunError> = own();
        match conclude(exchange, own, &mut || self.pass_on(stopped))? {
            Concluded::Found(all) => {
                let loss = |part: usize| all[part % processes].0[part / processes].into();
                Ok(Some((0..parts).map(loss).collect()))
            }
            Concluded::Stopped => Ok(None),
            Concluded::Failed(failed) => Err(failed.into()),
        }
    }

    /// The velocity of all slices, on the first process; elsewhere nothing.
    pub(super) fn collect_momentum(&self, len: usize) -> AlignedBuf {
        let first = self.exchange().rank() == 0;
        let mut all = AlignedBuf::zeroed(if first { len } else { 0 });
        self.together.collect_momentum(&mut all);
        all
    }
}

/// The images of a micro-batch, if so many processes can share the run.
pub(super) fn check(config: &Config, processes: usize) -> Result<usize, RunError> {
    let refused = |reason: String| Err(RunError::Processes(reason));
    if config.is_frozen() && processes > 1 {
        return refused("a frozen backbone is trained by one process: it takes seconds".to_owned());
    }
    let micro_batch = config.images_at_a_time();
    let micro_batches = config.batch / micro_batch;
    if processes > micro_batches {
        return refused(format!(
            "{processes} processes for {micro_batches} micro-batches of {micro_batch} images: each process takes whole \
             ones; expected at most {micro_batches} processes, or a smaller --micro-batch (batch norm then sees \
             fewer images at a time, which changes results) or a larger --batch"
        ));
    }
    Ok(micro_batch)
}
