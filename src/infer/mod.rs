//! Trained networks at work: fold, plan, run, name what was seen.
//!
//! A [`Session`] holds a network prepared for inference: batch norm folded into the filters, filters
//! packed for the kernels when they are first needed, activations planned into a few buffers that
//! every run reuses. A
//! [`Classifier`] puts preprocessing before it and class names after it.

mod classifier;
mod folded;
pub mod labels;
mod layer_time;
mod layers;
mod plan;
mod planner;
mod run;
mod session;
mod topk;

pub use classifier::{Classifier, ClassifierError, MAX_INPUT_SIDE, class_names, preprocess};
pub use layer_time::LayerTime;
pub use session::{InferError, Session, activation_bytes};
pub use topk::{Prediction, top_k, top_k_of_crops};
