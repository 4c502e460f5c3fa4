//! The options that say which network is meant.

use resnet_cpu::model::{Downsample, ModelSpec, Options, Shortcut, StrideIn};
use resnet_cpu::weights::Overrides;

use super::error::CliError;

#[derive(clap::Args)]
pub(super) struct NetworkArgs {
    /// Shortcuts: a (identity with zero padding), b (projections where sizes change) or c (projections
    /// everywhere)
    #[arg(long, value_name = "KIND")]
    shortcut: Option<Shortcut>,
    /// Which convolution of a bottleneck block has the stride: 1x1 (the paper) or 3x3 (v1.5, as in most
    /// published weights)
    #[arg(long, value_name = "CONV")]
    stride_in: Option<StrideIn>,
    /// How a plain network downsamples: conv (convolutions of stride 2) or maxpool
    #[arg(long, value_name = "HOW")]
    downsample: Option<Downsample>,
}

impl NetworkArgs {
    /// These options.
    pub(super) fn options(&self) -> Options {
        let &Self { shortcut, stride_in, downsample } = self;
        Options { shortcut, stride_in, downsample, ..Options::default() }
    }

    /// The network called `name` with these options.
    pub(super) fn spec(&self, name: &str) -> Result<ModelSpec, CliError> {
        ModelSpec::new(name, self.options()).map_err(CliError::usage)
    }

    /// What these options and `--arch` say about a file of weights; wrong usage if no network is like
    /// that.
    pub(super) fn overrides(&self, arch: Option<&str>) -> Result<Overrides, CliError> {
        if let Some(name) = arch {
            self.spec(name)?;
        }
        let &Self { shortcut, stride_in, downsample } = self;
        let arch = arch.map(str::to_owned);
        Ok(Overrides { arch, shortcut, stride_in, downsample, ..Overrides::default() })
    }
}
