//! Trained networks at work: fold, plan, run, name what was seen.
//!
//! A [`Session`] holds a network prepared for inference: batch norm folded into the filters, filters
//! packed for the kernels, activations planned into a few buffers that every run reuses. A
//! [`Classifier`] puts preprocessing before it and class names after it.

mod classifier;
pub mod labels;
mod plan;
mod session;
mod topk;

pub use classifier::{Classifier, ClassifierError, MAX_INPUT_SIDE, class_names, preprocessing};
pub use session::{InferError, Session, activation_bytes};
pub use topk::{Prediction, top_k, top_k_of_crops};
