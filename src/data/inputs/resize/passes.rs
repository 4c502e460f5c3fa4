//! The two passes of a resizing, over columns and over rows: sums of integers, for every instruction set. The usual
//! numbers of taps have a loop each, so that sums stay in registers.

use super::filter::{Filter, PRECISION};
use crate::data::{RgbView, Window};
use crate::simd::{Simd, SimdOp};

/// Rounds: half of what the last binary place is cut off at.
pub(super) const HALF: i32 = 1 << (PRECISION - 1);

/// The horizontal pass over rows of an image.
pub(super) struct Columns<'a> {
    pub(super) image: RgbView<'a>,
    pub(super) area: Window,
    pub(super) columns: &'a Filter,
    /// The first row of the area.
    pub(super) first: usize,
    /// What is written, `[rows, stride]`.
    pub(super) band: &'a mut [u8],
    pub(super) stride: usize,
    /// Room for a row of the area and a byte more.
    pub(super) spare: &'a mut [u8],
}

impl SimdOp for Columns<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, _: S) {
        match self.columns.taps() {
            1 => self.run::<1>(),
            2 => self.run::<2>(),
            3 => self.run::<3>(),
            4 => self.run::<4>(),
            5 => self.run::<5>(),
            6 => self.run::<6>(),
            _ => self.run::<0>(),
        }
    }
}

impl Columns<'_> {
    /// With `T` taps; 0 stands for any number.
    #[inline(always)]
    fn run<const T: usize>(self) {
        let Self { image, area, columns, first, band, stride, spare } = self;
        let (from, to) = columns.reach();
        let len = (to - from) * 3;
        let pixels = image.pixels();
        for (y, out) in band.chunks_exact_mut(stride).enumerate() {
            let at = ((area.top + first + y) * image.width() + area.left + from) * 3;
            // Pixels are read as four bytes, of which the last does not count.
            let row = match pixels.get(at..at + len + 1) {
                Some(row) => row,
                None => {
                    spare[..len].copy_from_slice(&pixels[at..at + len]);
                    &spare[..len + 1]
                }
            };
            for (x, (start, weights)) in columns.outputs().enumerate() {
                let row = &row[(start - from) * 3..];
                let mut sum = [HALF; 4];
                if T > 0 {
                    let row = &row[..T * 3 + 1];
                    let weights = &weights[..T];
                    for t in 0..T {
                        add(&mut sum, &row[t * 3..t * 3 + 4], weights[t]);
                    }
                } else {
                    for (t, &weight) in weights.iter().enumerate() {
                        add(&mut sum, &row[t * 3..t * 3 + 4], weight);
                    }
                }
                let mut bytes = [0; 4];
                for c in 0..4 {
                    bytes[c] = to_u8(sum[c]);
                }
                out[x * 3..x * 3 + 4].copy_from_slice(&bytes);
            }
        }
    }
}

/// Adds the four bytes `pixel`, times `weight`.
#[inline(always)]
fn add(sum: &mut [i32; 4], pixel: &[u8], weight: i32) {
    for c in 0..4 {
        sum[c] += i32::from(pixel[c]) * weight;
    }
}

/// One row of the vertical pass.
pub(super) struct Row<'a> {
    /// The rows of the band under its taps, each as long as `out`.
    pub(super) lines: &'a [u8],
    pub(super) weights: &'a [i32],
    /// As many as bytes.
    pub(super) sums: &'a mut [i32],
    pub(super) out: &'a mut [u8],
}

impl SimdOp for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, _: S) {
        match self.weights.len() {
            1 => self.run::<1>(),
            2 => self.run::<2>(),
            3 => self.run::<3>(),
            4 => self.run::<4>(),
            5 => self.run::<5>(),
            6 => self.run::<6>(),
            _ => self.any(),
        }
    }
}

impl Row<'_> {
    /// With `T` taps: the sum of each byte stays in a register.
    #[inline(always)]
    fn run<const T: usize>(self) {
        let len = self.out.len();
        let mut lines = [&self.lines[..0]; T];
        for (t, line) in lines.iter_mut().enumerate() {
            *line = &self.lines[t * len..][..len];
        }
        let mut weights = [0; T];
        weights.copy_from_slice(self.weights);
        for (x, out) in self.out.iter_mut().enumerate() {
            let mut sum = HALF;
            for (line, weight) in lines.iter().zip(weights) {
                sum += i32::from(line[x]) * weight;
            }
            *out = to_u8(sum);
        }
    }

    #[inline(always)]
    fn any(self) {
        let len = self.out.len();
        let sums = &mut self.sums[..len];
        sums.fill(HALF);
        for (line, &weight) in self.lines.chunks_exact(len).zip(self.weights) {
            for (sum, &byte) in sums.iter_mut().zip(line) {
                *sum += i32::from(byte) * weight;
            }
        }
        for (out, &sum) in self.out.iter_mut().zip(sums.iter()) {
            *out = to_u8(sum);
        }
    }
}

/// Weights may be negative, and those that are not may sum to more than 1.
#[inline(always)]
fn to_u8(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::super::filter::Axis;
    use super::super::{STRIDE, tests};
    use super::*;
    use crate::runtime::Rng;
    use crate::simd::Isa;

    #[test]
    fn every_instruction_set_gives_the_same() {
        let mut rng = Rng::named(4, "resize");
        for taps in 1..9 {
            let len = STRIDE * 3;
            let lines = tests::noise(len, taps, &mut rng).pixels()[..len * taps].to_vec();
            let weights: Vec<i32> = (0..taps).map(|_| ((1 << PRECISION) / taps) as i32).collect();
            let row = |isa: Isa| {
                let (mut sums, mut out) = (vec![0; len], vec![0; len]);
                let row = Row { lines: &lines, weights: &weights, sums: &mut sums, out: &mut out };
                isa.dispatch(row);
                out
            };
            let image = tests::noise(50 * taps, 5, &mut rng);
            let area = Window::all(50 * taps, 5);
            let columns = Filter::new(
                Axis { from: 50 * taps, to: 50, interpolation: tests::KINDS[taps % 4] },
                3,
                40,
            );
            let band = |isa: Isa| {
                let mut band = vec![0; STRIDE * 2 * 5];
                isa.dispatch(Columns {
                    image: image.view(),
                    area,
                    columns: &columns,
                    first: 0,
                    band: &mut band,
                    stride: STRIDE * 2,
                    spare: &mut vec![0; 50 * taps * 3 + 1],
                });
                // What follows the last pixel of a row is of no account.
                band.chunks(STRIDE * 2).flat_map(|row| row[..40 * 3].to_vec()).collect::<Vec<_>>()
            };
            let portable = Isa::named("portable").unwrap();
            for isa in Isa::available() {
                assert_eq!(row(isa), row(portable), "{isa}, {taps} taps");
                assert_eq!(band(isa), band(portable), "{isa}, {taps} taps");
            }
        }
    }
}
