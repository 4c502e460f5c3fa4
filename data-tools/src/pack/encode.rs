//! Images to JPEG in 4:4:4: the bytes of the crate `jpeg-encoder`, in less than half of its time.
//!
//! Its own vector instructions round otherwise than its plain code, so that the bytes would depend on the machine.
//! Here everything but the coding itself is in loops over whole numbers that the compiler makes vectors of, sixteen
//! blocks at a time, for every instruction set alike. All that comes before the data of a file, and with it all
//! tables, is what that crate writes.
//!
//! The cosine transform and the division by reciprocals are those of the Independent JPEG Group's library, as
//! that crate has them.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use resnet_cpu::RgbImage;
use resnet_cpu::simd::{Isa, Simd, SimdOp};

/// Blocks of a group.
const BLOCKS: usize = 16;

/// Where coefficients, which are coded along a zigzag, stand in a block's rows.
const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// The image as JPEG of `quality`, 1 to 100.
///
/// # Errors
/// The reason why there is no such JPEG: a side is too long.
pub(super) fn jpeg(image: &RgbImage, quality: u8) -> Result<Vec<u8>, String> {
    // Sides are within the limits, which are below those of JPEG, unless a flag has raised them.
    let side = |side: usize| u16::try_from(side).map_err(|error| error.to_string());
    let (width, height) = (side(image.width())?, side(image.height())?);
    let mut tables = Tables::of(quality)?;
    let frame = tables.frame;
    tables.head[frame..frame + 2].copy_from_slice(&height.to_be_bytes());
    tables.head[frame + 2..frame + 4].copy_from_slice(&width.to_be_bytes());
    Ok(Isa::best().dispatch(Encode { image, tables: &tables }))
}

/// A component's numbers.
#[derive(Clone)]
struct Table {
    /// What a coefficient's amount is added to and multiplied by, and then divided by 2^15.
    corrections: [i32; 64],
    reciprocals: [i32; 64],
    /// Length and code of each symbol.
    dc: [(u32, u32); 256],
    ac: [(u32, u32); 256],
}

/// What `jpeg-encoder` writes before the data of an image, and what it says.
struct Tables {
    head: Vec<u8>,
    /// Where in it the height is, and the width after it.
    frame: usize,
    /// Of luma and of chroma.
    tables: [Table; 2],
}

impl Tables {
    fn of(quality: u8) -> Result<Self, String> {
        let mut head = Vec::new();
        let mut encoder = Encoder::new(&mut head, quality);
        encoder.set_sampling_factor(SamplingFactor::R_4_4_4);
        encoder.encode(&[0; 3], 1, 1, ColorType::Rgb).map_err(|error| error.to_string())?;
        let none = [(0, 0); 256];
        let table = Table { corrections: [0; 64], reciprocals: [0; 64], dc: none, ac: none };
        let mut found = Self { head: Vec::new(), frame: 0, tables: [table.clone(), table] };
        let mut at = 2;
        loop {
            let (code, length) = (head[at + 1], u16::from_be_bytes([head[at + 2], head[at + 3]]));
            let end = at + 2 + usize::from(length);
            let content = &head[at + 4..end];
            match code {
                0xC0 => found.frame = at + 5,
                0xDB => found.tables[usize::from(content[0])].quantization(&content[1..]),
                0xC4 => {
                    let table = &mut found.tables[usize::from(content[0] & 15)];
                    let codes = if content[0] >> 4 == 0 { &mut table.dc } else { &mut table.ac };
                    huffman(&content[1..], codes);
                }
                _ => {}
            }
            at = end;
            if code == 0xDA {
                break;
            }
        }
        head.truncate(at);
        found.head = head;
        Ok(found)
    }
}

impl Table {
    fn quantization(&mut self, steps: &[u8]) {
        for (&place, &step) in ZIGZAG.iter().zip(steps) {
            // The transform's numbers are eight times too large.
            let divisor = 8 * i32::from(step);
            let (quotient, rest) = ((1 << 15) / divisor, (1 << 15) % divisor);
            let half = divisor / 2;
            let up = rest > half;
            self.reciprocals[place] = quotient + i32::from(up);
            self.corrections[place] = half + i32::from(rest > 0 && !up);
        }
    }
}

