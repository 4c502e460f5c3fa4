//! The state of a run: all that the next step depends on, and nothing else.

use serde::{Deserialize, Serialize};

use super::config::Config;
use super::schedule::ScheduleState;
use crate::data::{Colours, Preprocess};
use crate::model::{InitOptions, Network, Params, SpecError, initialize};
use crate::runtime::AlignedBuf;

/// How far a run is, and the sums of the current epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Epochs done.
    pub epoch: u64,
    /// Weight updates done.
    pub step: u64,
    /// Images of the current epoch that have been used; 0 between epochs.
    pub cursor: u64,
    /// Sum of the losses of the images used in this epoch.
    pub loss_sum: f64,
    /// How many of them were classified correctly at that time.
    pub correct: u64,
}

/// The best validation so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// Epochs done then.
    pub epoch: u64,
    /// Weight updates done then.
    pub step: u64,
    /// Fraction classified correctly.
    pub top1: f64,
}

/// What inference needs besides the weights.
#[derive(Clone, Debug, PartialEq)]
pub struct InferenceInfo {
    /// How images become inputs.
    pub preprocess: Preprocess,
    /// Class names in index order.
    pub classes: Option<Vec<String>>,
}

/// A run between two steps.
#[derive(Clone, Debug)]
pub struct State {
    /// The configuration.
    pub config: Config,
    /// What inference needs besides the weights.
    pub inference: InferenceInfo,
    /// The training set's colours, if the configuration shifts images by them; measured before the first step.
    pub colours: Option<Colours>,
    /// The network's numbers.
    pub params: Params,
    /// The optimiser's velocity, laid out as [`Params::learnable`].
    pub momentum: AlignedBuf,
    /// The moving average; there is one exactly if [`Config::ema_decay`] is set.
    pub ema: Option<Params>,
    /// How far the run is.
    pub progress: Progress,
    /// What the schedule has seen.
    pub schedule: ScheduleState,
    /// The best validation so far.
    pub best: Option<Best>,
}

impl State {
    /// A run before its first step, with fresh numbers from the configuration's seed.
    ///
    /// # Errors
    /// The configuration's network does not exist.
    pub fn start(config: Config, inference: InferenceInfo) -> Result<Self, SpecError> {
        let network = Network::new(&config.spec()?);
        let options = InitOptions { zero_init_last_bn: config.zero_init };
        let params = initialize(&network, config.seed, options);
        Ok(Self::with_params(config, inference, params))
    }

    /// A run before its first step, with these numbers.
    pub(super) fn with_params(config: Config, inference: InferenceInfo, params: Params) -> Self {
        Self {
            momentum: AlignedBuf::zeroed(params.learnable().len()),
            ema: config.ema_decay.is_some().then(|| params.clone()),
            config,
            inference,
            colours: None,
            params,
            progress: Progress::default(),
            schedule: ScheduleState::default(),
            best: None,
        }
    }

    /// The weights to validate and to save for inference: the moving average if there is one.
    pub fn averaged(&self) -> &Params {
        self.ema.as_ref().unwrap_or(&self.params)
    }
}
