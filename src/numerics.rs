//! The constants that decide bits, all of them, in one place.
//!
//! The order of additions into each output, the choice of an algorithm and the parts of a long sum
//! follow from the shape of the data and from these numbers, and from nothing else: not from the number of
//! threads, the instruction set or the sizes of caches. To change one is to change results, and with
//! them `tests/golden/same_bits.json`. Constants that decide speed only (heights of panels, blocks of
//! tiles, lengths of tasks) stand with the code that uses them, and none of those may find its way
//! into a rule below.

/// The most steps of K that a product sums in one go; the sums of such blocks are added in order. A
/// micro-panel of B of this height stays in the first-level cache while the rows of a block pass by.
/// Longer blocks touch C less often, shorter ones round less.
pub(crate) const KC: usize = 256;

/// Chunks of the long sum of a product Aᵀ · B.
pub(crate) mod chunks {
    /// Columns of A that count as one task when it is decided how many chunks there should be.
    pub(crate) const COLUMNS: usize = 336;
    /// Tasks that a product should have, counting columns and chunks.
    pub(crate) const TASKS: usize = 16;
    /// Rows of A below which a chunk is not worth a C of its own.
    pub(crate) const SHORTEST: usize = 1024;
    /// Floats that the chunks' results may take together.
    pub(crate) const MOST_PARTIAL: usize = 4 << 20;
}

/// Channels of a convolution in groups that are computed together, unless a group has more.
pub(crate) const BUNDLE: usize = 64;

/// From which size on Winograd's algorithm computes a convolution.
pub(crate) mod winograd {
    /// Tiles of 4x4 outputs from which F(4x4, 3x3)'s filters are worth reading.
    pub(crate) const F4_TILES: usize = 24;
    /// Tiles of 4x4 outputs from which F(2x2, 3x3)'s are, which are half as large.
    pub(crate) const F2_TILES: usize = 8;
    /// Pairs of channels up to which filters come from the second-level cache.
    pub(crate) const NEAR: usize = 64 * 64;
    /// The tiles of 4x4 outputs from which F(4x4, 3x3) pays then; F(2x2, 3x3) always does.
    pub(crate) const F4_TILES_NEAR: usize = 16;

    /// The gradient of the filters.
    pub(crate) mod gradient {
        /// Tiles of 4x4 outputs from which the sums of all frequencies are worth finishing.
        pub(crate) const TILES: usize = 64;
        /// Floats of the sums up to which a task has its own, for they stay in a second-level cache.
        pub(crate) const KEPT: usize = 36 * 64 * 64;
        /// Chunks of tiles then, each with its own sums.
        pub(crate) const CHUNKS: usize = 16;
        /// Tiles below which a chunk is not worth sums of its own.
        pub(crate) const SHORTEST: usize = 64;
        /// Floats of a block of transformed tiles that a task multiplies then.
        pub(crate) const NEAR_BLOCK: usize = 192 * 1024;
        /// The same where all tasks share a block: it stays in the last-level cache. Where the sums are more, a block is
        /// as much as they are, for each block reads and writes all of them.
        pub(crate) const FAR_BLOCK: usize = 2 << 20;
    }
}

/// Sums over pixels: blocks, which are summed in f32, and chunks of blocks, in f64.
pub(crate) mod pixels {
    /// Floats a block should have: 32 KiB.
    pub(crate) const BLOCK: usize = 8 * 1024;
    /// Fewer pixels a block, and adding it up in f64 would take longer than reading it.
    pub(crate) const FEWEST: usize = 32;
    /// More pixels a block, and the sums in f32 would lose digits.
    pub(crate) const MOST: usize = 256;
    /// The most chunks: enough for the threads of any one machine.
    pub(crate) const CHUNKS: usize = 64;
}

/// Images that validation runs through the network at a time, since a batch's size decides algorithms.
pub(crate) const VALIDATION_BATCH: usize = 64;

/// Training images at most whose statistics batch norm is given where a run starts from weights.
pub(crate) const MEASURED_IMAGES: usize = 1024;

/// Images at most that run together where batch norm is given the average over training images: those of one of the
/// authors' eight processors.
pub(crate) const AVERAGED_BATCH: usize = 32;

#[cfg(test)]
mod tests {
    use crate::conv::{Algorithm, ConvShape, WinogradTile::*};
    use crate::gemm::Backend;
    use crate::gemm::blocking::{chunks, k_block};
    use crate::simd::Isa;

    /// What the rules make of the shapes that networks have, on record: they hold on every machine.
    #[test]
    fn the_rules_are_on_record() {
        let blocks = [1, 147, 256, 257, 576, 1152, 2048, 4608].map(k_block);
        assert_eq!(blocks, [1, 147, 256, 129, 192, 231, 256, 256]);

        // Pixels, values under the filter, filters: of ResNet-18 and 50 at 224, of ResNet-20 at 32.
        let products = [
            (32 * 112 * 112, 147, 64),
            (32 * 56 * 56, 576, 64),
            (32 * 28 * 28, 1152, 128),
            (32 * 7 * 7, 4608, 512),
            (32 * 56 * 56, 64, 256),
            (128 * 32 * 32, 27, 16),
            (128 * 8 * 8, 576, 64),
            (1000, 64, 10),
        ];
        let parts = products.map(|(m, k, n)| chunks(m, k, n));
        assert_eq!(parts, [16, 8, 4, 1, 16, 16, 8, 1]);

        let exact = Isa::available().into_iter().find(|isa| isa.is_exact());
        let Some(isa) = exact else { return };
        let algorithm = |batch, side, channels| {
            let shape = ConvShape {
                batch,
                height: side,
                width: side,
                in_channels: channels,
                out_channels: channels,
                kernel: 3,
                stride: 1,
                padding: 1,
            };
            Algorithm::of(Backend::Native(isa), &shape)
        };
        use Algorithm::{Direct, Winograd};
        assert_eq!(
            [
                algorithm(1, 56, 64),
                algorithm(1, 28, 128),
                algorithm(1, 14, 256),
                algorithm(1, 7, 512),
                algorithm(2, 7, 512),
                algorithm(6, 7, 512),
                algorithm(1, 8, 64),
                algorithm(4, 8, 64),
            ],
            [
                Winograd(F4),
                Winograd(F4),
                Winograd(F2),
                Direct,
                Winograd(F2),
                Winograd(F4),
                Winograd(F2),
                Winograd(F4),
            ]
        );
    }
}
