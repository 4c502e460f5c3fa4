//! Inference: from images to predictions.
//!
//! A [`Model`] is a network prepared for inference, and all callers share it. Batch norm is folded into the
//! filters, and filters are packed for the kernels when they are first needed. A [`Session`] is one caller's
//! runs of a model. Its activations are planned into a few buffers that every run reuses. A [`Classifier`]
//! is a model with preprocessing before it and class names after it.

mod classes;
mod classifier;
mod dense;
mod ensemble;
mod error;
mod evaluate;
mod explain;
mod folded;
mod grouped;
pub mod labels;
mod layer_time;
mod layers;
mod model;
mod plan;
mod planner;
mod quantized;
mod run;
mod scores;
mod seen;
mod session;
mod stated;
mod steps;
mod topk;
pub mod wordnet;

pub use classes::{ClassesError, Matched, match_classes};
pub use classifier::{Classifier, ClassifierError, MAX_INPUT_SIDE};
pub use dense::{Dense, DenseError, dense_scales};
pub use ensemble::{ClassMismatch, Ensemble, EnsembleError};
pub use error::InferError;
pub use evaluate::{
    Evaluation, EvaluationError, EvaluationOptions, evaluate, evaluate_dense, evaluate_ensemble,
};
pub use explain::ClassMap;
pub use layer_time::LayerTime;
pub use model::Model;
pub use scores::{CALIBRATION_BINS, CalibrationBin, ClassScore, Outcome, Scores, wilson};
pub use seen::{Seen, SeenValues};
pub use session::{Session, activation_bytes};
pub use stated::{class_names, preprocess};
use topk::mean_probabilities;
pub use topk::{Prediction, top_k, top_k_of_crops};
