//! A decoder for baseline JPEGs of the plainest kind, which nearly all photographs are: the pixels are those of
//! zune-jpeg, which decodes all others, in less time; and where only a part of an image is wanted, not much more than
//! that part is computed.
//!
//! It decides nothing. Whatever is rare, and whatever is wrong with the data, is none of its business: it then
//! returns none, and the other decoder says what becomes of the file. So it changes no result, only the time.
//!
//! Coefficients are read one after another, since each depends on what is before it, up to the last that is wanted;
//! groups of blocks become samples by vectors; and rows of samples become pixels while they are in the cache.

mod bits;
mod colour;
mod header;
mod tables;
mod transform;

use crate::data::Window;
use crate::simd::{Isa, Simd, SimdOp};
use bits::{Bits, unstuffed};
use header::{Component, Header};
use tables::Table;
use transform::{BLOCKS, Group};

/// The pixels, `[height, width, 3]`, of a JPEG whose components, if there are three, are YCbCr. Those outside `wanted`
/// are black; without it, all are computed. None if it is not of the plain kind or of the `size` (width, height) for
/// which that was chosen, or what is wanted is not whole.
///
/// # Panics
/// If `wanted` is not inside `size`.
pub(super) fn decode(bytes: &[u8], size: [usize; 2], wanted: Option<Window>) -> Option<Vec<u8>> {
    on(Isa::best(), bytes, size, wanted)
}

fn on(isa: Isa, bytes: &[u8], size: [usize; 2], wanted: Option<Window>) -> Option<Vec<u8>> {
    let [width, height] = size;
    let wanted = wanted.unwrap_or(Window::all(width, height));
    assert!(wanted.is_inside(width, height), "{wanted:?} of the image");
    let header = Header::of(bytes)?;
    if [header.width, header.height] != size {
        return None;
    }
    let data = unstuffed(header.data)?;
    isa.dispatch(Decode { header: &header, data: &data, wanted })
}

struct Decode<'a> {
    header: &'a Header<'a>,
    /// What `unstuffed` returned.
    data: &'a [u8],
    wanted: Window,
}

/// MCUs that are read before they become samples: as many as fill groups of blocks, and few enough that their
/// coefficients stay in the first-level cache.
const STRIP: usize = BLOCKS;

/// A component while it is decoded.
struct Plane<'a> {
    component: &'a Component,
    dc: &'a Table,
    ac: &'a Table,
    /// The last DC coefficient.
    before: i32,
    /// Groups of blocks of a strip of MCUs: one row of groups after another.
    groups: Vec<Group>,
    /// Where the coefficients of each group end along the zigzag.
    ends: Vec<usize>,
    /// Samples of the last two rows of MCUs.
    samples: Vec<u8>,
    /// Samples that a row has in the file, and in memory.
    width: usize,
    stride: usize,
}

impl<'a> Plane<'a> {
    /// None if the header lacks a table.
    fn new(header: &'a Header<'_>, component: &'a Component, mcus: usize) -> Option<Self> {
        let [across, down] = component.sampling;
        let stride = mcus.next_multiple_of(STRIP) * across * 8;
        Some(Self {
            component,
            dc: header.dc[component.dc].as_deref()?,
            ac: header.ac[component.ac].as_deref()?,
            before: 0,
            groups: vec![[0; 65 * BLOCKS]; across * down],
            ends: vec![0; across * down],
            samples: vec![0; 2 * 8 * down * stride],
            width: mcus * across * 8,
            stride,
        })
    }

    /// Row `y` of the image's samples, which is one of the last two rows of MCUs.
    #[inline(always)]
    fn row(&self, y: usize) -> &[u8] {
        let rows = 16 * self.component.sampling[1];
        &self.samples[y % rows * self.stride..][..self.width]
    }

    /// Makes samples of the groups, which are `strip` of row `mcu` of MCUs.
    #[inline(always)]
    fn transform(&mut self, mcu: usize, strip: usize) {
        let [across, down] = self.component.sampling;
        for (i, (group, end)) in self.groups.iter_mut().zip(&mut self.ends).enumerate() {
            let y = (mcu % 2 * down + i / across) * 8;
            let x = (strip * across + i % across) * 8 * BLOCKS;
            let plane = &mut self.samples[y * self.stride + x..];
            transform::samples(group, &self.component.steps, *end, plane, self.stride);
            group.fill(0);
            *end = 0;
        }
    }
}

