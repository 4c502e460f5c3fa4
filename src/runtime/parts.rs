//! Data cut into parts that a loop's tasks change, each task its own.

use std::marker::PhantomData;

/// Something that consists of parts, each of which one task takes.
pub trait Parts: Sync {
    /// A part.
    type Part;
    /// How many there are.
    fn count(&self) -> usize;
    /// Part `i`.
    ///
    /// # Safety
    /// `i < count()`, and no part may be taken twice as long as `self` lives.
    unsafe fn part(&self, i: usize) -> Self::Part;
}

/// A slice in chunks of one length; the last one may be shorter.
pub struct ChunksMut<'a, T> {
    start: *mut T,
    len: usize,
    chunk: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: it gives out each chunk once, to one task, as `chunks_mut` would.
unsafe impl<T: Send> Sync for ChunksMut<'_, T> {}
// SAFETY: as for the slice it holds.
unsafe impl<T: Send> Send for ChunksMut<'_, T> {}

impl<'a, T> ChunksMut<'a, T> {
    /// `slice` in chunks of `chunk`.
    ///
    /// # Panics
    /// If `chunk` is zero.
    pub fn new(slice: &'a mut [T], chunk: usize) -> Self {
        assert!(chunk > 0, "chunks of nothing");
        Self { start: slice.as_mut_ptr(), len: slice.len(), chunk, slice: PhantomData }
    }
}

impl<'a, T: Send> Parts for ChunksMut<'a, T> {
    type Part = &'a mut [T];

    fn count(&self) -> usize {
        self.len.div_ceil(self.chunk)
    }

    unsafe fn part(&self, i: usize) -> &'a mut [T] {
        let first = i * self.chunk;
        // SAFETY: the chunk lies within the slice, since i < count, and no other part overlaps it; the
        // caller takes it once.
        unsafe {
            std::slice::from_raw_parts_mut(self.start.add(first), self.chunk.min(self.len - first))
        }
    }
}

/// Slices of any lengths.
pub struct SlicesMut<'a, T> {
    slices: Vec<(*mut T, usize)>,
    all: PhantomData<&'a mut [T]>,
}

// SAFETY: it gives out each slice once, to one task.
unsafe impl<T: Send> Sync for SlicesMut<'_, T> {}
// SAFETY: as for the slices it holds.
unsafe impl<T: Send> Send for SlicesMut<'_, T> {}

impl<'a, T> FromIterator<&'a mut [T]> for SlicesMut<'a, T> {
    fn from_iter<I: IntoIterator<Item = &'a mut [T]>>(slices: I) -> Self {
        let slices = slices.into_iter().map(|slice| (slice.as_mut_ptr(), slice.len()));
        Self { slices: slices.collect(), all: PhantomData }
    }
}

impl<'a, T: Send> Parts for SlicesMut<'a, T> {
    type Part = &'a mut [T];

    fn count(&self) -> usize {
        self.slices.len()
    }

    unsafe fn part(&self, i: usize) -> &'a mut [T] {
        let (start, len) = self.slices[i];
        // SAFETY: one of the slices that were given, none of which overlaps another; the caller takes it
        // once.
        unsafe { std::slice::from_raw_parts_mut(start, len) }
    }
}

/// Two of the same number of parts, side by side.
impl<A: Parts, B: Parts> Parts for (A, B) {
    type Part = (A::Part, B::Part);

    fn count(&self) -> usize {
        assert_eq!(self.0.count(), self.1.count(), "as many parts of each");
        self.0.count()
    }

    unsafe fn part(&self, i: usize) -> Self::Part {
        // SAFETY: the caller's promise.
        unsafe { (self.0.part(i), self.1.part(i)) }
    }
}

/// One that may be missing.
impl<A: Parts, B: Parts> Parts for (A, Option<B>) {
    type Part = (A::Part, Option<B::Part>);

    fn count(&self) -> usize {
        assert!(self.1.as_ref().is_none_or(|b| b.count() == self.0.count()), "as many of each");
        self.0.count()
    }

    unsafe fn part(&self, i: usize) -> Self::Part {
        // SAFETY: the caller's promise.
        unsafe { (self.0.part(i), self.1.as_ref().map(|b| b.part(i))) }
    }
}