fn huffman(content: &[u8], codes: &mut [(u32, u32); 256]) {
    let (lengths, mut symbols) = content.split_at(16);
    let mut code = 0;
    for (&count, length) in lengths.iter().zip(1..) {
        let (now, later) = symbols.split_at(usize::from(count));
        for &symbol in now {
            codes[usize::from(symbol)] = (length, code);
            code += 1;
        }
        symbols = later;
        code <<= 1;
    }
}

struct Encode<'a> {
    image: &'a RgbImage,
    tables: &'a Tables,
}

/// Coefficients of a group, `[64, BLOCKS]`.
type Group = [i16; 64 * BLOCKS];

impl SimdOp for Encode<'_> {
    type Output = Vec<u8>;

    #[inline(always)]
    fn eval<S: Simd>(self, _: S) -> Vec<u8> {
        let Self { image, tables } = self;
        let blocks = image.width().div_ceil(8);
        let groups = blocks.div_ceil(BLOCKS);
        let stride = groups * BLOCKS * 8;
        let mut planes = [0; 3].map(|_| vec![0_u8; stride * 8]);
        let mut coefficients = vec![[[0; 64 * BLOCKS]; 3]; groups];
        let mut before = [0; 3];
        let mut bits = Bits { bytes: tables.head.clone(), bits: 0, count: 0 };
        for row in 0..image.height().div_ceil(8) {
            for y in 0..8 {
                // Below the image its last row is repeated, and right of it its last column.
                let from = image.row((row * 8 + y).min(image.height() - 1));
                let [luma, blue, red] = &mut planes;
                let to = y * stride..(y + 1) * stride;
                let (luma, blue, red) =
                    (&mut luma[to.clone()], &mut blue[to.clone()], &mut red[to]);
                components(from, luma, blue, red);
                for plane in [luma, blue, red] {
                    let last = plane[image.width() - 1];
                    plane[image.width()..].fill(last);
                }
            }
            for (i, group) in coefficients.iter_mut().enumerate() {
                for c in 0..3 {
                    let table = &tables.tables[c.min(1)];
                    transform(&planes[c][i * BLOCKS * 8..], stride, table, &mut group[c]);
                }
            }
            for block in 0..blocks {
                for c in 0..3 {
                    let group = &coefficients[block / BLOCKS][c];
                    bits.block(group, block % BLOCKS, &mut before[c], &tables.tables[c.min(1)]);
                }
            }
        }
        bits.end()
    }
}

/// A row of pixels to rows of luma and chroma.
#[inline(always)]
fn components(pixels: &[u8], luma: &mut [u8], blue: &mut [u8], red: &mut [u8]) {
    const HALF: i32 = 0x7FFF;
    const MIDDLE: i32 = (128 << 16) + HALF;
    let pixels = pixels.as_chunks::<3>().0.iter();
    for (((pixel, y), cb), cr) in pixels.zip(luma).zip(blue).zip(red) {
        let [r, g, b] = [i32::from(pixel[0]), i32::from(pixel[1]), i32::from(pixel[2])];
        *y = ((19595 * r + 38470 * g + 7471 * b + HALF) >> 16) as u8;
        *cb = ((-11059 * r - 21709 * g + 32768 * b + MIDDLE) >> 16) as u8;
        *cr = ((32768 * r - 27439 * g - 5329 * b + MIDDLE) >> 16) as u8;
    }
}

