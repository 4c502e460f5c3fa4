//! Which algorithm computes a convolution: a rule over its shape, measured, and nothing else.

use super::backward_data::turned_round;
use super::{ConvShape, WinogradTile, strip};
use crate::gemm::Backend;
use crate::numerics::winograd::{F2_TILES, F4_TILES, F4_TILES_NEAR, NEAR, gradient};
use crate::simd::Isa;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// The definition, as one product of patches and filters.
    Direct,
    /// The same product, bit by bit, with patches that are read where they lie: few input channels.
    Strip,
    /// Winograd's, for filters of 3x3 and stride 1.
    Winograd(WinogradTile),
}

/// Which algorithms may compute convolutions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Convolutions {
    /// The fastest for each shape: [`Algorithm::of`].
    #[default]
    Auto,
    /// The definition only.
    Direct,
    /// Winograd's F(4x4, 3x3) wherever it is possible, else the fastest.
    Winograd,
}

impl fmt::Display for Convolutions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Direct => "direct",
            Self::Winograd => "winograd",
        })
    }
}

impl Convolutions {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Direct, Self::Winograd];

    /// The algorithm for a convolution of `shape`.
    pub fn algorithm(self, backend: Backend, shape: &ConvShape) -> Algorithm {
        match self {
            Self::Direct => Algorithm::without_winograd(backend, shape),
            Self::Winograd if Algorithm::winograd_fits(backend, shape) => {
                Algorithm::Winograd(WinogradTile::F4)
            }
            Self::Auto | Self::Winograd => Algorithm::of(backend, shape),
        }
    }
}

impl Convolutions {
    /// The algorithm for the gradient of the input of a convolution of `shape`.
    pub fn of_input_gradient(self, backend: Backend, shape: &ConvShape) -> Algorithm {
        self.algorithm(backend, &turned_round(shape))
    }

    /// The algorithm for the gradient of the filters of a convolution of `shape`.
    pub fn of_weight_gradient(self, backend: Backend, shape: &ConvShape) -> Algorithm {
        match self {
            Self::Direct => Algorithm::Direct,
            Self::Winograd if Algorithm::winograd_fits(backend, shape) => {
                Algorithm::Winograd(WinogradTile::F4)
            }
            Self::Auto | Self::Winograd => Algorithm::of_weight_gradient(backend, shape),
        }
    }
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Direct,
        Self::Strip,
        Self::Winograd(WinogradTile::F2),
        Self::Winograd(WinogradTile::F4),
    ];

    /// The fastest for a convolution of `shape`. The choice depends on the shape alone, so results do,
    /// too. A backend other than ours takes the definition, and so does the `portable` instruction
    /// set, whose transforms would lose twice the digits for want of a fused multiply-add.
    pub fn of(backend: Backend, shape: &ConvShape) -> Self {
        let tiles = shape.batch * shape.out_height().div_ceil(4) * shape.out_width().div_ceil(4);
        let near = shape.in_channels * shape.out_channels <= NEAR;
        let (from_f4, from_f2) = if near { (F4_TILES_NEAR, 1) } else { (F4_TILES, F2_TILES) };
        let possible = Self::winograd_fits(backend, shape);
        if possible && tiles >= from_f4 {
            Self::Winograd(WinogradTile::F4)
        } else if possible && tiles >= from_f2 {
            Self::Winograd(WinogradTile::F2)
        } else {
            Self::without_winograd(backend, shape)
        }
    }

    /// The fastest for the gradient of the filters of a convolution of `shape`, by its shape alone.
    pub fn of_weight_gradient(backend: Backend, shape: &ConvShape) -> Self {
        let tiles = shape.batch * shape.out_height().div_ceil(4) * shape.out_width().div_ceil(4);
        if Self::winograd_fits(backend, shape) && tiles >= gradient::TILES {
            Self::Winograd(WinogradTile::F4)
        } else {
            Self::Direct
        }
    }

    fn without_winograd(backend: Backend, shape: &ConvShape) -> Self {
        if Self::strip_fits(backend, shape) { Self::Strip } else { Self::Direct }
    }

    /// Whether a convolution of `shape` can be computed from strips.
    pub(super) fn strip_fits(backend: Backend, shape: &ConvShape) -> bool {
        matches!(backend, Backend::Native(_)) && strip::fits(shape)
    }

    /// Whether it can by Winograd, and exactly so on every instruction set that has it.
    fn winograd_fits(backend: Backend, shape: &ConvShape) -> bool {
        Self::winograd_isa(backend, shape).is_some_and(Isa::is_exact)
    }

    /// What tables call it, computing a convolution of `shape`.
    pub fn name(self, shape: &ConvShape) -> &'static str {
        match self {
            Self::Direct if shape.is_product() => "1x1 gemm",
            Self::Direct => "im2col gemm",
            Self::Strip => "strip gemm",
            Self::Winograd(WinogradTile::F2) => "winograd F(2x2)",
            Self::Winograd(WinogradTile::F4) => "winograd F(4x4)",
        }
    }

    /// The instruction set on which a convolution of `shape` can run by Winograd, if it can.
    pub(super) fn winograd_isa(backend: Backend, shape: &ConvShape) -> Option<Isa> {
        let isa = backend.native()?;
        let channels = [shape.in_channels, shape.out_channels];
        let fits = shape.kernel == 3
            && shape.stride == 1
            && shape.padding <= 2
            && channels.iter().all(|channels| channels.is_multiple_of(16));
        fits.then_some(isa)
    }
}
