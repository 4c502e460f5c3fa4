//! Predictions.

pub mod labels;
