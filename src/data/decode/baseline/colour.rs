//! From samples to pixels: coarse chroma made as fine as luma, and YCbCr made RGB, both as zune-jpeg does it.

/// A row of chroma between rows: `near` counts three times as much as `far`.
#[inline(always)]
pub(super) fn between(near: &[u8], far: &[u8], out: &mut [u8]) {
    for ((out, &near), &far) in out.iter_mut().zip(near).zip(far) {
        *out = nearer(near, far);
    }
}

/// A row of chroma twice as long: each sample becomes two, which lean towards their neighbours.
#[inline(always)]
pub(super) fn doubled(row: &[u8], out: &mut [u8]) {
    let last = row.len() - 1;
    let out = &mut out[..2 * row.len()];
    (out[0], out[1]) = (row[0], nearer(row[0], row[1]));
    let (left, here, right) = (&row[..last - 1], &row[1..last], &row[2..]);
    let inner = &mut out[2..2 * last];
    for i in 0..last - 1 {
        inner[2 * i] = nearer(here[i], left[i]);
        inner[2 * i + 1] = nearer(here[i], right[i]);
    }
    (out[2 * last], out[2 * last + 1]) = (nearer(row[last], row[last - 1]), row[last]);
}

#[inline(always)]
fn nearer(near: u8, far: u8) -> u8 {
    ((3 * u16::from(near) + u16::from(far) + 2) >> 2) as u8
}

/// Pixels of a row from luma and chroma.
#[inline(always)]
pub(super) fn rgb(y: &[u8], cb: &[u8], cr: &[u8], out: &mut [u8]) {
    const HALF: i32 = (1 << 13) - 1;
    let to_u8 = |x: i32| (x >> 14).clamp(0, 255) as u8;
    for (((out, &y), &cb), &cr) in out.as_chunks_mut::<3>().0.iter_mut().zip(y).zip(cb).zip(cr) {
        let (y, cb, cr) = (i32::from(y) << 14, i32::from(cb) - 128, i32::from(cr) - 128);
        let y = y + HALF;
        *out = [to_u8(y + cr * 22970), to_u8(y - cr * 11700 - cb * 5638), to_u8(y + cb * 29032)];
    }
}

/// Pixels of a row without colours.
#[inline(always)]
pub(super) fn grey(y: &[u8], out: &mut [u8]) {
    for (out, &y) in out.as_chunks_mut::<3>().0.iter_mut().zip(y) {
        *out = [y; 3];
    }
}
