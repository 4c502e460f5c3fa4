//! A zeroed, aligned, fixed-size buffer of f32: the memory of activations, weights and gradients.
//!
//! Buffers are allocated once and live long. They are aligned to 64 bytes (a cache line, an AVX-512
//! vector). From 64 KiB on they are maps of their own, for which the kernel is asked for huge pages:
//! first touch is three times as fast and the translation cache is not the limit of streaming kernels.
//! Linux puts maps side by side, so buffers that are all made before the first is touched share huge
//! pages; and memory is taken, as zeros, only where and by whom it is touched.

#[cfg(test)]
pub(crate) mod guarded;

use memmap2::MmapMut;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

const CACHE_LINE: usize = 64;
/// Bytes from which on a buffer is a map of its own; Miri knows no huge pages.
const MAPPED: usize = if cfg!(miri) { usize::MAX } else { 64 << 10 };

/// An owned `[f32]` at an aligned address. Dereferences to the slice.
pub struct AlignedBuf {
    ptr: NonNull<f32>,
    len: usize,
    /// What holds the floats if there are many; else the allocator's memory does.
    map: Option<MmapMut>,
}

// SAFETY: the buffer owns its memory exclusively, as a `Box<[f32]>` would.
unsafe impl Send for AlignedBuf {}
// SAFETY: shared access gives only `&[f32]`.
unsafe impl Sync for AlignedBuf {}

impl AlignedBuf {
    /// `len` zeros.
    pub fn zeroed(len: usize) -> Self {
        if len == 0 {
            return Self { ptr: NonNull::dangling(), len, map: None };
        }
        #[cfg(test)]
        if let Some(buf) = guarded::zeroed(len) {
            return buf;
        }
        let layout = layout(len);
        if layout.size() >= MAPPED {
            let map = MmapMut::map_anon(layout.size());
            let mut map = map.unwrap_or_else(|_| handle_alloc_error(layout));
            #[cfg(target_os = "linux")]
            let _ = map.advise(memmap2::Advice::HugePage);
            let ptr = NonNull::from(&mut map[..]).cast();
            return Self { ptr, len, map: Some(map) };
        }
        // SAFETY: the layout has a non-zero size.
        let ptr = unsafe { alloc_zeroed(layout) }.cast::<f32>();
        let Some(ptr) = NonNull::new(ptr) else { handle_alloc_error(layout) };
        Self { ptr, len, map: None }
    }

    /// A copy of `values`.
    pub fn from_slice(values: &[f32]) -> Self {
        let mut buf = Self::zeroed(values.len());
        buf.copy_from_slice(values);
        buf
    }

    /// The first `len` floats; the buffer grows if it has fewer, and its content is lost then.
    pub fn first_mut(&mut self, len: usize) -> &mut [f32] {
        self.grow_to(len);
        &mut self[..len]
    }

    /// Makes the buffer at least `len` long. The content is lost if it grows.
    pub fn grow_to(&mut self, len: usize) {
        if self.len < len {
            // First gives back what it has.
            *self = Self::default();
            *self = Self::zeroed(len);
        }
    }
}

fn layout(len: usize) -> Layout {
    let bytes = len.checked_mul(size_of::<f32>());
    bytes
        .and_then(|bytes| Layout::from_size_align(bytes, CACHE_LINE).ok())
        .expect("a buffer larger than the address space")
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        if self.len > 0 && self.map.is_none() {
            // SAFETY: allocated by `zeroed` with this very layout.
            unsafe { dealloc(self.ptr.as_ptr().cast(), layout(self.len)) }
        }
    }
}

impl AsRef<[f32]> for AlignedBuf {
    fn as_ref(&self) -> &[f32] {
        self
    }
}

impl Deref for AlignedBuf {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `len` initialised (zeroed) floats are owned at `ptr`, in a map or allocated.
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
        // Miri looks at each float: it would take an hour over many.
        let many = if cfg!(miri) { 1 << 10 } else { 1 << 20 };
        for len in [0, 1, 15, many] {
            let mut buf = AlignedBuf::zeroed(len);
            assert!(buf.iter().all(|&x| x == 0.0));
            assert_eq!(buf.as_ptr() as usize % if len == 0 { 4 } else { 64 }, 0);
            buf.fill(2.0);
            assert_eq!(buf.clone().iter().sum::<f32>(), 2.0 * len as f32);
        }
    }
}
