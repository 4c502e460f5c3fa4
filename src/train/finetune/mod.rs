//! Runs that start from weights which were trained elsewhere: what they start with, and the features of a
//! frozen backbone.

mod features;
mod fit;
mod frozen;
mod start;

pub(super) use features::{Backbone, PART};
pub(super) use frozen::Frozen;
pub use start::{StartError, StartingWeights};
