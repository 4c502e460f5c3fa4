//! The option that chooses the algorithms for convolutions in inference.

use clap::ValueEnum;
use resnet_cpu::conv::Convolutions;

#[derive(clap::Args)]
pub(super) struct ConvolutionArgs {
    /// How convolutions are computed: by the fastest algorithm for each shape, by the definition only,
    /// or by Winograd's wherever it is possible; the last digits differ
    #[arg(long, value_enum, default_value_t)]
    conv: Name,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Name {
    #[default]
    Auto,
    Direct,
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