impl SimdOp for Decode<'_> {
    type Output = Option<Vec<u8>>;

    #[inline(always)]
    fn eval<S: Simd>(self, _: S) -> Option<Vec<u8>> {
        let Self { header, data, wanted } = self;
        let Header { width, height, ref components, .. } = *header;
        let [across, down] = components[0].sampling;
        let mcus = width.div_ceil(8 * across);
        let rows = height.div_ceil(8 * down);
        let new = |component| Plane::new(header, component, mcus);
        let mut planes = components.iter().map(new).collect::<Option<Vec<Plane<'_>>>>()?;
        let (top, bottom) = (wanted.top, wanted.top + wanted.height);
        // Coarse chroma depends on the samples around it.
        let first = top.saturating_sub(down - 1) / (8 * down);
        let last = (bottom - 1 + (down - 1)).min(height - 1) / (8 * down);
        let mcu = 8 * across;
        let columns = wanted.left.saturating_sub(across - 1) / mcu
            ..(wanted.left + wanted.width + across - 1).div_ceil(mcu);
        // Row by row, so that no memory is cleared long before it is written.
        let mut pixels = Vec::with_capacity(width * height * 3);
        pixels.resize(top * width * 3, 0);
        let mut spare = vec![0; 4 * mcus * 8 * across];
        let mut bits = Bits::new(data);
        let mut done = top;
        for mcu in 0..=last {
            for strip in 0..mcus.div_ceil(STRIP) {
                let part = strip * STRIP..((strip + 1) * STRIP).min(mcus);
                if mcu >= first && part.start < columns.end && columns.start < part.end {
                    read::<true>(&mut bits, &mut planes, part.len())?;
                    for plane in &mut planes {
                        plane.transform(mcu, strip);
                    }
                } else {
                    read::<false>(&mut bits, &mut planes, part.len())?;
                }
            }
            if mcu < first {
                continue;
            }
            // The last row of pixels waits for the chroma below it.
            let ready = (mcu + 1) * 8 * down - if mcu + 1 < rows { down - 1 } else { 0 };
            for y in done..ready.min(bottom) {
                pixels.resize((y + 1) * width * 3, 0);
                let row = &mut pixels[y * width * 3..];
                write(&planes, [across, down], y, height, wanted, &mut spare, row);
            }
            done = done.max(ready);
        }
        pixels.resize(width * height * 3, 0);
        bits.is_inside().then_some(pixels)
    }
}

/// Reads some MCUs. Coefficients are kept if `KEEP`.
#[inline(always)]
fn read<const KEEP: bool>(
    bits: &mut Bits<'_>,
    planes: &mut [Plane<'_>],
    mcus: usize,
) -> Option<()> {
    for mcu in 0..mcus {
        for plane in &mut *planes {
            let component = plane.component;
            let [across, down] = component.sampling;
            for row in 0..down {
                for column in mcu * across..(mcu + 1) * across {
                    let group = row * across + column / BLOCKS;
                    let (to, b) = (&mut plane.groups[group], column % BLOCKS);
                    let end = bits.block::<KEEP>(plane.dc, plane.ac, &mut plane.before, to, b)?;
                    if KEEP {
                        plane.ends[group] = end.max(plane.ends[group]);
                    }
                    // Beyond this, blocks of one value would come out otherwise than there.
                    if plane.before.wrapping_mul(component.steps[0]).abs() >= 1 << 15 {
                        return None;
                    }
                }
            }
        }
    }
    Some(())
}

/// Writes row `y` of the image, as far as it is wanted, to `out`. `spare` is room for four rows.
#[inline(always)]
fn write(
    planes: &[Plane<'_>],
    [across, down]: [usize; 2],
    y: usize,
    height: usize,
    wanted: Window,
    spare: &mut [u8],
    out: &mut [u8],
) {
    let columns = wanted.left..wanted.left + wanted.width;
    let out = &mut out[columns.start * 3..columns.end * 3];
    let luma = &planes[0].row(y)[columns.clone()];
    let [_, cb, cr] = planes else { return colour::grey(luma, out) };
    let spare = spare.chunks_exact_mut(spare.len() / 2);
    let rows = height.div_ceil(8 * down) * 8;
    let mut chroma = [&[][..]; 2];
    for ((chroma, plane), spare) in chroma.iter_mut().zip([cb, cr]).zip(spare) {
        let (between, doubled) = spare.split_at_mut(spare.len() / 2);
        let near = plane.row(y / down);
        let near = if down == 1 {
            near
        } else {
            // The row above for even rows, else the one below; at the edges, itself.
            let far = if y.is_multiple_of(2) {
                (y / 2).saturating_sub(1)
            } else {
                (y / 2 + 1).min(rows - 1)
            };
            let between = &mut between[..near.len()];
            colour::between(near, plane.row(far), between);
            between
        };
        *chroma = if across == 1 {
            &near[columns.clone()]
        } else {
            colour::doubled(near, doubled);
            &doubled[columns.clone()]
        };
    }
    colour::rgb(luma, chroma[0], chroma[1], out);
}

#[cfg(test)]
mod tests;
