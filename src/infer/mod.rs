//! Trained networks at work: fold, plan, run, name what was seen.
//!
//! A [`Session`] holds a network prepared for inference: batch norm folded into the filters, filters
//! packed for the kernels, activations planned into a few buffers that every run reuses.

pub mod labels;
mod plan;
mod session;
mod topk;

pub use session::{InferError, Session};
pub use topk::{Prediction, top_k};