/// Samples of blocks beside each other to their coefficients.
#[inline(always)]
fn transform(plane: &[u8], stride: usize, table: &Table, group: &mut Group) {
    let mut samples = [[0_i32; 8 * BLOCKS]; 8];
    for y in 0..8 {
        let row = &plane[y * stride..][..8 * BLOCKS];
        for b in 0..BLOCKS {
            for x in 0..8 {
                samples[y][x * BLOCKS + b] = i32::from(row[b * 8 + x]) - 128;
            }
        }
    }
    for row in &mut samples {
        for b in 0..BLOCKS {
            let mut a = [0; 8];
            for x in 0..8 {
                a[x] = row[x * BLOCKS + b];
            }
            // In the first pass numbers are kept four times as large.
            let (sums, products) = cosine(a);
            for (i, x) in [0, 4].into_iter().enumerate() {
                row[x * BLOCKS + b] = sums[i] << 2;
            }
            for (i, x) in PRODUCTS.into_iter().enumerate() {
                row[x * BLOCKS + b] = (products[i] + (1 << 10)) >> 11;
            }
        }
    }
    for x in 0..8 {
        for b in 0..BLOCKS {
            let mut a = [0; 8];
            for y in 0..8 {
                a[y] = samples[y][x * BLOCKS + b];
            }
            let (sums, products) = cosine(a);
            for (i, y) in [0, 4].into_iter().enumerate() {
                samples[y][x * BLOCKS + b] = (sums[i] + 2) >> 2;
            }
            for (i, y) in PRODUCTS.into_iter().enumerate() {
                samples[y][x * BLOCKS + b] = (products[i] + (1 << 14)) >> 15;
            }
        }
    }
    for place in 0..64 {
        let (correction, reciprocal) = (table.corrections[place], table.reciprocals[place]);
        let samples = &samples[place / 8][place % 8 * BLOCKS..][..BLOCKS];
        let group = &mut group[place * BLOCKS..][..BLOCKS];
        for b in 0..BLOCKS {
            let amount = ((samples[b].abs() + correction) * reciprocal) >> 15;
            group[b] = (if samples[b] < 0 { -amount } else { amount }) as i16;
        }
    }
}

/// Which coefficients the products of [`cosine`] are.
const PRODUCTS: [usize; 6] = [2, 6, 7, 5, 3, 1];

/// Coefficients 0 and 4 of eight numbers, and the others, in the order of [`PRODUCTS`], times 2^13.
#[inline(always)]
fn cosine(a: [i32; 8]) -> ([i32; 2], [i32; 6]) {
    let (t0, t1, t2, t3) = (a[0] + a[7], a[1] + a[6], a[2] + a[5], a[3] + a[4]);
    let (t4, t5, t6, t7) = (a[3] - a[4], a[2] - a[5], a[1] - a[6], a[0] - a[7]);
    let (even, odd, t12, t13) = (t0 + t3, t1 + t2, t1 - t2, t0 - t3);
    let z = (t12 + t13) * 4433;
    let z5 = (t4 + t6 + t5 + t7) * 9633;
    let z1 = (t4 + t7) * -7373;
    let z2 = (t5 + t6) * -20995;
    let z3 = (t4 + t6) * -16069 + z5;
    let z4 = (t5 + t7) * -3196 + z5;
    let products = [
        z + t13 * 6270,
        z - t12 * 15137,
        t4 * 2446 + z1 + z3,
        t5 * 16819 + z2 + z4,
        t6 * 25172 + z2 + z3,
        t7 * 12299 + z1 + z4,
    ];
    ([even + odd, even - odd], products)
}

/// The data of an image, bit by bit.
struct Bits {
    bytes: Vec<u8>,
    /// What is not in them yet: the last `count` bits, of which there are fewer than 32 between two calls.
    bits: u64,
    count: u32,
}

impl Bits {
    /// Adds the last `count` bits of `bits`, 32 at most; the others are zeros.
    #[inline(always)]
    fn add(&mut self, bits: u32, count: u32) {
        self.bits = self.bits << count | u64::from(bits);
        self.count += count;
        if self.count >= 32 {
            self.count -= 32;
            let word = ((self.bits >> self.count) as u32).to_be_bytes();
            if word.contains(&0xFF) {
                self.stuffed(word);
            } else {
                self.bytes.extend_from_slice(&word);
            }
        }
    }

    /// Adds bytes, and a zero after each that could be taken for a marker.
    #[cold]
    fn stuffed(&mut self, word: [u8; 4]) {
        for byte in word {
            self.bytes.push(byte);
            if byte == 0xFF {
                self.bytes.push(0);
            }
        }
    }

