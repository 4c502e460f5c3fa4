//! Writes JPEG files of any layout, which no encoder at hand does: sampling factors, components a
//! scan, sequential or progressive. What they show is smooth, so that no two ways of upsampling differ
//! by much, and known without a decoder.

use std::f64::consts::PI;

/// How a file is laid out.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// Horizontal and vertical sampling factor of each component: 1 (grey), 3 or 4.
    pub(crate) sampling: Vec<(usize, usize)>,
    /// Components of each scan (of the first pass, if progressive).
    pub(crate) scans: Vec<Vec<usize>>,
    pub(crate) progressive: bool,
    /// The transform that Adobe's marker names.
    pub(crate) adobe: Option<u8>,
}

impl Layout {
    /// A colour image in one scan.
    pub(crate) fn colour(sampling: [(usize, usize); 3]) -> Self {
        Self {
            width: 53,
            height: 37,
            sampling: sampling.to_vec(),
            scans: vec![vec![0, 1, 2]],
            progressive: false,
            adobe: None,
        }
    }

    /// What component `c` is at a point of the image.
    fn value(&self, c: usize, x: f64, y: f64) -> f64 {
        let (x, y) = (x / self.width as f64, y / self.height as f64);
        match c {
            0 => 60.0 + 90.0 * x + 50.0 * y,
            1 => 100.0 + 50.0 * y,
            2 => 150.0 - 50.0 * x,
            _ => 250.0 - 60.0 * x * y,
        }
    }

    /// The image as 8-bit RGB.
    pub(crate) fn rgb(&self) -> Vec<u8> {
        let pixel = |i: usize| {
            let (x, y) = ((i % self.width) as f64 + 0.5, (i / self.width) as f64 + 0.5);
            let [a, b, c, k] = [0, 1, 2, 3].map(|c| self.value(c, x, y));
            let ycc = |y: f64, cb: f64, cr: f64| {
                let (cb, cr) = (cb - 128.0, cr - 128.0);
                [y + 1.402 * cr, y - 0.344_14 * cb - 0.714_14 * cr, y + 1.772 * cb]
            };
            let rgb = match (self.sampling.len(), self.adobe) {
                (1, _) => [a; 3],
                (3, Some(0)) => [a, b, c],
                (3, _) => ycc(a, b, c),
                (_, Some(2)) => ycc(a, b, c).map(|v| (255.0 - v).clamp(0.0, 255.0) * k / 255.0),
                _ => [a, b, c].map(|v| v * k / 255.0),
            };
            rgb.map(|v| v.round().clamp(0.0, 255.0) as u8)
        };
        (0..self.width * self.height).flat_map(pixel).collect()
    }

    /// The file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = vec![0xFF, 0xD8];
        if let Some(transform) = self.adobe {
            segment(&mut out, 0xEE, &[b"Adobe\0\x64\0\0\0\0".as_slice(), &[transform]].concat());
        }
        segment(&mut out, 0xDB, &[&[0][..], &[QUANT; 64]].concat());
        let (w, h) = (self.width as u16, self.height as u16);
        let mut frame = vec![8];
        frame.extend(h.to_be_bytes());
        frame.extend(w.to_be_bytes());
        frame.push(self.sampling.len() as u8);
        for (c, &(h, v)) in self.sampling.iter().enumerate() {
            frame.extend([c as u8 + 1, (h << 4 | v) as u8, 0]);
        }
        segment(&mut out, if self.progressive { 0xC2 } else { 0xC0 }, &frame);
        // Codes of one length: 4 bits for 12 categories, 8 bits for the symbols of AC.
        let mut counts = [0_u8; 16];
        counts[3] = 12;
        segment(&mut out, 0xC4, &[&[0][..], &counts, &(0..12).collect::<Vec<u8>>()].concat());
        let (mut counts, symbols) = ([0_u8; 16], symbols());
        counts[7] = symbols.len() as u8;
        segment(&mut out, 0xC4, &[&[0x10][..], &counts, &symbols].concat());

