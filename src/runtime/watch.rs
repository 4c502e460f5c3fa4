//! Long work as seen by whoever waits for it: how far it is, and whether it should stop.

/// What long work asks and tells while it goes on: scanning a folder, reading images, statistics,
/// validation. It is called from any thread, often, and must return at once.
pub trait Watch: Sync {
    /// `done` of `total` (where that is known) `what`, for example "images read".
    fn progress(&self, what: &'static str, done: u64, total: Option<u64>);

    /// Whether the work should end as soon as it can, with an error that says so.
    fn stopped(&self) -> bool;
}

/// Nobody looks, and nothing stops the work.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn progress(&self, _: &'static str, _: u64, _: Option<u64>) {}

    fn stopped(&self) -> bool {
        false
    }
}
