//! How the inner loop finds the values of A: a few pointers and two distances.

/// A column of A: where each of a few groups of its rows begins, so that every address is one of these plus
/// a small multiple of the rows' distance, which an instruction can add by itself.
#[derive(Clone, Copy)]
pub(super) struct Column {
    starts: [*const f32; Column::GROUPS],
    /// From row to row, in bytes.
    stride: usize,
    triple_stride: usize,
}

impl Column {
    /// Groups of rows.
    pub(super) const GROUPS: usize = 3;

    /// Rows of each group where there are `rows`; the last group takes what is left.
    pub(super) const fn group_rows(rows: usize) -> usize {
        rows.div_ceil(Self::GROUPS)
    }

    /// The column whose `MR` rows are `stride` apart, the first at `a`.
    #[inline(always)]
    pub(super) fn new<const MR: usize>(a: *const f32, stride: usize) -> Self {
        let start = |group| a.wrapping_add(group * Self::group_rows(MR) * stride);
        let stride = stride * size_of::<f32>();
        Self { starts: [start(0), start(1), start(2)], stride, triple_stride: 3 * stride }
    }

    /// The column `distance` further on.
    #[inline(always)]
    pub(super) fn moved(self, distance: usize) -> Self {
        Self { starts: self.starts.map(|start| start.wrapping_add(distance)), ..self }
    }

    /// Where row `row` of group `group` is.
    #[inline(always)]
    pub(super) fn at(&self, group: usize, row: usize) -> *const f32 {
        match row {
            3 => self.starts[group].wrapping_byte_add(self.triple_stride),
            row => self.starts[group].wrapping_byte_add(row * self.stride),
        }
    }

    /// Lets the compiler forget how the fields depend on each other. It would otherwise go from row to row
    /// by additions, each of which waits for the one before, or keep an address for each row and run out
    /// of registers.
    #[inline(always)]
    pub(super) fn pin(&mut self) {
        #[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
        // SAFETY: there is no instruction in it.
        unsafe {
            std::arch::asm!(
                "/* {} {} {} {} {} */",
                inout(reg) self.starts[0],
                inout(reg) self.starts[1],
                inout(reg) self.starts[2],
                inout(reg) self.stride,
                inout(reg) self.triple_stride,
                options(readonly, nostack, preserves_flags),
            );
        }
    }
}
