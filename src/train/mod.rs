//! Training: steps, the optimiser, schedules, recipes, checkpoints, records of a run.
//!
//! A run is a pure function of its [`Config`]; what it has become so far is a state that a
//! checkpoint holds whole.

mod config;
mod ema;
mod recipe;
mod schedule;
mod sgd;

pub use config::{Augment, Config, DataInfo, Length, Normalize};
pub use ema::update_ema;
pub use recipe::{Recipe, UnknownRecipe};
pub use schedule::{ERROR_WINDOW, LearningRate, Schedule, ScheduleState, Warmup};
pub use sgd::{Sgd, SgdOptions};
