//! A run of training: data, recipe, schedule, checkpoints, metrics, the report.
//!
//! A run is a pure function of its [`Config`]; what it has become so far is a [`State`], which a
//! checkpoint holds whole.

pub mod checkpoint;
mod config;
mod data;
mod error;
mod lock;
mod metrics;
mod plan;
mod recipe;
mod report;
mod run;
mod schedule;
mod signals;
mod spelled;
mod state;
mod trainer;

pub use checkpoint::CheckpointError;
pub use config::{Augment, Config, ConfigError, DataInfo, Length, Normalize};
pub use data::TrainData;
pub use error::RunError;
pub use metrics::{EpochMetrics, MetricsError, append_metrics, cut_metrics, read_metrics};
pub use plan::Plan;
pub use recipe::{Recipe, UnknownRecipe};
pub use report::{ReportError, write_report};
pub use run::{BEST, LAST, METRICS, Observer, Outcome, REPORT, Run, RunOptions};
pub use schedule::{ERROR_WINDOW, LearningRate, Schedule, ScheduleState, Warmup};
pub use signals::{INTERRUPTED, Interrupt};
pub use state::{Best, InferenceInfo, Progress, State};
pub use trainer::{StepReport, Validation};
