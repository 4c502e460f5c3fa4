//! The option that chooses the algorithms for convolutions in inference.

use clap::ValueEnum;
use resnet_cpu::conv::Convolutions;

#[derive(clap::Args)]
pub(super) struct ConvolutionArgs {
    /// Algorithm of convolutions; results differ in the last digits
    #[arg(long, value_enum, default_value_t)]
    conv: Name,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Name {
    /// The fastest for each shape
    #[default]
    Auto,
    /// Never Winograd's: the sums of the definition
    Direct,
    /// Winograd's F(4x4, 3x3) wherever it is possible
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
