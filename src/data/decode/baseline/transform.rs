//! From coefficients to samples: the inverse cosine transform of zune-jpeg (and stb_image before it), in whole
//! numbers, over sixteen blocks at a time.
//!
//! A number of each block stands beside those of the others, so every step is one over vectors and nothing is
//! transposed before the samples are bytes. Sums and products wrap, as there, so that damaged files come out alike,
//! too.

/// Blocks of a group.
pub(super) const BLOCKS: usize = 16;

/// Coefficients of a group, `[64, BLOCKS]`, and room for what is no coefficient.
pub(super) type Group = [i16; 65 * BLOCKS];

/// The samples of a group: for each column of a block, `[8 rows, BLOCKS]`.
type Columns = [[u8; 8 * BLOCKS]; 8];

/// Writes the samples of the blocks of `group` beside each other to the first eight rows of `plane`, which are `stride`
/// long. Along the zigzag no block has a coefficient from `end` on.
#[inline(always)]
pub(super) fn samples(
    group: &Group,
    steps: &[i32; 64],
    end: usize,
    plane: &mut [u8],
    stride: usize,
) {
    let mut columns: Columns = [[0; 8 * BLOCKS]; 8];
    if end <= 1 {
        flat(group, steps, &mut columns);
    } else if end <= 10 {
        waves::<4>(group, steps, &mut columns);
    } else {
        waves::<8>(group, steps, &mut columns);
    }
    write(&columns, plane, stride);
}

/// Blocks of one value.
#[inline(always)]
fn flat(group: &Group, steps: &[i32; 64], columns: &mut Columns) {
    let mut samples = [0; BLOCKS];
    for b in 0..BLOCKS {
        samples[b] = ((i32::from(group[b]) * steps[0] + 4 + 1024) >> 3).clamp(0, 255) as u8;
    }
    for column in columns {
        for row in column.as_chunks_mut().0 {
            *row = samples;
        }
    }
}

/// Blocks of which only the first `N` coefficients in `N` rows count.
#[inline(always)]
fn waves<const N: usize>(group: &Group, steps: &[i32; 64], columns: &mut Columns) {
    let mut half = [[0_i32; 8 * BLOCKS]; 8];
    for x in 0..N {
        let half = &mut half[x];
        for b in 0..BLOCKS {
            let mut a = [0; 8];
            for y in 0..N {
                a[y] = i32::from(group[(y * 8 + x) * BLOCKS + b]).wrapping_mul(steps[y * 8 + x]);
            }
            let a = transform(a, 512);
            for y in 0..8 {
                half[y * BLOCKS + b] = a[y] >> 10;
            }
        }
    }
    for y in 0..8 {
        for b in 0..BLOCKS {
            let mut a = [0; 8];
            for x in 0..N {
                a[x] = half[x][y * BLOCKS + b];
            }
            let a = transform(a, 512 + 65536 + (128 << 17));
            for x in 0..8 {
                columns[x][y * BLOCKS + b] = (a[x] >> 17).clamp(0, 255) as u8;
            }
        }
    }
}

/// Eight numbers transformed, times 4096, plus `rounding`.
#[inline(always)]
fn transform(a: [i32; 8], rounding: i32) -> [i32; 8] {
    let add = i32::wrapping_add;
    let sub = i32::wrapping_sub;
    let mul = i32::wrapping_mul;
    let p1 = mul(add(a[2], a[6]), 2217);
    let t2 = add(p1, mul(a[6], -7567));
    let t3 = add(p1, mul(a[2], 3135));
    let t0 = add(add(a[0], a[4]) << 12, rounding);
    let t1 = add(sub(a[0], a[4]) << 12, rounding);
    let even = [add(t0, t3), add(t1, t2), sub(t1, t2), sub(t0, t3)];
    let p3 = add(a[7], a[3]);
    let p4 = add(a[5], a[1]);
    let p5 = mul(add(p3, p4), 4816);
    let p1 = add(p5, mul(add(a[7], a[1]), -3685));
    let p2 = add(p5, mul(add(a[5], a[3]), -10497));
    let p3 = mul(p3, -8034);
    let p4 = mul(p4, -1597);
    let odd = [
        add(mul(a[1], 6149), add(p1, p4)),
        add(mul(a[3], 12586), add(p2, p3)),
        add(mul(a[5], 8410), add(p2, p4)),
        add(mul(a[7], 1223), add(p1, p3)),
    ];
    let mut out = [0; 8];
    for i in 0..4 {
        out[i] = add(even[i], odd[i]);
        out[7 - i] = sub(even[i], odd[i]);
    }
    out
}

/// Columns of blocks beside each other to rows of samples.
#[inline(always)]
fn write(columns: &Columns, plane: &mut [u8], stride: usize) {
    // A word has a sample of eight blocks, and in the end eight samples of a block.
    let mut words = [[0_u64; WORDS]; 8];
    for x in 0..8 {
        for (word, bytes) in words[x].iter_mut().zip(columns[x].as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
    }
    exchange::<1>(&mut words, 0x00FF_00FF_00FF_00FF);
    exchange::<2>(&mut words, 0x0000_FFFF_0000_FFFF);
    exchange::<4>(&mut words, 0xFFFF_FFFF);
    for y in 0..8 {
        let row = &mut plane[y * stride..][..8 * BLOCKS];
        for (b, samples) in row.as_chunks_mut().0.iter_mut().enumerate() {
            *samples = words[b % 8][y * (BLOCKS / 8) + b / 8].to_le_bytes();
        }
    }
}

/// Words that hold a row of eight samples each.
const WORDS: usize = BLOCKS;

/// The upper `APART` bytes of those of `mask` change places with the lower ones of the words `APART` further on.
#[inline(always)]
fn exchange<const APART: usize>(words: &mut [[u64; WORDS]; 8], mask: u64) {
    for x in 0..8 {
        if x & APART == 0 {
            let (before, after) = words.split_at_mut(x + APART);
            for (low, high) in before[x].iter_mut().zip(&mut after[0]) {
                let (a, b) = (*low, *high);
                *low = (a & mask) | (b & mask) << (8 * APART);
                *high = (a >> (8 * APART) & mask) | (b & !mask);
            }
        }
    }
}
