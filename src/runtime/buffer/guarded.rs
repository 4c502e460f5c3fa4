//! For tests: buffers of exactly their length between pages that may not be touched. Whoever reads or
//! writes one float too many is ended by the operating system at once.

use super::AlignedBuf;
use memmap2::MmapMut;
use region::Protection;
use std::cell::Cell;
use std::ptr::NonNull;

/// Which end of a buffer is at a guard page to the byte; the other is at most a page away from one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Edge {
    Start,
    End,
}

thread_local! {
    static EDGE: Cell<Option<Edge>> = const { Cell::new(None) };
}

/// Runs `f` on a thread of its own, a pool of one, where every buffer that is made has guards: operands,
/// packed filters and scratch alike.
pub(crate) fn guarded<T: Send>(edge: Edge, f: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        EDGE.set(Some(edge));
        f()
    })
}

/// `len` zeros with guards, if this thread makes such buffers.
pub(super) fn zeroed(len: usize) -> Option<AlignedBuf> {
    let edge = EDGE.get()?;
    let (page, bytes) = (region::page::size(), len * size_of::<f32>());
    let room = bytes.next_multiple_of(page);
    let mut map = MmapMut::map_anon(page + room + page).unwrap();
    let start = map.as_mut_ptr();
    let (first, end) = (start.wrapping_add(page), start.wrapping_add(page + room));
    // SAFETY: both pages are in the map, which is ours and is never used but between them.
    unsafe {
        region::protect(start, page, Protection::NONE).unwrap();
        region::protect(end, page, Protection::NONE).unwrap();
    }
    let at = match edge {
        Edge::Start => first,
        Edge::End => end.wrapping_sub(bytes),
    };
    Some(AlignedBuf { ptr: NonNull::new(at).unwrap().cast(), len, map: Some(map) })
}

#[test]
fn guards_are_where_a_buffer_ends() {
    let may_be_read = |at: *const f32| {
        region::query(at).is_ok_and(|region| region.protection().contains(Protection::READ))
    };
    for len in [1, 1000, 1024, 5000] {
        let [start, end] = [Edge::Start, Edge::End]
            .map(|edge| guarded(edge, || AlignedBuf::from_slice(&vec![1.0; len])));
        assert!(start.iter().chain(&*end).all(|&value| value == 1.0));
        assert!(!may_be_read(start.as_ptr().wrapping_sub(1)) && may_be_read(start.as_ptr()));
        assert!(!may_be_read(end.as_ptr_range().end) && may_be_read(&raw const end[len - 1]));
    }
}
