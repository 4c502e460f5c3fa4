//! Huffman tables, made for looking up: most codes are found by their first bits, in one step.

/// Bits by which the table is looked up.
const BITS: u32 = 10;

/// What a table is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Symbols are the bits of a difference.
    Dc,
    /// Symbols are a run of zeros and the bits of the value after it.
    Ac,
}

/// What a code means.
#[derive(Clone, Copy)]
pub(super) struct Entry(u32);

impl Entry {
    /// In place of a run, for the end of a block: beyond whatever a run can reach.
    pub(super) const END: usize = 128;

    fn new(length: u32, symbol: u8, kind: Kind) -> Self {
        let size = u32::from(symbol & 15);
        let run = match (kind, symbol >> 4, size) {
            (Kind::Dc, ..) => 0,
            // Sixteen zeros: fifteen, and one for the value.
            (Kind::Ac, 15, 0) => 15,
            (Kind::Ac, _, 0) => Self::END as u32,
            (Kind::Ac, run, _) => u32::from(run),
        };
        Self((length + size) | length << 8 | (63 - size) << 16 | run << 24)
    }

    /// Bits of the code and the value.
    #[inline(always)]
    pub(super) fn total(self) -> u32 {
        self.0 & 0xFF
    }

    /// Bits of the code.
    #[inline(always)]
    pub(super) fn length(self) -> u32 {
        self.0 >> 8 & 0xFF
    }

    /// 63 less the bits of the value.
    #[inline(always)]
    pub(super) fn rest(self) -> u32 {
        self.0 >> 16 & 0xFF
    }

    /// Zeros before the value, or [`END`](Self::END).
    #[inline(always)]
    pub(super) fn run(self) -> usize {
        (self.0 >> 24) as usize
    }
}

/// A table for looking up.
pub(super) struct Table {
    /// By the first bits; 0 where a code is longer or there is none.
    short: [u32; 1 << BITS],
    /// For each length: the code after the last one, moved to the top of 16 bits; 0 if there are none.
    ends: [u32; 17],
    /// For each length: the place of its first symbol less its first code.
    places: [i32; 17],
    symbols: Vec<u8>,
    kind: Kind,
}

impl Table {
    /// The table with `lengths[i]` codes of `i + 1` bits; none if that is no code, or one that a baseline image
    /// of 8 bits cannot have.
    pub(super) fn new(lengths: &[u8; 16], symbols: &[u8], kind: Kind) -> Option<Box<Self>> {
        let most = match kind {
            Kind::Dc => 11,
            Kind::Ac => 10,
        };
        let within = |&symbol: &u8| match kind {
            Kind::Dc => symbol <= most,
            Kind::Ac => symbol & 15 <= most,
        };
        if symbols.is_empty() || symbols.len() > 256 || !symbols.iter().all(within) {
            return None;
        }
        let mut table = Box::new(Self {
            short: [0; 1 << BITS],
            ends: [0; 17],
            places: [0; 17],
            symbols: symbols.to_vec(),
            kind,
        });
        let (mut code, mut place) = (0_u32, 0);
        for (&count, length) in lengths.iter().zip(1..) {
            let (first, next) = (code, code + u32::from(count));
            // No code may be all ones.
            if count > 0 && next >= 1 << length {
                return None;
            }
            table.places[length as usize] = place as i32 - first as i32;
            if count > 0 {
                table.ends[length as usize] = next << (16 - length);
            }
            for code in first..next {
                if length <= BITS {
                    let entry = Entry::new(length, symbols[place], kind);
                    let at = (code << (BITS - length)) as usize;
                    table.short[at..at + (1 << (BITS - length))].fill(entry.0);
                }
                place += 1;
            }
            code = next << 1;
        }
        Some(table)
    }

    /// What the code at the top of `bits` means; none if it is none.
    #[inline(always)]
    pub(super) fn look_up(&self, bits: u64) -> Option<Entry> {
        let entry = self.short[(bits >> (64 - BITS)) as usize];
        if entry != 0 { Some(Entry(entry)) } else { self.long(bits) }
    }

    #[cold]
    fn long(&self, bits: u64) -> Option<Entry> {
        let code = (bits >> 48) as u32;
        let length = (BITS + 1..=16).find(|&length| code < self.ends[length as usize])?;
        let place = (code >> (16 - length)) as i32 + self.places[length as usize];
        let symbol = *self.symbols.get(usize::try_from(place).ok()?)?;
        Some(Entry::new(length, symbol, self.kind))
    }
}
