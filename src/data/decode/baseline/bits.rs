//! The entropy-coded data as bits, and the coefficients of a block in them.

use super::header::ZIGZAG;
use super::tables::{Entry, Table};
use super::transform::{BLOCKS, Group};

/// Zeros after the data, so that reading ahead stays inside.
const AHEAD: usize = 16;

/// The data of a scan without the zeros that are stuffed after each 0xFF, and then some zeros. None unless the end of
/// the image is the first marker in them.
pub(super) fn unstuffed(data: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(data.len() + AHEAD);
    let mut rest = data;
    loop {
        let (before, after) = rest.split_at(memchr::memchr(0xFF, rest)?);
        bytes.extend_from_slice(before);
        match after.get(1)? {
            0x00 => bytes.push(0xFF),
            0xD9 => break,
            _ => return None,
        }
        rest = &after[2..];
    }
    bytes.resize(bytes.len() + AHEAD, 0);
    Some(bytes)
}

/// Places of coefficients along the zigzag, the last one standing for all that are beyond a block.
const PLACES: [u8; 256] = {
    let mut places = [64; 256];
    let mut i = 0;
    while i < 64 {
        places[i] = ZIGZAG[i];
        i += 1;
    }
    places
};

/// A reader of bits.
pub(super) struct Bits<'a> {
    data: &'a [u8],
    /// The next byte that is not wholly in `bits`.
    at: usize,
    /// Bits that come next, the first one at the top.
    bits: u64,
    /// How many of them count.
    count: u32,
}

impl<'a> Bits<'a> {
    /// Bits of what [`unstuffed`] returned.
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, bits: 0, count: 0 }
    }

    /// Whether no more than the data has been read.
    pub(super) fn is_inside(&self) -> bool {
        self.at * 8 - self.count as usize <= (self.data.len() - AHEAD) * 8
    }

    /// Reads the coefficients of a block, of which block `b` of `to` gets those that are there if `KEEP`. `before` is the
    /// last DC coefficient of the component. Returns one more than the place of the last along the zigzag; none if this
    /// is no block.
    ///
    /// It is the loop that takes most of the time: a function of its own, so that all of its state is in registers.
    #[inline(never)]
    pub(super) fn block<const KEEP: bool>(
        &mut self,
        dc: &Table,
        ac: &Table,
        before: &mut i32,
        to: &mut Group,
        b: usize,
    ) -> Option<usize> {
        let Self { data, mut at, mut bits, mut count } = *self;
        /// Makes 56 bits or more count; none beyond the end.
        macro_rules! refill {
            () => {
                let word = u64::from_be_bytes(*data.get(at..)?.first_chunk()?);
                bits |= word >> count;
                at += ((63 - count) >> 3) as usize;
                count |= 56;
            };
        }
        /// What the next code means, and the value after it: 27 bits at most.
        macro_rules! value {
            ($table:expr) => {{
                let entry = $table.look_up(bits)?;
                let value = bits << entry.length();
                bits <<= entry.total();
                count -= entry.total();
                // Numbers whose first bit is 0 stand for negative ones.
                let negative = !(value as i64 >> 63);
                let value = (value ^ negative as u64) >> 1 >> entry.rest();
                (entry, (value as i32 ^ negative as i32).wrapping_sub(negative as i32))
            }};
        }
        refill!();
        let (_, difference) = value!(dc);
        *before += difference;
        if KEEP {
            to[b] = *before as i16;
        }
        let mut k = 1;
        loop {
            // Two values take 52 bits at most.
            refill!();
            let (entry, value) = value!(ac);
            k += entry.run();
            if KEEP {
                to[usize::from(PLACES[k & 255]) * BLOCKS + b] = value as i16;
            }
            k += 1;
            if k >= 64 {
                break;
            }
            let (entry, value) = value!(ac);
            k += entry.run();
            if KEEP {
                to[usize::from(PLACES[k & 255]) * BLOCKS + b] = value as i16;
            }
            k += 1;
            if k >= 64 {
                break;
            }
        }
        *self = Self { data, at, bits, count };
        match k.checked_sub(Entry::END + 1) {
            Some(end) => Some(end),
            None => (k == 64).then_some(64),
        }
    }
}