    /// Adds the code of `symbol`, less its lower half, and `value`.
    #[inline(always)]
    fn value(&mut self, codes: &[(u32, u32); 256], run: u32, value: i16) {
        let value = i32::from(value);
        let size = 32 - value.unsigned_abs().leading_zeros();
        // Negative numbers stand for those of their size whose first bit is 0.
        let low = (value - i32::from(value < 0)) as u32 & ((1 << size) - 1);
        let (length, code) = codes[(run << 4 | size) as usize & 0xFF];
        self.add(code << size | low, length + size);
    }

    /// Adds block `b` of a group; `before` is the DC coefficient of the one before it.
    #[inline(always)]
    fn block(&mut self, group: &Group, b: usize, before: &mut i16, table: &Table) {
        let dc = group[b];
        self.value(&table.dc, 0, dc.wrapping_sub(*before));
        *before = dc;
        let mut there = 0_u64;
        let mut values = [0_i16; 64];
        for k in 1..64 {
            values[k] = group[ZIGZAG[k] * BLOCKS + b];
            there |= u64::from(values[k] != 0) << k;
        }
        let mut next = 1;
        while there != 0 {
            let k = there.trailing_zeros();
            let mut run = k - next;
            while run > 15 {
                let (length, code) = table.ac[0xF0];
                self.add(code, length);
                run -= 16;
            }
            self.value(&table.ac, run, values[k as usize]);
            there &= there - 1;
            next = k + 1;
        }
        if next < 64 {
            let (length, code) = table.ac[0];
            self.add(code, length);
        }
    }

    /// The bytes: the last one is filled up with ones, and the marker of the end follows.
    fn end(mut self) -> Vec<u8> {
        self.add(0x7F, 7);
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.bits >> self.count) as u8;
            self.bytes.push(byte);
            if byte == 0xFF {
                self.bytes.push(0);
            }
        }
        self.bytes.extend_from_slice(&[0xFF, 0xD9]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use resnet_cpu::runtime::Rng;

    #[test]
    fn bytes_are_those_of_the_crate_on_every_instruction_set() {
        let mut rng = Rng::named(0, "encoder");
        for i in 0..500 {
            let [width, height] = [1 + rng.below(200), 1 + rng.below(40)];
            let quality = [95, 100, 1 + rng.below(100) as u8][i % 3];
            let (kind, base) = (rng.below(5), rng.below(256));
            let pixels: Vec<u8> = (0..width * height * 3)
                .map(|i| {
                    let (x, y, c) = (i / 3 % width, i / 3 / width, i % 3);
                    (match kind {
                        0 => rng.below(256),
                        1 => rng.below(2) * 255,
                        2 => base + x / 3 + y * (1 + c) + rng.below(3),
                        3 => (x / (1 + base % 9) % 2) * 255,
                        _ => base,
                    }) as u8
                })
                .collect();
            let mut expected = Vec::new();
            let mut encoder = Encoder::new(&mut expected, quality);
            encoder.set_sampling_factor(SamplingFactor::R_4_4_4);
            encoder.encode(&pixels, width as u16, height as u16, ColorType::Rgb).unwrap();
            let image = RgbImage::new(width, height, pixels);
            let found = jpeg(&image, quality).unwrap();
            assert!(found == expected, "{width}x{height}, quality {quality}, kind {kind}");
            let mut tables = Tables::of(quality).unwrap();
            tables.head = found[..tables.head.len()].to_vec();
            for isa in Isa::available() {
                let found = isa.dispatch(Encode { image: &image, tables: &tables });
                assert!(found == expected, "{isa}: {width}x{height}, quality {quality}");
            }
        }
    }

    #[test]
    fn a_side_that_jpeg_has_no_room_for_is_an_error() {
        assert!(jpeg(&RgbImage::new(65_536, 1, vec![0; 3 * 65_536]), 95).is_err());
        assert!(jpeg(&RgbImage::new(65_535, 1, vec![0; 3 * 65_535]), 95).is_ok());
    }
}
