//! Trained networks at work: fold, plan, run, name what was seen.
//!
//! A [`Model`] holds a network prepared for inference, shared by all who run it: batch norm folded into
//! the filters, filters packed for the kernels when they are first needed. A [`Session`] is one caller's
//! runs: activations planned into a few buffers that every run reuses. A [`Classifier`] puts
//! preprocessing before it and class names after it.

mod classifier;
mod error;
mod folded;
pub mod labels;
mod layer_time;
mod layers;
mod model;
mod plan;
mod planner;
mod run;
mod session;
mod topk;

pub use classifier::{Classifier, ClassifierError, MAX_INPUT_SIDE, class_names, preprocess};
pub use error::InferError;
pub use layer_time::LayerTime;
pub use model::Model;
pub use session::{Session, activation_bytes};
pub use topk::{Prediction, top_k, top_k_of_crops};
