//! A part of a longer piece of work, as seen by whoever waits for all of it.

use crate::runtime::Watch;

/// The bytes from `before` on, of `total`.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) watch: &'a dyn Watch,
    pub(super) before: u64,
    pub(super) total: u64,
}

impl Part<'_> {
    /// Tells that `bytes` of the part are read.
    pub(super) fn read(&self, bytes: u64) {
        self.watch.progress("bytes of shards read", self.before + bytes, Some(self.total));
    }

    pub(super) fn stopped(&self) -> bool {
        self.watch.stopped()
    }
}
