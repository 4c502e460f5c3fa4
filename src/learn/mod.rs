//! The numerics of a training step: forward and backward pass, loss, the optimiser, the moving average.
//!
//! Nothing here knows about files or runs. A [`Learner`] takes a batch of tensors and gives loss and
//! gradients. [`Sgd`] and [`update_ema`] change flat buffers. [`train`](crate::train) makes a run of them.

mod average;
mod backward;
mod classifier;
mod diverged;
mod ema;
mod forward;
mod handover;
mod measure;
mod memory;
mod micro_batches;
mod profile;
mod sgd;
mod step;
mod tape;
mod tree;

pub use average::is_folded;
pub(crate) use classifier::classifier_step;
pub use diverged::NotFinite;
pub(crate) use diverged::{finite, in_flat};
pub use ema::update_ema;
pub use handover::Handover;
pub use measure::Measured;
pub use memory::training_bytes;
pub use micro_batches::{MicroBatch, Split};
pub use profile::{Part, StepTime};
pub use sgd::{Sgd, SgdOptions};
pub(crate) use step::follow;
pub use step::{Batch, Learner, TooSmall};
