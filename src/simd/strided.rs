//! Addresses at equal distances, found by the instructions that use them.

/// The places `start`, `start + stride` and so on.
#[derive(Clone, Copy)]
pub(crate) struct Strided {
    start: *const f32,
    /// In bytes.
    stride: usize,
    triple_stride: usize,
}

impl Strided {
    /// Places `stride` floats apart. The compiler is made to forget how the fields depend on each other, and on where a
    /// loop began: it would otherwise keep a pointer for each place of each call in a loop, three dozen of them, and
    /// run out of registers.
    #[inline(always)]
    pub(crate) fn new(start: *const f32, stride: usize) -> Self {
        let stride = stride * size_of::<f32>();
        let mut strided = Self { start, stride, triple_stride: 3 * stride };
        strided.pin();
        strided
    }

    #[inline(always)]
    fn pin(&mut self) {
        #[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
        #[expect(clippy::pointers_in_nomem_asm_block, reason = "there is no instruction in it")]
        // SAFETY: there is no instruction in it.
        unsafe {
            std::arch::asm!(
                "/* {} {} {} */",
                inout(reg) self.start,
                inout(reg) self.stride,
                inout(reg) self.triple_stride,
                options(nomem, nostack, preserves_flags),
            );
        }
    }

    /// The place after `i` strides, up to 7: at most two additions, most of them part of the instruction that reads there.
    #[inline(always)]
    pub(crate) fn at(self, i: usize) -> *const f32 {
        let start = self.start;
        match i {
            3 => start.wrapping_byte_add(self.triple_stride),
            5 | 7 => {
                start.wrapping_byte_add(self.triple_stride).wrapping_byte_add((i - 3) * self.stride)
            }
            6 => start.wrapping_byte_add(2 * self.triple_stride),
            _ => start.wrapping_byte_add(i * self.stride),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Strided;

    #[test]
    fn places_are_equally_far_apart() {
        let values = [0.0_f32; 64];
        for stride in [1, 3, 7] {
            let places = Strided::new(values.as_ptr(), stride);
            for i in 0..8 {
                assert_eq!(places.at(i), values[i * stride..].as_ptr(), "{i} strides of {stride}");
            }
        }
    }
}