        let blocks: Vec<Blocks> = (0..self.sampling.len()).map(|c| self.blocks(c)).collect();
        for scan in &self.scans {
            let last = if self.progressive { 0 } else { 63 };
            self.scan(&mut out, scan, &blocks, 0, last);
        }
        if self.progressive {
            (0..blocks.len()).for_each(|c| self.scan(&mut out, &[c], &blocks, 1, 63));
        }
        out.extend([0xFF, 0xD9]);
        out
    }

    fn most(&self) -> (usize, usize) {
        let most = |f: fn(&(usize, usize)) -> usize| self.sampling.iter().map(f).max().unwrap();
        (most(|s| s.0), most(|s| s.1))
    }

    /// Quantised coefficients of the blocks of component `c`, whole MCUs of them.
    fn blocks(&self, c: usize) -> Blocks {
        let ((h, v), (hm, vm)) = (self.sampling[c], self.most());
        let across = self.width.div_ceil(8 * hm) * h;
        let down = self.height.div_ceil(8 * vm) * v;
        let (sx, sy) = (hm as f64 / h as f64, vm as f64 / v as f64);
        let block = |i: usize| {
            let (bx, by) = (i % across * 8, i / across * 8);
            let sample = |x: usize, y: usize| {
                let x = ((bx + x) as f64 + 0.5) * sx;
                let y = ((by + y) as f64 + 0.5) * sy;
                self.value(c, x.min(self.width as f64), y.min(self.height as f64)) - 128.0
            };
            transform(sample)
        };
        Blocks { across, blocks: (0..across * down).map(block).collect() }
    }

    fn scan(&self, out: &mut Vec<u8>, scan: &[usize], all: &[Blocks], first: u8, last: u8) {
        let mut header = vec![scan.len() as u8];
        scan.iter().for_each(|&c| header.extend([c as u8 + 1, 0]));
        header.extend([first, last, 0]);
        segment(out, 0xDA, &header);
        let (hm, vm) = self.most();
        let mut bits = Bits { out, held: 0, count: 0 };
        let mut before = [0; 4];
        let mut write = |bits: &mut Bits<'_>, c: usize, x: usize, y: usize| {
            let block = &all[c].blocks[y * all[c].across + x];
            if first == 0 {
                let difference = block[0] - before[c];
                before[c] = block[0];
                let size = bits_of(difference);
                bits.put(size, 4);
                bits.signed(difference, size);
            }
            if last > 0 {
                bits.coefficients(&block[1..]);
            }
        };
        if let &[c] = scan {
            let (h, v) = self.sampling[c];
            let across = (self.width * h).div_ceil(hm).div_ceil(8);
            let down = (self.height * v).div_ceil(vm).div_ceil(8);
            (0..across * down).for_each(|i| write(&mut bits, c, i % across, i / across));
        } else {
            let (across, down) = (self.width.div_ceil(8 * hm), self.height.div_ceil(8 * vm));
            for (mx, my) in (0..down).flat_map(|y| (0..across).map(move |x| (x, y))) {
                for &c in scan {
                    let (h, v) = self.sampling[c];
                    (0..h * v).for_each(|i| write(&mut bits, c, mx * h + i % h, my * v + i / h));
                }
            }
        }
        bits.finish();
    }
}

const QUANT: u8 = 2;

struct Blocks {
    across: usize,
    /// In zigzag order.
    blocks: Vec<[i32; 64]>,
}

/// Runs of 0 to 15 zeros and sizes of 1 to 10 bits, the end of a block, 16 zeros.
fn symbols() -> Vec<u8> {
    let runs = (0..16_u8).flat_map(|run| (1..=10).map(move |size| run << 4 | size));
    [0x00, 0xF0].into_iter().chain(runs).collect()
}

fn segment(out: &mut Vec<u8>, code: u8, content: &[u8]) {
    out.extend([0xFF, code]);
    out.extend((content.len() as u16 + 2).to_be_bytes());
    out.extend(content);
}

fn bits_of(value: i32) -> u32 {
    32 - value.unsigned_abs().leading_zeros()
}

/// The quantised cosine transform of a block, in zigzag order.
fn transform(sample: impl Fn(usize, usize) -> f64) -> [i32; 64] {
    let samples: Vec<f64> = (0..64).map(|i| sample(i % 8, i / 8)).collect();
    let basis = |u: usize, x: usize| {
        let scale = if u == 0 { (0.5_f64).sqrt() } else { 1.0 };
        scale / 2.0 * (PI * u as f64 * (2 * x + 1) as f64 / 16.0).cos()
    };
    let mut places: Vec<(usize, usize)> = (0..64).map(|i| (i % 8, i / 8)).collect();
    // Diagonal after diagonal, up and down in turn.
    places.sort_by_key(|&(u, v)| (u + v, if (u + v) % 2 == 0 { u } else { v }));
    std::array::from_fn(|i| {
        let (u, v) = places[i];
        let terms = (0..64).map(|i| samples[i] * basis(u, i % 8) * basis(v, i / 8));
        (terms.sum::<f64>() / f64::from(QUANT)).round() as i32
    })
}

struct Bits<'a> {
    out: &'a mut Vec<u8>,
    held: u64,
    count: u32,
}

impl Bits<'_> {
    fn put(&mut self, value: u32, count: u32) {
        self.held = self.held << count | u64::from(value);
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.held >> self.count) as u8;
            self.out.push(byte);
            if byte == 0xFF {
                self.out.push(0);
            }
        }
    }

    fn signed(&mut self, value: i32, size: u32) {
        let value = if value < 0 { value + (1 << size) - 1 } else { value };
        self.put(value as u32, size);
    }

    fn symbol(&mut self, symbol: u8) {
        let code = symbols().iter().position(|&s| s == symbol).unwrap();
        self.put(code as u32, 8);
    }

    fn coefficients(&mut self, values: &[i32]) {
        let mut zeros = 0;
        for &value in values {
            if value == 0 {
                zeros += 1;
                continue;
            }
            while zeros > 15 {
                self.symbol(0xF0);
                zeros -= 16;
            }
            let size = bits_of(value);
            self.symbol((zeros << 4) as u8 | size as u8);
            self.signed(value, size);
            zeros = 0;
        }
        if zeros > 0 {
            self.symbol(0x00);
        }
    }

    fn finish(mut self) {
        let rest = (8 - self.count % 8) % 8;
        self.put((1 << rest) - 1, rest);
    }
}
