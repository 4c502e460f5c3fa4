//! The markers of a baseline JPEG up to its data: sizes, tables, and how the components are sampled.

use super::tables::{Kind, Table};

/// Where coefficients, which are stored along a zigzag, stand in a block's rows.
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// A component of the image.
#[derive(Clone)]
pub(super) struct Component {
    name: u8,
    /// Blocks of an MCU, across and down.
    pub(super) sampling: [usize; 2],
    quantization: usize,
    /// What its coefficients are multiplied by, in the order of rows.
    pub(super) steps: [i32; 64],
    pub(super) dc: usize,
    pub(super) ac: usize,
}

/// All that is needed to decode the data.
pub(super) struct Header<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    /// One, or three of which the first is luma.
    pub(super) components: Vec<Component>,
    pub(super) dc: [Option<Box<Table>>; 4],
    pub(super) ac: [Option<Box<Table>>; 4],
    /// What follows the header of the scan.
    pub(super) data: &'a [u8],
}

impl<'a> Header<'a> {
    /// Reads it; none if anything about it is not of the plain case.
    pub(super) fn of(bytes: &'a [u8]) -> Option<Self> {
        let mut steps: [Option<[i32; 64]>; 4] = [None; 4];
        let mut header = Self {
            width: 0,
            height: 0,
            components: Vec::new(),
            dc: [const { None }; 4],
            ac: [const { None }; 4],
            data: &[],
        };
        let mut rest = bytes.strip_prefix(b"\xFF\xD8")?;
        loop {
            let [0xFF, code, high, low, ..] = *rest else { return None };
            let end = 2 + usize::from(u16::from_be_bytes([high, low]));
            let content = rest.get(4..end)?;
            rest = &rest[end..];
            match code {
                0xDB => quantization(content, &mut steps)?,
                0xC4 => header.huffman(content)?,
                0xC0 | 0xC1 if header.components.is_empty() => header.frame(content)?,
                // Application data and comments.
                0xE0..=0xEF | 0xFE => {}
                0xDA => {
                    header.scan(content)?;
                    header.data = rest;
                    break;
                }
                // Restart intervals, progressive frames and whatever is rare.
                _ => return None,
            }
        }
        for component in &mut header.components {
            component.steps = steps[component.quantization]?;
        }
        Some(header)
    }

    fn huffman(&mut self, mut content: &[u8]) -> Option<()> {
        while let Some((&kind, tables)) = content.split_first() {
            let (lengths, symbols) = tables.split_first_chunk::<16>()?;
            let count = lengths.iter().map(|&count| usize::from(count)).sum();
            let (symbols, next) = symbols.split_at_checked(count)?;
            let (table, kind) = match kind >> 4 {
                0 => (self.dc.get_mut(usize::from(kind & 15))?, Kind::Dc),
                1 => (self.ac.get_mut(usize::from(kind & 15))?, Kind::Ac),
                _ => return None,
            };
            *table = Some(Table::new(lengths, symbols, kind)?);
            content = next;
        }
        Some(())
    }

    fn frame(&mut self, content: &[u8]) -> Option<()> {
        let (&[8, h0, h1, w0, w1, count], components) = content.split_first_chunk()? else {
            return None;
        };
        self.height = usize::from(u16::from_be_bytes([h0, h1]));
        self.width = usize::from(u16::from_be_bytes([w0, w1]));
        let (components, []) = components.as_chunks::<3>() else { return None };
        if components.len() != usize::from(count) || self.height == 0 || self.width == 0 {
            return None;
        }
        let component = |&[name, sampling, quantization]: &[u8; 3]| Component {
            name,
            sampling: [sampling >> 4, sampling & 15].map(usize::from),
            quantization: usize::from(quantization & 3),
            steps: [0; 64],
            dc: 0,
            ac: 0,
        };
        self.components = components.iter().map(component).collect();
        let sampling: Vec<_> = self.components.iter().map(|c| c.sampling).collect();
        let plain = match sampling[..] {
            [grey] => grey == [1, 1],
            [[across, down], [1, 1], [1, 1]] => {
                (1..=2).contains(&across) && (1..=2).contains(&down)
            }
            _ => false,
        };
        (plain && components.iter().all(|[.., quantization]| *quantization < 4)).then_some(())
    }

    /// The scan has to have all components, in their order, with all their coefficients.
    fn scan(&mut self, content: &[u8]) -> Option<()> {
        let (&count, rest) = content.split_first()?;
        let (tables, spectrum) = rest.split_at_checked(2 * usize::from(count))?;
        let count = usize::from(count);
        if count == 0 || count != self.components.len() || *spectrum != [0, 63, 0] {
            return None;
        }
        for (component, &[name, tables]) in self.components.iter_mut().zip(tables.as_chunks().0) {
            (component.dc, component.ac) = (usize::from(tables >> 4), usize::from(tables & 15));
            if name != component.name || component.dc > 3 || component.ac > 3 {
                return None;
            }
        }
        Some(())
    }
}

fn quantization(mut content: &[u8], steps: &mut [Option<[i32; 64]>; 4]) -> Option<()> {
    while let Some((&number, rest)) = content.split_first() {
        // The upper half is 1 for steps of 16 bits.
        let (table, next) = rest.split_first_chunk::<64>()?;
        if table.contains(&0) {
            return None;
        }
        let mut in_rows = [0; 64];
        for (&place, &step) in ZIGZAG.iter().zip(table) {
            in_rows[usize::from(place)] = i32::from(step);
        }
        *steps.get_mut(usize::from(number))? = Some(in_rows);
        content = next;
    }
    Some(())
}
