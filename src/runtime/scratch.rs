//! A worker's scratch memory: a few buffers that grow to what its tasks ask for and are kept.

use super::AlignedBuf;

/// How many buffers can be held at a time: a gradient's result, the results of its chunks, and a
/// kernel's two panels are the most that are, and as many again are spare.
const MOST: usize = 8;

/// What one worker keeps from task to task.
#[derive(Default)]
pub struct Buffers([AlignedBuf; MOST]);

impl Buffers {
    /// All of them.
    pub fn scratch(&mut self) -> Scratch<'_> {
        Scratch(&mut self.0)
    }
}

/// Access to the buffers that are not in use further up.
pub struct Scratch<'a>(&'a mut [AlignedBuf]);

impl Scratch<'_> {
    /// A buffer of `len` floats of any value, and the rest.
    ///
    /// # Panics
    /// If all are taken.
    pub fn take(&mut self, len: usize) -> (&mut [f32], Scratch<'_>) {
        let (first, rest) = self.0.split_first_mut().expect("at most eight buffers at a time");
        (first.first_mut(len), Scratch(rest))
    }

    /// The same for a shorter time.
    pub fn reborrow(&mut self) -> Scratch<'_> {
        Scratch(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_apart_and_are_kept() {
        let mut buffers = Buffers::default();
        let mut scratch = buffers.scratch();
        let (a, mut rest) = scratch.take(100);
        let (b, _) = rest.take(20_000);
        a.fill(1.0);
        b.fill(2.0);
        assert!(a.iter().all(|&x| x == 1.0));
        let (again, _) = scratch.take(100);
        assert!(again.iter().all(|&x| x == 1.0));
    }
}
