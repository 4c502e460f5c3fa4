//! Several processes that train one network: how its work and its numbers are shared out, and what they tell each
//! other.
//!
//! The unit of work is the micro-batch, whose gradients, statistics and loss are numbers of their own. Each process
//! computes some of them, adds up the gradients of whole blocks of the tree that one process would add them up by,
//! and updates its slice of the weights. Whoever computes what, and when it arrives, changes no bit.
//!
//! An [`Exchange`] moves the bytes: [`Alone`] where there is one process, `Mpi`, with the feature `mpi`, where there
//! are more.

mod alone;
mod buckets;
mod conclude;
mod gather;
#[cfg(feature = "mpi")]
mod mpi;
mod share;
mod slices;
mod summing;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod together;
mod transport;

pub use alone::Alone;
pub use conclude::{Concluded, Failed, ToldLoss, conclude};
pub use gather::{gather, tell};
#[cfg(feature = "mpi")]
pub use mpi::{Mpi, Session, Unfit};
pub use share::{Share, TooMany};
pub use summing::Update;
pub use together::{Compute, Stepped, Together};
pub use transport::{Exchange, Incoming, Kind, Outgoing};
