//! The option that chooses the algorithms for convolutions in inference and in `bench`; `train` has one among its
//! settings, since it decides the result of a run.

use clap::ValueEnum;
use resnet_cpu::conv::Convolutions;

#[derive(clap::Args)]
pub(super) struct ConvolutionArgs {
    /// Convolution algorithm; results differ in the last digits only
    #[arg(long, value_enum, default_value_t)]
    conv: Name,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Name {
    /// The fastest for each shape
    #[default]
    Auto,
    /// Direct sums, as in the definition; never Winograd's
    Direct,
    /// Winograd's F(4x4, 3x3) wherever possible
    Winograd,
}

impl ConvolutionArgs {
    pub(super) fn choice(&self) -> Convolutions {
        match self.conv {
            Name::Auto => Convolutions::Auto,
            Name::Direct => Convolutions::Direct,
            Name::Winograd => Convolutions::Winograd,
        }
    }
}
