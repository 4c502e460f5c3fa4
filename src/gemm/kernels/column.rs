//! How the inner loop finds the values of A: a few pointers and two distances.

/// A column of A: where each of a few groups of its rows begins, so that every address is one of these plus
/// a small multiple of the rows' distance, which an instruction can add by itself.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    starts: [*const u8; Column::GROUPS],
    /// From row to row, in bytes.
    stride: usize,
    triple_stride: usize,
}

impl Column {
    /// Groups of rows.
    pub(crate) const GROUPS: usize = 3;

    /// Rows of each group where there are `rows`; the last group takes what is left.
    pub(crate) const fn group_rows(rows: usize) -> usize {
        rows.div_ceil(Self::GROUPS)
    }

    /// The column whose `MR` rows are `stride` bytes apart, the first at `a`.
    #[inline(always)]
    pub(crate) fn new<const MR: usize>(a: *const u8, stride: usize) -> Self {
        let start = |group| a.wrapping_add(group * Self::group_rows(MR) * stride);
        Self { starts: [start(0), start(1), start(2)], stride, triple_stride: 3 * stride }
    }

    /// The column `distance` bytes further on.
    #[inline(always)]
    pub(crate) fn moved(self, distance: usize) -> Self {
        Self { starts: self.starts.map(|start| start.wrapping_add(distance)), ..self }
    }

    /// Where row `row` of group `group` is.
    #[inline(always)]
    pub(crate) fn at(&self, group: usize, row: usize) -> *const u8 {
        match row {
            3 => self.starts[group].wrapping_add(self.triple_stride),
            row => self.starts[group].wrapping_add(row * self.stride),
        }
    }

    /// Lets the compiler forget how the fields depend on each other. It would otherwise go from row to row
    /// by additions, each of which waits for the one before, or keep an address for each row and run out
    /// of registers.
    #[inline(always)]
    pub(crate) fn pin(&mut self) {
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
