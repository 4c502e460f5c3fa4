//! A run of training: data, recipe, schedule, checkpoints, metrics, the report.
//!
//! A run is a pure function of its [`Config`]. Its progress so far is a [`State`], all of which is in a
//! checkpoint.

mod assist;
mod average;
pub mod checkpoint;
mod checks;
mod config;
mod continued;
mod data;
mod described;
mod error;
mod feed;
mod finetune;
mod folder;
mod image_settings;
mod images;
pub(crate) mod measured;
mod memory;
mod metrics;
mod plan;
mod profile;
mod recipe;
mod recipes;
#[cfg(feature = "cli")]
mod report;
mod result;
mod run;
mod run_team;
mod schedule;
mod setting;
mod settings;
mod spelled;
mod state;
mod stored;
mod trainer;
mod values;

pub use crate::runtime::{INTERRUPTED, Interrupt};
pub use assist::{agree, assist};
pub use average::{AverageError, average_batch_norm};
pub use checkpoint::CheckpointError;
pub use checks::ConfigError;
pub use config::{Augment, Config, DataInfo, Freeze, Length, NUMERICS, Normalize};
pub use data::TrainData;
pub use error::RunError;
pub use finetune::{StartError, StartingWeights};
pub use folder::{BEST, LAST, METRICS, REPORT, RESULT};
pub use images::{ColourKind, CropKind, Images, LEAST_AREA, SideEpochs};
pub use metrics::{EpochMetrics, Metrics, MetricsError, append_metrics, cut_metrics, read_metrics};
pub use plan::Plan;
pub use profile::profile_steps;
pub use recipe::{Recipe, UnknownRecipe};
#[cfg(feature = "cli")]
pub use report::{ReportError, write_report};
pub use result::{Measurement, RunResult};
pub use run::{Observer, Outcome, Run, RunOptions};
pub use run_team::Others;
pub use schedule::{
    ERROR_WINDOW, LearningRate, Schedule, ScheduleState, UnknownSchedule, Warmup,
    default_milestones,
};
pub use setting::{Heading, Setting};
pub use settings::SETTINGS;
pub use state::{Best, InferenceInfo, Progress, State};
pub use stored::{RunStatus, StoredRun};
pub use trainer::{StepReport, Validation};
